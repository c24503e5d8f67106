//! The fake of session roles: their reserved inline policies, and writes that land late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::deny::MAX_ROLE_INLINE;
use brevet_domain::time::Timestamp;

use super::faults::{CallKind, CallMode, Faults};
use super::locked;
use super::principals::size;
use super::time::ManualClock;
use crate::port::{Clock, DenyReading, PortError, PortResult, SessionRoles};

/// One write that took effect on a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyWrite {
    /// The number of port calls begun before the write. `None` if a test made it without a port call.
    pub number: Option<u64>,
    /// The instant at which it took effect.
    pub at: Timestamp,
    pub role_arn: String,
    pub policy_name: String,
    /// The document that was put. `None` for a deletion.
    pub document: Option<String>,
}

/// One reading of a reserved policy, as AWS recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyRead {
    /// The AWS request id.
    pub request_id: String,
    pub at: Timestamp,
    pub role_arn: String,
    /// The document that was read, if any.
    pub document: Option<String>,
}

#[derive(Debug, Default)]
struct Held {
    standing: BTreeMap<(String, String), String>,
    underway: Vec<DenyWrite>,
    landed: Vec<DenyWrite>,
    reads: Vec<DenyRead>,
}

impl Held {
    /// Applies the writes that are due at `now`, in the order of landing.
    fn settle(&mut self, now: Timestamp) {
        let (mut due, later): (Vec<_>, Vec<_>) = self.underway.drain(..).partition(|write| write.at <= now);
        self.underway = later;
        due.sort_by_key(|write| write.at);
        for write in due {
            self.land(write);
        }
    }

    fn land(&mut self, write: DenyWrite) {
        let key = (write.role_arn.clone(), write.policy_name.clone());
        match &write.document {
            Some(document) => self.standing.insert(key, document.clone()),
            None => self.standing.remove(&key),
        };
        self.landed.push(write);
    }
}

/// Session roles in memory. Every role ARN exists.
#[derive(Debug)]
pub struct MemoryRoles {
    held: Mutex<Held>,
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
}

impl MemoryRoles {
    /// Starts without reserved policies. AWS's clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        Self { held: Mutex::default(), clock, faults }
    }

    /// The reserved policy now. No port call.
    #[must_use]
    pub fn standing(&self, role_arn: &str, policy_name: &str) -> Option<String> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        let key = (role_arn.to_owned(), policy_name.to_owned());
        held.standing.get(&key).cloned()
    }

    /// The ARNs of all roles that have a reserved policy now. No port call.
    #[must_use]
    pub fn denying(&self) -> Vec<String> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        let roles: BTreeSet<_> = held.standing.keys().map(|(role, _)| role.clone()).collect();
        roles.into_iter().collect()
    }

    /// Every write that took effect, in the order of landing. No port call.
    #[must_use]
    pub fn landed(&self) -> Vec<DenyWrite> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.landed.clone()
    }

    /// Every reading, in order. No port call.
    #[must_use]
    pub fn reads(&self) -> Vec<DenyRead> {
        locked(&self.held).reads.clone()
    }

    /// The policies that may be enforced now: the current one, and those of the last `lag_s` seconds. No port call.
    #[must_use]
    pub fn maybe_enforced(&self, role_arn: &str, policy_name: &str, lag_s: u32) -> Vec<Option<String>> {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        let since = now.minus(lag_s);
        let mut enforced = Vec::new();
        let mut is_known = false;
        let writes = held.landed.iter().rev();
        for write in writes.filter(|write| write.role_arn == role_arn && write.policy_name == policy_name) {
            enforced.push(write.document.clone());
            is_known = write.at <= since;
            if is_known {
                break;
            }
        }
        if !is_known {
            enforced.push(None);
        }
        enforced
    }

    /// Changes or removes the policy outside Brevet. No port call.
    pub fn tamper(&self, role_arn: &str, policy_name: &str, document: Option<&str>) {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        held.land(DenyWrite {
            number: None,
            at: now,
            role_arn: role_arn.to_owned(),
            policy_name: policy_name.to_owned(),
            document: document.map(str::to_owned),
        });
    }

    async fn write(
        &self,
        call: &'static str,
        role_arn: &str,
        policy_name: &str,
        document: Option<&str>,
    ) -> PortResult<()> {
        let act = |mode: CallMode| {
            let now = self.clock.now();
            let mut held = locked(&self.held);
            held.settle(now);
            if document.is_some_and(|text| size(text) > MAX_ROLE_INLINE) {
                return Err(PortError::Refused {
                    operation: call,
                    source: "the document exceeds the inline quota of the role".into(),
                });
            }
            let number = Some(self.faults.n_calls());
            let write = |at| DenyWrite {
                number,
                at,
                role_arn: role_arn.to_owned(),
                policy_name: policy_name.to_owned(),
                document: document.map(str::to_owned),
            };
            match mode {
                CallMode::Late(seconds) => held.underway.push(write(now.plus(seconds))),
                CallMode::Now | CallMode::Stale => held.land(write(now)),
            }
            Ok(())
        };
        self.faults.call(call, CallKind::RoleWrite, act).await
    }
}

#[async_trait]
impl SessionRoles for MemoryRoles {
    async fn read_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<DenyReading> {
        let act = |_: CallMode| {
            let now = self.clock.now();
            let mut held = locked(&self.held);
            held.settle(now);
            let key = (role_arn.to_owned(), policy_name.to_owned());
            let document = held.standing.get(&key).cloned();
            let request_id = format!("read-{}", held.reads.len().saturating_add(1));
            held.reads.push(DenyRead {
                request_id: request_id.clone(),
                at: now,
                role_arn: role_arn.to_owned(),
                document: document.clone(),
            });
            Ok(DenyReading { document, request_id, aws_date: now.floor() })
        };
        self.faults.call("read_deny", CallKind::Read, act).await
    }

    async fn put_deny(&self, role_arn: &str, policy_name: &str, document: &str) -> PortResult<()> {
        self.write("put_deny", role_arn, policy_name, Some(document)).await
    }

    async fn delete_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<()> {
        self.write("delete_deny", role_arn, policy_name, None).await
    }
}
