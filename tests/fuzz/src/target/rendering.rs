//! Rendering: whatever the parameters, what AWS is asked for grants no more than its entitlement.
//!
//! The policy is read here as JSON and compared with the entitlement, text by text, without the code that wrote it.

use std::collections::{BTreeMap, BTreeSet};

use brevet_chance::Chance;
use brevet_domain::entitlement::{
    Approval, Conditions, Delivery, Entitlement, Holder, Parameter, ParameterValue, Statement,
};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{IdentityClass, Task};
use brevet_domain::plan::{AttachmentPlan, MAX_SESSION_POLICY, MIN_CREDENTIAL_S, PlanTemplate};
use brevet_domain::settings::Deployment;
use brevet_domain::time::{Term, Timestamp};
use serde_json::{Value, json};
use ulid::Ulid;

use super::{catalogue, must, oracle, told};
use crate::harness::{Target, Verdict, Worker};
use crate::mutate;

/// The target.
pub(crate) const TARGET: Target = Target {
    name: "rendering",
    holds: "whatever the parameters, a rendered policy grants no more than its entitlement, and not for longer",
    full: 3_000_000,
    short: 8_000,
    reaches: &["session", "inline", "managed", "no value", "unfit", "not rendered"],
    start: || Ok(Box::new(Rendering::new()?)),
};

struct Rendering {
    deployment: Deployment,
    entitlements: Vec<Entitlement>,
}

