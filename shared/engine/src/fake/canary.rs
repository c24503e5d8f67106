//! The fake of what the drill sees: the API with its canary grants, and whom AWS lets read the canary.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::drill::{Drilled, Outcome};
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::time::{Term, Timestamp};

use super::faults::{Faults, Manner, Nature};
use super::locked;
use super::time::{ManualClock, SeqIds};
use crate::port::{As, Canary, Clock, Credentials, Grants, IdSource, PortError, PortResult, Shown};

/// After how many seconds an attachment is live.
const STARTS_S: u32 = 5;

/// One call of the canary that was answered, as AWS remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// AWS's id of the answer.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// Whether it was allowed.
    pub is_allowed: bool,
}

/// One canary grant.
#[derive(Clone, Copy, Debug)]
struct Canaried {
    drilled: Drilled,
    term: Term,
    /// From when on it is live; nothing for a session that nobody has fetched.
    from: Option<Timestamp>,
}

impl Canaried {
    fn deadline(&self) -> Option<Timestamp> {
        self.from.map(|from| from.plus(self.term.as_seconds()))
    }
}

/// The API and AWS, as the drill sees them.
#[derive(Debug)]
pub struct MemoryCanary {
    grants: Mutex<BTreeMap<GrantId, Canaried>>,
    keys: Mutex<BTreeMap<String, GrantId>>,
    /// How many seconds after its deadline access lasts, by what is drilled: for ever where it is `None`.
    lasts: Mutex<BTreeMap<Drilled, Option<u32>>>,
    probed: Mutex<Vec<Probed>>,
    clock: Arc<ManualClock>,
    ids: SeqIds,
    faults: Arc<Faults>,
}

impl MemoryCanary {
    /// With no grants; every access ends at its deadline. Its clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        let (grants, keys, lasts) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { grants, keys, lasts, probed: Mutex::default(), clock, ids: SeqIds::new(), faults }
    }

    /// From now on access of `drilled` lasts so many seconds beyond its deadline; for ever if nothing is said.
    pub fn outlives(&self, drilled: Drilled, lasts_s: Option<u32>) {
        locked(&self.lasts).insert(drilled, lasts_s);
    }

    /// How many grants were asked for. No port call.
    #[must_use]
    pub fn n_grants(&self) -> usize {
        locked(&self.grants).len()
    }

    /// Every call of the canary that was answered, in order. No port call.
    #[must_use]
    pub fn probed(&self) -> Vec<Probed> {
        locked(&self.probed).clone()
    }

    /// When the access of a grant must be gone, if it is known yet. No port call.
    #[must_use]
    pub fn deadline_of(&self, id: GrantId) -> Option<Timestamp> {
        locked(&self.grants).get(&id).and_then(Canaried::deadline)
    }

    fn is_allowed(&self, grant: &Canaried) -> bool {
        let now = self.clock.now();
        let (Some(from), Some(deadline)) = (grant.from, grant.deadline()) else { return false };
        let lasts = locked(&self.lasts).get(&grant.drilled).copied().unwrap_or(Some(0));
        from <= now && lasts.is_none_or(|lasts_s| now < deadline.plus(lasts_s))
    }

    fn refused(operation: &'static str) -> PortError {
        PortError::Refused { operation, source: "there is no such grant, or it is over".into() }
    }
}

#[async_trait]
impl Grants for MemoryCanary {
    async fn ask(&self, key: &str, entitlement: &EntitlementId, term: Term) -> PortResult<GrantId> {
        let act = |_: Manner| {
            let drilled = Drilled::ALL.into_iter().find(|one| entitlement.as_str().ends_with(one.name()));
            let drilled = drilled.ok_or_else(|| Self::refused("ask"))?;
            let now = self.clock.now();
            let id = *locked(&self.keys).entry(key.to_owned()).or_insert_with(|| self.ids.grant_id(now));
            let from = (drilled != Drilled::Session).then(|| now.plus(STARTS_S));
            locked(&self.grants).entry(id).or_insert(Canaried { drilled, term, from });
            Ok(id)
        };
        self.faults.call("ask", Nature::Read, act).await
    }

    async fn show(&self, id: GrantId) -> PortResult<Shown> {
        let act = |_: Manner| {
            let grant = locked(&self.grants).get(&id).copied().ok_or_else(|| Self::refused("show"))?;
            let now = self.clock.now();
            Ok(match (grant.from, grant.deadline()) {
                (Some(from), Some(deadline)) if from <= now && now < deadline => Shown::Live(deadline),
                (Some(_), Some(deadline)) if now >= deadline => Shown::Over,
                _ => Shown::Waiting,
            })
        };
        self.faults.call("show", Nature::Read, act).await
    }

    async fn fetch(&self, id: GrantId) -> PortResult<Credentials> {
        let act = |_: Manner| {
            let now = self.clock.now();
            let mut grants = locked(&self.grants);
            let grant = grants.get_mut(&id).filter(|grant| grant.drilled == Drilled::Session);
            let grant = grant.ok_or_else(|| Self::refused("fetch"))?;
            grant.from.get_or_insert(now);
            if grant.deadline().is_some_and(|deadline| now >= deadline) {
                return Err(Self::refused("fetch"));
            }
            let text = |what: &str| format!("{what}-of-{id}");
            Ok(Credentials {
                access_key_id: id.to_string(),
                secret_access_key: text("secret"),
                session_token: text("token"),
            })
        };
        self.faults.call("fetch", Nature::Read, act).await
    }
}

#[async_trait]
impl Canary for MemoryCanary {
    async fn probe(&self, by: As<'_>) -> (Outcome, Option<String>) {
        let act = |_: Manner| {
            let grants = locked(&self.grants);
            let is_allowed = match by {
                As::Itself => false,
                As::Session(credentials) => grants
                    .iter()
                    .any(|(id, grant)| credentials.access_key_id == id.to_string() && self.is_allowed(grant)),
                As::Principal(drilled) => {
                    grants.values().any(|grant| grant.drilled == drilled && self.is_allowed(grant))
                }
            };
            Ok(if is_allowed { Outcome::Allowed } else { Outcome::Denied })
        };
        match self.faults.call("probe", Nature::Read, act).await {
            Ok(outcome) => {
                let request_id = format!("probe-{}", self.faults.n_calls());
                let (at, is_allowed) = (self.clock.now(), outcome == Outcome::Allowed);
                locked(&self.probed).push(Probed { request_id: request_id.clone(), at, is_allowed });
                (outcome, Some(request_id))
            }
            Err(_) => (Outcome::Unclear, None),
        }
    }
}
