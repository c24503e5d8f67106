//! Deliveries: the keys that each delivery needs, and those that it does not allow.

use std::collections::BTreeMap;

use brevet_domain::entitlement::{Delivery, Entitlement, Holder};
use brevet_domain::id::{EntitlementId, TargetName};
use brevet_domain::plan::MIN_CREDENTIAL_S;

use super::finding::Findings;
use super::form::{DeliveryForm, EntitlementForm};
use super::forms::{Forms, InFile};

/// The value of `holder` if several identities use a principal.
pub(super) const SHARED: &str = "shared";

/// The longest term of a managed attachment, in seconds.
///
/// Its policy carries no time limit: if the reaper stops, access stands until people act. An hour is also the longest
/// life of a session credential that was vended just before.
pub(super) const MAX_MANAGED_TERM_S: u32 = 3_600;

/// The delivery that `form` describes; `None` only after a finding.
pub(super) fn compile(file: &str, form: &EntitlementForm, forms: &Forms, findings: &mut Findings) -> Option<Delivery> {
    check_keys(file, form, findings);
    match form.delivery() {
        DeliveryForm::Session => Some(Delivery::Session {
            target: form.target.as_ref().or_else(|| missing(file, form, "target", findings))?.value.clone(),
            credential_s: form.credential_s.as_ref().map_or(MIN_CREDENTIAL_S, |seconds| seconds.value),
            iam_allowed: form.iam_allowed(),
        }),
        DeliveryForm::Inline => {
            let (principal_arn, holder) = attached(file, form, forms, findings)?;
            Some(Delivery::Inline { principal_arn, holder })
        }
        DeliveryForm::Managed => {
            let policy = form.policy.as_ref().or_else(|| missing(file, form, "policy", findings));
            let (principal_arn, holder) = attached(file, form, forms, findings)?;
            check_managed(file, form, findings);
            Some(Delivery::Managed { principal_arn, policy: policy?.value.clone(), holder })
        }
    }
}

fn word(delivery: DeliveryForm) -> &'static str {
    match delivery {
        DeliveryForm::Session => "session",
        DeliveryForm::Inline => "inline",
        DeliveryForm::Managed => "managed",
    }
}

/// Reports keys that belong to another delivery.
fn check_keys(file: &str, form: &EntitlementForm, findings: &mut Findings) {
    const SESSION: &[DeliveryForm] = &[DeliveryForm::Session];
    const ATTACHED: &[DeliveryForm] = &[DeliveryForm::Inline, DeliveryForm::Managed];
    let mut only = |name: &str, place: Option<serde_saphyr::Location>, of: &[DeliveryForm]| {
        let delivery = form.delivery();
        let Some(place) = place.filter(|_| !of.contains(&delivery)) else { return };
        let of: Vec<_> = of.iter().map(|kind| format!("`{}`", word(*kind))).collect();
        let (of, is) = (of.join(" or "), word(delivery));
        let message =
            format!("`{name}` belongs to delivery {of}, but this one is `{is}`; remove it, or change `delivery`");
        findings.place(file, place, message);
    };
    only("target", form.target.as_ref().map(|key| key.referenced), SESSION);
    only("credential_s", form.credential_s.as_ref().map(|key| key.referenced), SESSION);
    only("iam_allowed", form.iam_allowed.as_ref().map(|key| key.referenced), SESSION);
    only("principal", form.principal.as_ref().map(|key| key.referenced), ATTACHED);
    only("holder", form.holder.as_ref().map(|key| key.referenced), ATTACHED);
    only("policy", form.policy.as_ref().map(|key| key.referenced), &[DeliveryForm::Managed]);
}

fn missing<T>(file: &str, form: &EntitlementForm, key: &str, findings: &mut Findings) -> Option<T> {
    let what = match key {
        "target" => "the session role that is assumed",
        "policy" => "the managed policy that is attached, by its short name",
        "principal" => "the role to attach to, as a short name or an ARN",
        _ => "the one identity that uses the principal, or `shared` if several do",
    };
    let delivery = word(form.delivery());
    let message = format!("delivery `{delivery}` needs `{key}`: {what}");
    let place = form.delivery.as_ref().map_or(form.id.referenced, |delivery| delivery.referenced);
    findings.place(file, place, message);
    None
}

