//! Ports of the expiry drill: its records, the API as any client sees it, and the canary.

use async_trait::async_trait;
use brevet_domain::drill::{Drill, Drilled, Outcome};
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::identity::Audience;
use brevet_domain::time::{Term, Timestamp};

use super::{Credentials, PortResult, RawProof};

/// Reads how far drills have come.
#[async_trait]
pub trait DrillReader: Send + Sync {
    /// The last record of one delivery's drill. Consistent.
    async fn last_drill(&self, drilled: Drilled) -> PortResult<Option<Drill>>;
}

/// The chains of drills. Only the drill adds to them.
#[async_trait]
pub trait DrillStore: DrillReader {
    /// Puts the next record where none is.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another one has its number.
    async fn add_drill(&self, drill: &Drill) -> PortResult<()>;
}

/// A proof of who the drill is.
#[async_trait]
pub trait ProofSource: Send + Sync {
    /// A fresh one for `audience`.
    async fn proof(&self, audience: Audience) -> PortResult<RawProof>;
}

/// A grant, as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not live yet.
    Waiting,
    /// Live until its deadline.
    Live(Timestamp),
    /// It will not be live any more.
    Over,
}

/// The HTTP API, as any client calls it.
#[async_trait]
pub trait Grants: Send + Sync {
    /// Asks for a grant; the same `key` yields the same one.
    async fn ask(&self, key: &str, entitlement: &EntitlementId, term: Term) -> PortResult<GrantId>;

    /// Looks at one.
    async fn show(&self, id: GrantId) -> PortResult<Shown>;

    /// Fetches the credentials of one that is a session.
    async fn fetch(&self, id: GrantId) -> PortResult<Credentials>;
}

/// By which access the canary is tried.
#[derive(Clone, Copy, Debug)]
pub enum As<'a> {
    /// By the drill's own: it has none to the canary.
    Itself,
    /// By those of a session that was vended.
    Session(&'a Credentials),
    /// By those of the canary principal of a delivery.
    Principal(Drilled),
}

/// A harmless call that nothing but a canary grant allows.
#[async_trait]
pub trait Canary: Send + Sync {
    /// What comes of the call, and AWS's id of its answer if there is one. A failure shows nothing, and is an outcome too.
    async fn probe(&self, by: As<'_>) -> (Outcome, Option<String>);
}
