//! No decision is looser than the limits of its class, under any policies and entitlements.

use std::cell::Cell;
use std::num::NonZeroU32;

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::decision::Outcome;
use brevet_domain::identity::IdentityClass;
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

/// The last entitlement is break-glass.
const THINGS: [&str; 3] = ["read-secret", "deploy-release", "rescue-secret"];

/// Limits that an index may hold, including looser ones than the built-in limits, which the compiler refuses.
fn class_limits() -> impl Strategy<Value = ClassLimits> {
    let terms = select(vec![60_i64, 300, 900, 3_600, 21_600, 43_200]);
    (terms, select(vec![1_u32, 5, 10, 20, 50, 99]), 0..12_u32, any::<bool>()).prop_map(
        |(max_term_s, max_live, max_renewals, people_always)| ClassLimits {
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

/// Half of the time everybody may have everything without approval, so that only limits decide.
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
fn limited(policies: &str, class_limits: &[ClassLimits]) -> Bundle {
    let text = text_of(policies, |listings| {
        for listing in listings.values_mut() {
            listing.entitlement.max_term = Term::from_seconds(43_200).unwrap();
            listing.entitlement.max_term_of.clear();
        }
    });
    let mut index = text.index().unwrap();
    let (listings, rules) = (text.listings(&index).unwrap(), text.rules(&index).unwrap());
    index.class_limits = CALLERS.iter().zip(class_limits).map(|((_, class), limits)| (*class, *limits)).collect();
    index.parts.clear();
    Bundle::load(&BundleText::build(index, &listings, &rules, &[].into()).unwrap()).unwrap()
}

#[test]
fn no_decision_is_looser_than_its_class_limit() {
    // How often each limit decided: term, `people_always`, its break-glass exception, concurrent grants, renewals.
    let seen = [const { Cell::new(0_u32) }; 5];
    let add = |n: usize, if_so: bool| seen[n].set(seen[n].get() + u32::from(if_so));
    let all_seen = || seen.iter().all(|n| n.get() > 0);
    let terms = select(vec![60_u32, 61, 300, 301, 900, 901, 3_600, 3_601, 21_601, 43_200]);
    let drawn = (policies(), prop::collection::vec(class_limits(), 4), terms, any::<bool>());
    for mut runner in rounds(48) {
        if all_seen() {
            break;
        }
        let round = runner.run(&drawn, |(policies, class_limits, term_s, for_ana)| {
            let bundle = limited(&policies, &class_limits);
            for (n, (who, class)) in CALLERS.into_iter().enumerate() {
                // The tightest of the built-in limits, the index's limits and, on a human's behalf, the human's limits.
                let tightest = |n: usize, class| {
                    let (built_in, own) = (ClassLimits::built_in(class), class_limits[n]);
                    (
                        built_in.max_term.as_seconds().min(own.max_term.as_seconds()),
                        built_in.max_live.get().min(own.max_live.get()),
                        built_in.max_renewals.min(own.max_renewals),
                        own.people_always,
                    )
                };
                let (mut longest_s, mut most, mut renewals, mut people) = tightest(n, class);
                let human = (for_ana && who != "ana").then_some("ana");
                if human.is_some() {
                    let of_ana = tightest(0, IdentityClass::Human);
                    (longest_s, most) = (longest_s.min(of_ana.0), most.min(of_ana.1));
                    (renewals, people) = (renewals.min(of_ana.2), people || of_ana.3);
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
                    let context = || format!("{who} {what} {term_s} {class_limits:?} {verdict:?} in {policies}");
                    let is_denied = matches!(verdict.outcome, Outcome::Deny { .. });
                    prop_assert!(is_denied || term_s <= longest_s, "{}", context());
                    let break_glass = what == "rescue-secret";
                    prop_assert!(!people || break_glass || verdict.outcome != Outcome::Allow, "{}", context());
                    prop_assert!(verdict.duties.max_live.is_some_and(|n| n <= most), "{}", context());
                    prop_assert!(verdict.max_renewals <= renewals, "{}", context());
                    let by = |rule: &str| verdict.determining.iter().any(|one| one == rule);
                    // Counts only denials by this rule, not those for too few approvers or a missing policy.
                    add(0, is_denied && by(rule::CLASS_TERM));
                    add(1, matches!(verdict.outcome, Outcome::NeedsApproval { .. }) && by(rule::PEOPLE_ALWAYS));
                    add(2, people && break_glass && verdict.outcome == Outcome::Allow);
                    let built_in = ClassLimits::built_in(class);
                    add(3, !is_denied && verdict.duties.max_live < Some(built_in.max_live.get()));
                    add(4, !is_denied && verdict.max_renewals < built_in.max_renewals);
                }
            }
            Ok(())
        });
        round.unwrap();
    }
    // The test needs every limit to decide something to prove anything.
    assert!(all_seen(), "{seen:?}");
}
