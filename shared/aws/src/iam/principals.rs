//! Reads attachment principals: whole before an attachment, and one target at a time as proof.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use aws_sdk_iam::operation::list_attached_role_policies::ListAttachedRolePoliciesOutput;
use aws_sdk_iam::types::{AttachedPolicy, SummaryKeyType};
use brevet_engine::port::{AttachmentTarget, PortError, PortResult, Principal, Principals, Standing, TargetReading};

use super::{
    GET, GET_ROLE, LIST, LIST_ATTACHED, MAX_PAGES, document, is_gone, next_page, refused, request_id, role_name,
    too_many_pages,
};
use crate::error::{Watch, unreadable};

/// The most inline policies of a principal that are read. Each takes its own call.
const MAX_INLINE: usize = 100;

/// The quota of managed policies per role, if the account's summary does not show it.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const DEFAULT_QUOTA: usize = 10;

/// Reads roles and the policies on them.
#[derive(Clone, Debug)]
pub struct IamPrincipals {
    client: Client,
}

impl IamPrincipals {
    /// Reads through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Builds its own client from `config`.
    #[must_use]
    pub fn connect(config: &SdkConfig) -> Self {
        Self::new(Client::new(config))
    }

    /// The permissions boundary of the role with exactly this ARN.
    async fn boundary(&self, principal_arn: &str) -> PortResult<Option<String>> {
        let watch = Watch::new();
        let call = self.client.get_role().role_name(role_name(GET_ROLE, principal_arn)?);
        let answer = call.customize().interceptor(watch.clone()).send().await.map_err(|error| {
            if is_gone(&error) {
                refused(GET_ROLE, format!("there is no role `{principal_arn}`"))
            } else {
                watch.classify(GET_ROLE, error)
            }
        })?;
        // The SDK reads a missing element as an empty one.
        let role = answer.role.filter(|role| !role.arn.is_empty());
        let role = role.ok_or_else(|| unreadable(GET_ROLE, "the answer has no role"))?;
        // IAM finds a role by its name alone. A role of this name may exist under a path without attachment rights.
        if role.arn != principal_arn {
            let reason = format!("`{principal_arn}` does not exist; the role of this name is `{}`", role.arn);
            return Err(refused(GET_ROLE, reason));
        }
        Ok(role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn))
    }

    async fn inline(&self, principal_arn: &str) -> PortResult<BTreeMap<String, String>> {
        let names = self.inline_names(principal_arn).await?;
        if names.len() > MAX_INLINE {
            let n = names.len();
            let reason = format!("`{principal_arn}` has {n} inline policies; Brevet reads at most {MAX_INLINE}");
            return Err(refused(LIST, reason));
        }
        let mut inline = BTreeMap::new();
        for name in names {
            // A policy that was deleted in between is absent.
            if let (Some(text), _) = self.inline_document(principal_arn, &name).await? {
                inline.insert(name, text);
            }
        }
        Ok(inline)
    }

    /// The names of all policies on a principal. Empty if the role does not exist.
    pub(super) async fn standing(&self, principal_arn: &str) -> PortResult<Standing> {
        let Some(inline) = self.inline_names_if_any(principal_arn).await? else { return Ok(Standing::default()) };
        let attached = self.attached_if_any(principal_arn).await?.unwrap_or_default();
        Ok(Standing { inline: inline.into_iter().collect(), attached: attached.into_iter().collect() })
    }

    async fn inline_names(&self, principal_arn: &str) -> PortResult<BTreeSet<String>> {
        self.inline_names_if_any(principal_arn).await?.ok_or_else(|| role_deleted(LIST, principal_arn))
    }

    async fn inline_names_if_any(&self, principal_arn: &str) -> PortResult<Option<BTreeSet<String>>> {
        let mut names = BTreeSet::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let watch = Watch::new();
            let call = self.client.list_role_policies().role_name(role_name(LIST, principal_arn)?);
            let answer = call.set_marker(marker).customize().interceptor(watch.clone()).send().await;
            let page = match answer {
                Ok(page) => page,
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(watch.classify(LIST, error)),
            };
            names.extend(page.policy_names);
            marker = next_page(LIST, page.is_truncated, page.marker)?;
            if marker.is_none() {
                return Ok(Some(names));
            }
        }
        Err(too_many_pages(LIST))
    }

    /// The document, if the policy exists, and the watch of the call.
    async fn inline_document(&self, principal_arn: &str, name: &str) -> PortResult<(Option<String>, Watch)> {
        let watch = Watch::new();
        let call = self.client.get_role_policy().role_name(role_name(GET, principal_arn)?).policy_name(name);
        match call.customize().interceptor(watch.clone()).send().await {
            Ok(answer) => Ok((Some(document(GET, &answer.policy_document)?), watch)),
            Err(error) if is_gone(&error) => Ok((None, watch)),
            Err(error) => Err(watch.classify(GET, error)),
        }
    }

    async fn attached(&self, principal_arn: &str) -> PortResult<BTreeSet<String>> {
        self.attached_if_any(principal_arn).await?.ok_or_else(|| role_deleted(LIST_ATTACHED, principal_arn))
    }

    async fn attached_if_any(&self, principal_arn: &str) -> PortResult<Option<BTreeSet<String>>> {
        let mut attached = BTreeSet::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let (page, _) = self.attached_page(principal_arn, "/", marker).await?;
            let Some(mut page) = page else { return Ok(None) };
            attached.extend(listed(&mut page)?.into_iter().filter_map(|policy| policy.policy_arn));
            marker = next_page(LIST_ATTACHED, page.is_truncated, page.marker)?;
            if marker.is_none() {
                return Ok(Some(attached));
            }
        }
        Err(too_many_pages(LIST_ATTACHED))
    }

    /// One page of the attached policies under a path, if the role exists, and the watch of the call.
    async fn attached_page(
        &self,
        principal_arn: &str,
        path: &str,
        marker: Option<String>,
    ) -> PortResult<(Option<ListAttachedRolePoliciesOutput>, Watch)> {
        let watch = Watch::new();
        let call = self.client.list_attached_role_policies().role_name(role_name(LIST_ATTACHED, principal_arn)?);
        let call = call.path_prefix(path).set_marker(marker);
        match call.customize().interceptor(watch.clone()).send().await {
            Ok(page) => Ok((Some(page), watch)),
            Err(error) if is_gone(&error) => Ok((None, watch)),
            Err(error) => Err(watch.classify(LIST_ATTACHED, error)),
        }
    }

    /// Searches the list for the policy, page by page. INVARIANT: only the complete list shows an absence.
    async fn read_attached(&self, principal_arn: &str, policy_arn: &str) -> PortResult<TargetReading> {
        let path = policy_path(policy_arn)?;
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let (page, watch) = self.attached_page(principal_arn, &path, marker).await?;
            let request_id = request_id(LIST_ATTACHED, &watch)?;
            let Some(mut page) = page else { return Ok(TargetReading { standing: None, request_id }) };
            if listed(&mut page)?.iter().any(|policy| policy.policy_arn() == Some(policy_arn)) {
                return Ok(TargetReading { standing: Some(policy_arn.to_owned()), request_id });
            }
            marker = next_page(LIST_ATTACHED, page.is_truncated, page.marker)?;
            if marker.is_none() {
                return Ok(TargetReading { standing: None, request_id });
            }
        }
        Err(too_many_pages(LIST_ATTACHED))
    }

    /// The quota of managed policies per role. A failed read of the quota must not stop a grant.
    async fn attached_quota(&self) -> usize {
        let answer = self.client.get_account_summary().send().await.ok();
        let summary = answer.and_then(|answer| answer.summary_map);
        let quota = summary.and_then(|map| map.get(&SummaryKeyType::AttachedPoliciesPerRoleQuota).copied());
        quota.and_then(|quota| usize::try_from(quota).ok()).unwrap_or(DEFAULT_QUOTA)
    }
}

