//! Removes the time limit of inline policies, for control runs that show the effect of the limit.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::fault::{Kind, Rule};
use crate::inbound::Inbound;
use crate::map::Service;
use crate::proxy::Gate;
use crate::record::Entry;
use crate::sigv4;

impl Gate {
    /// Applies a fault that removes the time limit. Returns the call to forward, and records the policy to enforce.
    pub(crate) fn strip<'a>(
        &self,
        service: Option<Service>,
        inbound: &'a Inbound,
        entry: &mut Entry,
        fault: Option<&Rule>,
    ) -> Cow<'a, Inbound> {
        if service != Some(Service::Iam) || entry.operation != "PutRolePolicy" {
            return Cow::Borrowed(inbound);
        }
        let form = inbound.form();
        let field = |name: &str| form.field(name).unwrap_or_default();
        let document: Option<Value> = serde_json::from_str(field("PolicyDocument")).ok();
        let kind = fault.map(|rule| rule.kind);
        let put = document.clone().filter(|_| kind == Some(Kind::StripTimeLimit));
        self.live.enforce_unlimited(field("RoleName"), field("PolicyName"), put);
        let stripped = document.map(|document| without_time_limit(&document).to_string());
        let mut note = |name: &str, text: &str| {
            if let Some(write) = entry.wrote.as_mut().and_then(Value::as_object_mut) {
                write.insert(name.to_owned(), json!(sigv4::sha256(text.as_bytes())));
            }
        };
        match (kind, stripped) {
            (Some(Kind::StripTimeLimit), Some(text)) => {
                note("enforced_document_sha256", &text);
                Cow::Borrowed(inbound)
            }
            (Some(Kind::AlterDocument), Some(text)) => {
                note("forwarded_document_sha256", &text);
                Cow::Owned(inbound.with_field("PolicyDocument", &text))
            }
            (_, _) => Cow::Borrowed(inbound),
        }
    }
}

/// `policy` without the conditions that end its statements at an instant: `DateLessThan` in any case, and its forms
/// `…Equals` and `…IfExists`.
pub(crate) fn without_time_limit(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let statements = policy.get_mut("Statement").map(|statement| match statement.as_array() {
        Some(_) => statement.as_array_mut().map_or(&mut [][..], Vec::as_mut_slice),
        None => std::slice::from_mut(statement),
    });
    for statement in statements.unwrap_or_default() {
        let Some(conditions) = statement.get_mut("Condition").and_then(Value::as_object_mut) else { continue };
        conditions.retain(|operator, _| !operator.to_ascii_lowercase().starts_with("datelessthan"));
        if conditions.is_empty() {
            statement.as_object_mut().map(|statement| statement.remove("Condition"));
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_condition_of_a_statement_is_removed() {
        let statement = |condition: Value| json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": condition });
        let from = json!({ "DateGreaterThanEquals": { "aws:CurrentTime": "2026-01-01T00:00:00Z" } });
        let mut both = from.clone();
        both["datelessthan"] = json!({ "aws:CurrentTime": "2026-01-02T00:00:00Z" });
        let open = without_time_limit(&json!({ "Statement": [statement(both.clone())] }));
        assert_eq!(open, json!({ "Statement": [statement(from.clone())] }));
        let open = without_time_limit(&json!({ "Statement": statement(both) }));
        assert_eq!(open, json!({ "Statement": statement(from) }));
        let limit = json!({ "DateLessThan": { "aws:CurrentTime": "2026-01-02T00:00:00Z" } });
        let open = without_time_limit(&json!({ "Statement": [statement(limit)] }));
        assert_eq!(open, json!({ "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }] }));
    }
}
