//! The use cases, each as a list of operations. Single faults are injected into them.

mod others;
mod people;

use crate::catalogue::Leaver;
use crate::op::{Op, Scope};
use crate::run::Outcome;
use crate::world::SKEW_S;

/// A use case.
#[derive(Clone, Debug)]
pub struct Story {
    pub name: &'static str,
    /// The operations.
    pub ops: Vec<Op>,
    /// The expected final states: for each text, some grant's final state contains it in its debug form, without a
    /// fault.
    pub ends_in: Vec<&'static str>,
    /// The expected events of evidence and drills, without a fault.
    pub events: Vec<&'static str>,
    /// Whether all of that is expected under every single fault too.
    pub always: bool,
}

impl Story {
    /// The expected states and events that did not occur.
    #[must_use]
    pub fn missing(&self, outcome: &Outcome) -> Vec<&'static str> {
        let unreached = |what: &&&str| !outcome.ends.iter().any(|end| end.contains(**what));
        let not_recorded = |what: &&&str| !outcome.events.contains(**what);
        self.ends_in.iter().filter(unreached).chain(self.events.iter().filter(not_recorded)).copied().collect()
    }
}

fn ask(who: &'static str, what: &'static str) -> Op {
    Op::Ask { who, what }
}

const REAP: Op = Op::Reap { other: false };
/// Waits until the issuer's clock shows the instant of the decision.
const LATER: Op = Op::Wait { seconds: SKEW_S + 1 };
const NTH: Op = Op::Vend { nth: 0 };

fn ticks(n: u32) -> Op {
    Op::Ticks { n }
}

/// A use case with the same result under every single fault.
fn story(name: &'static str, ops: Vec<Op>, ends_in: &[&'static str], events: &[&'static str]) -> Story {
    Story { name, ops, ends_in: ends_in.to_vec(), events: events.to_vec(), always: true }
}

