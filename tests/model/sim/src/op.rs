//! What can happen, as plain data: a list of it is a run, and can be played again.

use brevet_engine::fake::Fault;

use crate::catalogue::Leaver;
use crate::world::Function;

/// One thing that happens. Requests are named by the order in which they were first judged, counted round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Somebody asks for something, under a new key.
    Ask {
        /// Who.
        who: &'static str,
        /// For what.
        what: &'static str,
    },
    /// Somebody asks for something on somebody else's behalf.
    AskFor {
        /// Who.
        who: &'static str,
        /// For what.
        what: &'static str,
        /// On whose.
        of: &'static str,
    },
    /// The holder asks for the same once more, to carry on.
    Renew {
        /// Which grant.
        nth: usize,
    },
    /// Somebody lets another one ask for something on their behalf: this, and nothing else any more.
    Delegate {
        /// Who.
        by: &'static str,
        /// To whom.
        to: &'static str,
        /// What; nothing ends it.
        what: &'static [&'static str],
        /// For how many seconds.
        for_s: u32,
    },
    /// Evaluate's own tick: what the catalogue itself asks for is decided.
    LookAtSchedules,
    /// Somebody reviews a use of break-glass.
    Review {
        /// Which grant.
        nth: usize,
        /// Who.
        by: &'static str,
    },
    /// AWS refuses to take anything off principals, or takes it again.
    RefuseRemovals {
        /// Whether it refuses.
        refuses: bool,
    },
    /// Somebody says that they know of an overdue grant.
    Acknowledge {
        /// Which grant.
        nth: usize,
        /// Who.
        by: &'static str,
    },
    /// The drill's own tick, so often, a minute apart.
    Drill {
        /// How often.
        n: u32,
    },
    /// What canary grants allow does not end any more, or does again.
    CanaryOutlives {
        /// Whether it lasts.
        lasts: bool,
    },
    /// Somebody votes.
    Vote {
        /// On which request.
        nth: usize,
        /// Who.
        by: &'static str,
        /// For what.
        yes: bool,
    },
    /// The holder fetches credentials.
    Vend {
        /// Of which grant.
        nth: usize,
    },
    /// The holder gives it back.
    Release {
        /// Which grant.
        nth: usize,
    },
    /// Somebody in charge marks it to end.
    Revoke {
        /// Which grant.
        nth: usize,
    },
    /// A person places a block.
    Kill {
        /// Over what, seen from this grant.
        nth: usize,
        /// How wide.
        scope: Scope,
    },
    /// Another person lifts every block that is no mark.
    Lift,
    /// The holder of a grant, and an approver, look at all that they can see.
    ReadAll {
        /// Of which grant.
        nth: usize,
    },
    /// Issue's schedule: attach what was approved.
    Issue,
    /// Reap's schedule, in one of its two processes.
    Reap {
        /// Whether in the other.
        other: bool,
    },
    /// The stream wakes both about one grant.
    Wake {
        /// Which grant.
        nth: usize,
    },
    /// The schedule: both passes, then a tick goes by; so often.
    Ticks {
        /// How often.
        n: u32,
    },
    /// Time goes by, and the schedule stands still.
    Wait {
        /// For so many seconds.
        seconds: u32,
    },
    /// The schedule comes once more and then stands still: for so many seconds the reaper's echoes alone come back.
    Echoes {
        /// For so many seconds.
        seconds: u32,
    },
    /// Two reapers at once: each port call is made by whichever the bits say.
    TwoReapers {
        /// The bits, lowest first.
        order: u64,
    },
    /// Issue and reap at once.
    IssueAndReap {
        /// The bits, lowest first.
        order: u64,
    },
    /// The stream wakes issue and reap about one grant, and both look at it at once, while its holder fetches.
    AllAtOnce {
        /// Which grant.
        nth: usize,
        /// What chooses among the three.
        order: u64,
    },
    /// Another catalogue is put in force.
    Redeploy {
        /// Without whom.
        without: Option<Leaver>,
    },
    /// Somebody takes the permissions boundary off the principal, or puts it back.
    Boundary {
        /// Whether it is there.
        stands: bool,
    },
    /// Somebody edits what stands for a grant on its principal, if anything does.
    EditPolicy {
        /// Which grant.
        nth: usize,
        /// Whether it is taken away, rather than widened.
        gone: bool,
    },
    /// Somebody takes the reserved deny off a session role, or makes it say nothing.
    EditDeny {
        /// Whether it is taken away.
        gone: bool,
    },
    /// DynamoDB deletes what its TTL lets it delete, and the stream tells reap whose fuses burnt.
    Expire,
    /// One function's clock jumps.
    Jump {
        /// Whose.
        function: Function,
        /// By how much it is ahead from now on, in milliseconds.
        ahead_ms: i64,
    },
    /// The table is backed up.
    BackUp,
    /// The table is put back to its backup, if there is one.
    Restore,
    /// Everything in the table but the bundle is lost.
    Empty,
    /// An operator says that the table is in service.
    Confirm,
    /// A port call to come fails.
    Fail {
        /// The next is 1.
        ahead: u64,
        /// How.
        fault: Fault,
    },
}

/// How wide a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The grant's identity.
    Identity,
    /// The human who answers for it.
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
