//! Use cases without a new request: schedules, renewals, standby ticks, reads, the drill.

use super::{LATER, NTH, REAP, Story, ask, story, ticks};
use crate::op::{Op, Scope};

const RUN_SCHEDULES: Op = Op::RunSchedules;
/// Two drill runs, in ticks of the drill: a crashed process has lost the credentials that the first run needs.
const TWO_RUNS: u32 = 24;

pub(super) fn stories() -> Vec<Story> {
    let wait = |seconds| Op::Wait { seconds };
    vec![
        story(
            "a schedule requests once a window",
            vec![
                ticks(2),
                RUN_SCHEDULES,
                wait(15),
                REAP,
                REAP,
                RUN_SCHEDULES,
                LATER,
                Op::Vend { nth: 0 },
                Op::Vend { nth: 1 },
                Op::Issue,
                wait(30),
                REAP,
                REAP,
                RUN_SCHEDULES,
                Op::Issue,
                ticks(2),
                RUN_SCHEDULES,
                ticks(2),
                wait(200),
                REAP,
                REAP,
                RUN_SCHEDULES,
                Op::Issue,
            ],
            &["ByConstruction", "TimeLimit"],
            &[],
        ),
        story(
            "a session is renewed, and one renewal too many is denied",
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
        // A fault can delay the activation, and a grant that is not active is not renewed.
        Story {
            always: false,
            ..story(
                "a managed policy is handed over to its renewal",
                vec![ticks(2), ask("bot", "sync"), Op::Issue, ticks(2), Op::Renew { nth: 0 }, Op::Issue, ticks(5)],
                &["HandedOver", "Removal"],
                &[],
            )
        },
        // Attaching may be refused. An attached policy must be gone while only standby ticks arrive.
        Story {
            always: false,
            ..story(
                "a standby tick ends a managed policy without the schedule",
                vec![ticks(2), ask("bot", "sync"), LATER, Op::Issue, Op::StandbyTicks { seconds: 300 }],
                &["Removal"],
                &[],
            )
        },
        story(
            "a standby tick ends a released session without the schedule",
            vec![ticks(2), ask("bot", "deploy"), LATER, NTH, Op::Release { nth: 0 }, Op::StandbyTicks { seconds: 60 }],
            &["Released"],
            &[],
        ),
        story(
            "read-only calls change nothing",
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
