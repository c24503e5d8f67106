//! Random inputs: an entitlement, and texts for its parameters.

use std::collections::{BTreeMap, BTreeSet};

use brevet_chance::Chance;
use brevet_domain::entitlement::{Approval, Conditions, Delivery, Entitlement, Holder, Parameter, Statement};
use brevet_domain::identity::IdentityClass;
use serde_json::json;

use super::Rendering;
use crate::mutate;
use crate::target::error_text;

/// A pattern, with a hand-written equivalent.
type Meaning = (&'static str, fn(&str) -> bool);

/// The patterns of generated parameters.
pub(super) const PATTERNS: [Meaning; 6] = [
    (".+", |_| true),
    (".*", |_| true),
    (r"v[0-9]+\.[0-9]+\.[0-9]+", |text| {
        let numbers: Vec<_> = text.strip_prefix('v').unwrap_or("").split('.').collect();
        numbers.len() == 3 && numbers.iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    }),
    ("[a-z0-9-]{1,40}(/[a-z0-9-]{1,40})?", |text| {
        let parts: Vec<_> = text.split('/').collect();
        let part = |part: &&str| {
            (1..=40).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        parts.len() <= 2 && parts.iter().all(part)
    }),
    ("a|bc|v1", |text| ["a", "bc", "v1"].contains(&text)),
    ("prod/[^/]+", |text| text.strip_prefix("prod/").is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))),
];

/// The classes of requesters.
pub(super) const CLASSES: [IdentityClass; 4] =
    [IdentityClass::Human, IdentityClass::Pipeline, IdentityClass::Workload, IdentityClass::Agent];

const VALUES: [&str; 24] = [
    "v1.2.3",
    "shop/db",
    "a",
    "bc",
    "prod/x",
    "2026-11-22",
    "*",
    "?",
    "a*",
    "${account}",
    "${aws:username}",
    "$",
    "{",
    "\"",
    "\",\"*",
    "\\u002a",
    "\\",
    "\n",
    "../..",
    "/",
    ":",
    "arn:aws:s3:::other/*",
    "é",
    "\u{ff0a}",
];

const ACTIONS: [&str; 14] = [
    "s3:GetObject",
    "s3:PutObject",
    "dynamodb:GetItem",
    "secretsmanager:GetSecretValue",
    "s3:*",
    "s3:Get*",
    "*",
    "iam:PassRole",
    "IAM:*",
    "sts:AssumeRole",
    "i?m:Get",
    "kms:Decrypt",
    "ec2:StartInstances",
    "STS:*",
];

const PIECES: [&str; 18] = [
    "arn:${partition}:s3:::bucket/",
    "arn:${partition}:dynamodb:${region}:${account}:table/",
    "${a}",
    "${b}",
    "${a}",
    "${b}",
    "/",
    "*",
    "?",
    "-??????",
    "$",
    "{",
    "}",
    "\"",
    "\\",
    "${c}",
    "${",
    "prefix-",
];

const OPERATORS: [&str; 8] = [
    "StringEquals",
    "StringLike",
    "ForAllValues:StringEquals",
    "DateLessThan",
    "dateLESSthan",
    "DateGreaterThanEquals",
    "NumericLessThan",
    "Bool",
];

const KEYS: [&str; 7] = [
    "s3:prefix",
    "dynamodb:LeadingKeys",
    "aws:CurrentTime",
    "AWS:currenttime",
    "aws:EpochTime",
    "aws:PrincipalTag/x",
    "aws:TokenIssueTime",
];

