//! Ports of the expiry drill: its records, the API as a client sees it, and the canary.

use async_trait::async_trait;
use brevet_domain::drill::{Drill, Drilled, Outcome};
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::identity::Audience;
use brevet_domain::time::{Term, Timestamp};

use super::{Credentials, PortResult, RawProof};

/// Reads the records of drills.
#[async_trait]
pub trait DrillReader: Send + Sync {
    /// The last record of one delivery's drill. Consistent.
    async fn last_drill(&self, drilled: Drilled) -> PortResult<Option<Drill>>;
}

/// The chains of drill records. Only the drill adds to them.
#[async_trait]
pub trait DrillStore: DrillReader {
    /// Adds the next record; put if absent.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another record has its number.
    async fn add_drill(&self, drill: &Drill) -> PortResult<()>;
}

/// Provides the drill's own proof of identity.
#[async_trait]
pub trait ProofSource: Send + Sync {
    /// A fresh proof for `audience`.
    async fn proof(&self, audience: Audience) -> PortResult<RawProof>;
}

/// The state of a grant, as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantProgress {
    /// Not live yet.
    Waiting,
    Live(Timestamp),
    /// The grant has ended or will never be live.
    Over,
}

/// The HTTP API, as a client calls it.
#[async_trait]
pub trait Grants: Send + Sync {
    /// Requests a grant; the same `key` returns the same grant.
    async fn ask(&self, key: &str, entitlement: &EntitlementId, term: Term) -> PortResult<GrantId>;

    /// Reads the state of a grant.
    async fn show(&self, id: GrantId) -> PortResult<GrantProgress>;

    /// Fetches the credentials of a session grant.
    async fn fetch(&self, id: GrantId) -> PortResult<Credentials>;
}

/// The access with which the canary is called.
#[derive(Clone, Copy, Debug)]
pub enum ProbeIdentity<'a> {
    /// The drill's own access, which does not include the canary.
    Itself,
    /// The credentials of a vended session.
    Session(&'a Credentials),
    /// The canary principal of a delivery.
    Principal(Drilled),
}

/// A harmless call that only a canary grant allows.
#[async_trait]
pub trait Canary: Send + Sync {
    /// The outcome of the call, and the id of AWS's answer if there is one. A failed call is an outcome that shows
    /// nothing.
    async fn probe(&self, by: ProbeIdentity<'_>) -> (Outcome, Option<String>);
}
