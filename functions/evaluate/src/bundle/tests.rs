use std::collections::BTreeMap;

use brevet_domain::bundle::{BundleText, INDEX_PART, Listing, RULES_PART, Rules};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::entitlement::{Delivery, Holder};
use brevet_domain::identity::Audience;
use brevet_domain::plan::PlanTemplate;
use brevet_domain::rule;
use brevet_engine::fake::{Fault, run};
use brevet_engine::port::{BundleSource, Clock, ProofVerifier, RawProof};
use brevet_lambda::testing::World;

use super::*;

const PERMIT: &str = r#"
@id("pipelines-may-ask") permit (principal, action == Brevet::Action::"request", resource)
    when { principal.class == "pipeline" };
@id("pipelines-need-nobody") permit (principal, action == Brevet::Action::"autoApprove", resource)
    when { principal.class == "pipeline" };
"#;

/// Publishes the world's entitlements with `policies` as the general policies.
pub(crate) fn publish(world: &World, policies: &str) -> Digest {
    publish_with(world, policies, |_| {})
}

/// Publishes like [`publish`], with changed listings.
fn publish_with(world: &World, policies: &str, change: impl Fn(&mut BTreeMap<EntitlementId, Listing>)) -> Digest {
    let text = text_with(world, policies, change);
    world.store.publish(text.clone());
    // The catalogue reads the digest in force once per instant.
    world.clock.advance(1);
    text.digest
}

fn text_with(world: &World, policies: &str, change: impl Fn(&mut BTreeMap<EntitlementId, Listing>)) -> BundleText {
    let digest = run(world.store.current()).unwrap().unwrap().unwrap();
    let text = run(world.store.bundle(digest, None)).unwrap().unwrap();
    let index = text.index().unwrap();
    let mut listings = text.listings(&index).unwrap();
    change(&mut listings);
    BundleText::build(index, &listings, &Rules { policies: policies.to_owned(), ..Rules::default() }, &[].into())
        .unwrap()
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
    let catalogue = Catalogue::new(world.store.clone(), World::BUNDLE_MAX_AGE_S, world.watched.clone());
    BundleEvaluator::new(Arc::new(catalogue), world.deployment.clone())
}

