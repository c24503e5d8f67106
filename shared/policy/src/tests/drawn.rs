//! Strategies for random policies.

use proptest::prelude::*;
use proptest::sample::select;

/// One policy on one of `principals`, on one action or any, under one of `conditions`.
pub(super) fn policy(
    principals: Vec<&'static str>,
    conditions: Vec<&'static str>,
) -> impl Strategy<Value = String> + use<> {
    let effect = select(vec!["permit", "permit", "permit", "forbid"]);
    let action = select(vec![
        "action",
        "action == Brevet::Action::\"request\"",
        "action == Brevet::Action::\"autoApprove\"",
        "action == Brevet::Action::\"approve\"",
    ]);
    (effect, select(principals), action, select(conditions))
        .prop_map(|(effect, principal, action, when)| format!("{effect} ({principal}, {action}, resource) {when};"))
}

/// Permits for everybody on the actions of one of `common`, so that some requests are allowed, and then fewer than `n`
/// drawn policies. Each `@id` is `p-` and a number.
pub(super) fn policies(
    common: Vec<Vec<&'static str>>,
    policy: impl Strategy<Value = String>,
    n: usize,
) -> impl Strategy<Value = String> {
    let anybody = |action: &str| format!("permit (principal, action == Brevet::Action::\"{action}\", resource);");
    (select(common), prop::collection::vec(policy, 0..n)).prop_map(move |(common, more)| {
        let lines = common.into_iter().map(anybody).chain(more).enumerate();
        lines.map(|(n, text)| format!("@id(\"p-{n}\") {text}\n")).collect()
    })
}