/// A pattern, and what it means, said again by hand.
type Meaning = (&'static str, fn(&str) -> bool);

const PATTERNS: [Meaning; 6] = [
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

const CLASSES: [IdentityClass; 4] =
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
    fn new() -> Result<Self, String> {
        let deployment = json!({"id": "dev", "account": "000000000000", "partition": "aws", "region": "us-east-1"});
        Ok(Self {
            deployment: serde_json::from_value(deployment).map_err(told)?,
            entitlements: catalogue::example_entitlements()?,
        })
    }

    /// One of the example, or one that is made up.
    fn entitlement(&self, chance: &mut Chance) -> Result<Entitlement, String> {
        let mut entitlement = chance.pick(&self.entitlements).clone();
        if chance.one_in(4) {
            return Ok(entitlement);
        }
        let holder = if chance.one_in(4) { Holder::Single("somebody".parse().map_err(told)?) } else { Holder::Shared };
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
                target: "orders".parse().map_err(told)?,
                credential_s: 900 + chance.below(2701) as u32,
                iam_allowed: chance.one_in(8),
            },
            3 => Delivery::Inline { principal_arn, holder },
            _ => Delivery::Managed { principal_arn, policy: "x-y".parse().map_err(told)?, holder },
        };
        entitlement.approval = Approval::by(1, 600);
        entitlement.parameters =
            BTreeMap::from([("a".to_owned(), parameter(chance)?), ("b".to_owned(), parameter(chance)?)]);
        // Rarely one that cannot be filled in.
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

/// A parameter of any type.
fn parameter(chance: &mut Chance) -> Result<Parameter, String> {
    let day = |chance: &mut Chance| chance.pick(&["2026-01-01", "2026-11-22", "2027-12-31"]).parse().map_err(told);
    Ok(match chance.below(6) {
        0 => {
            let min = chance.below(20) as i64 - 10;
            Parameter::Integer { min, max: min + chance.below(120) as i64 }
        }
        1 => {
            let values: BTreeSet<_> =
                (0..=chance.below(3)).map(|_| *chance.pick(&["a", "bc", "v1.2.3", "prod/x"])).collect();
            Parameter::Enum { values: serde_json::from_value(json!(values)).map_err(told)? }
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

/// Any text that somebody might send as a parameter.
fn value(chance: &mut Chance) -> String {
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

impl Worker for Rendering {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        let entitlement = self.entitlement(chance)?;
        // 1. As they come in: what a parameter may never be is refused here, whatever its pattern says.
        let names: Vec<String> = entitlement.parameters.keys().cloned().collect();
        let mut texts: BTreeMap<String, String> = names.into_iter().map(|name| (name, value(chance))).collect();
        if chance.one_in(8) {
            let forged = *chance.pick(&["account", "partition", "region", "deployment", "c", ""]);
            texts.insert(forged.to_owned(), value(chance));
        }
        let Ok(parameters) = serde_json::from_value::<BTreeMap<String, ParameterValue>>(json!(texts)) else {
            return Ok("no value");
        };
        let term = Term::from_seconds(60 + chance.below(7200) as i64).map_err(told)?;
        let class = *chance.pick(&CLASSES);
        let ask = json!({
            "entitlement": entitlement.id, "parameters": parameters, "term_s": term, "ticket": "INC-7",
            "justification": "order 4711 was charged twice",
        });
        let fits = entitlement.check(class, &serde_json::from_value(ask).map_err(told)?).is_ok();
        must(fits == should_fit(&entitlement, class, &texts, term), || {
            format!("fits: {fits}: {texts:?} for {entitlement:?}")
        })?;
        // 2. Rendered even where they do not fit, unless others were given as well.
        if !fits && chance.one_in(2) {
            return Ok("unfit");
        }
        let deadline = Timestamp::from_millis((chance.number() % 253_402_300_799_999) as i64);
        let render =
            Rendered { deployment: &self.deployment, entitlement: &entitlement, texts: &texts, deadline, term };
        let task = Task::try_from("run 17".to_owned()).map_err(told)?;
        let identity = if chance.one_in(2) { "nightly-batch" } else { "acme-sync" }.parse().map_err(told)?;
        let grant = GrantId::from_ulid(Ulid(u128::from(chance.number())));
        let template =
            PlanTemplate::for_grant(&self.deployment, &entitlement, &parameters, &identity, Some(&task), grant);
        let Ok(template) = template else {
            return Ok("not rendered");
        };
        // 3. As it is stored between decision and issuing.
        let stored = serde_json::to_string(&template).map_err(told)?;
        let template: PlanTemplate = serde_json::from_str(&stored).map_err(told)?;
        let read = match &template {
            PlanTemplate::Session(_) => {
                let now = deadline.minus(chance.below(8000) as u32);
                let Ok(plan) = template.render(deadline, now) else {
                    return Ok("not rendered");
                };
                let wanted = plan.role_arn == "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-orders"
                    || plan.role_arn.starts_with("arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-");
                let lives = plan.duration_s >= MIN_CREDENTIAL_S
                    && u64::from(plan.duration_s) <= deadline.seconds_since(now).max(u64::from(MIN_CREDENTIAL_S));
                must(wanted && lives && plan.policy.len() <= MAX_SESSION_POLICY, || format!("{plan:?}"))?;
                render.session(&plan.policy).map(|()| "session").map_err(|why| format!("{why}: {}", plan.policy))
            }
            PlanTemplate::Inline(_) | PlanTemplate::Managed(_) => {
                let skew_s = chance.below(120) as u32;
                match template.attachment(deadline, term, skew_s) {
                    Ok(AttachmentPlan::Inline { principal_arn, document, .. }) => {
                        let from = (deadline.as_seconds() - i64::from(term.as_seconds()) - i64::from(skew_s)).max(0);
                        let read = render.principal(&principal_arn, identity.as_str());
                        let read = read.and_then(|()| render.inline(&document, from));
                        read.map(|()| "inline").map_err(|why| format!("{why}: {document}"))
                    }
                    Ok(AttachmentPlan::Managed { principal_arn, policy_arn }) => {
                        let own =
                            policy_arn.starts_with("arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-");
                        must(own, || policy_arn.clone())?;
                        render.principal(&principal_arn, identity.as_str()).map(|()| "managed")
                    }
                    Err(_) => return Ok("not rendered"),
                }
            }
        };
        read.map_err(|why| format!("{why}; parameters {texts:?}; entitlement {}", json!(entitlement)))
    }
}

/// Whether these parameters fit, by the meanings told by hand.
fn should_fit(entitlement: &Entitlement, class: IdentityClass, texts: &BTreeMap<String, String>, term: Term) -> bool {
    // Those of the example that are not among the patterns above.
    let batch = |text: &str| {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=40).contains(&text.len())
            && word(text.as_bytes()[0])
            && text.bytes().all(|byte| word(byte) || byte == b'-')
    };
    let means = |pattern: &str, text: &str| match PATTERNS.iter().find(|(known, _)| *known == pattern) {
        Some((_, meaning)) => meaning(text),
        None => batch(text),
    };
    let names: BTreeSet<_> = entitlement.parameters.keys().collect();
    names == texts.keys().collect()
        && entitlement.parameters.iter().all(|(name, parameter)| {
            let text = &texts[name];
            match parameter {
                Parameter::Text { pattern, max_length } => {
                    means(pattern, text) && text.chars().count() <= *max_length as usize
                }
                Parameter::Integer { min, max } => oracle::number(text).is_some_and(|n| (*min..=*max).contains(&n)),
                Parameter::Enum { values } => values.iter().any(|value| value.as_str() == text),
                // In this form, later days are greater texts.
                Parameter::Date { min, max } => {
                    oracle::is_day(text)
                        && min.as_ref().is_none_or(|min| *text >= min.to_string())
                        && max.as_ref().is_none_or(|max| *text <= max.to_string())
                }
            }
        })
        && term.as_seconds() <= entitlement.max_term_of.get(&class).unwrap_or(&entitlement.max_term).as_seconds()
}

/// What a policy was rendered from.
struct Rendered<'a> {
    deployment: &'a Deployment,
    entitlement: &'a Entitlement,
    texts: &'a BTreeMap<String, String>,
    deadline: Timestamp,
    term: Term,
}

impl Rendered<'_> {
    /// What each variable must have become: the deployment's own, before any parameter.
    fn values(&self) -> BTreeMap<String, String> {
        let mut values = self.texts.clone();
        let Deployment { account, partition, region, .. } = self.deployment;
        for (name, value) in
            [("account", account.to_string()), ("partition", partition.clone()), ("region", region.clone())]
        {
            values.insert(name.to_owned(), value);
        }
        values
    }

    /// The statements of a policy document that says nothing else, and nothing twice.
    fn statements(document: &str) -> Result<Vec<Value>, String> {
        let value: Value = serde_json::from_str(document).map_err(told)?;
        // Written again it is as long: no name stood twice.
        must(value.to_string().len() == document.len(), || "a name stands twice".to_owned())?;
        let names: Vec<_> = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let right = names == ["Statement", "Version"] && value["Version"] == "2012-10-17";
        must(right, || "not a policy of two members".to_owned())?;
        value["Statement"].as_array().cloned().ok_or_else(|| "no statements".to_owned())
    }

    /// The conditions of one Allow that is the entitlement's own.
    fn allowed(
        &self,
        allow: &Value,
        own: &Statement,
    ) -> Result<BTreeMap<String, BTreeMap<String, Vec<String>>>, String> {
        let members = allow.as_object().ok_or("no object")?;
        let known = |name: &String| ["Effect", "Action", "Resource", "Condition"].contains(&name.as_str());
        must(members.keys().all(known) && allow["Effect"] == "Allow", || "another kind of statement".to_owned())?;
        must(allow["Action"] == json!(own.actions), || "other actions".to_owned())?;
        let resources: Vec<String> = serde_json::from_value(allow["Resource"].clone()).map_err(told)?;
        let values = self.values();
        let all_fill = |own: &[String], found: &[String]| {
            own.len() == found.len() && own.iter().zip(found).all(|(own, found)| oracle::fills(own, found, &values))
        };
        must(all_fill(&own.resources, &resources), || format!("resources {resources:?} are not {:?}", own.resources))?;
        must(resources.iter().all(|text| !text.contains("${")), || "a variable is left".to_owned())?;
        let conditions = members.get("Condition").cloned().unwrap_or_else(|| json!({}));
        let conditions: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            serde_json::from_value(conditions).map_err(told)?;
        for (operator, keys) in &own.conditions {
            for (key, wanted) in keys {
                let found = conditions.get(operator).and_then(|keys| keys.get(key)).ok_or("a condition is gone")?;
                must(all_fill(wanted, found), || format!("condition {operator} {key} is {found:?}"))?;
            }
        }
        Ok(conditions)
    }

    fn session(&self, policy: &str) -> Result<(), String> {
        let statements = Self::statements(policy)?;
        let own = &self.entitlement.statements;
        must(statements.len() == own.len() + 2, || "more or fewer statements".to_owned())?;
        for (allow, own) in statements.iter().zip(own) {
            let conditions = self.allowed(allow, own)?;
            must(conditions == own_shape(&conditions, own), || "a condition more".to_owned())?;
        }
        let (limit, never) = (&statements[own.len()], &statements[own.len() + 1]);
        let at = limit["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"].as_str().and_then(oracle::seconds);
        must(at == Some(self.deadline.as_seconds()), || format!("the time limit is {at:?}"))?;
        let mut bare = limit.clone();
        bare["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"] = Value::Null;
        let wanted = json!({
            "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": null}},
        });
        must(bare == wanted, || "the time limit does not deny everything".to_owned())?;
        let iam_allowed = matches!(self.entitlement.delivery, Delivery::Session { iam_allowed: true, .. });
        let actions = if iam_allowed { json!(["sts:*"]) } else { json!(["iam:*", "sts:*"]) };
        must(*never == json!({"Effect": "Deny", "Action": actions, "Resource": "*"}), || "a deny is gone".to_owned())
    }

    fn inline(&self, document: &str, from: i64) -> Result<(), String> {
        let statements = Self::statements(document)?;
        let own = &self.entitlement.statements;
        must(statements.len() == own.len(), || "more or fewer statements".to_owned())?;
        for (allow, own) in statements.iter().zip(own) {
            let conditions = self.allowed(allow, own)?;
            let mut wanted = own_shape(&conditions, own);
            for (operator, at) in [("DateGreaterThanEquals", from), ("DateLessThan", self.deadline.as_seconds())] {
                // One block each, whatever the case: IAM would read a second one too.
                let blocks = conditions.keys().filter(|name| name.eq_ignore_ascii_case(operator)).count();
                let found =
                    conditions.get(operator).and_then(|keys| keys.get("aws:CurrentTime")).cloned().unwrap_or_default();
                let right = blocks == 1 && found.len() == 1 && oracle::seconds(&found[0]) == Some(at);
                must(right, || format!("{operator} is {found:?}, in {blocks} blocks"))?;
                wanted.entry(operator.to_owned()).or_default().insert("aws:CurrentTime".to_owned(), found);
            }
            must(conditions == wanted, || "a condition more".to_owned())?;
            for key in own.conditions.values().flat_map(BTreeMap::keys) {
                let clock = ["aws:currenttime", "aws:epochtime"].contains(&key.to_ascii_lowercase().as_str());
                must(!clock, || format!("a time limit of its own on {key}"))?;
            }
            for (action, made) in
                own.actions.iter().flat_map(|a| ["iam:createrole", "sts:assumerole"].map(|made| (a, made)))
            {
                must(!oracle::covers(action, made), || format!("{action} covers {made}"))?;
            }
        }
        Ok(())
    }

    /// Only an attachment principal of this installation or one outside of `/brevet/`, and only of its holder.
    fn principal(&self, arn: &str, identity: &str) -> Result<(), String> {
        let name = arn.strip_prefix("arn:aws:iam::000000000000:role/").ok_or_else(|| format!("principal {arn}"))?;
        let ours = !name.starts_with("brevet/") || name.starts_with("brevet/dev/attachment/");
        must(ours && !name.contains(['*', '?', '$', '{']), || format!("principal {arn}"))?;
        let holder = match &self.entitlement.delivery {
            Delivery::Inline { holder, .. } | Delivery::Managed { holder, .. } => holder,
            Delivery::Session { .. } => return Err("a session that is attached".to_owned()),
        };
        let admits = match holder {
            Holder::Single(one) => one.as_str() == identity,
            Holder::Shared => true,
        };
        must(admits && self.term.as_seconds() >= 60, || format!("{identity} does not hold {arn}"))
    }
}

/// The part of `conditions` that is the statement's own.
fn own_shape(
    conditions: &BTreeMap<String, BTreeMap<String, Vec<String>>>,
    own: &Statement,
) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let of = |operator: &String, keys: &BTreeMap<String, Vec<String>>| {
        let found = |key: &String| conditions.get(operator).and_then(|keys| keys.get(key)).cloned().unwrap_or_default();
        keys.keys().map(|key| (key.clone(), found(key))).collect()
    };
    own.conditions.iter().map(|(operator, keys)| (operator.clone(), of(operator, keys))).collect()
}
