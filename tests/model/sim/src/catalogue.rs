//! Who and what there is: people, entitlements, and the bundles that name them.

use std::collections::BTreeMap;

use brevet_domain::bundle::{BundleText, Schedules};
use brevet_domain::entitlement::{BreakGlass, Entitlement, Rotation};
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_engine::fake::bundle_of;
use serde_json::{Value, json};

/// The role that inline and managed policies are attached to.
pub const BATCH: &str = "arn:aws:iam::000000000000:role/legacy/batch";
/// What machines ask for: a session, a session that may touch IAM, an inline policy, a managed policy.
pub const ENTITLEMENTS: [&str; 5] = ["deploy", "glass", "batch", "sync", "vault"];
/// The secret that `vault` lets its holder read, and how often it is rotated at the end.
pub const SECRET: (&str, u8) = ("arn:aws:secretsmanager:us-east-1:000000000000:secret:payments/db-??????", 2);
/// A session for emergencies, which people get at once.
pub const RESCUE: &str = "rescue";
/// A session that two people say yes to, one after the other.
pub const PAIR: &str = "pair";
/// How often in a row anything may be renewed.
pub const MAX_RENEWALS: u32 = 1;
/// How long the windows of schedules are open, in seconds. They open on the hour.
pub const WINDOW_S: u32 = 300;
/// How far apart the windows of one schedule open, in seconds.
pub const WINDOW_EVERY_S: u32 = 3_600;
/// Who asks.
pub const ASKERS: [&str; 3] = ["bot", "robot", "agent"];
/// Who approves.
pub const APPROVERS: [&str; 2] = ["omar", "lea"];

/// For how long each entitlement is granted, in seconds. One term each, so that what AWS shows tells the bound.
#[must_use]
pub fn term_s(entitlement: &str) -> u32 {
    match entitlement {
        "deploy" => 300,
        "glass" | "vault" | RESCUE | PAIR => 60,
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
    let named = |id: &str, delivery: Value| {
        read::<Entitlement>(json!({
            "id": id, "owner": "dana", "description": "one of the simulation", "delivery": delivery, "max_term": 3600,
            "start_within_s": 120, "parameters": {}, "approval": { "count": 1, "within_s": 120 },
            "statements": [{ "actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::artifacts/*"] }],
        }))
    };
    let (secret, times) = SECRET;
    let rotate = vec![Rotation { secret: secret.to_owned(), times }];
    let vault = Entitlement { rotate, ..named("vault", session(false, "deploy")) };
    let reviewer = "lea".parse().expect("a name");
    let glass = BreakGlass { reviewer, heart_max_age_s: None, while_overdue: false };
    let rescue = Entitlement { break_glass: Some(glass), ..named(RESCUE, session(false, "deploy")) };
    vec![
        named("deploy", session(false, "deploy")),
        named("glass", session(true, "glass")),
        vault,
        rescue,
        named(PAIR, session(false, "deploy")),
        named("batch", json!({ "inline": { "principal_arn": BATCH, "holder": "shared" } })),
        named("sync", json!({ "managed": { "principal_arn": BATCH, "policy": "sync", "holder": "shared" } })),
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
    let text = bundle_of(people.values(), &listed);
    (people, listed, text)
}

/// How many people must say yes before this class has it; nothing if it never may.
#[must_use]
pub fn needs_votes(class: IdentityClass, entitlement: &str) -> Option<usize> {
    match class {
        IdentityClass::Human if entitlement == RESCUE => Some(0),
        IdentityClass::Pipeline | IdentityClass::Agent if entitlement == RESCUE => None,
        IdentityClass::Pipeline => Some(0),
        IdentityClass::Agent | IdentityClass::Human => Some(if entitlement == PAIR { 2 } else { 1 }),
        IdentityClass::Workload => None,
    }
}

/// What the catalogue itself asks for, every hour: an inline policy for one pipeline, a session for another.
#[must_use]
pub fn schedules() -> Schedules {
    schedules_at("0 * * * *")
}

/// The same, at other instants.
#[must_use]
pub fn schedules_at(cron: &str) -> Schedules {
    let named = |id: &str, identity: &str, entitlement: &str| {
        let schedule = json!({
            "id": id, "owner": "dana", "description": "every hour", "identity": identity, "cron": cron,
            "ask": { "entitlement": entitlement, "parameters": {}, "term_s": term_s(entitlement) },
            "window_s": WINDOW_S,
        });
        let schedule: brevet_domain::schedule::Schedule = read(schedule);
        (schedule.id.clone(), schedule)
    };
    Schedules::from([named("night", "bot", "batch"), named("dawn", "robot", "deploy")])
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a form of the domain")
}
