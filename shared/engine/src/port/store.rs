//! The ports of the one table, by who uses them. All reads are consistent unless said otherwise.

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::count::Count;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::heart::Heart;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortResult;

/// Into how many partitions the reaper's to-do list is split.
pub const SHARDS: u8 = 4;

/// The shard of a grant, from the low bits of its random part.
#[must_use]
pub fn shard_of(id: GrantId) -> u8 {
    id.ulid().random().checked_rem(u128::from(SHARDS)).and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
}

/// Every shard, each minute another one first: what a pass had no time for is not always the same.
pub(crate) fn shards_at(now: Timestamp) -> impl Iterator<Item = u8> {
    let first = now.as_seconds().checked_div(60).unwrap_or(0).rem_euclid(i64::from(SHARDS));
    (0..SHARDS).cycle().skip(usize::try_from(first).unwrap_or(0)).take(usize::from(SHARDS))
}

/// A caller's idempotency key, claimed for one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyClaim {
    /// Whose key it is: two callers may use the same text.
    pub caller: IdentityId,
    /// The key.
    pub key: String,
    /// Digest of the body that it came with.
    pub body_digest: Digest,
    /// The request that it names.
    pub id: GrantId,
    /// When it was claimed; it is forgotten 24 h later.
    pub at: Timestamp,
}

/// The mark that a grant is to end, or to be withdrawn: a block on that grant which is on the reaper's to-do list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The grant.
    pub id: GrantId,
    /// The block.
    pub block: Block,
}

/// What intake writes.
#[async_trait]
pub trait RequestStore: Send + Sync {
    /// Claims an idempotency key, or tells who holds it: the claim that stands, which is `claim` itself if it is new.
    async fn claim_key(&self, claim: &KeyClaim) -> PortResult<KeyClaim>;

    /// Stores a request, or keeps the one that is there under its id. Answers the one that stands.
    async fn put_request(&self, request: &Request) -> PortResult<Request>;

    /// Places a mark; a mark that is there already stays as it is.
    async fn put_mark(&self, mark: &Mark) -> PortResult<()>;
}

/// The record that a decision was used, put once by issue alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// The grant.
    pub id: GrantId,
    /// The deadline that its activation fixed. A grant that says otherwise was tampered with.
    pub deadline: Timestamp,
}

/// A last-resort second clock of a grant, put with its activation and taken away with its end.
///
/// DynamoDB deletes it some time after it has burnt down, and the table's stream then hands the reaper the grant's
/// name. AWS may take days: nothing relies on it for a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fuse {
    /// The grant.
    pub id: GrantId,
    /// From when DynamoDB may delete it; past the deadline, so that the schedule comes first.
    pub burns_at: Timestamp,
}

impl Fuse {
    /// How long after a grant's deadline its fuse burns down, in seconds: the schedule has come by several times.
    pub const AFTER_S: u32 = 300;

    /// The fuse of a grant that ends at `deadline`.
    #[must_use]
    pub fn of(id: GrantId, deadline: Timestamp) -> Self {
        Self { id, burns_at: deadline.plus(Self::AFTER_S) }
    }
}

/// One line of a list of grants; read from an index, so it may lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSummary {
    /// The grant.
    pub id: GrantId,
    /// Its state's name when the index was written.
    pub state: String,
    /// When it was decided.
    pub created_at: Timestamp,
}

/// A page of a list of grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantPage {
    /// Newest first.
    pub grants: Vec<GrantSummary>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// What everybody reads.
#[async_trait]
pub trait GrantReader: Send + Sync {
    /// The request of a grant.
    async fn request(&self, id: GrantId) -> PortResult<Option<Request>>;

    /// The decision of a grant.
    async fn decision(&self, id: GrantId) -> PortResult<Option<Decision>>;

    /// The grant.
    async fn grant(&self, id: GrantId) -> PortResult<Option<Grant>>;

    /// Its activation, if its decision was used.
    async fn activation(&self, id: GrantId) -> PortResult<Option<Activation>>;

    /// Its evidence after entry `after`, in order, at most `limit` entries.
    async fn evidence(&self, id: GrantId, after: u64, limit: u32) -> PortResult<Vec<Entry>>;

    /// Which of `scopes` are blocked.
    async fn blocks(&self, scopes: &[BlockScope]) -> PortResult<Vec<Block>>;

    /// The reaper's last good pass.
    async fn heart(&self) -> PortResult<Option<Heart>>;

    /// The grants of one identity, newest first; eventually consistent.
    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage>;
}

