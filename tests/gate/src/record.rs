//! The call log: one entry a call, in memory and as a line of JSON in a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::map::Service;

/// The gate's decision on a call.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    /// The decider allowed every action.
    Allowed,
    /// The decider denied an action, or gave no verdict.
    Denied,
    /// Made with the bootstrap key. The decider was not asked.
    Bypassed,
    /// No valid credentials.
    Unauthenticated,
    /// Not in the mapping.
    Unmapped,
    /// Allowed by IAM, but AWS would reject the parameters.
    Invalid,
    /// A fault ended the call before the decision.
    Fault,
}

/// An action of a call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Asked {
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// A fault that hit a call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Happened {
    pub(crate) id: String,
    pub(crate) kind: crate::fault::Kind,
}

/// One call. It never contains a credential, a token, a document or a body.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Order of arrival, from 1.
    pub(crate) n: u64,
    /// Arrival, RFC 3339 UTC with milliseconds.
    pub(crate) at: String,
    /// The instant of the answer, or of the closing of the connection.
    pub(crate) done_at: String,
    /// `bootstrap`, the session's ARN, or `unknown`.
    pub(crate) principal: String,
    /// The session's access key id. The bootstrap key's id is left out.
    pub(crate) access_key_id: Option<String>,
    /// The mapped service, or the service name of the credential scope if the service is not mapped.
    pub(crate) service: String,
    /// The operation as the API reference spells it; empty if the call names none.
    pub(crate) operation: String,
    pub(crate) actions: Vec<Asked>,
    pub(crate) decision: Decision,
    /// The kind of policy that denied.
    pub(crate) denied_by: Option<String>,
    /// The reason of a refusal, in AWS's words or the gate's.
    pub(crate) reason: Option<String>,
    /// The AWS error code of a refusal by the gate.
    pub(crate) error_code: Option<String>,
    /// Whether the call was forwarded.
    pub(crate) forwarded: bool,
    /// HTTP status of the upstream's answer.
    pub(crate) upstream_status: Option<u16>,
    /// The instant at which the upstream had answered: a write had landed by then. Long after `at` for a delayed call.
    pub(crate) landed_at: Option<String>,
    /// Whether the caller was still connected and got an answer.
    pub(crate) answered: bool,
    pub(crate) fault: Option<Happened>,
    /// AWS's request id in the answer.
    pub(crate) request_id: Option<String>,
    /// For a write: its content (or the content it would have had, if not `forwarded`), for the reconciliation with
    /// evidence.
    pub(crate) wrote: Option<Value>,
    /// For `SimulatePrincipalPolicy`: the gate's results, each `{action, resource, decision}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) simulated: Option<Value>,
}

impl Entry {
    /// An entry of which only the arrival is known.
    pub(crate) fn arrived(n: u64, at: String) -> Self {
        Self {
            n,
            at,
            done_at: String::new(),
            principal: "unknown".to_owned(),
            access_key_id: None,
            service: String::new(),
            operation: String::new(),
            actions: Vec::new(),
            decision: Decision::Unauthenticated,
            denied_by: None,
            reason: None,
            error_code: None,
            forwarded: false,
            upstream_status: None,
            landed_at: None,
            answered: false,
            fault: None,
            request_id: None,
            wrote: None,
            simulated: None,
        }
    }

    /// Sets the service name that callers use.
    pub(crate) fn of_service(&mut self, scope: &str, service: Option<Service>) {
        self.service = service.map_or_else(|| scope.to_owned(), |service| format!("{service:?}").to_lowercase());
    }
}

/// Every call since the gate started.
#[derive(Debug)]
pub(crate) struct Record {
    file: Mutex<File>,
    entries: Mutex<Vec<Entry>>,
    n_arrived: AtomicU64,
}

/// Part of the record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Extract {
    /// In order of arrival.
    pub(crate) entries: Vec<Entry>,
    /// Calls that have arrived but are not done. The record is complete when this is 0.
    pub(crate) n_in_flight: u64,
}

impl Record {
    /// Opens the file at `path`, appending.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self {
            file: Mutex::new(OpenOptions::new().create(true).append(true).open(path)?),
            entries: Mutex::default(),
            n_arrived: AtomicU64::new(0),
        })
    }

    /// Counts an arrival, and returns the number of the call.
    pub(crate) fn arrival(&self) -> u64 {
        self.n_arrived.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }

    /// Writes a completed call.
    ///
    /// # Errors
    ///
    /// If the file cannot be written: an unlogged call must not look like a logged one.
    pub(crate) fn write(&self, entry: Entry) -> std::io::Result<()> {
        let line = serde_json::to_string(&entry)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{line}")?;
        drop(file);
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(())
    }

    /// The calls with a number above `n`.
    pub(crate) fn since(&self, n: u64) -> Extract {
        let all = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let n_done = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let mut entries: Vec<Entry> = all.iter().filter(|entry| entry.n > n).cloned().collect();
        drop(all);
        entries.sort_by_key(|entry| entry.n);
        Extract { entries, n_in_flight: self.n_arrived.load(Ordering::SeqCst).saturating_sub(n_done) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_of_arrival_and_count_calls_in_flight() {
        let path = std::env::temp_dir().join(format!("brevet-gate-record-{}.jsonl", std::process::id()));
        let record = Record::open(&path).unwrap();
        let numbers: Vec<u64> = (0..3).map(|_| record.arrival()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        for n in [3, 1] {
            record.write(Entry::arrived(n, "t".to_owned())).unwrap();
        }
        let extract = record.since(0);
        let found: Vec<u64> = extract.entries.iter().map(|entry| entry.n).collect();
        assert_eq!((found, extract.n_in_flight), (vec![1, 3], 1));
        assert_eq!(record.since(1).entries.len(), 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        std::fs::remove_file(path).unwrap();
    }
}
