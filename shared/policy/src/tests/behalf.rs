//! What is asked on a human's behalf: never more than what each of the two may have, and by nobody's yes but one that
//! both would need.

use std::collections::BTreeSet;

use brevet_domain::decision::{Outcome, Step, shortage};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::IdentityClass;
use brevet_domain::lane::Lane;
use brevet_domain::time::Term;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;

const AGENT: &str = "remediation-agent";

/// The example under `policies` alone, where no entitlement bounds the term of `read-secret`: class limits do.
fn unbounded(policies: &str) -> Bundle {
    let text = text_of(policies, |listings| {
        let entitlement = &mut listings.get_mut(&"read-secret".parse().unwrap()).unwrap().entitlement;
        entitlement.max_term = Term::from_seconds(43_200).unwrap();
    });
    Bundle::load(&text).unwrap()
}

/// A request of the agent, on behalf of `human` if any.
fn said(bundle: &Bundle, who: &str, human: Option<&str>, term_s: u32) -> Outcome {
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

/// Both may ask for it, each without a person; others approve.
const OPEN: &str = r#"
    @id("ask") permit (principal, action == Brevet::Action::"request", resource);
    @id("alone") permit (principal, action == Brevet::Action::"autoApprove", resource);
    @id("yes") permit (principal, action == Brevet::Action::"approve", resource);
"#;

#[test]
fn both_must_be_allowed_it() {
    let bundle = bundle_with(OPEN);
    assert_eq!(said(&bundle, AGENT, Some("ana"), 60), Outcome::Allow);
    let one =
        |who: &str| format!("{OPEN} @id(\"not\") forbid (principal == Brevet::Identity::\"{who}\", action, resource);");
    assert!(reason(said(&bundle_with(&one(AGENT)), AGENT, Some("ana"), 60)).contains("forbidden by policy `not`"));
    let hers = reason(said(&bundle_with(&one("ana")), AGENT, Some("ana"), 60));
    assert!(
        hers.starts_with("`ana`, on whose behalf it is asked, may not have it: forbidden by policy `not`"),
        "{hers}"
    );
    assert_eq!(said(&bundle_with(&one("ana")), AGENT, None, 60), Outcome::Allow, "for itself it may");
}

#[test]
fn a_policy_that_errs_for_the_human_denies() {
    let bundle = bundle_with(&format!(
        "{OPEN} @id(\"odd\") forbid (principal, action == Brevet::Action::\"request\", resource) when {{ principal.sponsor == Brevet::Identity::\"lea\" }};"
    ));
    // A human has no sponsor: it cannot be evaluated for her.
    assert!(reason(said(&bundle, AGENT, Some("ana"), 60)).contains("policy `odd` cannot be evaluated"));
}

#[test]
fn if_either_needs_people_those_decide_who_may_approve_for_both() {
    let agent_needs = r#"@id("hers") forbid (principal == Brevet::Identity::"remediation-agent", action == Brevet::Action::"autoApprove", resource);"#;
    let ana_needs = r#"@id("his") forbid (principal == Brevet::Identity::"ana", action == Brevet::Action::"autoApprove", resource);"#;
    let not_for_humans = r#"@id("machines") forbid (principal == Brevet::Identity::"omar", action == Brevet::Action::"approve", resource) when { resource.requesterClass == "human" };"#;
    let approvers = |policies: &[&str]| {
        let outcome = said(&bundle_with(&policies.concat()), AGENT, Some("ana"), 60);
        let Outcome::NeedsApproval { steps, .. } = outcome else { panic!("{outcome:?}") };
        let approvers: BTreeSet<_> = steps.into_iter().flat_map(|step| step.approvers).collect();
        approvers.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // Neither ana, for whom it is, nor rui, who answers for the agent.
    for needs in [agent_needs, ana_needs] {
        assert_eq!(approvers(&[OPEN, needs]), ["dana", "lea", "omar"]);
        assert_eq!(approvers(&[OPEN, needs, not_for_humans]), ["dana", "lea"], "omar may not for her");
    }
}

#[test]
fn nobody_asks_for_a_human_but_a_machine_and_for_nobody_but_a_human() {
    let bundle = bundle_with(OPEN);
    assert!(reason(said(&bundle, "omar", Some("ana"), 60)).contains("leave `on_behalf_of` out"));
    for nobody in ["acme-sync", "ghost"] {
        let reason = reason(said(&bundle, AGENT, Some(nobody), 60));
        assert_eq!(reason, format!("`{nobody}`, on whose behalf it is asked, is no registered human"));
    }
}

#[test]
fn a_policy_can_ask_for_a_delegation_and_look_at_whose() {
    let bundle = bundle_with(
        r#"
        @id("for-oncall") permit (principal == Brevet::Identity::"remediation-agent", action, resource)
            when { context has onBehalfOf && context.onBehalfOf in Brevet::Team::"oncall" };
        @id("people") permit (principal, action, resource) when { principal.class == "human" };
        "#,
    );
    assert_eq!(said(&bundle, AGENT, Some("ana"), 60), Outcome::Allow);
    assert!(matches!(said(&bundle, AGENT, Some("omar"), 60), Outcome::Deny { .. }), "omar is not on call");
    assert!(matches!(said(&bundle, AGENT, None, 60), Outcome::Deny { .. }));
}

#[test]
fn a_policy_can_tell_a_renewal() {
    let once = r#"@id("once") forbid (principal, action == Brevet::Action::"autoApprove", resource) when { context.isRenewal };"#;
    let bundle = bundle_with(&format!("{OPEN} {once}"));
    let mut asked = request("read-secret", 60, Some("INC-1"));
    let outcome = |asked: &Request| {
        let verdict = bundle.decide(&caller(&bundle, AGENT, Some("run-7")), asked, &deployment(), now()).unwrap();
        assert_eq!(verdict.max_renewals, 1, "an agent's lane");
        verdict.outcome
    };
    assert_eq!(outcome(&asked), Outcome::Allow);
    asked.ask.renews = Some(asked.id);
    assert!(matches!(outcome(&asked), Outcome::NeedsApproval { .. }));
}

/// How much an outcome gives.
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

/// Whatever the policies: on a human's behalf there is never more than for each of the two alone, no human's own
/// identity among the approvers, and no term over the class limit of either.
#[test]
fn whatever_policies_say_rights_are_the_intersection_and_limits_the_tighter() {
    let seen = std::cell::Cell::new([0_u32; 3]);
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let terms = select(vec![60_u32, 300, 301, 900, 901, 43_200]);
    // Chance alone would hardly ever let both through.
    let common = vec![
        vec![],
        vec!["request", "autoApprove"],
        vec!["request", "approve"],
        vec!["request", "autoApprove", "approve"],
    ];
    TestRunner::new(config)
        .run(&(drawn::policies(common, policy(), 8), terms), |(policies, term_s)| {
            let bundle = unbounded(&policies);
            let both = said(&bundle, AGENT, Some("ana"), term_s);
            // As each would be told that asks for itself, with the same facts.
            let (own, hers) = (said(&bundle, AGENT, None, term_s), said(&bundle, "ana", None, term_s));
            prop_assert!(rank(&both) <= rank(&own).min(rank(&hers)), "{both:?} of {own:?} and {hers:?}\n{policies}");
            let people = |steps: &[Step]| -> BTreeSet<IdentityId> {
                steps.iter().flat_map(|step| &step.approvers).cloned().collect()
            };
            if let Outcome::NeedsApproval { steps, .. } = &both {
                let approvers = people(steps);
                let never: BTreeSet<IdentityId> = ["ana", "rui", AGENT].map(|who| who.parse().unwrap()).into();
                prop_assert!(approvers.is_disjoint(&never) && shortage(steps).is_none());
                for one in [&own, &hers] {
                    if let Outcome::NeedsApproval { steps: of_one, .. } = one {
                        prop_assert!(approvers.is_subset(&people(of_one)));
                    }
                }
            }
            for (who, class) in
                [(&own, IdentityClass::Agent), (&hers, IdentityClass::Human), (&both, IdentityClass::Agent)]
            {
                let built_in = Lane::built_in(class).max_term.as_seconds();
                let longest = bundle.index().lane(class).max_term.as_seconds();
                prop_assert!(longest <= built_in, "a catalogue only tightens");
                prop_assert!(term_s <= longest || rank(who) == 0, "no decision is looser than its class limit");
            }
            let mut counts = seen.get();
            counts[usize::from(rank(&both))] += 1;
            seen.set(counts);
            Ok(())
        })
        .unwrap();
    // All three were seen, or this would prove little.
    assert!(seen.get().iter().all(|n| *n > 1), "{:?}", seen.get());
}