fn attached(file: &str, form: &EntitlementForm, forms: &Forms, findings: &mut Findings) -> Option<(String, Holder)> {
    let principal = form.principal.as_ref().or_else(|| missing(file, form, "principal", findings));
    let holder = form.holder.as_ref().or_else(|| missing(file, form, "holder", findings));
    let arn = principal.and_then(|principal| match principal_arn(&principal.value) {
        Ok(arn) => Some(arn),
        Err(message) => {
            findings.at(file, principal, message);
            None
        }
    });
    let holder = holder.and_then(|holder| match holder.value.as_str() {
        SHARED => Some(Holder::Shared),
        id if forms.identity(&holder.value).is_none() => {
            let message = format!(
                "holder `{id}` is not registered; name the one identity in `identities` that uses the principal, or write `shared` if several do"
            );
            findings.at(file, holder, message);
            None
        }
        _ => Some(Holder::Single(holder.value.clone())),
    });
    Some((arn?, holder?))
}

/// The ARN of a principal, with variables for the values of the deployment, so that a catalogue fits any deployment.
fn principal_arn(text: &str) -> Result<String, String> {
    const ROLE: &str = "arn:${partition}:iam::${account}:role/";
    if let Ok(name) = text.parse::<TargetName>() {
        return Ok(format!("{ROLE}brevet/${{deployment}}/attachment/brevet-${{deployment}}-{name}"));
    }
    let hint = format!(
        "it must be the short name of a role of this installation (2 to 32 of `a-z`, `0-9`, `-`), or `{ROLE}` with the path and name of another role of the same account"
    );
    let path = text.strip_prefix(ROLE).ok_or_else(|| format!("`{text}` is not a principal; {hint}"))?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
    if path.is_empty() || path.ends_with('/') || !path.chars().all(is_allowed) {
        return Err(format!("`{text}` is not a principal; {hint}"));
    }
    if path.starts_with("brevet/") {
        return Err(format!(
            "`{text}` lies under `brevet/`, where installations keep their own roles; write the short name alone"
        ));
    }
    Ok(text.to_owned())
}

/// Checks the limits of a managed policy, whose document is fixed and carries no time limit.
fn check_managed(file: &str, form: &EntitlementForm, findings: &mut Findings) {
    if let Some((name, parameter)) = form.parameters.iter().next() {
        let message = format!(
            "parameter `{name}` has no effect: the document of a managed policy is fixed; remove it, or use `delivery: inline`"
        );
        findings.at(file, parameter, message);
    }
    for (_, seconds, place) in form.terms().into_iter().filter(|(_, seconds, _)| *seconds > MAX_MANAGED_TERM_S) {
        let message = format!(
            "`max_term_s` is {seconds}; a managed attachment may have at most {MAX_MANAGED_TERM_S} seconds, because its policy carries no time limit and its end depends on the reaper"
        );
        findings.place(file, place, message);
    }
}

/// Checks that all entitlements name the same holder for a principal, since an attachment elevates everyone who uses
/// it.
pub(super) fn check_holders(
    forms: &Forms,
    entitlements: &BTreeMap<EntitlementId, Entitlement>,
    findings: &mut Findings,
) {
    let mut first: BTreeMap<String, (&EntitlementId, &Holder)> = BTreeMap::new();
    for InFile { file, form } in &forms.entitlements {
        let Some(Delivery::Inline { principal_arn, holder } | Delivery::Managed { principal_arn, holder, .. }) =
            entitlements.get(&form.id.value).map(|entitlement| &entitlement.delivery)
        else {
            continue;
        };
        // Role names are unique in an account, regardless of path and case.
        let name = principal_arn.rsplit('/').next().unwrap_or(principal_arn).to_ascii_lowercase();
        let (other, theirs) = *first.entry(name).or_insert((&form.id.value, holder));
        if theirs != holder {
            let message = format!(
                "principal `{}` has holder `{}` here and `{}` in `{other}`; write the same holder in both",
                form.principal.as_ref().map_or("", |principal| principal.value.as_str()),
                holder_word(holder),
                holder_word(theirs),
            );
            findings.at(file, form.holder.as_ref().unwrap_or(&form.owner), message);
        }
    }
}

fn holder_word(holder: &Holder) -> &str {
    match holder {
        Holder::Single(identity) => identity.as_str(),
        Holder::Shared => SHARED,
    }
}
