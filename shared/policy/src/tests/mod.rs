//! Helpers: the example catalogue, callers, and bundles with policies that the compiler would refuse.

mod behalf;
pub(crate) mod broken;
mod decisions;
mod drawn;
mod duties;
mod faults;
mod forbids;
mod limits;
mod nearest;
mod offers;
mod removed;
mod revoking;
mod votes;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use brevet_domain::bundle::{BundleText, INDEX_PART, Listing, RULES_PART, Rules};
use brevet_domain::canonical::Digest;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::{AuthContext, Caller, ProofSummary};
use brevet_domain::request::Request;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use proptest::test_runner::{Config as ProptestConfig, RngSeed, TestRunner};
use serde_json::json;

use crate::Bundle;
use crate::catalogue::{Sources, compile, compile_unchecked};

/// The most rounds of cases that a property test draws until it has seen every kind of case.
const MAX_ROUNDS: u64 = 10;

/// A runner for each round. A runner that has run its cases runs no more, and a fixed seed would repeat them.
fn rounds(cases: u32) -> impl Iterator<Item = TestRunner> {
    (0..MAX_ROUNDS).map(move |round| {
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let rng_seed = match config.rng_seed {
            RngSeed::Fixed(seed) => RngSeed::Fixed(seed.wrapping_add(round)),
            RngSeed::Random => RngSeed::Random,
        };
        TestRunner::new(ProptestConfig { rng_seed, ..config })
    })
}

/// 2026-11-22T14:00:00Z.
const NOW: i64 = 1_795_356_000;

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

pub(crate) fn example() -> Sources {
    let dir = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../infra/catalogue");
    Sources::read(&dir).unwrap()
}

/// The bundle of the example. A test in [`broken`] checks that the compiler gives the same one.
fn example_text() -> BundleText {
    static TEXT: OnceLock<BundleText> = OnceLock::new();
    TEXT.get_or_init(|| compile_unchecked(&example())).clone()
}

pub(crate) fn example_bundle() -> Bundle {
    Bundle::load(&example_text()).unwrap()
}

/// The example's identities and entitlements under `policies` alone, without the compiler's checks.
fn text_with(policies: &str) -> BundleText {
    text_of(policies, |_| {})
}

/// The same as [`text_with`], with changed listings.
fn text_of(policies: &str, change: impl FnOnce(&mut BTreeMap<EntitlementId, Listing>)) -> BundleText {
    let text = example_text();
    let index = text.index().unwrap();
    let mut listings = text.listings(&index).unwrap();
    for listing in listings.values_mut() {
        listing.rules = Rules::default();
    }
    change(&mut listings);
    let rules = Rules { policies: policies.to_owned(), mentions: BTreeMap::new() };
    BundleText::build(index, &listings, &rules, &[].into()).unwrap()
}

pub(crate) fn bundle_with(policies: &str) -> Bundle {
    Bundle::load(&text_with(policies)).unwrap()
}

fn deployment() -> Deployment {
    serde_json::from_value(json!({
        "id": "dev", "account": "000000000000", "partition": "aws", "region": "us-east-1",
    }))
    .unwrap()
}

fn caller(bundle: &Bundle, id: &str, task: Option<&str>) -> Caller {
    let identity = bundle.index().identities[&id.parse().unwrap()].clone();
    Caller {
        proof: ProofSummary::Token {
            issuer: identity.proofs[0].issuer.clone(),
            subject: id.to_owned(),
            token_digest: Digest::ZERO,
            issued_at: now(),
            expires_at: now().plus(300),
            auth: AuthContext::default(),
        },
        identity,
        task: task.map(|task| task.to_owned().try_into().unwrap()),
    }
}

/// A request that fits `entitlement` of the example.
fn request(entitlement: &str, term_s: u32, ticket: Option<&str>) -> Request {
    let parameters = match entitlement {
        "deploy-release" => json!({ "version": "v1.2.3" }),
        "read-secret" | "rescue-secret" => json!({ "secret": "shop/db" }),
        "legacy-batch" => json!({ "run": "2026-11-22" }),
        "read-shop-orders" => json!({ "shop": "north", "day": "2026-11-21", "part": "7" }),
        _ => json!({}),
    };
    let mut ask = json!({ "entitlement": entitlement, "term_s": term_s, "parameters": parameters });
    if let Some(ticket) = ticket {
        ask["ticket"] = json!(ticket);
    }
    if matches!(entitlement, "read-shop-orders" | "rescue-secret") {
        ask["justification"] = json!("a customer complains");
    }
    Request {
        id: "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        ask: serde_json::from_value(ask).unwrap(),
        asked_at: now(),
        decide_by: now().plus(60),
    }
}

/// Compares `actual` with a golden file, and prints the new file if they differ.
pub(crate) fn assert_golden(actual: &str, golden: &str, name: &str) {
    let differs = actual.lines().zip(golden.lines()).find(|(actual, golden)| actual != golden);
    assert!(actual == golden, "`{name}` differs first at {differs:?}; now it would be:\n{actual}");
}
