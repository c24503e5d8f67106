//! Controls: each plants a bug or removes a protection, and names the claim of the observer that must then fail.

mod liar;

use brevet_engine::fake::Fault;

use self::liar::{Lie, lying};
use crate::catalogue::{self, RESCUE};
use crate::observer::Claim;
use crate::op::{Op, Scope};
use crate::policy::locked;
use crate::world::{Fakes, Model, Seams, World};

/// One planted bug.
#[derive(Clone, Debug)]
pub struct Control {
    /// The planted bug, in words.
    pub name: &'static str,
    /// The claim that must fail.
    pub turns_red: Claim,
    /// The operations of the run.
    pub ops: Vec<Op>,
    /// The model of the run, except for its seams.
    pub like: Model,
    /// Plans faults and other state before the run begins.
    pub plant: fn(&World),
}

impl Control {
    /// The model with the planted bug.
    #[must_use]
    pub fn model(&self) -> Model {
        self.like.clone()
    }
}

#[must_use]
pub fn controls() -> Vec<Control> {
    const REAP: Op = Op::Reap { other: false };
    let ask = |who, what| Op::Ask { who, what };
    let vended = || vec![REAP, ask("bot", "deploy"), Op::Vend { nth: 0 }];
    let then = |mut ops: Vec<Op>, more: &[Op]| {
        ops.extend_from_slice(more);
        ops
    };
    let inline = || vec![REAP, ask("bot", "batch"), Op::Issue];
    let managed = || vec![REAP, ask("bot", "sync"), Op::Issue];
    let deploying = |for_s| Op::Delegate { by: "lea", to: "bot", what: &["deploy"], for_s };
    let liar = |name, turns_red, ops, seams: fn(Fakes) -> Seams| Control {
        name,
        turns_red,
        ops,
        like: Model { seams, ..Model::default() },
        plant: |_| {},
    };
    let model = |name, turns_red, ops, like| Control { name, turns_red, ops, like, plant: |_| {} };
    let plant = |name, turns_red, ops, plant| Control { name, turns_red, ops, like: Model::default(), plant };
    vec![
        liar("a vend is not recorded", Claim::RecordedFirst, vended(), |fakes| lying(fakes, Lie::ForgetsVends)),
        liar("reads never show an attachment", Claim::ProofConfirmed, then(inline(), &[Op::Ticks { n: 4 }]), |fakes| {
            lying(fakes, Lie::SeesNothingStanding)
        }),
        model(
            "AWS enforces a minute late",
            Claim::ProofConfirmed,
            then(inline(), &[Op::Ticks { n: 3 }, Op::Release { nth: 0 }, Op::Ticks { n: 3 }]),
            Model { enforcement_lag_s: 60, ..Model::default() },
        ),
        plant(
            "a call lands long after its time-out",
            Claim::StaysEnded,
            then(inline(), &[Op::Release { nth: 0 }, Op::Ticks { n: 4 }]),
            |world| world.faults.plan_next("attach", Fault::LandsLate(70)),
        ),
        liar("a removal does nothing", Claim::NothingStuck, inline(), |fakes| lying(fakes, Lie::RemovesNothing)),
        liar("a detach does nothing", Claim::OverWithinTicks, managed(), |fakes| lying(fakes, Lie::RemovesNothing)),
        liar(
            "blocks are not read",
            Claim::OverWithinTicks,
            then(vended(), &[Op::Release { nth: 0 }, Op::Ticks { n: 12 }]),
            |fakes| lying(fakes, Lie::SeesNoBlock),
        ),
        liar(
            "standby ticks are lost",
            Claim::OverWithinTicks,
            then(managed(), &[Op::StandbyTicks { seconds: 300 }]),
            |fakes| lying(fakes, Lie::LosesStandbyTicks),
        ),
        liar("evidence is altered", Claim::EvidenceVerifies, vended(), |fakes| lying(fakes, Lie::AltersEvidence)),
        model(
            "the functions' clocks are ten minutes ahead",
            Claim::OverAtItsLimit,
            vended(),
            Model { ahead_ms: [600_000; 5], ..Model::default() },
        ),
        liar("a credential is stored", Claim::NoCredentialStored, vended(), |fakes| lying(fakes, Lie::KeepsCredential)),
        liar(
            "approval is skipped",
            Claim::AllowedByDecision,
            vec![REAP, ask("agent", "deploy"), Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::AllowsAll),
        ),
        liar(
            "the heartbeat is always fresh",
            Claim::NotWithoutHeartbeat,
            vec![ask("bot", "deploy"), Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::AlwaysBeats),
        ),
        liar(
            "a block is not read before a vend",
            Claim::NotUnderBlock,
            vec![
                REAP,
                ask("bot", "deploy"),
                Op::Kill { nth: 0, scope: Scope::All },
                Op::Wait { seconds: 40 },
                Op::Vend { nth: 0 },
            ],
            |fakes| lying(fakes, Lie::SeesNoBlock),
        ),
        liar(
            "a deadline moves",
            Claim::OneActivation,
            then(vended(), &[Op::Ticks { n: 1 }, Op::Vend { nth: 0 }]),
            |fakes| lying(fakes, Lie::MovesDeadline),
        ),
        liar("a read removes a holder's access", Claim::HolderKeeps, then(managed(), &[Op::Ticks { n: 2 }]), |fakes| {
            lying(fakes, Lie::TakesAway)
        }),
        liar(
            "any table counts as confirmed",
            Claim::NotUnderBlock,
            vec![REAP, ask("bot", "deploy"), Op::BackUp, Op::Restore, Op::Wait { seconds: 40 }, Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::ConfirmsAny),
        ),
        liar("no role is swept", Claim::NothingStuck, then(managed(), &[Op::Empty]), |fakes| {
            lying(fakes, Lie::ListsNoRoles)
        }),
        liar(
            "a rotation is reported and not made",
            Claim::RotatedSinceItsEnd,
            vec![REAP, ask("bot", "vault"), Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::RotatesNothing),
        ),
        liar(
            "a delegation is widened",
            Claim::AllowedByDecision,
            vec![REAP, deploying(600), Op::AskFor { who: "bot", what: "batch", of: "lea" }, Op::Issue],
            |fakes| lying(fakes, Lie::WidensDelegations),
        ),
        liar(
            "a delegation is prolonged",
            Claim::OverAtItsLimit,
            vec![REAP, deploying(100), Op::AskFor { who: "bot", what: "deploy", of: "lea" }, Op::Vend { nth: 0 }],
            |fakes| lying(fakes, Lie::ProlongsDelegations),
        ),
        liar(
            "the end of a delegation is not read",
            Claim::OverWithinTicks,
            vec![
                REAP,
                deploying(600),
                Op::AskFor { who: "bot", what: "deploy", of: "lea" },
                Op::Vend { nth: 0 },
                Op::Delegate { by: "lea", to: "bot", what: &[], for_s: 0 },
                Op::Ticks { n: 12 },
            ],
            |fakes| lying(fakes, Lie::SeesNoBlock),
        ),
        liar(
            "renewals in a row are not counted",
            Claim::AllowedByDecision,
            then(
                vended(),
                &[
                    Op::Wait { seconds: 200 },
                    REAP,
                    Op::Renew { nth: 0 },
                    Op::Vend { nth: 1 },
                    Op::Wait { seconds: 105 },
                    Op::Ticks { n: 3 },
                    Op::Renew { nth: 1 },
                    Op::Vend { nth: 2 },
                ],
            ),
            |fakes| lying(fakes, Lie::ForgetsRows),
        ),
        plant(
            "windows open every minute",
            Claim::OnceAWindow,
            [REAP, Op::RunSchedules, Op::Issue, Op::Wait { seconds: 45 }, REAP, Op::Wait { seconds: 30 }].repeat(2),
            |world| locked(&world.rules).schedules = catalogue::schedules_at("* * * * *"),
        ),
        liar(
            "awaited reviews are not read",
            Claim::ReviewedFirst,
            vec![
                REAP,
                ask("omar", RESCUE),
                Op::Vend { nth: 0 },
                Op::Wait { seconds: 1 },
                ask("omar", "deploy"),
                Op::Vote { nth: 1, by: "lea", yes: true },
                Op::Vend { nth: 1 },
            ],
            |fakes| lying(fakes, Lie::AwaitsNoReview),
        ),
        liar(
            "no grant is read as overdue",
            Claim::NotWhileOverdue,
            then(
                inline(),
                &[
                    Op::RefuseRemovals { refuses: true },
                    Op::Ticks { n: 29 },
                    ask("robot", "batch"),
                    Op::Issue,
                    Op::Ticks { n: 2 },
                    Op::RefuseRemovals { refuses: false },
                ],
            ),
            |fakes| lying(fakes, Lie::SeesNothingOverdue),
        ),
        liar(
            "a drill's probes are answered as denied",
            Claim::DrilledAsSeen,
            vec![Op::CanaryOutlives { lasts: true }, Op::Drill { n: 12 }],
            |fakes| lying(fakes, Lie::DeniesProbes),
        ),
        liar("TTL backstops are not deleted", Claim::OnTheList, inline(), |fakes| lying(fakes, Lie::KeepsBackstops)),
    ]
}
