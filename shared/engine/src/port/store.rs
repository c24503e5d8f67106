//! The ports of the one table, by the function that uses them. All reads are consistent unless said otherwise.

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortResult;

/// The number of partitions of each to-do list.
pub const SHARDS: u8 = 4;

/// The shard of a grant, from the low bits of its random part.
#[must_use]
pub fn shard_of(id: GrantId) -> u8 {
    id.ulid().random().checked_rem(u128::from(SHARDS)).and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
}

/// Every shard, starting with another one each minute, so that a pass that runs out of time does not always skip the
/// same.
pub(crate) fn shards_at(now: Timestamp) -> impl Iterator<Item = u8> {
    let first = now.as_seconds().checked_div(60).unwrap_or(0).rem_euclid(i64::from(SHARDS));
    (0..SHARDS).cycle().skip(usize::try_from(first).unwrap_or(0)).take(usize::from(SHARDS))
}

/// A caller's idempotency key, claimed for one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyClaim {
    /// Whose key it is: two callers may use the same text.
    pub caller: IdentityId,
    pub key: String,
    /// Digest of the request body.
    pub body_digest: Digest,
    /// The request that the key names.
    pub id: GrantId,
    /// When the key was claimed; the claim expires 24 h later.
    pub at: Timestamp,
}

/// The mark that a grant is to end or to be withdrawn: a block on that grant which is on the reaper's to-do list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub id: GrantId,
    pub block: Block,
}

/// Intake's writes.
#[async_trait]
pub trait RequestStore: Send + Sync {
    /// Claims an idempotency key. Returns the claim that stands: `claim` itself if the key is new.
    async fn claim_key(&self, claim: &KeyClaim) -> PortResult<KeyClaim>;

    /// Stores a request unless one is stored under its id. Returns the one that stands.
    async fn put_request(&self, request: &Request) -> PortResult<Request>;

    /// Places a mark. An earlier mark stays as it is.
    async fn put_mark(&self, mark: &Mark) -> PortResult<()>;
}

/// The record that a decision was used. Only issue puts it, and once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    pub id: GrantId,
    /// The deadline that the activation fixed. A grant with another deadline was tampered with.
    pub deadline: Timestamp,
}

/// A last-resort clock for one grant, put with its activation and removed with its end.
///
/// DynamoDB deletes it some time after it expires, and the table's stream then gives the reaper the grant's id. AWS may
/// take days, so no time bound relies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtlBackstop {
    pub id: GrantId,
    /// When DynamoDB may first delete it: past the deadline, so that the schedule comes first.
    pub expires_at: Timestamp,
}

impl TtlBackstop {
    /// How long after a grant's deadline the backstop expires, in seconds: the schedule has run several times by then.
    pub const AFTER_S: u32 = 300;

    /// The backstop of a grant that ends at `deadline`.
    #[must_use]
    pub fn of(id: GrantId, deadline: Timestamp) -> Self {
        Self { id, expires_at: deadline.plus(Self::AFTER_S) }
    }
}

/// One line of a list of grants, read from an index that may lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSummary {
    pub id: GrantId,
    /// The name of the state when the index was written.
    pub state: String,
    /// When the grant was decided.
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

/// Reads that every function needs.
#[async_trait]
pub trait GrantReader: Send + Sync {
    async fn request(&self, id: GrantId) -> PortResult<Option<Request>>;

    async fn decision(&self, id: GrantId) -> PortResult<Option<Decision>>;

    async fn grant(&self, id: GrantId) -> PortResult<Option<Grant>>;

    /// The activation, if the decision was used.
    async fn activation(&self, id: GrantId) -> PortResult<Option<Activation>>;

    /// The evidence after entry `after`, in order, at most `limit` entries.
    async fn evidence(&self, id: GrantId, after: u64, limit: u32) -> PortResult<Vec<Entry>>;

    /// The blocks on `scopes`.
    async fn blocks(&self, scopes: &[BlockScope]) -> PortResult<Vec<Block>>;

    /// The record of the reaper's last good pass.
    async fn reaper_health(&self) -> PortResult<Option<ReaperHealth>>;

    /// The grants of one identity, newest first; eventually consistent.
    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage>;
}

/// What is written, or must hold, in the transaction that changes a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionItem {
    /// The decision is used: put if absent. A writer that finds it there has lost the race.
    Activation(Activation),
    /// The decision with its votes: replaced if it still has `votes_before` votes.
    Decision { decision: Box<Decision>, votes_before: usize },
    /// An entry for the reserved deny: a session that is ended early.
    Deny(DenyEntry),
    /// The holders of a managed policy on a principal: replaced if the stored version is the one before (version 1: put
    /// if absent).
    Holders(AttachmentHolders),
    /// The holdings of a sponsor's identities: replaced if the stored version is the one before.
    Holdings(Holdings),
    /// A condition without a write: this version of a delegation must still be the latest.
    StillDelegated { by: IdentityId, to: IdentityId, version: u64 },
    /// A use of break-glass awaits its review: put if absent.
    ReviewAwaited(AwaitedReview),
    /// The use no longer awaits its review: it was reviewed, or nothing was touched. Succeeds if the entry is gone.
    ReviewOver { identity: IdentityId, grant: GrantId },
    /// The backstop of a grant is put.
    Backstop(TtlBackstop),
    /// The backstop of an ended grant is deleted. Succeeds if it is gone.
    RemoveBackstop(GrantId),
}

