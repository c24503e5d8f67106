//! No decision is looser than the limits of its class, whatever policies and entitlements say.

use std::cell::Cell;
use std::num::NonZeroU32;

use brevet_domain::decision::Outcome;
use brevet_domain::identity::IdentityClass;
use brevet_domain::lane::Lane;
use brevet_domain::rule;
use brevet_domain::time::Term;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// One of each class.
const CALLERS: [(&str, IdentityClass); 4] = [
    ("ana", IdentityClass::Human),
    ("release-pipeline", IdentityClass::Pipeline),
    ("acme-sync", IdentityClass::Workload),
    ("remediation-agent", IdentityClass::Agent),
];

/// The last is break-glass.
const THINGS: [&str; 3] = ["read-secret", "deploy-release", "rescue-secret"];

/// Limits as `index.json` may hold them: also looser ones than those that are built in, which a compiler refuses.
fn lane() -> impl Strategy<Value = Lane> {
    let terms = select(vec![60_i64, 300, 900, 3_600, 21_600, 43_200]);
    (terms, select(vec![1_u32, 5, 10, 20, 50, 99]), 0..12_u32, any::<bool>()).prop_map(
        |(max_term_s, max_live, max_renewals, people_always)| Lane {
            max_term: Term::from_seconds(max_term_s).unwrap(),
            max_live: NonZeroU32::new(max_live).unwrap(),
            max_renewals,
            people_always,
        },
    )
}

fn policy() -> impl Strategy<Value = String> {
    let principals = vec![
        "principal",
        "principal",
        "principal in Brevet::Team::\"oncall\"",
        "principal == Brevet::Identity::\"remediation-agent\"",
        "principal == Brevet::Identity::\"release-pipeline\"",
    ];
    let conditions = vec![
        "",
        "",
        "when { context.termSeconds <= 300 }",
        "when { context.termSeconds > 300 }",
        "when { principal.class == \"human\" }",
        "when { principal has sponsor && principal.sponsor == Brevet::Identity::\"rui\" }",
    ];
    drawn::policy(principals, conditions)
}

/// Half of the time everybody may have everything without a person: then limits alone decide.
fn policies() -> impl Strategy<Value = String> {
    let common = vec![
        vec![],
        vec!["request", "approve"],
        vec!["request", "autoApprove", "approve"],
        vec!["request", "autoApprove", "approve"],
    ];
    drawn::policies(common, policy(), 5)
}

/// The example under `policies` and these limits, where no entitlement bounds a term.
fn limited(policies: &str, lanes: &[Lane]) -> Bundle {
    let text = text_of(policies, |listings| {
        for listing in listings.values_mut() {
            listing.entitlement.max_term = Term::from_seconds(43_200).unwrap();
            listing.entitlement.max_term_of.clear();
        }
    });
    let mut index = text.index().unwrap();
    let (listings, rules) = (text.listings(&index).unwrap(), text.rules(&index).unwrap());
    index.lanes = CALLERS.iter().zip(lanes).map(|((_, class), lane)| (*class, *lane)).collect();
    index.parts.clear();
    Bundle::load(&BundleText::build(index, &listings, &rules, &[].into()).unwrap()).unwrap()
}

#[test]
fn no_decision_is_looser_than_its_class_limit() {
    // What decided: a term, people, that break-glass needs none, and how many and how often.
    let seen = [const { Cell::new(0_u32) }; 5];
    let add = |n: usize, if_so: bool| seen[n].set(seen[n].get() + u32::from(if_so));
    let all_seen = || seen.iter().all(|n| n.get() > 0);
    let terms = select(vec![60_u32, 61, 300, 301, 900, 901, 3_600, 3_601, 21_601, 43_200]);
    let drawn = (policies(), prop::collection::vec(lane(), 4), terms, any::<bool>());
    for mut runner in rounds(48) {
        if all_seen() {
            break;
        }
        let round = runner.run(&drawn, |(policies, lanes, term_s, for_ana)| {
            let bundle = limited(&policies, &lanes);
            for (n, (who, class)) in CALLERS.into_iter().enumerate() {
                // The tightest of what is built in, what is said, and, on a human's behalf, the human's.
                let tightest = |n: usize, class| {
                    let (built_in, said) = (Lane::built_in(class), lanes[n]);
                    (
                        built_in.max_term.as_seconds().min(said.max_term.as_seconds()),
                        built_in.max_live.get().min(said.max_live.get()),
                        built_in.max_renewals.min(said.max_renewals),
                        said.people_always,
                    )
                };
                let (mut longest_s, mut most, mut renewals, mut people) = tightest(n, class);
                let human = (for_ana && who != "ana").then_some("ana");
                if human.is_some() {
                    let hers = tightest(0, IdentityClass::Human);
                    (longest_s, most) = (longest_s.min(hers.0), most.min(hers.1));
                    (renewals, people) = (renewals.min(hers.2), people || hers.3);
                }
                for what in THINGS {
                    let mut request = request(what, term_s, Some("INC-1"));
                    request.ask.on_behalf_of = human.map(|human| human.parse().unwrap());
                    if what != "rescue-secret" {
                        request.ask.justification = None;
                    } else {
                        request.ask.ticket = None;
                    }
                    let caller = caller(&bundle, who, Some("run-7"));
                    let verdict = bundle.decide(&caller, &request, &deployment(), now()).unwrap();
                    let context = || format!("{who} {what} {term_s} {lanes:?} {verdict:?} in {policies}");
                    let is_denied = matches!(verdict.outcome, Outcome::Deny { .. });
                    prop_assert!(is_denied || term_s <= longest_s, "{}", context());
                    let break_glass = what == "rescue-secret";
                    prop_assert!(!people || break_glass || verdict.outcome != Outcome::Allow, "{}", context());
                    prop_assert!(verdict.duties.max_live.is_some_and(|n| n <= most), "{}", context());
                    prop_assert!(verdict.max_renewals <= renewals, "{}", context());
                    let by = |rule: &str| verdict.determining.iter().any(|one| one == rule);
                    // Not because of too few approvers, or for want of a policy.
                    add(0, is_denied && by(rule::CLASS_TERM));
                    add(1, matches!(verdict.outcome, Outcome::NeedsApproval { .. }) && by(rule::PEOPLE_ALWAYS));
                    add(2, people && break_glass && verdict.outcome == Outcome::Allow);
                    let built_in = Lane::built_in(class);
                    add(3, !is_denied && verdict.duties.max_live < Some(built_in.max_live.get()));
                    add(4, !is_denied && verdict.max_renewals < built_in.max_renewals);
                }
            }
            Ok(())
        });
        round.unwrap();
    }
    // Every limit decided something, or this would prove little.
    assert!(all_seen(), "{seen:?}");
}