#[must_use]
pub fn stories() -> Vec<Story> {
    let story =
        |name, ops: Vec<Op>, ends_in| Story { name, ops, ends_in: vec![ends_in], events: Vec::new(), always: false };
    let wait = |seconds| Op::Wait { seconds };
    let mut stories = vec![
        story(
            "a session runs to its deadline",
            vec![REAP, ask("bot", "deploy"), NTH, wait(50), REAP, NTH, wait(240), wait(15), REAP, wait(12), REAP],
            "ByConstruction",
        ),
        story(
            "a session is released early",
            vec![REAP, ask("bot", "deploy"), NTH, Op::Release { nth: 0 }, Op::Wake { nth: 0 }, ticks(4)],
            "Released",
        ),
        story(
            "a session waits for a person",
            vec![REAP, ask("agent", "deploy"), Op::Vote { nth: 0, by: "omar", yes: true }, NTH, ticks(1)],
            "ByConstruction",
        ),
        story(
            "a person says no",
            vec![REAP, ask("agent", "batch"), Op::Vote { nth: 0, by: "lea", yes: false }, ticks(1)],
            "Denied",
        ),
        story(
            "a session with IAM rights",
            vec![REAP, ask("bot", "glass"), NTH, wait(50), REAP, wait(20), ticks(2)],
            "Observed",
        ),
        story(
            "a secret is rotated twice after no session can read it",
            vec![REAP, ask("bot", "vault"), NTH, Op::Release { nth: 0 }, Op::Wake { nth: 0 }, ticks(12)],
            "Released",
        ),
        story(
            "an inline policy runs to its deadline",
            vec![REAP, ask("bot", "batch"), Op::Issue, wait(50), REAP, wait(52), ticks(3)],
            "TimeLimit",
        ),
        story(
            "an inline policy is released early",
            vec![REAP, ask("bot", "batch"), Op::Wake { nth: 0 }, ticks(1), Op::Release { nth: 0 }, ticks(3)],
            "Removal",
        ),
        story(
            "a managed policy runs to its deadline",
            vec![REAP, ask("bot", "sync"), Op::Issue, wait(50), REAP, wait(32), ticks(4)],
            "Removal",
        ),
        story(
            "two hold one managed policy",
            vec![
                REAP,
                ask("bot", "sync"),
                Op::Issue,
                ticks(2),
                ask("robot", "sync"),
                Op::Issue,
                Op::Release { nth: 0 },
                ticks(3),
                Op::Release { nth: 1 },
                ticks(4),
            ],
            "HandedOver",
        ),
        story(
            "a kill ends everything",
            vec![
                REAP,
                ask("bot", "deploy"),
                NTH,
                ask("robot", "batch"),
                Op::Issue,
                Op::Kill { nth: 0, scope: Scope::All },
                ticks(4),
            ],
            "Killed",
        ),
        story(
            "unused grants are withdrawn",
            vec![
                REAP,
                ask("bot", "deploy"),
                ask("agent", "sync"),
                Op::Revoke { nth: 0 },
                Op::Revoke { nth: 1 },
                ticks(2),
            ],
            "Withdrawn",
        ),
        story(
            "grants that are not started lapse",
            vec![REAP, ask("bot", "deploy"), ask("agent", "batch"), wait(110), ticks(2)],
            "Lapsed",
        ),
        story(
            "an identity leaves",
            vec![
                REAP,
                ask("bot", "deploy"),
                NTH,
                ask("bot", "sync"),
                Op::Issue,
                ticks(1),
                Op::Redeploy { without: Some(Leaver::Person("bot")) },
                ticks(4),
            ],
            "Leaver",
        ),
        story(
            "somebody edits an inline policy",
            vec![REAP, ask("bot", "batch"), Op::Issue, Op::EditPolicy { nth: 0, gone: false }, wait(101), ticks(3)],
            "Observed",
        ),
        story(
            "somebody removes the boundary",
            vec![
                REAP,
                ask("bot", "sync"),
                Op::Issue,
                Op::Boundary { stands: false },
                ask("robot", "batch"),
                Op::Issue,
                ticks(1),
                Op::Release { nth: 0 },
                ticks(4),
                Op::Boundary { stands: true },
            ],
            "PreflightFailed",
        ),
        story(
            "somebody removes the reserved deny",
            vec![REAP, ask("bot", "deploy"), NTH, Op::Release { nth: 0 }, REAP, Op::EditDeny { gone: true }, ticks(4)],
            "Observed",
        ),
        story(
            "a restored table brings back a released grant",
            vec![
                REAP,
                ask("bot", "deploy"),
                NTH,
                Op::BackUp,
                Op::Release { nth: 0 },
                Op::Wake { nth: 0 },
                ticks(2),
                Op::Restore,
                ticks(2),
                Op::Confirm,
                ticks(3),
            ],
            "Drift",
        ),
        story(
            "a restored table does not know an attachment",
            vec![
                REAP,
                ask("bot", "batch"),
                ask("robot", "sync"),
                Op::BackUp,
                Op::Issue,
                ticks(1),
                Op::Restore,
                ticks(2),
                Op::Confirm,
                Op::Issue,
                ticks(2),
            ],
            "Withdrawn",
        ),
        story(
            "the table is emptied, confirmed, and used again",
            vec![
                REAP,
                ask("bot", "batch"),
                ask("robot", "sync"),
                Op::Issue,
                ask("robot", "deploy"),
                Op::Vend { nth: 2 },
                Op::Empty,
                ticks(2),
                Op::Confirm,
                wait(30),
                REAP,
                ask("bot", "deploy"),
                Op::Vend { nth: 3 },
                ticks(1),
            ],
            "ByConstruction",
        ),
        story(
            "only the TTL backstop wakes the reaper",
            vec![REAP, ask("bot", "batch"), Op::Issue, wait(405), Op::Expire, ticks(3)],
            "Ended",
        ),
    ];
    stories.extend(people::stories());
    stories.extend(others::stories());
    stories
}
