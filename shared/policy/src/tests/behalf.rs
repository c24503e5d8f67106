//! Requests on a human's behalf: they never give more than each of the two may have, and only approvers of both count.

use std::collections::BTreeSet;

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::decision::{Outcome, Step, missing_approvers};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::IdentityClass;
use brevet_domain::time::Term;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;

const AGENT: &str = "remediation-agent";

/// The example under `policies` alone, where only class limits bound the term of `read-secret`.
fn unbounded(policies: &str) -> Bundle {
    let text = text_of(policies, |listings| {
        let entitlement = &mut listings.get_mut(&"read-secret".parse().unwrap()).unwrap().entitlement;
        entitlement.max_term = Term::from_seconds(43_200).unwrap();
    });
    Bundle::load(&text).unwrap()
}

/// The outcome of a request of `who` for `read-secret`, on behalf of `human` if any.
fn outcome(bundle: &Bundle, who: &str, human: Option<&str>, term_s: u32) -> Outcome {
    let mut request = request("read-secret", term_s, Some("INC-1"));
    request.ask.on_behalf_of = human.map(|human| human.parse().unwrap());
    match bundle.decide(&caller(bundle, who, Some("run-7")), &request, &deployment(), now()) {
        Ok(verdict) => verdict.outcome,
        Err(error) => Outcome::Deny { reason: error.to_string() },
    }
}

fn reason(outcome: Outcome) -> String {
    let Outcome::Deny { reason } = outcome else { panic!("{outcome:?}") };
    reason
}

/// Everybody may request without approval, and may approve.
const OPEN: &str = r#"
    @id("ask") permit (principal, action == Brevet::Action::"request", resource);
    @id("alone") permit (principal, action == Brevet::Action::"autoApprove", resource);
    @id("yes") permit (principal, action == Brevet::Action::"approve", resource);
"#;

#[test]
fn request_on_behalf_needs_both_to_be_allowed() {
    let bundle = bundle_with(OPEN);
    assert_eq!(outcome(&bundle, AGENT, Some("ana"), 60), Outcome::Allow);
    let one =
        |who: &str| format!("{OPEN} @id(\"not\") forbid (principal == Brevet::Identity::\"{who}\", action, resource);");
    assert!(reason(outcome(&bundle_with(&one(AGENT)), AGENT, Some("ana"), 60)).contains("forbidden by policy `not`"));
    let for_ana = reason(outcome(&bundle_with(&one("ana")), AGENT, Some("ana"), 60));
    assert!(
        for_ana.starts_with("`ana`, named in `on_behalf_of`, may not have it: forbidden by policy `not`"),
        "{for_ana}"
    );
    assert_eq!(outcome(&bundle_with(&one("ana")), AGENT, None, 60), Outcome::Allow, "the agent may ask for itself");
}

#[test]
fn policy_error_for_the_human_denies() {
    let bundle = bundle_with(&format!(
        "{OPEN} @id(\"odd\") forbid (principal, action == Brevet::Action::\"request\", resource) when {{ principal.sponsor == Brevet::Identity::\"lea\" }};"
    ));
    // A human has no sponsor, so the policy cannot be evaluated for Ana.
    assert!(reason(outcome(&bundle, AGENT, Some("ana"), 60)).contains("policy `odd` cannot be evaluated"));
}

#[test]
fn request_on_behalf_needs_approvers_who_may_approve_for_both() {
    let agent_needs = r#"@id("hers") forbid (principal == Brevet::Identity::"remediation-agent", action == Brevet::Action::"autoApprove", resource);"#;
    let ana_needs = r#"@id("his") forbid (principal == Brevet::Identity::"ana", action == Brevet::Action::"autoApprove", resource);"#;
    let not_for_humans = r#"@id("machines") forbid (principal == Brevet::Identity::"omar", action == Brevet::Action::"approve", resource) when { resource.requesterClass == "human" };"#;
    let approvers = |policies: &[&str]| {
        let outcome = outcome(&bundle_with(&policies.concat()), AGENT, Some("ana"), 60);
        let Outcome::NeedsApproval { steps, .. } = outcome else { panic!("{outcome:?}") };
        let approvers: BTreeSet<_> = steps.into_iter().flat_map(|step| step.approvers).collect();
        approvers.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // Neither Ana, for whom the agent asks, nor Rui, its sponsor, may approve.
    for needs in [agent_needs, ana_needs] {
        assert_eq!(approvers(&[OPEN, needs]), ["dana", "lea", "omar"]);
        assert_eq!(approvers(&[OPEN, needs, not_for_humans]), ["dana", "lea"], "omar may not approve for ana");
    }
}

#[test]
fn on_behalf_of_is_refused_unless_a_machine_names_a_registered_human() {
    let bundle = bundle_with(OPEN);
    assert!(reason(outcome(&bundle, "omar", Some("ana"), 60)).contains("leave `on_behalf_of` out"));
    for name in ["acme-sync", "ghost"] {
        let reason = reason(outcome(&bundle, AGENT, Some(name), 60));
        assert_eq!(reason, format!("`on_behalf_of` names `{name}`, which is not a registered human"));
    }
}

#[test]
fn policy_can_require_on_behalf_of_and_read_the_human() {
    let bundle = bundle_with(
        r#"
        @id("for-oncall") permit (principal == Brevet::Identity::"remediation-agent", action, resource)
            when { context has onBehalfOf && context.onBehalfOf in Brevet::Team::"oncall" };
        @id("people") permit (principal, action, resource) when { principal.class == "human" };
        "#,
    );
    assert_eq!(outcome(&bundle, AGENT, Some("ana"), 60), Outcome::Allow);
    assert!(matches!(outcome(&bundle, AGENT, Some("omar"), 60), Outcome::Deny { .. }), "omar is not on call");
    assert!(matches!(outcome(&bundle, AGENT, None, 60), Outcome::Deny { .. }));
}

#[test]
fn policy_can_read_is_renewal() {
    let once = r#"@id("once") forbid (principal, action == Brevet::Action::"autoApprove", resource) when { context.isRenewal };"#;
    let bundle = bundle_with(&format!("{OPEN} {once}"));
    let mut asked = request("read-secret", 60, Some("INC-1"));
    let decide = |asked: &Request| {
        let verdict = bundle.decide(&caller(&bundle, AGENT, Some("run-7")), asked, &deployment(), now()).unwrap();
        assert_eq!(verdict.max_renewals, 1, "the built-in limit of an agent");
        verdict.outcome
    };
    assert_eq!(decide(&asked), Outcome::Allow);
    asked.ask.renews = Some(asked.id);
    assert!(matches!(decide(&asked), Outcome::NeedsApproval { .. }));
}

/// The order of outcomes by how much they give.
fn rank(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Deny { .. } => 0,
        Outcome::NeedsApproval { .. } => 1,
        Outcome::Allow => 2,
    }
}