/// What else is written in the transaction that changes a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Also {
    /// The decision is used: put if absent. Whoever finds it there has lost the race.
    Activation(Activation),
    /// The decision with its votes: replaced if it still has `votes_before` votes.
    Decision {
        /// The new decision.
        decision: Box<Decision>,
        /// How many votes it had when it was read.
        votes_before: usize,
    },
    /// A live early end.
    Deny(DenyEntry),
    /// The holders of a managed policy on a principal: replaced if what is stored has the version before (nothing is
    /// stored before version 1).
    Count(Count),
    /// What a sponsor's identities hold: replaced if what is stored has the version before.
    Holdings(Holdings),
    /// Nothing is written: this version of a delegation must still be the latest.
    StillDelegated {
        /// Who gave it.
        by: IdentityId,
        /// To whom.
        to: IdentityId,
        /// Its number.
        version: u64,
    },
    /// A use of break-glass awaits its review: put if absent.
    ReviewAwaited(AwaitedReview),
    /// It awaits it no longer: it was reviewed, or nothing was touched. One that is gone is fine.
    ReviewOver {
        /// Whose use it was.
        identity: IdentityId,
        /// The grant.
        grant: GrantId,
    },
    /// A fuse is lit.
    Fuse(Fuse),
    /// The fuse of a grant that has ended is put out; one that is gone is fine.
    PutOut(GrantId),
}

impl Also {
    /// That `given` is still the latest version of its delegation.
    pub(crate) fn still(given: &Delegation) -> Self {
        Self::StillDelegated { by: given.by.clone(), to: given.to.clone(), version: given.version }
    }
}

/// One change of a grant, with its evidence, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The version that the grant must still have.
    pub expected_version: u64,
    /// The grant afterwards, its chain head that of `entry`.
    pub after: Grant,
    /// The evidence for it; put if absent.
    pub entry: Entry,
    /// What else belongs to it.
    pub also: Vec<Also>,
}

/// What changes grants.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Stores a decision, the grant that it creates and its first evidence, each put if absent, and `also`.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if any of them is there, or a condition of `also` does not hold.
    async fn create(&self, decision: &Decision, grant: &Grant, entry: &Entry, also: &[Also]) -> PortResult<()>;

    /// Makes one change.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if the grant has another version, or a condition of `also` does not hold.
    async fn commit(&self, commit: &Commit) -> PortResult<()>;
}

/// Who holds managed policies on principals; changed with [`Also::Count`] alone.
#[async_trait]
pub trait Counts: Send + Sync {
    /// The holders of `policy_arn` on `principal_arn`; [`Count::nobody`] where nothing is stored.
    async fn count(&self, principal_arn: &str, policy_arn: &str) -> PortResult<Count>;
}

/// What the identities of each sponsor hold; changed with [`Also::Holdings`] alone.
#[async_trait]
pub trait HoldingsReader: Send + Sync {
    /// What `sponsor`'s identities hold; [`Holdings::none`] where nothing is stored.
    async fn holdings(&self, sponsor: &IdentityId) -> PortResult<Holdings>;
}

/// A page of the list of uses that await their review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewPage {
    /// The grants, those that wait longest first.
    pub grants: Vec<GrantId>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// Uses of break-glass that await their review; changed with [`Also::ReviewAwaited`] and [`Also::ReviewOver`] alone.
#[async_trait]
pub trait ReviewReader: Send + Sync {
    /// Those of one identity. Consistent.
    async fn awaited(&self, identity: &IdentityId) -> PortResult<Vec<AwaitedReview>>;

    /// All of them; an index, eventually consistent.
    async fn reviews(&self, cursor: Option<&str>, limit: u32) -> PortResult<ReviewPage>;
}

/// One line of the reaper's to-do list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The grant to look at.
    pub id: GrantId,
    /// Whether the line comes from a mark rather than from the grant itself.
    pub is_mark: bool,
    /// Since when it is due.
    pub next_at: Timestamp,
}

/// A page of the to-do list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuePage {
    /// Oldest first.
    pub lines: Vec<Due>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// The to-do lists: an index, eventually consistent. What is done about a line is decided by a consistent read.
#[async_trait]
pub trait DueList: Send + Sync {
    /// What is due at `now` in one shard of the list of `role`. Marks are on the reaper's.
    async fn due(
        &self,
        role: DueRole,
        shard: u8,
        now: Timestamp,
        cursor: Option<&str>,
        limit: u32,
    ) -> PortResult<DuePage>;

    /// Takes a mark that was handled off the list. The block itself stays.
    async fn clear_mark(&self, id: GrantId) -> PortResult<()>;
}

/// Live early ends, by session role. One writer per role at a time.
#[async_trait]
pub trait DenyStore: Send + Sync {
    /// The roles that have entries; eventually consistent.
    async fn denied_roles(&self) -> PortResult<Vec<String>>;

    /// The entries of one role, by grant.
    async fn entries(&self, role_arn: &str) -> PortResult<Vec<DenyEntry>>;

    /// Takes the lease of a role for `holder` until `until`; false if somebody else holds it at `now`.
    async fn lease(&self, role_arn: &str, holder: &str, now: Timestamp, until: Timestamp) -> PortResult<bool>;

    /// Gives the lease back, if `holder` still has it.
    async fn end_lease(&self, role_arn: &str, holder: &str) -> PortResult<()>;

    /// Drops an entry whose session cannot be alive any more.
    async fn drop_entry(&self, entry: &DenyEntry) -> PortResult<()>;
}

/// The reaper's heart.
#[async_trait]
pub trait HeartStore: Send + Sync {
    /// Records a good pass over beat number `before` (0 if it never beat), or over whatever is there.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if another beat stands.
    async fn beat(&self, heart: &Heart, before: Option<u64>) -> PortResult<()>;
}
