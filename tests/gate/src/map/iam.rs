//! IAM: calls about one role or one managed policy.

use serde_json::json;

use super::{Asker, Call, Context, Facts, Needs, Unmapped, put};
use crate::inbound::Form;
use crate::live::Role;
use crate::sigv4::sha256;

/// Characters of all inline policies of a role together, without white space.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MAX_INLINE: usize = 10_240;

/// Managed policies of a role: the default quota, `AttachedPoliciesPerRoleQuota` in `GetAccountSummary`.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MAX_ATTACHED: usize = 10;

pub(super) fn needs(form: &Form) -> Needs {
    Needs { roles: role_name(form).into_iter().collect(), ..Needs::default() }
}

pub(super) fn map(asker: &Asker<'_>, form: &Form, facts: &Facts) -> Result<Call, Unmapped> {
    let action = format!("iam:{}", asker.operation);
    let kind = super::table::rows(asker.service, asker.operation).next().map_or("*", |row| row.resource);
    let mut call = Call::default();
    match kind {
        "role" => {
            let name = role_name(form).ok_or_else(|| Unmapped::because("it names no role"))?;
            let role = facts.role(&name);
            // A role that does not exist has no path: AWS checks the name alone.
            let found =
                || role.map_or_else(|| asker.global_arn("iam", &format!("role/{name}")), |role| role.arn.clone());
            // A simulation gives the whole ARN, and AWS checks that ARN.
            let arn = form.field("PolicySourceArn").map_or_else(found, str::to_owned);
            let context = context_of(asker, &action, role, form);
            call.checks.push(asker.check(&action, kind, arn.clone(), context)?);
            call.wrote = write(asker.operation, &arn, form);
            call.policy = form.field("PolicyName").or_else(|| form.field("PolicyArn")).map(str::to_owned);
            call.document = form.field("PolicyDocument").map(str::to_owned);
            call.invalid = match asker.operation {
                "PutRolePolicy" => role.and_then(|role| over_quota(role, form)),
                "AttachRolePolicy" => role.and_then(|role| over_attachment_quota(role, form)),
                _ => None,
            };
        }
        "policy" => {
            let arn = form.field("PolicyArn").ok_or_else(|| Unmapped::because("it has no `PolicyArn`"))?;
            let check = asker.check(&action, kind, arn.to_owned(), Context::new())?;
            call.checks.push(check);
            call.policy = Some(arn.to_owned());
            call.wrote = write(asker.operation, arn, form);
        }
        _ => call.checks.push(asker.check(&action, "*", "*".to_owned(), Context::new())?),
    }
    Ok(call)
}

fn role_name(form: &Form) -> Option<String> {
    let source = || {
        let (_, path) = form.field("PolicySourceArn")?.split_once(":role/")?;
        path.rsplit('/').next()
    };
    form.field("RoleName").or_else(source).map(str::to_owned)
}

fn context_of(asker: &Asker<'_>, action: &str, role: Option<&Role>, form: &Form) -> Context {
    let mut context = Context::new();
    let models = |key: &str| {
        super::table::rows(asker.service, asker.operation).any(|row| row.action == action && row.models(key))
    };
    if let Some(role) = role {
        super::sts::put_role_tags(&mut context, role);
        // AWS checks `PutRolePermissionsBoundary` against the new boundary, the other writes against the present one.
        if models("iam:PermissionsBoundary") && asker.operation != "PutRolePermissionsBoundary" {
            let boundary = role.boundary.as_ref().map(|policy| policy.name.as_str());
            put(&mut context, "iam:PermissionsBoundary", boundary);
        }
    }
    if asker.operation == "PutRolePermissionsBoundary" {
        put(&mut context, "iam:PermissionsBoundary", form.field("PermissionsBoundary"));
    }
    if models("iam:PolicyARN") {
        put(&mut context, "iam:PolicyARN", form.field("PolicyArn"));
    }
    context
}

/// The content of a write on `target` (a role or a managed policy), for the call log.
fn write(operation: &str, target: &str, form: &Form) -> Option<serde_json::Value> {
    let role = target;
    let digest = || form.field("PolicyDocument").map(|text| sha256(text.as_bytes()));
    match operation {
        "PutRolePolicy" | "DeleteRolePolicy" => Some(json!({
            "role": role,
            "policy_name": form.field("PolicyName"),
            "document_sha256": digest(),
        })),
        "AttachRolePolicy" | "DetachRolePolicy" => Some(json!({
            "role": role,
            "policy_arn": form.field("PolicyArn"),
        })),
        "PutRolePermissionsBoundary" => {
            Some(json!({ "role": role, "boundary_arn": form.field("PermissionsBoundary") }))
        }
        "UpdateAssumeRolePolicy" => Some(json!({ "role": role, "document_sha256": digest() })),
        "DeleteRolePermissionsBoundary" | "DeleteRole" => Some(json!({ "role": role })),
        "CreatePolicyVersion" => Some(json!({ "policy_arn": target, "document_sha256": digest() })),
        _ => None,
    }
}

/// AWS's quota on inline policies, which the emulator does not enforce.
fn over_quota(role: &Role, form: &Form) -> Option<(&'static str, String)> {
    let length = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let name = form.field("PolicyName");
    let others: usize = role
        .inline
        .iter()
        .filter(|policy| Some(policy.name.as_str()) != name)
        .map(|policy| length(&policy.policy.to_string()))
        .sum();
    let total = others.saturating_add(length(form.field("PolicyDocument").unwrap_or_default()));
    (total > MAX_INLINE).then(|| {
        let message = format!("Maximum policy size of {MAX_INLINE} bytes exceeded for role {}", role.name);
        ("LimitExceeded", message)
    })
}

/// AWS's quota on managed policies, which the emulator does not enforce. Attaching an attached policy changes nothing.
fn over_attachment_quota(role: &Role, form: &Form) -> Option<(&'static str, String)> {
    let arn = form.field("PolicyArn");
    let attached = role.attached.iter().any(|policy| Some(policy.name.as_str()) == arn);
    (!attached && role.attached.len() >= MAX_ATTACHED)
        .then(|| ("LimitExceeded", format!("Cannot exceed quota for PoliciesPerRole: {MAX_ATTACHED}")))
}
