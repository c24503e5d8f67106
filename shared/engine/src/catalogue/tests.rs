use brevet_domain::bundle::{BundleText, INDEX_PART, INDEX_VERSION, Index, Listing, RULES_PART, Rules};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use serde_json::json;

use super::*;
use crate::fake::{Fault, Faults, MemoryStore, Watched, run};

const MAX_AGE_S: u32 = 900;

struct Stage {
    faults: Arc<Faults>,
    store: Arc<MemoryStore>,
    watched: Arc<Watched>,
    catalogue: Catalogue,
}

impl Stage {
    fn new() -> Self {
        let faults = Arc::new(Faults::none());
        let store = Arc::new(MemoryStore::new(Arc::clone(&faults)));
        let watched = Arc::new(Watched::default());
        let catalogue = Catalogue::new(store.clone(), MAX_AGE_S, watched.clone());
        Self { faults, store, watched, catalogue }
    }

    /// The digest of the bundle in use, `seconds` after the start.
    fn at(&self, seconds: u32) -> Option<Digest> {
        run(self.catalogue.current(at(seconds))).unwrap().ok().map(|bundle| bundle.digest())
    }

    /// The digest of the bundle under which `deploy` is found.
    fn looked_up(&self, seconds: u32) -> Option<Digest> {
        let id: EntitlementId = "deploy".parse().unwrap();
        let id = &id;
        let load = |bundle: Arc<InForce>| async move { Ok((bundle.digest(), bundle.listing(id).await?.unwrap())) };
        run(self.catalogue.still_using(at(seconds), load)).unwrap().ok().map(|(digest, _)| digest)
    }

    /// Publishes a bundle of which `part` does not match its digest.
    fn publish_altered(&self, name: &str, part: &str) -> Digest {
        let mut bad = bundle(name);
        bad.parts.get_mut(part).unwrap().push(' ');
        self.store.publish(bad.clone());
        bad.digest
    }