fn policy() -> impl Strategy<Value = String> {
    let principals = vec![
        "principal",
        "principal",
        "principal in Brevet::Team::\"oncall\"",
        "principal == Brevet::Identity::\"remediation-agent\"",
        "principal == Brevet::Identity::\"ana\"",
    ];
    let conditions = vec![
        "",
        "",
        "when { context.termSeconds <= 300 }",
        "when { context.termSeconds > 300 }",
        "when { principal.class == \"human\" }",
        "when { principal has sponsor && principal.sponsor == Brevet::Identity::\"rui\" }",
        "when { principal.sponsor == Brevet::Identity::\"rui\" }",
    ];
    drawn::policy(principals, conditions)
}

/// Under any policies, a request on a human's behalf gives no more than each of the two would get alone. Its approvers
/// include neither the human, the sponsor nor the agent, and its term is within the class limits of both.
#[test]
fn rights_on_behalf_are_the_intersection_and_limits_the_tighter_under_any_policies() {
    let seen = std::cell::Cell::new([0_u32; 3]);
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let terms = select(vec![60_u32, 300, 301, 900, 901, 43_200]);
    // Random policies alone would rarely allow both.
    let common = vec![
        vec![],
        vec!["request", "autoApprove"],
        vec!["request", "approve"],
        vec!["request", "autoApprove", "approve"],
    ];
    TestRunner::new(config)
        .run(&(drawn::policies(common, policy(), 8), terms), |(policies, term_s)| {
            let bundle = unbounded(&policies);
            let both = outcome(&bundle, AGENT, Some("ana"), term_s);
            // The outcomes for each of the two alone, with the same facts.
            let (own, human) = (outcome(&bundle, AGENT, None, term_s), outcome(&bundle, "ana", None, term_s));
            prop_assert!(rank(&both) <= rank(&own).min(rank(&human)), "{both:?} of {own:?} and {human:?}\n{policies}");
            let people = |steps: &[Step]| -> BTreeSet<IdentityId> {
                steps.iter().flat_map(|step| &step.approvers).cloned().collect()
            };
            if let Outcome::NeedsApproval { steps, .. } = &both {
                let approvers = people(steps);
                let never: BTreeSet<IdentityId> = ["ana", "rui", AGENT].map(|who| who.parse().unwrap()).into();
                prop_assert!(approvers.is_disjoint(&never) && missing_approvers(steps).is_none());
                for alone in [&own, &human] {
                    if let Outcome::NeedsApproval { steps, .. } = alone {
                        prop_assert!(approvers.is_subset(&people(steps)));
                    }
                }
            }
            for (outcome, class) in
                [(&own, IdentityClass::Agent), (&human, IdentityClass::Human), (&both, IdentityClass::Agent)]
            {
                let built_in = ClassLimits::built_in(class).max_term.as_seconds();
                let longest = bundle.index().class_limits(class).max_term.as_seconds();
                prop_assert!(longest <= built_in, "a catalogue only tightens");
                prop_assert!(term_s <= longest || rank(outcome) == 0, "no decision is looser than its class limit");
            }
            let mut counts = seen.get();
            counts[usize::from(rank(&both))] += 1;
            seen.set(counts);
            Ok(())
        })
        .unwrap();
    // The test needs all three outcomes to prove anything.
    assert!(seen.get().iter().all(|n| *n > 1), "{:?}", seen.get());
}
