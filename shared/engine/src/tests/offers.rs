//! The list of requestable entitlements: complete, without repeats, and bounded per call.

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::class_limits::ClassLimits;
use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::{Caller, IdentityClass};
use brevet_domain::offer::{Offer, OfferOption};
use brevet_domain::time::{Term, Timestamp};

use super::world::{World, entitlement, people, proof, publish_with};
use crate::catalogue::{Catalogue, InForce};
use crate::evaluate::offers::{MAX_BUCKETS, MAX_JUDGED, OfferJudge, OfferPage, Offers};
use crate::fake::{Fault, Watched, run};
use crate::port::{Clock, PortError, PortResult};
use crate::refusal::{Refusal, RefusalKind};

/// Offers every tenth entitlement. An entitlement whose id ends in `bad` cannot be judged.
struct Tenths;

#[async_trait]
impl OfferJudge for Tenths {
    async fn offer(&self, _: &Caller, _: &InForce, id: &EntitlementId, _: Timestamp) -> PortResult<Option<Offer>> {
        if id.as_str().ends_with("bad") {
            return Err(PortError::Unreadable { operation: "bundle:Load", what: "no Cedar".to_owned() });
        }
        let option = OfferOption { needs_ticket: false, max_term: Term::SHORTEST, outcome: Outcome::Allow };
        let entitlement = Entitlement { id: id.clone(), ..entitlement() };
        let class_limits = ClassLimits::built_in(IdentityClass::Pipeline);
        Ok(id.as_str().ends_with('0').then(|| Offer { entitlement, options: vec![option], class_limits }))
    }
}

/// Publishes a catalogue of the entitlements `names`.
fn offers(world: &World, names: impl Iterator<Item = String>) -> Offers {
    // Long enough to spread the entitlements over many buckets.
    let description = "d".repeat(1_000);
    let named =
        |name: String| Entitlement { id: name.parse().unwrap(), description: description.clone(), ..entitlement() };
    publish_with(&world.store, &people(), names.map(named).collect());
    world.clock.advance(1);
    let catalogue = Catalogue::new(world.store.clone(), 900, Arc::new(Watched::default()));
    Offers { proofs: world.proofs.clone(), catalogue: Arc::new(catalogue), judge: Arc::new(Tenths) }
}

fn list(world: &World, offers: &Offers, cursor: Option<&str>, limit: u32) -> Result<OfferPage, Refusal> {
    run(offers.list(&proof("bot ask run-1"), cursor, limit, world.clock.now())).unwrap()
}

#[test]
fn offers_are_listed_once_each_within_the_bound_of_every_call() {
    let world = World::new();
    let offers = offers(&world, (0..3_000).map(|n| format!("thing-{n:04}")));
    let (mut listed, mut cursor, mut n_calls) = (Vec::new(), None::<String>, 0);
    loop {
        let before = world.faults.n_calls();
        let page = list(&world, &offers, cursor.as_deref(), 7).unwrap();
        let n_reads = world.faults.n_calls() - before;
        // One read of the digest in force and, once, of the index.
        assert!(n_reads <= 2 + u64::try_from(MAX_BUCKETS).unwrap(), "{n_reads}");
        assert!(page.offers.len() <= 7);
        listed.extend(page.offers.into_iter().map(|offer| offer.entitlement.id.to_string()));
        n_calls += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!((3_000 / MAX_JUDGED..100).contains(&n_calls), "{n_calls}");
    listed.sort();
    let expected: Vec<_> = (0..300).map(|n| format!("thing-{:04}", n * 10)).collect();
    assert_eq!(listed, expected);
}

#[test]
fn offer_that_cannot_be_judged_is_omitted_alone() {
    let world = World::new();
    let names = ["one-0", "two-bad", "three-0", "four-1"].map(str::to_owned);
    let page = list(&world, &offers(&world, names.into_iter()), None, 25).unwrap();
    let mut listed: Vec<_> = page.offers.iter().map(|offer| offer.entitlement.id.as_str()).collect();
    listed.sort_unstable();
    assert_eq!((listed, page.next), (vec!["one-0", "three-0"], None));
}

#[test]
fn offer_cursor_is_refused_when_invalid_or_from_another_catalogue() {
    let world = World::new();
    let first = offers(&world, (0..100).map(|n| format!("thing-{n:02}")));
    let next = list(&world, &first, None, 1).unwrap().next.unwrap();
    assert!(list(&world, &first, Some(&next), 1).is_ok());
    let code = |offers: &Offers, cursor: &str| list(&world, offers, Some(cursor), 1).unwrap_err().code.into_owned();
    for bad in
        ["", "x", "..", "0123456789abcdef", "0123456789abcdef.x.", "zz23456789abcdef.0.", "0123456789abcdef.0.A*"]
    {
        assert_eq!(code(&first, bad), "cursor", "{bad}");
    }
    let other = offers(&world, (0..100).map(|n| format!("other-{n:02}")));
    assert_eq!(code(&other, &next), "catalogue_changed");
    // A position past the end lists nothing.
    let next = list(&world, &other, None, 1).unwrap().next.unwrap();
    let beyond = format!("{}.999.", next.split('.').next().unwrap());
    assert_eq!(list(&world, &other, Some(&beyond), 1).unwrap().next, None);
}

#[test]
fn offer_list_is_unavailable_when_the_bundle_cannot_be_read() {
    let world = World::new();
    let offers = offers(&world, ["one-0".to_owned()].into_iter());
    for call in ["current", "bundle"] {
        world.clock.advance(1_000);
        let fired = world.faults.fired().len();
        world.faults.plan_next(call, Fault::NotSent);
        let refusal = list(&world, &offers, None, 25).unwrap_err();
        assert_eq!((refusal.kind, world.faults.fired().len()), (RefusalKind::Unavailable, fired + 1), "{call}");
    }
    let refused = run(offers.list(&proof("bot credentials"), None, 25, world.clock.now())).unwrap().unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Unauthenticated);
}
