//! The claims on every run.

/// A claim that the observer checks against AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Invariant 1.
    RecordedFirst,
    /// Invariant 2: every end has a proof, and AWS confirms it.
    ProofConfirmed,
    /// Invariant 2: an ended grant stays ended.
    StaysEnded,
    /// Invariant 2: no grant is stuck, and nothing is left behind.
    NothingStuck,
    /// Invariant 4.
    EvidenceVerifies,
    /// Invariant 5 and 10: access whose policy carries a limit is over at the end of its term.
    OverAtItsLimit,
    /// Bounded by ticks: access is over within two minutes of an undisturbed schedule.
    OverWithinTicks,
    /// Invariant 6.
    NoCredentialStored,
    /// Invariants 7, 9 and 11: no access exists that could not have been allowed.
    AllowedByDecision,
    /// Invariant 12.
    NotWithoutHeartbeat,
    /// A block takes effect from its placement on.
    NotUnderBlock,
    /// Invariant 14: one decision, one activation.
    OneActivation,
    /// A holder keeps access until its own grant ends. The end of another grant does not remove it.
    HolderKeeps,
    /// Live grants are listed, ended ones are not. TTL deletes only what is over.
    OnTheList,
    /// A secret that the holder could read was rotated as often as the entitlement says, each time after no session
    /// could read it.
    RotatedSinceItsEnd,
    /// A window of a schedule gives one grant, which begins while the window is open.
    OnceAWindow,
    /// After a use of break-glass its holder gets nothing ordinary until a review. No review is recorded that was not
    /// made.
    ReviewedFirst,
    /// Invariant 12: nothing new begins on a principal where an end has been due for too long.
    NotWhileOverdue,
    /// A drill reports that it passed, or that access outlived its end, only if AWS answered so.
    DrilledAsSeen,
}

impl Claim {
    /// Every claim.
    pub const ALL: [Self; 19] = [
        Self::RecordedFirst,
        Self::ProofConfirmed,
        Self::StaysEnded,
        Self::NothingStuck,
        Self::EvidenceVerifies,
        Self::OverAtItsLimit,
        Self::OverWithinTicks,
        Self::NoCredentialStored,
        Self::AllowedByDecision,
        Self::NotWithoutHeartbeat,
        Self::NotUnderBlock,
        Self::OneActivation,
        Self::HolderKeeps,
        Self::OnTheList,
        Self::RotatedSinceItsEnd,
        Self::OnceAWindow,
        Self::ReviewedFirst,
        Self::NotWhileOverdue,
        Self::DrilledAsSeen,
    ];
}
