//! The call log: one entry a call, in memory and as a line of JSON in a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::map::Service;

/// What the gate did with a call.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    /// The decider allowed every action.
    Allowed,
    /// It denied one, or could not be asked.
    Denied,
    /// The bootstrap key: not asked.
    Bypassed,
    /// No valid credentials.
    Unauthenticated,
    /// Not in the mapping.
    Unmapped,
    /// Allowed, but AWS would reject its parameters.
    Invalid,
    /// A fault came before the decision.
    Fault,
}

/// One action that a call needed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Asked {
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// A fault that happened to a call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Happened {
    pub(crate) id: String,
    pub(crate) kind: crate::fault::Kind,
}

/// One call. Never a credential, a token, a document or a body.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Order of arrival, from 1.
    pub(crate) n: u64,
    /// Arrival, RFC 3339 UTC with milliseconds.
    pub(crate) at: String,
    /// When it was answered, or its connection closed.
    pub(crate) done_at: String,
    /// `bootstrap`, the session's ARN, or `unknown`.
    pub(crate) principal: String,
    /// The session's access key id; that of the bootstrap key is left out.
    pub(crate) access_key_id: Option<String>,
    /// The mapped service, or the credential scope's word for one that is not mapped.
    pub(crate) service: String,
    /// As the API reference spells it, empty if the call does not say.
    pub(crate) operation: String,
    pub(crate) actions: Vec<Asked>,
    pub(crate) decision: Decision,
    /// Which kind of policy denied.
    pub(crate) denied_by: Option<String>,
    /// Why it was refused, in AWS's words or ours.
    pub(crate) reason: Option<String>,
    /// AWS's error code of a refusal or of the answer that was given instead.
    pub(crate) error_code: Option<String>,
    /// Whether it went on to what is behind the gate.
    pub(crate) forwarded: bool,
    /// HTTP status from behind the gate.
    pub(crate) upstream_status: Option<u16>,
    /// When what is behind the gate had answered: a write had landed by then. Long after `at` for a call that was held.
    pub(crate) landed_at: Option<String>,
    /// Whether the caller was answered, and still there.
    pub(crate) answered: bool,
    pub(crate) fault: Option<Happened>,
    /// AWS's request id in the answer.
    pub(crate) request_id: Option<String>,
    /// Of a write: what it writes (or would, if not `forwarded`), to be reconciled with evidence.
    pub(crate) wrote: Option<Value>,
    /// Of `SimulatePrincipalPolicy`: what the gate answered, `{action, resource, decision}` each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) simulated: Option<Value>,
}

impl Entry {
    /// An entry about which nothing is known but its arrival.
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

    /// Names the service as callers know it.
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
    /// Calls that have arrived but are not done: the record is whole when this is 0.
    pub(crate) n_in_flight: u64,
}

impl Record {
    /// Opens the file at `path`, appending.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
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

    /// The number of the next call.
    pub(crate) fn arrival(&self) -> u64 {
        self.n_arrived.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }

    /// Writes a call that is done.
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
    fn entries_come_in_order_of_arrival_and_tell_what_is_still_under_way() {
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
