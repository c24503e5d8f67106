use brevet_domain::bundle::{BundleText, INDEX_PART, Index};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::entitlement::{Delivery, Holder};
use brevet_domain::identity::Audience;
use brevet_domain::plan::PlanTemplate;
use brevet_engine::fake::{Fault, run};
use brevet_engine::port::{Clock, PortResult, ProofVerifier, RawProof};
use brevet_lambda::testing::World;

use super::*;

const PERMIT: &str = r#"
@id("pipelines-may-ask") permit (principal, action == Brevet::Action::"request", resource)
    when { principal.class == "pipeline" };
@id("pipelines-need-nobody") permit (principal, action == Brevet::Action::"autoApprove", resource)
    when { principal.class == "pipeline" };
"#;

/// Publishes the world's own index with `policies` as its common part.
fn publish(world: &World, policies: &str) -> Digest {
    publish_with(world, policies, |_| {})
}

/// The same, with the index changed.
fn publish_with(world: &World, policies: &str, change: impl Fn(&mut Index)) -> Digest {
    let (_, index) = run(world.catalogue.current()).unwrap().unwrap();
    let mut index = (*index).clone();
    change(&mut index);
    index.parts.insert("policies/common".to_owned(), Digest::of_bytes(policies.as_bytes()));
    let text = serde_json::to_string(&index).unwrap();
    let digest = Digest::of_bytes(text.as_bytes());
    let parts = [(INDEX_PART.to_owned(), text), ("policies/common".to_owned(), policies.to_owned())].into();
    world.store.publish(BundleText { digest, parts });
    digest
}

fn decide(world: &World, evaluator: &BundleEvaluator) -> Result<Verdict, EvaluatorError> {
    decide_on(world, evaluator, "deploy")
}

fn decide_on(world: &World, evaluator: &BundleEvaluator, entitlement: &str) -> Result<Verdict, EvaluatorError> {
    let now = world.clock.now();
    let bot = run(world.proofs.verify(&RawProof::new("ask.bot"), Audience::Ask, now)).unwrap().unwrap();
    run(evaluator.decide(&bot, &world.request_for(entitlement), now)).unwrap()
}

fn evaluator(world: &World) -> BundleEvaluator {
    BundleEvaluator::new(world.store.clone(), world.deployment.clone())
}

#[test]
fn a_new_bundle_holds_at_once_and_an_old_one_is_parsed_once() {
    let world = World::new();
    let evaluator = evaluator(&world);
    let first = publish(&world, PERMIT);
    assert_eq!(decide(&world, &evaluator).unwrap().outcome, Outcome::Allow);
    assert_eq!(decide(&world, &evaluator).unwrap().bundle_digest, first);
    let kept = run(evaluator.current()).unwrap().unwrap();
    assert!(Arc::ptr_eq(&kept, &run(evaluator.current()).unwrap().unwrap()));
    let forbid = format!(r#"{PERMIT} @id("freeze") forbid (principal, action, resource);"#);
    let second = publish(&world, &forbid);
    let verdict = decide(&world, &evaluator).unwrap();
    assert!(matches!(&verdict.outcome, Outcome::Deny { reason } if reason.contains("freeze")), "{verdict:?}");
    assert_eq!((verdict.bundle_digest, verdict.template), (second, None));
}

/// Who holds the principal of `batch`.
fn held_by(index: &mut Index, who: &str) {
    let batch = index.entitlements.get_mut(&"batch".parse().unwrap()).unwrap();
    let Delivery::Inline { holder, .. } = &mut batch.delivery else { panic!("{batch:?}") };
    *holder = Holder::Single(who.parse().unwrap());
}

#[test]
fn an_attachment_is_decided_with_the_plan_that_issue_will_render() {
    let world = World::new();
    let evaluator = evaluator(&world);
    publish(&world, PERMIT);
    for who in [None, Some("bot")] {
        if let Some(who) = who {
            publish_with(&world, PERMIT, |index| held_by(index, who));
        }
        let verdict = decide_on(&world, &evaluator, "batch").unwrap();
        assert_eq!(verdict.outcome, Outcome::Allow, "{who:?}");
        let Some(PlanTemplate::Inline(template)) = verdict.template else { panic!("{verdict:?}") };
        assert_eq!(template.principal_arn, World::PRINCIPAL);
        assert_eq!(template.statements[0].resources, ["arn:aws:s3:::artifacts/v1/*"]);
    }
}

#[test]
fn an_attachment_to_somebody_elses_principal_is_denied_whatever_policy_says() {
    let world = World::new();
    publish_with(&world, PERMIT, |index| held_by(index, "agent"));
    let verdict = decide_on(&world, &evaluator(&world), "batch").unwrap();
    assert!(
        matches!(&verdict.outcome, Outcome::Deny { reason } if reason.contains("`agent` alone holds")),
        "{verdict:?}"
    );
    assert_eq!((verdict.template, verdict.determining), (None, Vec::new()));
}

#[test]
fn a_bundle_that_does_not_answer_decides_nothing() {
    let world = World::new();
    publish(&world, PERMIT);
    for number in 1..=2 {
        world.faults.clear();
        let before = world.faults.fired().len();
        let evaluator = evaluator(&world);
        // One call is the world's own: it stores the request.
        world.faults.plan(world.faults.n_calls() + 1 + number, Fault::NotSent);
        assert!(matches!(decide(&world, &evaluator), Err(EvaluatorError::Unavailable(_))), "{number}");
        assert_eq!(world.faults.fired().len(), before + 1);
    }
}

#[test]
fn an_altered_or_exchanged_bundle_decides_nothing() {
    struct Lying(BundleText, Digest);

    #[async_trait]
    impl BundleSource for Lying {
        async fn current(&self) -> PortResult<Option<Digest>> {
            Ok(Some(self.1))
        }

        async fn bundle(&self, _: Digest, _: Option<&[&str]>) -> PortResult<BundleText> {
            Ok(self.0.clone())
        }
    }

    let world = World::new();
    let digest = publish(&world, PERMIT);
    let good = run(world.store.bundle(digest, None)).unwrap().unwrap();
    let mut altered = good.clone();
    altered.parts.insert("policies/common".to_owned(), PERMIT.replace("pipeline", "agent"));
    for (text, named) in [(altered, digest), (good.clone(), Digest::of_bytes(b"another"))] {
        let evaluator = BundleEvaluator::new(Arc::new(Lying(text, named)), world.deployment.clone());
        assert!(matches!(decide(&world, &evaluator), Err(EvaluatorError::Unavailable(_))));
    }
    let evaluator = BundleEvaluator::new(Arc::new(Lying(good, digest)), world.deployment.clone());
    assert!(decide(&world, &evaluator).is_ok());
}