#[test]
fn new_bundle_applies_at_once_and_is_parsed_once() {
    let world = World::new();
    let evaluator = evaluator(&world);
    let first = publish(&world, PERMIT);
    assert_eq!(decide(&world, &evaluator).unwrap().outcome, Outcome::Allow);
    assert_eq!(decide(&world, &evaluator).unwrap().bundle_digest, first);
    let deploy: EntitlementId = "deploy".parse().unwrap();
    let slice = || run(evaluator.slice(&deploy, world.clock.now())).unwrap().unwrap();
    assert!(Arc::ptr_eq(&slice(), &slice()));
    let forbid = format!(r#"{PERMIT} @id("freeze") forbid (principal, action, resource);"#);
    let second = publish(&world, &forbid);
    let verdict = decide(&world, &evaluator).unwrap();
    assert!(matches!(&verdict.outcome, Outcome::Deny { reason } if reason.contains("freeze")), "{verdict:?}");
    assert_eq!((verdict.bundle_digest, verdict.template), (second, None));
}

/// Makes `holder_id` the single holder of the principal of `batch`.
fn held_by(listings: &mut BTreeMap<EntitlementId, Listing>, holder_id: &str) {
    let batch = &mut listings.get_mut(&"batch".parse().unwrap()).unwrap().entitlement;
    let Delivery::Inline { holder, .. } = &mut batch.delivery else { panic!("{batch:?}") };
    *holder = Holder::Single(holder_id.parse().unwrap());
}

#[test]
fn attachment_decision_carries_the_plan_template_for_issue() {
    let world = World::new();
    let evaluator = evaluator(&world);
    publish(&world, PERMIT);
    for holder in [None, Some("bot")] {
        if let Some(holder) = holder {
            publish_with(&world, PERMIT, |listings| held_by(listings, holder));
        }
        let verdict = decide_on(&world, &evaluator, "batch").unwrap();
        assert_eq!(verdict.outcome, Outcome::Allow, "{holder:?}");
        let Some(PlanTemplate::Inline(template)) = verdict.template else { panic!("{verdict:?}") };
        assert_eq!(template.principal_arn, World::PRINCIPAL);
        assert_eq!(template.statements[0].resources, ["arn:aws:s3:::artifacts/v1/*"]);
    }
}

#[test]
fn attachment_to_another_holders_principal_is_denied_despite_a_permit() {
    let world = World::new();
    publish_with(&world, PERMIT, |listings| held_by(listings, "agent"));
    let verdict = decide_on(&world, &evaluator(&world), "batch").unwrap();
    assert!(
        matches!(&verdict.outcome, Outcome::Deny { reason } if reason.contains("only `agent` holds")),
        "{verdict:?}"
    );
    assert_eq!((verdict.template, verdict.determining), (None, vec![rule::HOLDER.to_owned()]));
}

#[test]
fn evaluator_decides_nothing_when_the_bundle_store_fails() {
    let world = World::new();
    publish(&world, PERMIT);
    // The calls read the digest in force, the index, the general policies and the bucket.
    for number in 1..=4 {
        world.faults.clear();
        let before = world.faults.fired().len();
        let evaluator = evaluator(&world);
        // The first call is the test's own: it stores the request.
        world.faults.plan(world.faults.n_calls() + 1 + number, Fault::NotSent);
        assert!(matches!(decide(&world, &evaluator), Err(EvaluatorError::Unavailable(_))), "{number}");
        assert_eq!(world.faults.fired().len(), before + 1);
    }
    assert_eq!(world.watched.take().len(), 4);
}

#[test]
fn decision_reads_only_the_digest_and_uncached_parts() {
    let world = World::new();
    let evaluator = evaluator(&world);
    publish(&world, PERMIT);
    let calls = |entitlement: &str| {
        world.clock.advance(1);
        let before = world.faults.n_calls() + 1; // the test itself stores the request
        decide_on(&world, &evaluator, entitlement).unwrap();
        world.faults.n_calls() - before
    };
    assert_eq!([calls("deploy"), calls("deploy"), calls("batch"), calls("batch")], [4, 1, 1, 1]);
}

/// Bundles that policy cannot use although every hash is right: bad general policies, and bad policies of `deploy`.
fn unusable_texts(world: &World) -> Vec<BundleText> {
    let own = |policies: &'static str| {
        text_with(world, PERMIT, move |listings| {
            listings.get_mut(&"deploy".parse().unwrap()).unwrap().rules.policies = policies.to_owned();
        })
    };
    let permit = "permit (principal, action, resource);";
    vec![
        text_with(world, "permit (", |_| {}),
        text_with(world, permit, |_| {}),
        own("permit ("),
        own(r#"@id("pipelines-may-ask") permit (principal, action, resource);"#),
    ]
}

#[test]
fn unusable_bundle_is_replaced_by_the_last_good_one_for_a_bounded_time() {
    for number in 0..4 {
        let world = World::new();
        let evaluator = evaluator(&world);
        let good = publish(&world, PERMIT);
        assert_eq!(decide(&world, &evaluator).unwrap().bundle_digest, good);
        let published_at = world.clock.now();
        let bad = unusable_texts(&world).remove(number);
        world.store.publish(bad.clone());
        for seconds in [1, World::BUNDLE_MAX_AGE_S] {
            world.clock.set(published_at.plus(seconds));
            let verdict = decide(&world, &evaluator).unwrap();
            // The verdict names the bundle that was used.
            assert_eq!((verdict.outcome, verdict.bundle_digest), (Outcome::Allow, good), "{number}");
        }
        let reported = world.watched.take();
        assert!(reported.len() == 2 && reported.iter().all(|(using, _)| *using == Some(good)), "{reported:?}");
        world.clock.set(published_at.plus(World::BUNDLE_MAX_AGE_S + 1));
        assert!(matches!(decide(&world, &evaluator), Err(EvaluatorError::Unavailable(_))), "{number}");
        assert_eq!(world.watched.take().remove(0).0, None);
        // An entitlement that the bad part does not affect is decided under the bundle in force.
        let other = decide_on(&world, &evaluator, "batch");
        if number < 2 {
            assert!(matches!(other, Err(EvaluatorError::Unavailable(_))), "{number}");
        } else {
            assert_eq!(other.unwrap().bundle_digest, bad.digest);
        }
    }
}

#[test]
fn altered_bundle_decides_nothing() {
    let world = World::new();
    publish(&world, PERMIT);
    let good = text_with(&world, PERMIT, |_| {});
    let bucket = good.index().unwrap().bucket(&"deploy".parse().unwrap()).unwrap().0.to_owned();
    for part in [INDEX_PART, RULES_PART, &bucket] {
        let mut altered = good.clone();
        altered.parts.get_mut(part).unwrap().push(' ');
        world.store.publish(altered);
        assert!(matches!(decide(&world, &evaluator(&world)), Err(EvaluatorError::Unavailable(_))), "{part}");
    }
    world.store.publish(good);
    assert!(decide(&world, &evaluator(&world)).is_ok());
}
