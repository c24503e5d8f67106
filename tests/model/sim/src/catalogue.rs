//! The simulated catalogue: people, entitlements, and the bundles that name them.

use std::collections::BTreeMap;

use brevet_domain::bundle::{BundleText, Schedules};
use brevet_domain::entitlement::{BreakGlass, Entitlement, Rotation};
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_engine::fake::bundle_of;
use serde_json::{Value, json};

/// The role that carries the inline and managed policies.
pub const BATCH: &str = "arn:aws:iam::000000000000:role/legacy/batch";
/// The entitlements for machines: a session, a session with IAM rights, an inline policy, a managed policy, and a
/// session whose secret is rotated.
pub const ENTITLEMENTS: [&str; 5] = ["deploy", "glass", "batch", "sync", "vault"];
/// The secret that `vault` lets its holder read, and the number of rotations at its end.
pub const SECRET: (&str, u8) = ("arn:aws:secretsmanager:us-east-1:000000000000:secret:payments/db-??????", 2);
/// A break-glass session, which people get without approval.
pub const RESCUE: &str = "rescue";
/// A session that needs two approvals, one after the other.
pub const PAIR: &str = "pair";
/// The most renewals in a row.
pub const MAX_RENEWALS: u32 = 1;
/// The length of a schedule's window, in seconds. Windows open on the hour.
pub const WINDOW_S: u32 = 300;
/// The time between the openings of one schedule's windows, in seconds.
pub const WINDOW_EVERY_S: u32 = 3_600;
/// The requesters.
pub const ASKERS: [&str; 3] = ["bot", "robot", "agent"];
/// The approvers.
pub const APPROVERS: [&str; 2] = ["omar", "lea"];

/// The term of each entitlement, in seconds. Each has one fixed term, so that the latest end follows from what AWS
/// shows.
#[must_use]
pub fn term_s(entitlement: &str) -> u32 {
    match entitlement {
        "deploy" => 300,
        "glass" | "vault" | RESCUE | PAIR => 60,
        "batch" => 100,
        _ => 80,
    }
}

/// Every identity that can be registered.
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

/// Every entitlement that can be listed.
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
    let glass = BreakGlass { reviewer, heartbeat_max_age_s: None, while_overdue: false };
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

/// An identity or entitlement that is removed from the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaver {
    /// An identity or a sponsor, by name.
    Person(&'static str),
    Entitlement(&'static str),
}

/// The catalogue without `leaver`: registered identities, listed entitlements, and the bundle.
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

/// The number of approvals that this class needs for the entitlement; `None` if policy denies it.
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

/// The hourly schedules of the catalogue: an inline policy for one pipeline, a session for another.
#[must_use]
pub fn schedules() -> Schedules {
    schedules_at("0 * * * *")
}

/// The same schedules with another cron expression.
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
