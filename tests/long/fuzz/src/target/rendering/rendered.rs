//! The rendered policy, read as JSON and compared with its inputs.

use std::collections::BTreeMap;

use brevet_domain::entitlement::{Delivery, Entitlement, Holder, Statement};
use brevet_domain::settings::Deployment;
use brevet_domain::time::{Term, Timestamp};
use serde_json::{Value, json};

use crate::target::{error_text, must, oracle};

/// The inputs of a rendered policy.
pub(super) struct Rendered<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) entitlement: &'a Entitlement,
    pub(super) texts: &'a BTreeMap<String, String>,
    pub(super) deadline: Timestamp,
    pub(super) term: Term,
}

impl Rendered<'_> {
    /// The expected value of each variable. The deployment's own variables take precedence over parameters.
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

    /// The statements of a policy document that has no other members and no duplicate names.
    fn statements(document: &str) -> Result<Vec<Value>, String> {
        let value: Value = serde_json::from_str(document).map_err(error_text)?;
        // Serialized again it has the same length, so no name was duplicated.
        must(value.to_string().len() == document.len(), || "a name is duplicated".to_owned())?;
        let names: Vec<_> = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let right = names == ["Statement", "Version"] && value["Version"] == "2012-10-17";
        must(right, || "the policy does not have exactly `Statement` and `Version`".to_owned())?;
        value["Statement"].as_array().cloned().ok_or_else(|| "no statements".to_owned())
    }

    /// Checks that `allow` is the entitlement's own statement. Returns its conditions.
    fn allowed(
        &self,
        allow: &Value,
        own: &Statement,
    ) -> Result<BTreeMap<String, BTreeMap<String, Vec<String>>>, String> {
        let members = allow.as_object().ok_or("no object")?;
        let known = |name: &String| ["Effect", "Action", "Resource", "Condition"].contains(&name.as_str());
        must(members.keys().all(known) && allow["Effect"] == "Allow", || "another kind of statement".to_owned())?;
        must(allow["Action"] == json!(own.actions), || "the actions differ".to_owned())?;
        let resources: Vec<String> = serde_json::from_value(allow["Resource"].clone()).map_err(error_text)?;
        let values = self.values();
        let all_fill = |own: &[String], found: &[String]| {
            own.len() == found.len() && own.iter().zip(found).all(|(own, found)| oracle::fills(own, found, &values))
        };
        must(all_fill(&own.resources, &resources), || format!("resources {resources:?} are not {:?}", own.resources))?;
        must(resources.iter().all(|text| !text.contains("${")), || "a variable is not replaced".to_owned())?;
        let conditions = members.get("Condition").cloned().unwrap_or_else(|| json!({}));
        let conditions: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            serde_json::from_value(conditions).map_err(error_text)?;
        for (operator, keys) in &own.conditions {
            for (key, expected) in keys {
                let found = conditions.get(operator).and_then(|keys| keys.get(key)).ok_or("a condition is missing")?;
                must(all_fill(expected, found), || format!("condition {operator} {key} is {found:?}"))?;
            }
        }
        Ok(conditions)
    }

    /// Checks for the entitlement's own statements, then the time limit and the fixed denies, and nothing else.
    pub(super) fn session(&self, policy: &str) -> Result<(), String> {
        let statements = Self::statements(policy)?;
        let own = &self.entitlement.statements;
        must(statements.len() == own.len() + 2, || "the number of statements is wrong".to_owned())?;
        for (allow, own) in statements.iter().zip(own) {
            let conditions = self.allowed(allow, own)?;
            must(conditions == own_shape(&conditions, own), || "there is an additional condition".to_owned())?;
        }
        let (limit, never) = (&statements[own.len()], &statements[own.len() + 1]);
        let at = limit["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"].as_str().and_then(oracle::seconds);
        must(at == Some(self.deadline.as_seconds()), || format!("the time limit is {at:?}"))?;
        let mut bare = limit.clone();
        bare["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"] = Value::Null;
        let expected = json!({
            "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": null}},
        });
        must(bare == expected, || "the time limit does not deny everything".to_owned())?;
        let iam_allowed = matches!(self.entitlement.delivery, Delivery::Session { iam_allowed: true, .. });
        let actions = if iam_allowed { json!(["sts:*"]) } else { json!(["iam:*", "sts:*"]) };
        must(*never == json!({"Effect": "Deny", "Action": actions, "Resource": "*"}), || {
            "a fixed deny is missing".to_owned()
        })
    }

    /// Checks for the entitlement's own statements, each valid from `from` to the deadline, and nothing else.
    pub(super) fn inline(&self, document: &str, from: i64) -> Result<(), String> {
        let statements = Self::statements(document)?;
        let own = &self.entitlement.statements;
        must(statements.len() == own.len(), || "the number of statements is wrong".to_owned())?;
        for (allow, own) in statements.iter().zip(own) {
            let conditions = self.allowed(allow, own)?;
            let mut expected = own_shape(&conditions, own);
            for (operator, at) in [("DateGreaterThanEquals", from), ("DateLessThan", self.deadline.as_seconds())] {
                // Exactly one block for each operator, ignoring case: IAM would also read a second one.
                let blocks = conditions.keys().filter(|name| name.eq_ignore_ascii_case(operator)).count();
                let found =
                    conditions.get(operator).and_then(|keys| keys.get("aws:CurrentTime")).cloned().unwrap_or_default();
                let right = blocks == 1 && found.len() == 1 && oracle::seconds(&found[0]) == Some(at);
                must(right, || format!("{operator} is {found:?}, in {blocks} blocks"))?;
                expected.entry(operator.to_owned()).or_default().insert("aws:CurrentTime".to_owned(), found);
            }
            must(conditions == expected, || "there is an additional condition".to_owned())?;
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

    /// Checks that the principal is an attachment principal of this installation, or outside `/brevet/`, and that the
    /// identity holds it.
    pub(super) fn principal(&self, arn: &str, identity: &str) -> Result<(), String> {
        let name = arn.strip_prefix("arn:aws:iam::000000000000:role/").ok_or_else(|| format!("principal {arn}"))?;
        let ours = !name.starts_with("brevet/") || name.starts_with("brevet/dev/attachment/");
        must(ours && !name.contains(['*', '?', '$', '{']), || format!("principal {arn}"))?;
        let holder = match &self.entitlement.delivery {
            Delivery::Inline { holder, .. } | Delivery::Managed { holder, .. } => holder,
            Delivery::Session { .. } => return Err("a session entitlement was rendered as an attachment".to_owned()),
        };
        let admits = match holder {
            Holder::Single(one) => one.as_str() == identity,
            Holder::Shared => true,
        };
        must(admits && self.term.as_seconds() >= 60, || format!("{identity} does not hold {arn}"))
    }
}

/// The part of `conditions` that comes from the statement itself.
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