impl TransactionItem {
    /// The condition that `given` is still the latest version of its delegation.
    pub(crate) fn still_delegated(given: &Delegation) -> Self {
        Self::StillDelegated { by: given.by.clone(), to: given.to.clone(), version: given.version }
    }
}

/// One change of a grant with its evidence, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The version that the stored grant must have.
    pub expected_version: u64,
    /// The grant after the change; its chain head is that of `entry`.
    pub after: Grant,
    /// The evidence of the change; put if absent.
    pub entry: Entry,
    /// Further items of the transaction.
    pub items: Vec<TransactionItem>,
}

/// Changes of grants.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Stores a decision, the grant that it creates and its first evidence, each put if absent, and `items`.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if one of them exists, or a condition of `items` does not hold.
    async fn create(
        &self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        items: &[TransactionItem],
    ) -> PortResult<()>;

    /// Makes one change.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if the grant has another version, or a condition of `items` does not hold.
    async fn commit(&self, commit: &Commit) -> PortResult<()>;
}

/// Reads the holders of managed policies on principals. Only [`TransactionItem::Holders`] changes them.
#[async_trait]
pub trait AttachmentHoldersReader: Send + Sync {
    /// The holders of `policy_arn` on `principal_arn`; [`AttachmentHolders::nobody`] if nothing is stored.
    async fn holders_of(&self, principal_arn: &str, policy_arn: &str) -> PortResult<AttachmentHolders>;
}

/// Reads what the identities of each sponsor hold. Only [`TransactionItem::Holdings`] changes it.
#[async_trait]
pub trait HoldingsReader: Send + Sync {
    /// The holdings of `sponsor`'s identities; [`Holdings::none`] if nothing is stored.
    async fn holdings(&self, sponsor: &IdentityId) -> PortResult<Holdings>;
}

/// A page of the uses that await their review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewPage {
    /// The grants, longest-waiting first.
    pub grants: Vec<GrantId>,
    /// Opaque; where the next page starts.
    pub next: Option<String>,
}

/// Reads the uses of break-glass that await their review.
///
/// Only [`TransactionItem::ReviewAwaited`] and [`TransactionItem::ReviewOver`] change them.
#[async_trait]
pub trait ReviewReader: Send + Sync {
    /// The awaited reviews of one identity. Consistent.
    async fn awaited(&self, identity: &IdentityId) -> PortResult<Vec<AwaitedReview>>;

    /// All awaited reviews, from an index; eventually consistent.
    async fn reviews(&self, cursor: Option<&str>, limit: u32) -> PortResult<ReviewPage>;
}

/// One line of a to-do list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: GrantId,
    /// Whether the line comes from a mark rather than from the grant itself.
    pub is_mark: bool,
    /// Since when the grant is due.
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

/// The to-do lists: an eventually consistent index. A consistent read decides what to do about a line.
#[async_trait]
pub trait DueList: Send + Sync {
    /// The lines due at `now` in one shard of the list of `role`. Marks are on the reaper's list.
    async fn due(
        &self,
        role: DueRole,
        shard: u8,
        now: Timestamp,
        cursor: Option<&str>,
        limit: u32,
    ) -> PortResult<DuePage>;

    /// Takes a handled mark off the list. The block itself stays.
    async fn clear_mark(&self, id: GrantId) -> PortResult<()>;
}

/// The entries of reserved denies, by session role. One writer per role at a time.
#[async_trait]
pub trait DenyStore: Send + Sync {
    /// The roles that have entries; eventually consistent.
    async fn denied_roles(&self) -> PortResult<Vec<String>>;

    /// The entries of one role, by grant.
    async fn entries(&self, role_arn: &str) -> PortResult<Vec<DenyEntry>>;

    /// Takes the lease of a role for `holder` until `until`; false if another holder has it at `now`.
    async fn lease(&self, role_arn: &str, holder: &str, now: Timestamp, until: Timestamp) -> PortResult<bool>;

    /// Gives the lease back if `holder` still has it.
    async fn end_lease(&self, role_arn: &str, holder: &str) -> PortResult<()>;

    /// Deletes an entry whose session cannot be alive any more.
    async fn drop_entry(&self, entry: &DenyEntry) -> PortResult<()>;
}

/// Writes the reaper's health record.
#[async_trait]
pub trait ReaperHealthStore: Send + Sync {
    /// Records a good pass, if the stored record has heartbeat number `before` (0: no record yet); unconditionally if
    /// `before` is absent.
    ///
    /// # Errors
    ///
    /// [`super::PortError::Conflict`] if the stored record has another number.
    async fn record_heartbeat(&self, reaper_health: &ReaperHealth, before: Option<u64>) -> PortResult<()>;
}
