//! What is claimed of every run.

/// What is claimed, and held against AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Invariant 1.
    RecordedFirst,
    /// Invariant 2: every end has a proof, and AWS confirms it.
    ProofConfirmed,
    /// Invariant 2: what has ended stays so.
    StaysEnded,
    /// Invariant 2: nothing is stuck, and nothing is left behind.
    NothingStuck,
    /// Invariant 4.
    EvidenceVerifies,
    /// Invariant 5 and 10: over at the latest when the term is, where the policy carries its limit.
    OverAtItsLimit,
    /// Bounded by ticks: over within two minutes of an undisturbed schedule.
    OverWithinTicks,
    /// Invariant 6.
    NoCredentialStored,
    /// Invariants 7, 9 and 11: what nobody could have allowed is not there.
    AllowedByDecision,
    /// Invariant 12.
    NotWithoutHeart,
    /// A block holds from when it stands.
    NotUnderBlock,
    /// Invariant 14: one decision, one activation.
    OneActivation,
    /// Whoever holds something keeps it until it ends: nobody else's end takes it away.
    HolderKeeps,
    /// What lives is on a list, what is over is not; TTL drops only what is over.
    OnTheList,
    /// What its holder could read is another secret by now, as often as asked, each begun once nothing could read any more.
    RotatedSinceItsEnd,
    /// A window of a schedule is worth one grant, which begins while it is open.
    OnceAWindow,
    /// Whoever used break-glass gets nothing ordinary until somebody reviews it, and no review is on record that nobody made.
    ReviewedFirst,
    /// Invariant 12: nothing new on a principal where an end has been due for too long.
    NotWhileOverdue,
    /// A drill says that it passed, or that access outlived its end, only where that is what AWS answered it.
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
        Self::NotWithoutHeart,
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
