use super::*;
use crate::catalogue::compile;
use crate::tests::{example, example_bundle};

type Edit = (&'static str, &'static str, &'static str);

/// The lines of the comparison of the example with an edited copy. Each edit is a file, a text in it, and its
/// replacement.
fn compare_after(edits: &[Edit]) -> Vec<String> {
    let mut sources = example();
    sources.0.retain(|file, _| !file.starts_with("cases/"));
    for (file, find, replace) in edits {
        let text = sources.0.get_mut(*file).unwrap();
        assert!(text.contains(find), "`{find}` is not in {file}");
        *text = text.replacen(find, replace, 1);
    }
    let new = compile(&sources).unwrap().bundle;
    let comparison = compare(&example_bundle(), &Bundle::load(&new).unwrap());
    assert_eq!(comparison.n_pairs, 110);
    comparison.changes.iter().map(ToString::to_string).chain(comparison.limits).chain(comparison.notes).collect()
}

const SECRET: &str = "policies/read-secret.cedar";
const NIGHT: &str = "schedules/nightly-batch.yaml";
const SHOP: &str = "entitlements/read-shop-orders.yaml";
const ARCHIVE: &str = "entitlements/read-orders-archive.yaml";
const ORDERS: &str = "entitlements/read-orders-table.yaml";

#[test]
fn compare_reports_nothing_for_an_equivalent_change() {
    assert_eq!(compare_after(&[]), [""; 0]);
    assert_eq!(compare_after(&[(SECRET, "context.termSeconds <= 300", "300 >= context.termSeconds")]), [""; 0]);
    assert_eq!(compare_after(&[(ORDERS, "Read the orders table", "Read all of the orders table")]), [""; 0]);
}

#[test]
fn compare_reports_each_kind_of_change() {
    let cases: &[(&[Edit], &[&str])] = &[
        (
            &[(
                "policies/deploy-release.cedar",
                "principal == Brevet::Identity::\"release-pipeline\"",
                "principal == Brevet::Identity::\"acme-sync\"",
            )],
            &[
                "newly allowed: acme-sync × deploy-release: up to 600 s alone",
                "newly denied: release-pipeline × deploy-release: was up to 600 s alone",
            ],
        ),
        (
            &[("policies/deploy-release.cedar", "<= 600", "<= 300")],
            &["shorter: release-pipeline × deploy-release: up to 300 s alone, was up to 600 s alone"],
        ),
        (
            &[("policies/deploy-release.cedar", "<= 600", "< 600")],
            &["shorter: release-pipeline × deploy-release: up to 599 s alone, was up to 600 s alone"],
        ),
        (
            &[(SECRET, "context.termSeconds <= 300", "context.termSeconds <= 120")],
            &[
                "shorter: remediation-agent × read-secret: up to 120 s alone, was up to 300 s alone (with a ticket and a task)",
                "shorter: remediation-agent × read-secret: up to 120 s with approval by 1 of omar within 900 s, was up to 300 s with approval by 1 of omar within 900 s (with a task and no ticket)",
            ],
        ),
        (
            &[(SECRET, "context has task && context.hasTicket", "context has task")],
            &[
                "no longer needs approval: remediation-agent × read-secret: up to 300 s alone, was up to 300 s with approval by 1 of omar within 900 s (with a task and no ticket)",
            ],
        ),
        (
            &[("policies/third-party-sync.cedar", "context.termSeconds <= 300", "context.termSeconds <= 100")],
            &[
                "now needs approval: acme-sync × third-party-sync: up to 100 s alone, up to 900 s with approval by 1 of lea within 900 s, was up to 300 s alone, up to 900 s with approval by 1 of lea within 900 s",
            ],
        ),
        (
            &[("policies/read-orders-table.cedar", "principal in Brevet::Team::\"security\" || ", "")],
            &[
                "other approvers: ana × read-orders-table: up to 3600 s with approval by 1 of lea within 1800 s, was up to 3600 s with approval by 1 of lea, omar within 1800 s (with a ticket)",
            ],
        ),
        (
            &[
                (ORDERS, "ticket: {required: true,", "ticket: {required: false,"),
                ("policies/read-orders-table.cedar", "context.hasTicket && ", ""),
            ],
            &[
                "newly allowed: ana × read-orders-table: up to 3600 s with approval by 1 of lea, omar within 1800 s (without a ticket)",
                "other access: ana × read-orders-table: its rule on tickets changed",
            ],
        ),
        (
            &[("classes.yaml", "max_term_s: 3600", "max_term_s: 300")],
            &["shorter: release-pipeline × deploy-release: up to 300 s alone, was up to 600 s alone"],
        ),
        (
            &[("classes.yaml", "max_live: 10", "max_live: 5\n    max_renewals: 0")],
            &["class `human`: at most 5 grants at once, was 10", "class `human`: at most 0 renewals in a row, was 2"],
        ),
        (
            &[(ORDERS, "  within_s: 1800", "  within_s: 60")],
            &[
                "other approvers: ana × read-orders-table: up to 3600 s with approval by 1 of lea, omar within 60 s, was up to 3600 s with approval by 1 of lea, omar within 1800 s (with a ticket)",
            ],
        ),
        (
            &[(ORDERS, "start_within_s: 1800", "start_within_s: 60")],
            &["other access: ana × read-orders-table: its time to start changed"],
        ),
        (
            &[("entitlements/deploy-release.yaml", "acme-release-artifacts/${version}/*", "*/${version}/*")],
            &["other access: release-pipeline × deploy-release: its statements changed"],
        ),
        (
            &[(
                "policies/deploy-release.cedar",
                "context.termSeconds <= 600",
                "context.termSeconds <= 600 && context.termSeconds != 60",
            )],
            &["otherwise: release-pipeline × deploy-release: up to 600 s alone, was up to 600 s alone"],
        ),
        (
            &[("policies/legacy-batch.cedar", "context has task && context.termSeconds", "context.termSeconds")],
            &["newly allowed: nightly-batch × legacy-batch: up to 1800 s alone (without a task)"],
        ),
        (
            &[(SHOP, "human: 1800", "human: 600")],
            &[
                "shorter: ana × read-shop-orders: up to 600 s with approval by 1 of lea within 900 s, was up to 1800 s with approval by 1 of lea within 900 s",
            ],
        ),
        (
            &[(SHOP, "default: 300, human", "default: 300, agent: 120, human")],
            &["shorter: remediation-agent × read-shop-orders: up to 120 s alone, was up to 300 s alone (with a task)"],
        ),
        (
            &[(SHOP, "risk: low", "risk: medium")],
            &[
                "other access: ana × read-shop-orders: its risk changed",
                "newly denied: remediation-agent × read-shop-orders: was up to 300 s alone (with a task)",
            ],
        ),
        (
            &[
                (SHOP, "environment: production", "environment: staging"),
                (SHOP, "[A-Z]{2,5}-", "[A-Z]{3}-"),
                (SHOP, "min_length: 10", "min_length: 20"),
                (SHOP, "max: 15", "max: 31"),
            ],
            &[
                "other access: ana × read-shop-orders: its parameters and its environment and its rule on tickets and its rule on justifications changed",
                "other access: remediation-agent × read-shop-orders: its parameters and its environment and its rule on tickets and its rule on justifications changed",
            ],
        ),
        (
            &[(
                "entitlements/read-secret.yaml",
                "rotate:\n",
                "rotate:\n  - secret: arn:${partition}:secretsmanager:${region}:${account}:secret:b\n",
            )],
            &["other access: remediation-agent × read-secret: its secrets to rotate changed"],
        ),
        (
            &[(NIGHT, "30 2 * * *", "30 2 * * MON-FRI"), (NIGHT, "window_s: 900", "window_s: 1200")],
            &[
                "other window: nightly-batch × legacy-batch: `nightly-batch` at `30 2 * * MON-FRI` (UTC), to be started within 1200 s, for 1800 s with run = nightly, was `nightly-batch` at `30 2 * * *` (UTC), to be started within 900 s, for 1800 s with run = nightly",
            ],
        ),
        (
            &[(NIGHT, "owner: rui", "owner: dana"), (NIGHT, "nightly batch write", "batch write")],
            &["other window: nightly-batch × legacy-batch: `nightly-batch`: its owner and its description changed"],
        ),
        (
            &[(
                NIGHT,
                "identity: nightly-batch\nentitlement: legacy-batch\nparameters: {run: nightly}\nterm_s: 1800",
                "identity: acme-sync\nentitlement: third-party-sync\nterm_s: 300",
            )],
            &[
                "new window: acme-sync × third-party-sync: `nightly-batch` at `30 2 * * *` (UTC), to be started within 900 s, for 300 s",
                "window gone: nightly-batch × legacy-batch: was `nightly-batch` at `30 2 * * *` (UTC), to be started within 900 s, for 1800 s with run = nightly",
            ],
        ),
        (
            &[(ARCHIVE, "      mfa: true\n", "")],
            &[
                "other approvers: ana × read-orders-archive: up to 1800 s with approval by 1 of lea for team, then 1 of omar for security who signed in at most 3600 s before within 3600 s, was up to 1800 s with approval by 1 of lea for team, then 1 of omar for security with two factors who signed in at most 3600 s before within 3600 s (with a ticket)",
            ],
        ),
        // A general rule on this risk replaces the one that the entitlement dropped.
        (
            &[
                (ARCHIVE, "      mfa: true\n", ""),
                ("approvals.yaml", "risks: [critical]", "risks: [high], classes: [human]"),
            ],
            &[],
        ),
    ];
    let results = cases.iter().map(|(edits, expected)| (edits, compare_after(edits), expected));
    let wrong: Vec<_> =
        results.filter(|(_, lines, expected)| lines != *expected).map(|(edits, lines, _)| (edits, lines)).collect();
    assert!(wrong.is_empty(), "these edits give other lines than expected: {wrong:#?}");
}

const SYNC: &str = "policies/third-party-sync.cedar";
const SHOPS: &str = "policies/read-shop-orders.cedar";

#[test]
fn compare_separates_renewals_when_a_policy_reads_is_renewal() {
    let change = "acme-sync × third-party-sync: up to 900 s with approval by 1 of lea within 900 s, was up to 300 s alone, up to 900 s with approval by 1 of lea within 900 s";
    for (condition, when) in [
        ("!context.isRenewal", "as a renewal"),
        ("context.isRenewal", "not as a renewal"),
        ("(context.hasTicket || !context.isRenewal)", "without a ticket, as a renewal"),
    ] {
        let replaced = format!("context.termSeconds <= 300 && {condition}").leak();
        let lines = compare_after(&[(SYNC, "context.termSeconds <= 300", replaced)]);
        assert_eq!(lines, [format!("now needs approval: {change} ({when})")], "{condition}");
    }
    // No single dimension separates these circumstances from the others.
    let apart = "context.termSeconds <= 300 && context.isRenewal != context.hasTicket";
    let lines = compare_after(&[(SYNC, "context.termSeconds <= 300", apart)]);
    let (at, renewal) = ("at 2026-01-07T12:00:00.000Z", "as a renewal");
    let when = [
        format!("without a ticket and without a task, {at}"),
        format!("without a ticket and with a task, {at}"),
        format!("with a ticket and without a task, {renewal}, {at}"),
        format!("with a ticket and with a task, {renewal}, {at}"),
    ];
    assert_eq!(lines, [format!("now needs approval: {change} ({})", when.join("; "))]);
}

#[test]
fn compare_separates_requests_on_behalf_when_a_policy_reads_it() {
    let low = "resource.risk == \"low\"";
    // The request needs approval, since `ana` would need it.
    let change =
        "newly denied: remediation-agent × read-shop-orders: was up to 300 s with approval by 1 of lea within 900 s";
    let alone = "newly denied: remediation-agent × read-shop-orders: was up to 300 s alone";
    for (condition, expected) in [
        ("!(context has onBehalfOf)", format!("{change} (with a task, on behalf of `ana`)")),
        ("context has onBehalfOf", format!("{alone} (with a task, on nobody's behalf)")),
        (
            "!(context has onBehalfOf && context.onBehalfOf in Brevet::Team::\"oncall\")",
            format!("{change} (with a task, on behalf of `ana`)"),
        ),
    ] {
        let replaced = format!("{low} && {condition}").leak();
        assert_eq!(compare_after(&[(SHOPS, low, replaced)]), [expected], "{condition}");
    }
}

/// The example, where only `rules` decide who may have which entitlement.
fn under(rules: &str) -> Bundle {
    crate::tests::bundle_with(&format!(
        "@id(\"all\") permit (principal, action in [Brevet::Action::\"request\", Brevet::Action::\"autoApprove\"], resource); {rules}"
    ))
}

#[test]
fn compare_tries_sponsors_named_people_and_one_of_each_set_of_teams() {
    let forbid = |human: &str| {
        under(&format!(
            "@id(\"not\") forbid (principal, action, resource == Brevet::Entitlement::\"read-secret\") \
             when {{ context has onBehalfOf && context.onBehalfOf {human} }};"
        ))
    };
    let agents = |old: &Bundle, new: &Bundle| -> Vec<_> {
        let all = compare(old, new).changes.into_iter();
        let agents = all.filter(|one| one.identity.as_str() == "remediation-agent");
        agents.flat_map(|one| [one.kind.as_str().to_owned()].into_iter().chain(one.when)).collect()
    };
    let (nobody, named) = (forbid("== context.onBehalfOf"), forbid("== Brevet::Identity::\"lea\""));
    // Rui is the sponsor, the policy names Lea, and Ana is the first of all the others.
    assert_eq!(agents(&nobody, &named), ["newly allowed", "on behalf of `ana` or `rui`"]);
    assert_eq!(agents(&named, &nobody), ["newly denied", "on behalf of `ana` or `rui`"]);
    // Dana represents the people in neither team.
    let of_oncall = forbid("in [Brevet::Team::\"oncall\", Brevet::Team::\"security\"]");
    assert_eq!(agents(&nobody, &of_oncall), ["newly allowed", "on behalf of `dana` or `rui`"]);
    assert_eq!(agents(&under(""), &of_oncall), ["newly denied", "on behalf of `ana` or `omar`"]);
    // A human only asks for themselves.
    let changes = compare(&nobody, &under("")).changes;
    let is_human = |change: &Change| ["ana", "rui"].contains(&change.identity.as_str());
    assert!(!changes.is_empty() && !changes.iter().any(is_human), "{changes:?}");
}

#[test]
fn compare_notes_the_parts_that_it_does_not_cover() {
    let lines = compare_after(&[(
        "policies/legacy-batch.cedar",
        "context.schedule == \"nightly-batch\" && context.termSeconds <= 1800",
        "context.schedule == \"nightly-batch\" && context.termSeconds <= 1799 + 1",
    )]);
    assert_eq!(
        lines,
        ["not compared: `context.schedule` on 1 of the entitlements: a policy that reads it has changed"]
    );
    let mut sources = example();
    let names: Vec<_> = (0..=MAX_PEOPLE).map(|n| format!("human-{n}")).collect();
    for name in &names {
        let ana = sources.0["identities/ana.yaml"].replace("ana", name);
        sources.0.insert(format!("identities/{name}.yaml"), ana);
    }
    let shops = sources.0.get_mut(SHOPS).unwrap();
    let them: Vec<_> = names.iter().map(|name| format!("Brevet::Identity::\"{name}\"")).collect();
    *shops = shops.replace(
        "resource.risk == \"low\"",
        &format!(
            "resource.risk == \"low\" && !(context has onBehalfOf && [{}].contains(context.onBehalfOf))",
            them.join(", ")
        ),
    );
    let bundle = Bundle::load(&compile(&sources).unwrap().bundle).unwrap();
    let notes = compare(&bundle, &bundle).notes;
    assert_eq!(
        notes,
        [
            "not compared in full: `context.onBehalfOf` on 1 of the entitlements: only the sponsor and 8 other people were tried, and policies distinguish more"
        ]
    );
}
