//! STS: `AssumeRole` with its tags, source identity and session policy; `GetWebIdentityToken`.
//!
//! Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Asker, Call, Context, Facts, Needs, Unmapped, put};
use crate::inbound::Form;
use crate::live::Role;
use crate::sigv4::sha256;

/// The most characters of an inline session policy.
const MAX_POLICY: usize = 2_048;

/// The session that `AssumeRole` creates if it succeeds.
#[derive(Clone, Debug)]
pub(crate) struct Assume {
    pub(crate) role_arn: String,
    pub(crate) role_name: String,
    pub(crate) policy: Option<Value>,
    /// The role's tags overlaid by the request's.
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) transitive: BTreeSet<String>,
    pub(crate) source_identity: Option<String>,
    /// `DurationSeconds`, by default 3600.
    pub(crate) duration_s: u32,
    /// The role's maximum session duration, in seconds.
    pub(crate) max_duration_s: u32,
}

pub(super) fn needs(form: &Form) -> Needs {
    Needs {
        roles: form.field("RoleArn").and_then(|arn| arn.rsplit('/').next()).map(str::to_owned).into_iter().collect(),
        ..Needs::default()
    }
}

pub(super) fn map(asker: &Asker<'_>, form: &Form, facts: &Facts) -> Result<Call, Unmapped> {
    if asker.operation == "GetWebIdentityToken" {
        return identify(asker, form);
    }
    let required = |name: &str| form.field(name).ok_or_else(|| Unmapped::because(format!("it has no `{name}`")));
    let (arn, session_name) = (required("RoleArn")?, required("RoleSessionName")?);
    for unmodelled in ["PolicyArns.", "ProvidedContexts.", "SerialNumber", "TokenCode"] {
        if form.has_prefix(unmodelled) {
            let name = unmodelled.trim_end_matches('.');
            return Err(Unmapped::because(format!("`{name}` is not modelled")));
        }
    }
    let name = arn.rsplit('/').next().unwrap_or_default();
    // The path is part of the ARN: a role with the same name in another path is another role.
    let role = facts.role(name).filter(|role| role.arn == arn);
    let tag_keys = form.members("Tags", Some("Key"));
    let tag_values = form.members("Tags", Some("Value"));
    if tag_keys.len() != tag_values.len() {
        return Err(Unmapped::because("a tag has no value"));
    }
    let tags: BTreeMap<String, String> =
        tag_keys.iter().zip(&tag_values).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let transitive = form.members("TransitiveTagKeys", None);
    let source_identity = form.field("SourceIdentity");

    let mut on_role = Context::new();
    if let Some(role) = role {
        put_role_tags(&mut on_role, role);
    }
    let mut tagged = on_role.clone();
    for (key, value) in &tags {
        put(&mut tagged, &format!("aws:RequestTag/{key}"), [value.as_str()]);
    }
    put(&mut tagged, "aws:TagKeys", tag_keys);
    put(&mut tagged, "sts:TransitiveTagKeys", transitive.iter().copied());
    let mut sourced = on_role;
    put(&mut sourced, "sts:SourceIdentity", source_identity);
    let mut assumed = tagged.clone();
    assumed.extend(sourced.clone());
    put(&mut assumed, "sts:RoleSessionName", [session_name]);
    put(&mut assumed, "sts:ExternalId", form.field("ExternalId"));

    let mut checks = vec![asker.check("sts:AssumeRole", "role", arn.to_owned(), assumed)?];
    if !tags.is_empty() {
        checks.push(asker.check("sts:TagSession", "role", arn.to_owned(), tagged)?);
    }
    if source_identity.is_some() {
        checks.push(asker.check("sts:SetSourceIdentity", "role", arn.to_owned(), sourced)?);
    }
    // A role that does not exist trusts no caller.
    let trusts_no_caller = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
    }] });
    for check in &mut checks {
        check.resource_policy = Some(role.map_or_else(|| trusts_no_caller.clone(), |role| role.trust.clone()));
    }

    let text = form.field("Policy");
    let policy = text.map(|text| serde_json::from_str(text).unwrap_or(Value::Null));
    let assume = Assume {
        role_arn: arn.to_owned(),
        role_name: name.to_owned(),
        policy: policy.clone(),
        tags: role.map(|role| role.tags.clone()).unwrap_or_default().into_iter().chain(tags).collect(),
        transitive: transitive.into_iter().map(str::to_owned).collect(),
        source_identity: source_identity.map(str::to_owned),
        duration_s: match form.field("DurationSeconds") {
            None => 3_600,
            Some(text) => text.parse().map_err(|_| Unmapped::because("`DurationSeconds` is not a number"))?,
        },
        max_duration_s: role.map_or(3_600, |role| role.max_session_s),
    };
    Ok(Call {
        checks,
        invalid: invalid(text, policy.as_ref()),
        wrote: Some(json!({
            "role": arn,
            "session_name": session_name,
            "source_identity": source_identity,
            "duration_s": assume.duration_s,
            "session_policy_sha256": text.map(|text| sha256(text.as_bytes())),
        })),
        assume: Some(assume),
        ..Call::default()
    })
}

/// The token's audience, algorithm and duration are condition keys. Tags in the request are not modelled.
fn identify(asker: &Asker<'_>, form: &Form) -> Result<Call, Unmapped> {
    if form.has_prefix("Tags.") {
        return Err(Unmapped::because("`Tags` is not modelled"));
    }
    let mut context = Context::new();
    put(&mut context, "sts:IdentityTokenAudience", form.members("Audience", None));
    put(&mut context, "sts:SigningAlgorithm", form.field("SigningAlgorithm"));
    put(&mut context, "sts:DurationSeconds", form.field("DurationSeconds"));
    Ok(Call { checks: vec![asker.check("sts:GetWebIdentityToken", "*", "*".to_owned(), context)?], ..Call::default() })
}

/// `aws:ResourceTag/…` and `iam:ResourceTag/…` of a role.
pub(super) fn put_role_tags(context: &mut Context, role: &Role) {
    for (key, value) in &role.tags {
        for space in ["aws", "iam"] {
            put(context, &format!("{space}:ResourceTag/{key}"), [value.as_str()]);
        }
    }
}

fn invalid(text: Option<&str>, policy: Option<&Value>) -> Option<(&'static str, String)> {
    let length = text.map_or(0, |text| text.chars().count());
    if length > MAX_POLICY {
        let message = format!(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to {MAX_POLICY} (has {length})"
        );
        return Some(("ValidationError", message));
    }
    policy
        .is_some_and(|policy| !policy.is_object())
        .then(|| ("MalformedPolicyDocument", "The session policy is not JSON.".to_owned()))
}
