//! The fake of the drill's surroundings: the API with its canary grants, and AWS's access to the canary.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::drill::{Drilled, Outcome};
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::time::{Term, Timestamp};

use super::faults::{CallKind, CallMode, Faults};
use super::locked;
use super::time::{ManualClock, SeqIds};
use crate::port::{Canary, Clock, Credentials, GrantProgress, Grants, IdSource, PortError, PortResult, ProbeIdentity};

/// Seconds from the request until an attachment is live.
const STARTS_S: u32 = 5;

/// One answered probe of the canary, as AWS recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The AWS request id.
    pub request_id: String,
    pub at: Timestamp,
    /// Whether it was allowed.
    pub is_allowed: bool,
}

#[derive(Clone, Copy, Debug)]
struct CanaryGrant {
    drilled: Drilled,
    term: Term,
    /// The instant from which the grant is live. `None` for a session before its first vend.
    from: Option<Timestamp>,
}

impl CanaryGrant {
    fn deadline(&self) -> Option<Timestamp> {
        self.from.map(|from| from.plus(self.term.as_seconds()))
    }
}

/// The API and AWS as the drill reaches them.
#[derive(Debug)]
pub struct MemoryCanary {
    grants: Mutex<BTreeMap<GrantId, CanaryGrant>>,
    keys: Mutex<BTreeMap<String, GrantId>>,
    /// Seconds that access lasts beyond its deadline, by delivery. `None` is for ever.
    lasts: Mutex<BTreeMap<Drilled, Option<u32>>>,
    probed: Mutex<Vec<Probed>>,
    clock: Arc<ManualClock>,
    ids: SeqIds,
    faults: Arc<Faults>,
}

impl MemoryCanary {
    /// Starts without grants, on `clock`. Every access ends at its deadline.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        let (grants, keys, lasts) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { grants, keys, lasts, probed: Mutex::default(), clock, ids: SeqIds::new(), faults }
    }

    /// Makes access of `drilled` outlive its deadline by `lasts_s` seconds from now on. `None` is for ever.
    pub fn outlives(&self, drilled: Drilled, lasts_s: Option<u32>) {
        locked(&self.lasts).insert(drilled, lasts_s);
    }

    /// The number of grants requested. No port call.
    #[must_use]
    pub fn n_grants(&self) -> usize {
        locked(&self.grants).len()
    }

    /// Every answered probe, in order. No port call.
    #[must_use]
    pub fn probed(&self) -> Vec<Probed> {
        locked(&self.probed).clone()
    }

    /// The deadline of a grant, if known. No port call.
    #[must_use]
    pub fn deadline_of(&self, id: GrantId) -> Option<Timestamp> {
        locked(&self.grants).get(&id).and_then(CanaryGrant::deadline)
    }

    fn is_allowed(&self, grant: &CanaryGrant) -> bool {
        let now = self.clock.now();
        let (Some(from), Some(deadline)) = (grant.from, grant.deadline()) else { return false };
        let lasts = locked(&self.lasts).get(&grant.drilled).copied().unwrap_or(Some(0));
        from <= now && lasts.is_none_or(|lasts_s| now < deadline.plus(lasts_s))
    }

    fn refused(operation: &'static str) -> PortError {
        PortError::Refused { operation, source: "the grant does not exist or has ended".into() }
    }
}

#[async_trait]
impl Grants for MemoryCanary {
    async fn ask(&self, key: &str, entitlement: &EntitlementId, term: Term) -> PortResult<GrantId> {
        let act = |_: CallMode| {
            let drilled = Drilled::ALL.into_iter().find(|drilled| entitlement.as_str().ends_with(drilled.name()));
            let drilled = drilled.ok_or_else(|| Self::refused("ask"))?;
            let now = self.clock.now();
            let id = *locked(&self.keys).entry(key.to_owned()).or_insert_with(|| self.ids.grant_id(now));
            let from = (drilled != Drilled::Session).then(|| now.plus(STARTS_S));
            locked(&self.grants).entry(id).or_insert(CanaryGrant { drilled, term, from });
            Ok(id)
        };
        self.faults.call("ask", CallKind::Read, act).await
    }

    async fn show(&self, id: GrantId) -> PortResult<GrantProgress> {
        let act = |_: CallMode| {
            let grant = locked(&self.grants).get(&id).copied().ok_or_else(|| Self::refused("show"))?;
            let now = self.clock.now();
            Ok(match (grant.from, grant.deadline()) {
                (Some(from), Some(deadline)) if from <= now && now < deadline => GrantProgress::Live(deadline),
                (Some(_), Some(deadline)) if now >= deadline => GrantProgress::Over,
                _ => GrantProgress::Waiting,
            })
        };
        self.faults.call("show", CallKind::Read, act).await
    }

    async fn fetch(&self, id: GrantId) -> PortResult<Credentials> {
        let act = |_: CallMode| {
            let now = self.clock.now();
            let mut grants = locked(&self.grants);
            let grant = grants.get_mut(&id).filter(|grant| grant.drilled == Drilled::Session);
            let grant = grant.ok_or_else(|| Self::refused("fetch"))?;
            grant.from.get_or_insert(now);
            if grant.deadline().is_some_and(|deadline| now >= deadline) {
                return Err(Self::refused("fetch"));
            }
            let text = |kind: &str| format!("{kind}-of-{id}");
            Ok(Credentials {
                access_key_id: id.to_string(),
                secret_access_key: text("secret"),
                session_token: text("token"),
            })
        };
        self.faults.call("fetch", CallKind::Read, act).await
    }
}

#[async_trait]
impl Canary for MemoryCanary {
    async fn probe(&self, by: ProbeIdentity<'_>) -> (Outcome, Option<String>) {
        let act = |_: CallMode| {
            let grants = locked(&self.grants);
            let is_allowed = match by {
                ProbeIdentity::Itself => false,
                ProbeIdentity::Session(credentials) => grants
                    .iter()
                    .any(|(id, grant)| credentials.access_key_id == id.to_string() && self.is_allowed(grant)),
                ProbeIdentity::Principal(drilled) => {
                    grants.values().any(|grant| grant.drilled == drilled && self.is_allowed(grant))
                }
            };
            Ok(if is_allowed { Outcome::Allowed } else { Outcome::Denied })
        };
        match self.faults.call("probe", CallKind::Read, act).await {
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