    fn n_calls(&self, ask: impl FnOnce()) -> u64 {
        let before = self.faults.n_calls();
        ask();
        self.faults.n_calls().checked_sub(before).unwrap()
    }
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

/// A bundle whose digest depends on `name`.
fn bundle(name: &str) -> BundleText {
    let index = Index {
        version: INDEX_VERSION,
        issuers: Vec::new(),
        identities: [].into(),
        class_limits: [].into(),
        steps: Vec::new(),
        n_buckets: 0,
        parts: [].into(),
    };
    let rules = Rules { policies: format!("// {name}"), ..Rules::default() };
    let entitlement: Entitlement = serde_json::from_value(json!({
        "id": "deploy", "owner": "dana", "description": "deploys", "max_term": 3600, "start_within_s": 600,
        "delivery": {"session": {"target": "deploy", "credential_s": 900, "iam_allowed": false}},
        "parameters": {}, "statements": [], "approval": {"count": 1, "within_s": 600},
    }))
    .unwrap();
    let listings = [(entitlement.id.clone(), Listing { entitlement, rules: rules.clone() })].into();
    BundleText::build(index, &listings, &rules, &[].into()).unwrap()
}

#[test]
fn new_bundle_takes_effect_at_once_and_a_known_one_is_not_read_again() {
    let stage = Stage::new();
    assert_eq!(stage.at(0), None);
    let (one, two) = (bundle("one"), bundle("two"));
    stage.store.publish(one.clone());
    assert_eq!(stage.n_calls(|| assert_eq!(stage.at(1), Some(one.digest))), 2); // the digest in force, and the index
    assert_eq!(stage.n_calls(|| assert_eq!(stage.at(2), Some(one.digest))), 1);
    // Another step of the same call rests on the same reading; another call reads again.
    assert_eq!(stage.n_calls(|| assert_eq!(stage.looked_up(2), Some(one.digest))), 1); // its bucket
    assert_eq!(stage.n_calls(|| assert_eq!(stage.looked_up(2), Some(one.digest))), 0);
    assert_eq!(stage.n_calls(|| assert_eq!(stage.at(2), Some(one.digest))), 1);
    assert_eq!(stage.n_calls(|| assert_eq!(stage.looked_up(3), Some(one.digest))), 1); // the digest alone
    stage.store.publish(two.clone());
    assert_eq!(stage.at(4), Some(two.digest));
    // Bundle one is in force again and still cached.
    stage.store.publish(one.clone());
    assert_eq!(stage.n_calls(|| assert_eq!(stage.looked_up(5), Some(one.digest))), 1);
    let lapses = stage.watched.take();
    assert_eq!(lapses.len(), 1, "{lapses:?}"); // the first call, before anything was published
}

#[test]
fn last_bundle_stands_in_for_a_bounded_time_when_the_current_digest_cannot_be_read() {
    for fault in [Fault::NotSent, Fault::AnswerLost, Fault::Refused] {
        let stage = Stage::new();
        let one = bundle("one");
        stage.store.publish(one.clone());
        assert_eq!(stage.looked_up(0), Some(one.digest));
        for (seconds, expected) in [(1, Some(one.digest)), (MAX_AGE_S, Some(one.digest)), (MAX_AGE_S + 1, None)] {
            stage.faults.plan(stage.faults.n_calls() + 1, fault);
            assert_eq!(stage.looked_up(seconds), expected, "{fault:?} {seconds}");
            let lapses = stage.watched.take();
            assert_eq!(lapses.iter().map(|(using, _)| *using).collect::<Vec<_>>(), [expected]);
        }
        assert_eq!(stage.faults.fired().len(), 3);
        // The next good reading ends the lapse.
        assert_eq!(stage.looked_up(MAX_AGE_S + 2), Some(one.digest));
        assert_eq!(stage.watched.take(), []);
    }
}

#[test]
fn last_good_bundle_stands_in_for_a_bounded_time_when_an_index_is_bad() {
    let mut missing = bundle("missing");
    missing.parts.remove(INDEX_PART);
    let mut old = bundle("old");
    let index = old.parts[INDEX_PART].replace(&format!("\"version\":{INDEX_VERSION}"), "\"version\":1");
    old.digest = Digest::of_bytes(index.as_bytes());
    old.parts.insert(INDEX_PART.to_owned(), index);
    for (bad, what) in [(None, "does not match its digest"), (Some(missing), "has no part"), (Some(old), "version 1")] {
        let stage = Stage::new();
        let one = bundle("one");
        stage.store.publish(one.clone());
        assert_eq!(stage.at(10), Some(one.digest));
        match bad {
            Some(bad) => stage.store.publish(bad),
            None => drop(stage.publish_altered("altered", INDEX_PART)),
        }
        for (seconds, expected) in [(11, Some(one.digest)), (10 + MAX_AGE_S, Some(one.digest)), (11 + MAX_AGE_S, None)]
        {
            assert_eq!(stage.looked_up(seconds), expected, "{what} {seconds}");
            let lapses = stage.watched.take();
            assert_eq!(lapses[0].0, expected);
            assert!(lapses[0].1.contains(what), "{lapses:?}");
        }
        // A good bundle ends the lapse at once.
        let two = bundle("two");
        stage.store.publish(two.clone());
        assert_eq!(stage.looked_up(12 + MAX_AGE_S), Some(two.digest));
    }
}

#[test]
fn bad_part_holds_back_only_requests_that_need_it() {
    let stage = Stage::new();
    let one = bundle("one");
    stage.store.publish(one.clone());
    assert_eq!(stage.at(0), Some(one.digest));
    let part = one.index().unwrap().bucket(&"deploy".parse().unwrap()).unwrap().0.to_owned();
    let bad = stage.publish_altered("two", &part);
    assert_eq!(stage.at(1), Some(bad));
    assert_eq!(stage.watched.take(), []);
    // The previous bundle's part is read only now; its bound counts from when that bundle was last in force.
    assert_eq!(stage.looked_up(1), Some(one.digest));
    assert_eq!(stage.looked_up(MAX_AGE_S), Some(one.digest));
    assert_eq!(stage.looked_up(MAX_AGE_S + 1), None);
    assert_eq!(stage.watched.take().len(), 3);
    assert_eq!(stage.at(MAX_AGE_S + 1), Some(bad));
    // The part is repaired.
    stage.store.publish(bundle("two"));
    assert_eq!(stage.looked_up(MAX_AGE_S + 2), Some(bad));
}

#[test]
fn long_superseded_bundle_does_not_return_after_a_failed_read() {
    let stage = Stage::new();
    stage.store.publish(bundle("one"));
    assert!(stage.looked_up(0).is_some());
    let two = bundle("two");
    stage.store.publish(two.clone());
    assert_eq!(stage.at(1), Some(two.digest));
    stage.faults.plan(stage.faults.n_calls() + 2, Fault::NotSent); // call 1 reads the digest in force, call 2 the bucket
    assert_eq!(stage.looked_up(MAX_AGE_S + 1), None);
    assert_eq!(stage.faults.fired().len(), 1);
    assert_eq!(stage.looked_up(MAX_AGE_S + 2), Some(two.digest));
}

#[test]
fn first_bundle_denies_until_its_bad_index_is_repaired() {
    let stage = Stage::new();
    let bad = stage.publish_altered("first", INDEX_PART);
    // There is no good bundle to fall back on.
    assert_eq!((stage.at(0), stage.looked_up(1)), (None, None));
    assert!(stage.watched.take().iter().all(|(using, what)| using.is_none() && what.contains(&bad.to_string())));
    stage.store.publish(bundle("first"));
    assert_eq!(stage.at(2), Some(bad));
}

#[test]
fn clock_that_goes_back_does_not_extend_the_stand_in() {
    let stage = Stage::new();
    stage.store.publish(bundle("one"));
    assert!(stage.at(100).is_some());
    stage.faults.plan(stage.faults.n_calls() + 1, Fault::NotSent);
    assert_eq!(stage.at(50), None);
}

#[test]
fn answer_with_another_bundle_is_refused() {
    struct Lying(BundleText, Digest);

    #[async_trait::async_trait]
    impl BundleSource for Lying {
        async fn current(&self) -> PortResult<Option<Digest>> {
            Ok(Some(self.1))
        }

        async fn bundle(&self, _: Digest, _: Option<&[&str]>) -> PortResult<BundleText> {
            Ok(self.0.clone())
        }
    }

    let good = bundle("good");
    let read = |text: &BundleText, named| {
        let source = Arc::new(Lying(text.clone(), named));
        let catalogue = Catalogue::new(source, MAX_AGE_S, Arc::new(Watched::default()));
        run(catalogue.using(at(0), |bundle| async move { bundle.rules().await })).unwrap()
    };
    assert!(read(&good, good.digest).is_ok());
    assert!(read(&good, bundle("other").digest).is_err());
    let mut altered = good.clone();
    altered.parts.get_mut(RULES_PART).unwrap().push(' ');
    assert!(read(&altered, good.digest).is_err());
}
