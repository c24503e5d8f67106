//! Rendering: for any parameters, the rendered policy grants no more than its entitlement.
//!
//! The policy is read as JSON and compared with the entitlement, text by text, without the rendering code.

mod drawn;
mod rendered;

use std::collections::{BTreeMap, BTreeSet};

use brevet_chance::Chance;
use brevet_domain::entitlement::{Entitlement, Parameter, ParameterValue};
use brevet_domain::id::GrantId;
use brevet_domain::identity::{IdentityClass, Task};
use brevet_domain::plan::{AttachmentPlan, MAX_SESSION_POLICY, MIN_CREDENTIAL_S, PlanTemplate};
use brevet_domain::settings::Deployment;
use brevet_domain::time::{Term, Timestamp};
use serde_json::json;
use ulid::Ulid;

use self::drawn::{CLASSES, PATTERNS, value};
use self::rendered::Rendered;
use super::{catalogue, error_text, must, oracle};
use crate::harness::{Target, Verdict, Worker};

pub(crate) const TARGET: Target = Target {
    name: "rendering",
    holds: "for any parameters, a rendered policy grants no more than its entitlement, and not for longer",
    full: 3_000_000,
    short: 8_000,
    reaches: &["session", "inline", "managed", "unsafe value", "rejected", "not rendered"],
    start: || Ok(Box::new(Rendering::new()?)),
};

struct Rendering {
    deployment: Deployment,
    entitlements: Vec<Entitlement>,
}

impl Rendering {
    fn new() -> Result<Self, String> {
        let deployment = json!({"id": "dev", "account": "000000000000", "partition": "aws", "region": "us-east-1"});
        Ok(Self {
            deployment: serde_json::from_value(deployment).map_err(error_text)?,
            entitlements: catalogue::example_entitlements()?,
        })
    }
}

impl Worker for Rendering {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        let entitlement = self.entitlement(chance)?;
        // 1. Parameters as they arrive: a value that no parameter may have is rejected here, whatever the pattern
        // allows.
        let names: Vec<String> = entitlement.parameters.keys().cloned().collect();
        let mut texts: BTreeMap<String, String> = names.into_iter().map(|name| (name, value(chance))).collect();
        if chance.one_in(8) {
            let forged = *chance.pick(&["account", "partition", "region", "deployment", "c", ""]);
            texts.insert(forged.to_owned(), value(chance));
        }
        let Ok(parameters) = serde_json::from_value::<BTreeMap<String, ParameterValue>>(json!(texts)) else {
            return Ok("unsafe value");
        };
        let term = Term::from_seconds(60 + chance.below(7200) as i64).map_err(error_text)?;
        let class = *chance.pick(&CLASSES);
        let ask = json!({
            "entitlement": entitlement.id, "parameters": parameters, "term_s": term, "ticket": "INC-7",
            "justification": "order 4711 was charged twice",
        });
        let fits = entitlement.check(class, &serde_json::from_value(ask).map_err(error_text)?).is_ok();
        must(fits == should_fit(&entitlement, class, &texts, term), || {
            format!("fits: {fits}: {texts:?} for {entitlement:?}")
        })?;
        // 2. Half of the rejected parameters are rendered all the same.
        if !fits && chance.one_in(2) {
            return Ok("rejected");
        }
        let deadline = Timestamp::from_millis((chance.number() % 253_402_300_799_999) as i64);
        let render =
            Rendered { deployment: &self.deployment, entitlement: &entitlement, texts: &texts, deadline, term };
        let task = Task::try_from("run 17".to_owned()).map_err(error_text)?;
        let identity = if chance.one_in(2) { "nightly-batch" } else { "acme-sync" }.parse().map_err(error_text)?;
        let grant = GrantId::from_ulid(Ulid(u128::from(chance.number())));
        let template =
            PlanTemplate::for_grant(&self.deployment, &entitlement, &parameters, &identity, Some(&task), grant);
        let Ok(template) = template else {
            return Ok("not rendered");
        };
        // 3. The template as it is stored between decision and issue.
        let stored = serde_json::to_string(&template).map_err(error_text)?;
        let template: PlanTemplate = serde_json::from_str(&stored).map_err(error_text)?;
        let read = match &template {
            PlanTemplate::Session(_) => {
                let now = deadline.minus(chance.below(8000) as u32);
                let Ok(plan) = template.render(deadline, now) else {
                    return Ok("not rendered");
                };
                let is_role = plan.role_arn == "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-orders"
                    || plan.role_arn.starts_with("arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-");
                let lives = plan.duration_s >= MIN_CREDENTIAL_S
                    && u64::from(plan.duration_s) <= deadline.seconds_since(now).max(u64::from(MIN_CREDENTIAL_S));
                must(is_role && lives && plan.policy.len() <= MAX_SESSION_POLICY, || format!("{plan:?}"))?;
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

/// Whether the entitlement should accept these parameters, by the hand-written meanings.
fn should_fit(entitlement: &Entitlement, class: IdentityClass, texts: &BTreeMap<String, String>, term: Term) -> bool {
    // The patterns of the example catalogue that are not in `PATTERNS`.
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
                // In this form, a later day is a greater text.
                Parameter::Date { min, max } => {
                    oracle::is_day(text)
                        && min.as_ref().is_none_or(|min| *text >= min.to_string())
                        && max.as_ref().is_none_or(|max| *text <= max.to_string())
                }
            }
        })
        && term.as_seconds() <= entitlement.max_term_of.get(&class).unwrap_or(&entitlement.max_term).as_seconds()
}
