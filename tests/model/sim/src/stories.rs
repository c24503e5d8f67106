//! The use cases, each as a list of what happens: what single faults are put into.

mod others;
mod people;

use crate::catalogue::Leaver;
use crate::op::{Op, Scope};
use crate::run::Outcome;
use crate::world::SKEW_S;

/// A use case.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its name.
    pub name: &'static str,
    /// What happens.
    pub ops: Vec<Op>,
    /// What its grants come to, where nothing fails: for each of these one whose last state's debug form holds it.
    pub comes_to: Vec<&'static str>,
    /// What evidence and drills tell then.
    pub tells: Vec<&'static str>,
    /// Whether it comes to all of that whatever single fault there is.
    pub always: bool,
}

impl Story {
    /// What should have come of it and did not.
    #[must_use]
    pub fn missing(&self, outcome: &Outcome) -> Vec<&'static str> {
        let unreached = |what: &&&str| !outcome.ends.iter().any(|end| end.contains(**what));
        let untold = |what: &&&str| !outcome.told.contains(**what);
        self.comes_to.iter().filter(unreached).chain(self.tells.iter().filter(untold)).copied().collect()
    }
}

fn ask(who: &'static str, what: &'static str) -> Op {
    Op::Ask { who, what }
}

const REAP: Op = Op::Reap { other: false };
/// Until the clock of whoever issues shows what the clock of whoever decided did.
const LATER: Op = Op::Wait { seconds: SKEW_S + 1 };
const NTH: Op = Op::Vend { nth: 0 };

fn ticks(n: u32) -> Op {
    Op::Ticks { n }
}

/// One that comes to all of it under every single fault.
fn story(name: &'static str, ops: Vec<Op>, comes_to: &[&'static str], tells: &[&'static str]) -> Story {
    Story { name, ops, comes_to: comes_to.to_vec(), tells: tells.to_vec(), always: true }
}

/// Every use case.
#[must_use]
pub fn stories() -> Vec<Story> {
    let story =
        |name, ops: Vec<Op>, comes_to| Story { name, ops, comes_to: vec![comes_to], tells: Vec::new(), always: false };
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
            "a session that may touch IAM",
            vec![REAP, ask("bot", "glass"), NTH, wait(50), REAP, wait(20), ticks(2)],
            "Observed",
        ),
        story(
            "a secret is rotated twice once nobody can read it",
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
            "what is not used yet is withdrawn",
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
            "what nobody starts lapses",
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
            "somebody edits what was put",
            vec![REAP, ask("bot", "batch"), Op::Issue, Op::EditPolicy { nth: 0, gone: false }, wait(101), ticks(3)],
            "Observed",
        ),
        story(
            "somebody takes the boundary away",
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
            "Unfit",
        ),
        story(
            "somebody takes the reserved deny away",
            vec![REAP, ask("bot", "deploy"), NTH, Op::Release { nth: 0 }, REAP, Op::EditDeny { gone: true }, ticks(4)],
            "Observed",
        ),
        story(
            "an older table brings back what was released",
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
            "an older table does not know what was attached",
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
            "the table is emptied, confirmed, and goes on",
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
            "only the fuse knows of it",
            vec![REAP, ask("bot", "batch"), Op::Issue, wait(405), Op::Expire, ticks(3)],
            "Ended",
        ),
    ];
    stories.extend(people::stories());
    stories.extend(others::stories());
    stories
}