/// The policies of a page. The SDK reads an answer without a list as an empty list, which proves no absence.
fn listed(page: &mut ListAttachedRolePoliciesOutput) -> PortResult<Vec<AttachedPolicy>> {
    page.attached_policies.take().ok_or_else(|| unreadable(LIST_ATTACHED, "the answer has no list of policies"))
}

fn role_deleted(operation: &'static str, principal_arn: &str) -> PortError {
    refused(operation, format!("the role `{principal_arn}` was deleted during the read"))
}

/// The path of a policy, with `/` at both ends.
fn policy_path(policy_arn: &str) -> PortResult<String> {
    let resource = policy_arn.splitn(6, ':').nth(5).and_then(|resource| resource.strip_prefix("policy/"));
    match resource.map(|name| name.rsplit_once('/').unwrap_or(("", name))) {
        Some(("", name)) if !name.is_empty() => Ok("/".to_owned()),
        Some((path, name)) if !name.is_empty() => Ok(format!("/{path}/")),
        _ => Err(refused(LIST_ATTACHED, format!("`{policy_arn}` is not the ARN of a policy"))),
    }
}

#[async_trait]
impl Principals for IamPrincipals {
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal> {
        Ok(Principal {
            boundary_arn: self.boundary(principal_arn).await?,
            inline: self.inline(principal_arn).await?,
            attached: self.attached(principal_arn).await?,
            attached_quota: self.attached_quota().await,
        })
    }

    async fn read(&self, target: &AttachmentTarget) -> PortResult<TargetReading> {
        match target {
            AttachmentTarget::Inline { principal_arn, policy_name } => {
                let (standing, watch) = self.inline_document(principal_arn, policy_name).await?;
                Ok(TargetReading { standing, request_id: request_id(GET, &watch)? })
            }
            AttachmentTarget::Managed { principal_arn, policy_arn } => {
                self.read_attached(principal_arn, policy_arn).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_path_is_read_from_the_arn() {
        let path = |arn: &str| policy_path(arn).ok();
        let own = "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-sync";
        assert_eq!(path(own).as_deref(), Some("/brevet/dev/managed/"));
        assert_eq!(path("arn:aws:iam::aws:policy/ReadOnlyAccess").as_deref(), Some("/"));
        for wrong in
            ["", "ReadOnlyAccess", "arn:aws:iam::0:role/x", "arn:aws:iam::0:policy/", "arn:aws:iam::0:policy/x/"]
        {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
