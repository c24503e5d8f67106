//! The identities and entitlements of the test world.

use std::collections::BTreeMap;

use brevet_domain::canonical::Digest;
use brevet_domain::entitlement::{
    Approval, Delivery, Entitlement, Holder, JustificationRule, Parameter, Risk, Statement, TicketRule,
};
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_domain::request::Ask;
use brevet_domain::time::Term;

use super::TERM_S;
use crate::fake::{MemoryStore, bundle_of};
use crate::port::RawProof;

fn identity(id: &str, class: IdentityClass, owner: &str) -> (String, Identity) {
    let identity = Identity {
        id: id.parse().unwrap(),
        class,
        owner: owner.parse().unwrap(),
        teams: std::collections::BTreeSet::new(),
        proofs: Vec::new(),
    };
    (id.to_owned(), identity)
}

/// All registered identities.
pub(in crate::tests) fn people() -> BTreeMap<String, Identity> {
    BTreeMap::from([
        identity("bot", IdentityClass::Pipeline, "dana"),
        identity("agent", IdentityClass::Agent, "dana"),
        identity("ci", IdentityClass::Pipeline, "omar"),
        identity("dana", IdentityClass::Human, "dana"),
        identity("omar", IdentityClass::Human, "omar"),
        identity("lea", IdentityClass::Human, "lea"),
    ])
}

pub(in crate::tests) fn entitlement() -> Entitlement {
    Entitlement {
        id: "deploy".parse().unwrap(),
        owner: "dana".parse().unwrap(),
        description: "deploys one version".to_owned(),
        delivery: Delivery::Session { target: "deploy".parse().unwrap(), credential_s: 900, iam_allowed: false },
        max_term: Term::from_seconds(3600).unwrap(),
        max_term_of: BTreeMap::new(),
        risk: Risk::Medium,
        environment: None,
        start_within_s: 600,
        parameters: BTreeMap::from([(
            "version".to_owned(),
            Parameter::Text { pattern: "v[0-9]+".to_owned(), max_length: 8 },
        )]),
        statements: vec![Statement {
            actions: vec!["s3:PutObject".to_owned()],
            resources: vec!["arn:${partition}:s3:::artifacts/${version}/*".to_owned()],
            conditions: BTreeMap::new(),
        }],
        approval: Approval::by(1, 600),
        ticket: TicketRule::default(),
        justification: JustificationRule::default(),
        rotate: Vec::new(),
        break_glass: None,
        canary: false,
        outlives: Vec::new(),
        conflicts: BTreeMap::new(),
    }
}

/// The role of the legacy batch job.
pub(in crate::tests) const BATCH: &str = "arn:aws:iam::000000000000:role/legacy/batch";

/// One entitlement for each delivery: session, inline and managed.
pub(in crate::tests) fn entitlements() -> Vec<Entitlement> {
    let principal_arn = BATCH.to_owned();
    let inline = Delivery::Inline { principal_arn: principal_arn.clone(), holder: Holder::Shared };
    let managed = Delivery::Managed { principal_arn, policy: "sync".parse().unwrap(), holder: Holder::Shared };
    let named = |id: &str, delivery| Entitlement { id: id.parse().unwrap(), delivery, ..entitlement() };
    vec![entitlement(), named("batch", inline), named("sync", managed)]
}

pub(in crate::tests) fn ask() -> Ask {
    ask_for("deploy")
}

pub(in crate::tests) fn ask_for(entitlement: &str) -> Ask {
    serde_json::from_value(serde_json::json!({
        "entitlement": entitlement, "parameters": { "version": "v1" }, "term_s": TERM_S,
    }))
    .unwrap()
}

pub(in crate::tests) fn proof(text: &str) -> RawProof {
    RawProof::new(text)
}

pub(in crate::tests) fn publish(store: &MemoryStore, people: &BTreeMap<String, Identity>) -> Digest {
    publish_with(store, people, entitlements())
}

/// Publishes a bundle with these entitlements only.
pub(in crate::tests) fn publish_with(
    store: &MemoryStore,
    people: &BTreeMap<String, Identity>,
    entitlements: Vec<Entitlement>,
) -> Digest {
    let text = bundle_of(people.values(), &entitlements);
    let digest = text.digest;
    store.publish(text);
    digest
}
