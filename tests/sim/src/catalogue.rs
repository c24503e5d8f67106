//! Who and what there is: people, entitlements, and the bundles that name them.

use std::collections::BTreeMap;

use brevet_domain::bundle::{BundleText, INDEX_VERSION, Index, Listing, Rules};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::identity::{Identity, IdentityClass};
use serde_json::{Value, json};

/// The role that inline and managed policies are attached to.
pub const BATCH: &str = "arn:aws:iam::000000000000:role/legacy/batch";
/// The secret that whoever holds `deploy` could read; two users of it take turns.
pub const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-??????";
/// What can be asked for: a session, a session that may touch IAM, an inline policy, a managed policy.
pub const ENTITLEMENTS: [&str; 4] = ["deploy", "glass", "batch", "sync"];
/// Who asks.
pub const ASKERS: [&str; 3] = ["bot", "robot", "agent"];
/// Who approves.
pub const APPROVERS: [&str; 2] = ["omar", "lea"];

/// For how long each entitlement is granted, in seconds. One term each, so that what AWS shows tells the bound.
#[must_use]
pub fn term_s(entitlement: &str) -> u32 {
    match entitlement {
        "deploy" => 300,
        "glass" => 60,
        "batch" => 100,
        _ => 80,
    }
}

/// Everybody who can be registered.
#[must_use]
pub fn people() -> BTreeMap<String, Identity> {
    let person = |id: &str, class: &str, owner: &str| {
        let identity = json!({ "id": id, "class": class, "owner": owner, "proofs": [] });
        (id.to_owned(), read::<Identity>(identity))
    };
    BTreeMap::from([
        person("bot", "pipeline", "dana"),
        person("robot", "pipeline", "lea"),
        person("agent", "agent", "dana"),
        person("dana", "human", "dana"),
        person("omar", "human", "omar"),
        person("lea", "human", "lea"),
    ])
}

/// Everything that can be listed.
#[must_use]
pub fn entitlements() -> Vec<Entitlement> {
    let session = |iam_allowed: bool, target: &str| json!({ "session": { "target": target, "credential_s": 900, "iam_allowed": iam_allowed } });
    let named = |id: &str, delivery: Value, rotate: Value| {
        read::<Entitlement>(json!({
            "id": id, "owner": "dana", "description": "one of the simulation", "delivery": delivery, "max_term": 3600,
            "start_within_s": 120, "parameters": {}, "rotate": rotate, "approval": { "count": 1, "within_s": 120 },
            "statements": [{ "actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::artifacts/*"] }],
        }))
    };
    vec![
        named("deploy", session(false, "deploy"), json!([{ "secret": SECRET, "times": 2 }])),
        named("glass", session(true, "glass"), json!([])),
        named("batch", json!({ "inline": { "principal_arn": BATCH, "holder": "shared" } }), json!([])),
        named(
            "sync",
            json!({ "managed": { "principal_arn": BATCH, "policy": "sync", "holder": "shared" } }),
            json!([]),
        ),
    ]
}

/// Whoever or whatever leaves a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaver {
    /// An identity or a sponsor, by its name.
    Person(&'static str),
    /// An entitlement.
    Entitlement(&'static str),
}

/// The catalogue without `leaver`: who is registered, what is listed, and the bundle that says so.
#[must_use]
pub fn without(leaver: Option<Leaver>) -> (BTreeMap<String, Identity>, Vec<Entitlement>, BundleText) {
    let (mut people, mut listed) = (people(), entitlements());
    match leaver {
        Some(Leaver::Person(id)) => drop(people.remove(id)),
        Some(Leaver::Entitlement(id)) => listed.retain(|one| one.id.as_str() != id),
        None => {}
    }
    let index = Index {
        version: INDEX_VERSION,
        issuers: Vec::new(),
        identities: people.values().map(|identity| (identity.id.clone(), identity.clone())).collect(),
        lanes: BTreeMap::new(),
        steps: Vec::new(),
        n_buckets: 0,
        parts: BTreeMap::new(),
    };
    let listing = |one: &Entitlement| (one.id.clone(), Listing { entitlement: one.clone(), rules: Rules::default() });
    let listings = listed.iter().map(listing).collect();
    let text = BundleText::build(index, &listings, &Rules::default(), &[].into()).expect("a bundle of the simulation");
    (people, listed, text)
}

/// Whether policy lets this class have it without a person; nothing if it never may.
#[must_use]
pub fn needs_vote(class: IdentityClass) -> Option<bool> {
    match class {
        IdentityClass::Pipeline => Some(false),
        IdentityClass::Agent => Some(true),
        IdentityClass::Human | IdentityClass::Workload => None,
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a form of the domain")
}
