//! What nobody asks for anew: schedules, renewals, the drill.

use super::{LATER, NTH, REAP, Story, ask, story, ticks};
use crate::op::{Op, Scope};

const LOOK: Op = Op::LookAtSchedules;
/// Two runs, in ticks of the drill: a process that died has lost what the first one needed.
const TWO_RUNS: u32 = 24;

pub(super) fn stories() -> Vec<Story> {
    let wait = |seconds| Op::Wait { seconds };
    vec![
        story(
            "the catalogue asks once a window",
            vec![
                ticks(2),
                LOOK,
                wait(15),
                REAP,
                REAP,
                LOOK,
                LATER,
                Op::Vend { nth: 0 },
                Op::Vend { nth: 1 },
                Op::Issue,
                wait(30),
                REAP,
                REAP,
                LOOK,
                Op::Issue,
                ticks(2),
                LOOK,
                ticks(2),
                wait(200),
                REAP,
                REAP,
                LOOK,
                Op::Issue,
            ],
            &["ByConstruction", "TimeLimit"],
            &[],
        ),
        story(
            "a session is renewed, and no row is too long",
            vec![
                ticks(2),
                ask("bot", "deploy"),
                LATER,
                NTH,
                wait(200),
                REAP,
                REAP,
                Op::Renew { nth: 0 },
                LATER,
                Op::Vend { nth: 1 },
                wait(105),
                ticks(3),
                Op::Renew { nth: 1 },
                LATER,
                Op::Vend { nth: 2 },
                ticks(1),
            ],
            &["ByConstruction", "Denied"],
            &[],
        ),
        // What is not active yet, since a fault put it off, is not renewed.
        Story {
            always: false,
            ..story(
                "a managed policy is handed over to its renewal",
                vec![ticks(2), ask("bot", "sync"), Op::Issue, ticks(2), Op::Renew { nth: 0 }, Op::Issue, ticks(5)],
                &["HandedOver", "Removal"],
                &[],
            )
        },
        // Attaching may be refused. What was attached must be gone while echoes alone come.
        Story {
            always: false,
            ..story(
                "the schedule stands still, and an echo ends a managed policy",
                vec![ticks(2), ask("bot", "sync"), LATER, Op::Issue, Op::Echoes { seconds: 300 }],
                &["Removal"],
                &[],
            )
        },
        story(
            "the schedule stands still, and an echo ends what was given back",
            vec![ticks(2), ask("bot", "deploy"), LATER, NTH, Op::Release { nth: 0 }, Op::Echoes { seconds: 60 }],
            &["Released"],
            &[],
        ),
        story(
            "what is only looked at stays as it is",
            vec![
                ticks(2),
                ask("bot", "deploy"),
                LATER,
                NTH,
                Op::Kill { nth: 0, scope: Scope::All },
                REAP,
                Op::ReadAll { nth: 0 },
                ticks(4),
            ],
            &["Killed"],
            &[],
        ),
        story(
            "the drill passes",
            vec![Op::Drill { n: TWO_RUNS }],
            &[],
            &["session passed", "inline passed", "managed passed"],
        ),
        story(
            "the drill fails until access ends again",
            vec![
                Op::CanaryOutlives { lasts: true },
                Op::Drill { n: TWO_RUNS },
                Op::CanaryOutlives { lasts: false },
                Op::Drill { n: TWO_RUNS },
            ],
            &[],
            &["session failed", "inline failed", "managed failed", "session passed", "inline passed", "managed passed"],
        ),
    ]
}
