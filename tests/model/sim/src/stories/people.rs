//! Use cases of people: block and lift, delegate, vote in steps, review, acknowledge.

use super::{LATER, NTH, REAP, Story, ask, story, ticks};
use crate::catalogue::{PAIR, RESCUE};
use crate::op::{Op, Scope};

fn vend(nth: usize) -> Op {
    Op::Vend { nth }
}

fn delegate(what: &'static [&'static str], for_s: u32) -> Op {
    Op::Delegate { by: "lea", to: "bot", what, for_s }
}

fn for_lea(what: &'static str) -> Op {
    Op::AskFor { who: "bot", what, of: "lea" }
}

fn yes(nth: usize, by: &'static str) -> Op {
    Op::Vote { nth, by, yes: true }
}

pub(super) fn stories() -> Vec<Story> {
    let wait = |seconds| Op::Wait { seconds };
    vec![
        story(
            "a kill is lifted, and a new request is granted",
            vec![
                ticks(2),
                ask("bot", "deploy"),
                LATER,
                NTH,
                ask("robot", "batch"),
                Op::Issue,
                ask("agent", "sync"),
                Op::Kill { nth: 0, scope: Scope::All },
                ask("bot", "deploy"),
                ticks(4),
                Op::Lift,
                ask("bot", "deploy"),
                LATER,
                vend(4),
                ticks(1),
            ],
            &["Killed", "Denied", "ByConstruction"],
            &[],
        ),
        story(
            "a delegation is used, and ended while its grant lives",
            vec![
                ticks(2),
                delegate(&["deploy", "batch"], 3_000),
                for_lea("deploy"),
                LATER,
                NTH,
                for_lea("batch"),
                Op::Issue,
                ask("bot", "deploy"),
                LATER,
                REAP,
                vend(2),
                delegate(&[], 0),
                ticks(3),
                for_lea("deploy"),
                ticks(1),
            ],
            &["Revoked", "ByConstruction", "Denied"],
            &[],
        ),
        // Attaching may be refused: then there is nothing to end.
        Story {
            always: false,
            ..story(
                "a delegation is narrowed while its grants live",
                vec![
                    ticks(2),
                    delegate(&["deploy", "batch"], 3_000),
                    for_lea("deploy"),
                    LATER,
                    NTH,
                    for_lea("batch"),
                    Op::Issue,
                    delegate(&["deploy"], 3_000),
                    ticks(3),
                ],
                &["Revoked", "ByConstruction"],
                &[],
            )
        },
        story(
            "a delegation runs out",
            vec![
                ticks(2),
                delegate(&["deploy"], 400),
                for_lea("deploy"),
                wait(55),
                REAP,
                REAP,
                LATER,
                NTH,
                wait(345),
                REAP,
                REAP,
                wait(15),
                REAP,
                REAP,
                for_lea("deploy"),
                ticks(1),
            ],
            &["ByConstruction", "Denied"],
            &[],
        ),
        story(
            "two approve, each in their step",
            vec![ticks(2), ask("agent", PAIR), yes(0, "lea"), yes(0, "omar"), yes(0, "lea"), LATER, NTH, ticks(1)],
            &["ByConstruction"],
            &[],
        ),
        story(
            "one approves and the next refuses",
            vec![
                ticks(2),
                ask("agent", PAIR),
                yes(0, "omar"),
                Op::Vote { nth: 0, by: "lea", yes: false },
                LATER,
                NTH,
                ticks(1),
            ],
            &["Denied"],
            &["ApprovalGiven", "ApprovalRefused"],
        ),
        story(
            "a request that awaits approval is withdrawn",
            vec![ticks(2), ask("agent", "deploy"), Op::Release { nth: 0 }, yes(0, "omar"), ticks(2)],
            &["Withdrawn"],
            &[],
        ),
        story(
            "break-glass is used, and ordinary access waits for its review",
            vec![
                ticks(2),
                ask("omar", RESCUE),
                LATER,
                NTH,
                wait(1),
                ask("omar", "deploy"),
                Op::Release { nth: 0 },
                ticks(9),
                Op::Review { nth: 0, by: "lea" },
                ask("omar", "deploy"),
                yes(2, "lea"),
                LATER,
                vend(2),
                ticks(1),
            ],
            &["Released", "Denied", "ByConstruction"],
            &["Reviewed"],
        ),
        // Attaching may be refused: then there is nothing to end.
        Story {
            always: false,
            ..story(
                "a person acknowledges an overdue grant",
                vec![
                    ticks(2),
                    ask("bot", "batch"),
                    LATER,
                    Op::Issue,
                    ticks(3),
                    Op::RefuseRemovals { refuses: true },
                    Op::Release { nth: 0 },
                    ticks(15),
                    Op::Acknowledge { nth: 0, by: "omar" },
                    ask("robot", "batch"),
                    ticks(2),
                    Op::RefuseRemovals { refuses: false },
                    ticks(6),
                ],
                &["Released"],
                &["OverdueAcknowledged"],
            )
        },
    ]
}