impl Rendering {
    /// An entitlement of the example catalogue, or a generated one.
    pub(super) fn entitlement(&self, chance: &mut Chance) -> Result<Entitlement, String> {
        let mut entitlement = chance.pick(&self.entitlements).clone();
        if chance.one_in(4) {
            return Ok(entitlement);
        }
        let holder =
            if chance.one_in(4) { Holder::Single("somebody".parse().map_err(error_text)?) } else { Holder::Shared };
        let principals = [
            "arn:${partition}:iam::${account}:role/brevet/${deployment}/attachment/brevet-${deployment}-x",
            "arn:${partition}:iam::${account}:role/app",
            "arn:${partition}:iam::${account}:role/brevet/other/attachment/x",
            "arn:${partition}:iam::${account}:role/brevet/${deployment}/session/x",
            "arn:${partition}:iam::${account}:role/${a}",
        ];
        let principal_arn = if chance.one_in(4) { *chance.pick(&principals) } else { principals[0] }.to_owned();
        entitlement.delivery = match chance.below(5) {
            0..=2 => Delivery::Session {
                target: "orders".parse().map_err(error_text)?,
                credential_s: 900 + chance.below(2701) as u32,
                iam_allowed: chance.one_in(8),
            },
            3 => Delivery::Inline { principal_arn, holder },
            _ => Delivery::Managed { principal_arn, policy: "x-y".parse().map_err(error_text)?, holder },
        };
        entitlement.approval = Approval::by(1, 600);
        entitlement.parameters =
            BTreeMap::from([("a".to_owned(), parameter(chance)?), ("b".to_owned(), parameter(chance)?)]);
        // A few contain a placeholder that cannot be filled.
        let pieces = if chance.one_in(8) { &PIECES[..] } else { &PIECES[..15] };
        let actions = if chance.one_in(3) { &ACTIONS[..] } else { &ACTIONS[..6] };
        let text = |chance: &mut Chance| (0..=chance.below(5)).map(|_| *chance.pick(pieces)).collect::<String>();
        let texts = |chance: &mut Chance| (0..=chance.below(2)).map(|_| text(chance)).collect::<Vec<_>>();
        entitlement.statements = (0..=chance.below(3))
            .map(|_| {
                let mut conditions = Conditions::new();
                while chance.one_in(3) {
                    let operator =
                        if chance.one_in(4) { *chance.pick(&OPERATORS) } else { *chance.pick(&OPERATORS[..3]) };
                    let key = if chance.one_in(6) { *chance.pick(&KEYS) } else { *chance.pick(&KEYS[..2]) };
                    conditions.entry(operator.to_owned()).or_default().insert(key.to_owned(), texts(chance));
                }
                Statement {
                    actions: (0..=chance.below(2)).map(|_| (*chance.pick(actions)).to_owned()).collect(),
                    resources: texts(chance),
                    conditions,
                }
            })
            .collect();
        Ok(entitlement)
    }
}

/// A parameter of a random type.
fn parameter(chance: &mut Chance) -> Result<Parameter, String> {
    let day =
        |chance: &mut Chance| chance.pick(&["2026-01-01", "2026-11-22", "2027-12-31"]).parse().map_err(error_text);
    Ok(match chance.below(6) {
        0 => {
            let min = chance.below(20) as i64 - 10;
            Parameter::Integer { min, max: min + chance.below(120) as i64 }
        }
        1 => {
            let values: BTreeSet<_> =
                (0..=chance.below(3)).map(|_| *chance.pick(&["a", "bc", "v1.2.3", "prod/x"])).collect();
            Parameter::Enum { values: serde_json::from_value(json!(values)).map_err(error_text)? }
        }
        2 => Parameter::Date {
            min: if chance.one_in(2) { Some(day(chance)?) } else { None },
            max: if chance.one_in(2) { Some(day(chance)?) } else { None },
        },
        _ => Parameter::Text {
            pattern: chance.pick(&PATTERNS).0.to_owned(),
            max_length: *chance.pick(&[256, 256, 16, 1]),
        },
    })
}

/// Any text that a requester might send as a parameter.
pub(super) fn value(chance: &mut Chance) -> String {
    const SAFE: [char; 12] = ['a', 'z', 'A', '0', '9', '_', '.', ':', '/', '=', '+', '-'];
    match chance.below(10) {
        0 => {
            let start = *chance.pick(&VALUES);
            mutate::text(chance, start, &[], &VALUES)
        }
        1 => (*chance.pick(&VALUES)).to_owned(),
        2 => format!("v{}.{}.{}", chance.below(9), chance.below(99), chance.below(9)),
        3 => format!("prod/{}", chance.text(&['a', '-', '0', '@', ','], 6)),
        4 => (0..=chance.below(2)).map(|_| chance.text(&['a', 'z', '0', '-'], 12)).collect::<Vec<_>>().join("/"),
        5 => chance.text(&(' '..='~').collect::<Vec<_>>(), 4),
        6 => chance.text(&SAFE, 270),
        7 => format!("{}{}", chance.pick(&["", "", "-", "+", "0"]), chance.below(140)),
        8 => format!("202{}-{:02}-{:02}", 5 + chance.below(4), chance.below(14), chance.below(33)),
        _ => chance.text(&SAFE, 12),
    }
}
