//! The operations of a run, as plain data. A run is a list of operations and can be played again.

use brevet_engine::fake::Fault;

use crate::catalogue::Leaver;
use crate::world::Function;

/// One operation. A request is named by its number in the order of first evaluation, modulo their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An identity submits a request under a new key.
    Ask {
        /// The requester.
        who: &'static str,
        /// The entitlement.
        what: &'static str,
    },
    /// An identity submits a request on somebody's behalf.
    AskFor {
        /// The requester.
        who: &'static str,
        /// The entitlement.
        what: &'static str,
        /// The human on whose behalf it is.
        of: &'static str,
    },
    /// The holder renews a grant.
    Renew {
        /// The grant.
        nth: usize,
    },
    /// A human delegates these entitlements to a machine, and no others.
    Delegate {
        /// The human.
        by: &'static str,
        /// The machine.
        to: &'static str,
        /// The entitlements; an empty list ends the delegation.
        what: &'static [&'static str],
        /// The length of the delegation, in seconds.
        for_s: u32,
    },
    /// Evaluate's schedule: decides the requests of the catalogue's schedules.
    RunSchedules,
    /// A person reviews a use of break-glass.
    Review {
        /// The grant.
        nth: usize,
        /// The reviewer.
        by: &'static str,
    },
    /// AWS starts or stops refusing removals from principals.
    RefuseRemovals {
        /// Whether AWS refuses.
        refuses: bool,
    },
    /// A person acknowledges an overdue grant.
    Acknowledge {
        /// The grant.
        nth: usize,
        /// The person.
        by: &'static str,
    },
    /// The drill's schedule, `n` times, a minute apart.
    Drill { n: u32 },
    /// The access of canary grants stops ending, or ends again.
    CanaryOutlives {
        /// Whether the access outlives its end.
        lasts: bool,
    },
    /// A person votes.
    Vote {
        /// The request.
        nth: usize,
        /// The voter.
        by: &'static str,
        /// Whether the vote approves.
        yes: bool,
    },
    /// The holder fetches credentials.
    Vend {
        /// The grant.
        nth: usize,
    },
    /// The holder releases the grant.
    Release {
        /// The grant.
        nth: usize,
    },
    /// An authorized person marks the grant for revocation.
    Revoke {
        /// The grant.
        nth: usize,
    },
    /// A person places a block.
    Kill {
        /// The grant that the scope is taken from.
        nth: usize,
        /// The kind of scope.
        scope: Scope,
    },
    /// Another person lifts every block that is not a mark.
    Lift,
    /// The holder of a grant and an approver read everything that they may read.
    ReadAll {
        /// The grant.
        nth: usize,
    },
    /// Issue's schedule: attaches approved grants.
    Issue,
    /// Reap's schedule, in one of its two processes.
    Reap {
        /// Whether in the other process.
        other: bool,
    },
    /// The stream wakes issue and reap for one grant.
    Wake {
        /// The grant.
        nth: usize,
    },
    /// The schedule, `n` times: both passes, then the time of a tick.
    Ticks { n: u32 },
    /// Time passes without the schedule.
    Wait { seconds: u32 },
    /// The schedule ticks once and then stops. For this many seconds only the reaper's standby ticks arrive.
    StandbyTicks { seconds: u32 },
    /// Two reapers run concurrently. The bits of `order` choose which one makes each port call.
    TwoReapers {
        /// The bits, lowest first.
        order: u64,
    },
    /// Issue and reap run concurrently.
    IssueAndReap {
        /// The bits, lowest first.
        order: u64,
    },
    /// The stream wakes issue and reap for one grant, and both run concurrently with a vend of its holder.
    AllAtOnce {
        /// The grant.
        nth: usize,
        /// Chooses among the three at each port call.
        order: u64,
    },
    /// Another catalogue is deployed.
    Redeploy {
        /// The identity or entitlement that it leaves out.
        without: Option<Leaver>,
    },
    /// Somebody removes the permissions boundary from the principal, or restores it.
    Boundary {
        /// Whether the boundary is present.
        stands: bool,
    },
    /// Somebody edits a grant's policy on its principal, if there is one.
    EditPolicy {
        /// The grant.
        nth: usize,
        /// Whether the policy is removed rather than widened.
        gone: bool,
    },
    /// Somebody removes the reserved deny from a session role, or empties it.
    EditDeny {
        /// Whether it is removed.
        gone: bool,
    },
    /// DynamoDB deletes items by TTL, and the stream notifies reap of expired TTL backstops.
    Expire,
    /// One function's clock jumps.
    Jump {
        /// The function.
        function: Function,
        /// By how much its clock is ahead from now on, in milliseconds.
        ahead_ms: i64,
    },
    /// The table is backed up.
    BackUp,
    /// The table is restored to its backup, if there is one.
    Restore,
    /// The table loses everything but the bundle.
    Empty,
    /// An operator confirms the table.
    Confirm,
    /// A later port call fails.
    Fail {
        /// Counted from the next call, which is 1.
        ahead: u64,
        /// The fault.
        fault: Fault,
    },
}

/// The scope of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The grant's identity.
    Identity,
    /// The grant's sponsor.
    Sponsor,
    /// Its class.
    Class,
    /// Its entitlement.
    Entitlement,
    /// Its account.
    Account,
    /// Everything.
    All,
}
