//! Policies that chance draws.

use proptest::prelude::*;
use proptest::sample::select;

/// One policy: on one of `principals`, on one action or on any, under one of `conditions`.
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

/// What everybody may, as one of `common` says, so that chance alone need not let anything through; then fewer than `n` as
/// `policy` draws them. Each is named `p-` and its number.
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
