//! The small cases: operations that happen first, and runners that then run concurrently.

use super::{Case, Runner};
use crate::catalogue::term_s;
use crate::op::{Op, Scope};
use crate::world::{CALL_S, SKEW_S};

#[must_use]
pub fn cases() -> Vec<Case> {
    use Runner::{Issue, OtherReap, Reap, Release, Time, Vend};
    const REAP: Op = Op::Reap { other: false };
    let ask = |who, what| Op::Ask { who, what };
    let case =
        |name, before: Vec<Op>, runners: Vec<Runner>| Case { name, before, runners, apart_s: 0, must_be_all: false };
    let whole =
        |name, before: Vec<Op>, runners: Vec<Runner>| Case { name, before, runners, apart_s: 0, must_be_all: true };
    let wait = |seconds| Op::Wait { seconds };
    let kill = Op::Kill { nth: 0, scope: Scope::All };
    let release = |nth| Op::Release { nth };
    let ticks = Op::Ticks { n: 3 };
    let on = |what: &'static str| vec![REAP, ask("bot", what), Op::Issue, ticks];
    let and = |mut ops: Vec<Op>, more: &[Op]| {
        ops.extend_from_slice(more);
        ops
    };
    let vended = || vec![REAP, ask("bot", "deploy"), Op::Vend { nth: 0 }];
    let two_holders = || {
        let second = [ask("robot", "sync"), Op::Issue, wait(14), REAP, wait(15), REAP];
        and(and(on("sync"), &second), &[release(0), release(1)])
    };
    vec![
        whole("a first vend, and a pass over it", vec![REAP, ask("bot", "deploy")], vec![Vend(0), Reap(0)]),
        whole(
            "a first vend of a released grant, and a pass over it",
            vec![REAP, ask("bot", "deploy"), release(0)],
            vec![Vend(0), Reap(0)],
        ),
        whole(
            "a first vend of a killed grant, and a pass over it",
            vec![REAP, ask("bot", "deploy"), kill],
            vec![Vend(0), Reap(0)],
        ),
        Case {
            apart_s: SKEW_S,
            ..whole(
                "another vend at the deadline, and a pass over it",
                and(
                    vec![
                        REAP,
                        ask("bot", "deploy"),
                        wait(SKEW_S),
                        Op::Vend { nth: 0 },
                        wait(term_s("deploy") - 20),
                        REAP,
                    ],
                    &[wait(9)],
                ),
                vec![Vend(0), Reap(0)],
            )
        },
        Case {
            apart_s: SKEW_S,
            ..whole(
                "a first vend just after `start_by`, and a pass over it",
                vec![REAP, ask("bot", "deploy"), wait(110), REAP, wait(11)],
                vec![Vend(0), Reap(0)],
            )
        },
        whole(
            "another vend of a released grant, and a pass over it",
            and(vended(), &[release(0)]),
            vec![Vend(0), Reap(0)],
        ),
        whole("another vend of a killed grant, and a pass over it", and(vended(), &[kill]), vec![Vend(0), Reap(0)]),
        whole(
            "issue puts the inline policy of a released grant, and a pass over it",
            vec![REAP, ask("bot", "batch"), release(0)],
            vec![Issue(0), Reap(0)],
        ),
        whole(
            "issue attaches the managed policy of a released grant, and a pass over it",
            vec![REAP, ask("bot", "sync"), release(0)],
            vec![Issue(0), Reap(0)],
        ),
        whole(
            "issue puts an inline policy, and a pass over it",
            vec![REAP, ask("bot", "batch")],
            vec![Issue(0), Reap(0)],
        ),
        whole(
            "issue attaches a managed policy, and a pass over it",
            vec![REAP, ask("bot", "sync")],
            vec![Issue(0), Reap(0)],
        ),
        case(
            "issue puts an inline policy while it is released and reaped",
            vec![REAP, ask("bot", "batch")],
            vec![Issue(0), Reap(0), Release(0)],
        ),
        case(
            "issue attaches a managed policy while it is released and reaped",
            vec![REAP, ask("bot", "sync")],
            vec![Issue(0), Reap(0), Release(0)],
        ),
        case(
            "issue puts the inline policy of a killed grant, and time passes",
            vec![REAP, ask("bot", "batch"), Op::Kill { nth: 0, scope: Scope::All }],
            vec![Issue(0), Reap(0), Time(CALL_S + 1)],
        ),
        case("two issue processes attach one grant", vec![REAP, ask("bot", "batch")], vec![Issue(0), Issue(0)]),
        case(
            "a first vend while it is released and reaped",
            vec![REAP, ask("bot", "deploy")],
            vec![Vend(0), Reap(0), Release(0)],
        ),
        case("two first vends", vec![REAP, ask("bot", "deploy")], vec![Vend(0), Vend(0)]),
        case("two reapers end an inline policy", and(on("batch"), &[release(0)]), vec![Reap(0), OtherReap(0)]),
        case("two reapers end a managed policy", and(on("sync"), &[release(0)]), vec![Reap(0), OtherReap(0)]),
        case("two reapers end a session early", and(vended(), &[release(0)]), vec![Reap(0), OtherReap(0)]),
        case(
            "two reapers end two sessions of one role",
            and(vended(), &[ask("robot", "deploy"), Op::Vend { nth: 1 }, release(0), release(1)]),
            vec![Reap(0), OtherReap(1)],
        ),
        case(
            "a second holder joins a managed policy as the first leaves",
            and(on("sync"), &[ask("robot", "sync"), release(0)]),
            vec![Issue(1), Reap(0)],
        ),
        case("two holders of a managed policy leave at once", two_holders(), vec![Reap(0), OtherReap(1)]),
        case("one pass reconciles two holders of a managed policy together", two_holders(), vec![Reap(0), Reap(1)]),
        case(
            "two reapers end a managed policy, and time passes",
            and(on("sync"), &[release(0)]),
            vec![Reap(0), OtherReap(0), Time(CALL_S + 1)],
        ),
    ]
}
