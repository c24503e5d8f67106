//! Lists the roles and policies of the deployment, for the reaper's sweep.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use brevet_engine::port::{AccountListing, PortResult, Roles, Standing};

use super::{IamPrincipals, LIST_ROLES, MAX_PAGES, next_page, too_many_pages};
use crate::error::{Watch, unreadable};

/// Lists the roles under one path, and the policies on them.
#[derive(Clone, Debug)]
pub struct IamAccountListing {
    client: Client,
    principals: IamPrincipals,
    /// `/brevet/<deployment>/`.
    path: String,
    /// ARNs of attachment principals outside the path.
    others: Vec<String>,
}

impl IamAccountListing {
    /// Lists through `client` the roles under `path`, which ends with `/`, and the principals `others`.
    #[must_use]
    pub fn new(client: Client, path: String, others: Vec<String>) -> Self {
        Self { principals: IamPrincipals::new(client.clone()), client, path, others }
    }

    /// Builds its own client from `config`.
    #[must_use]
    pub fn connect(config: &SdkConfig, path: String, others: Vec<String>) -> Self {
        Self::new(Client::new(config), path, others)
    }

    async fn under_path(&self) -> PortResult<Vec<String>> {
        let mut arns = Vec::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let watch = Watch::new();
            let call = self.client.list_roles().path_prefix(&self.path).max_items(PAGE).set_marker(marker);
            let answer = call.customize().interceptor(watch.clone()).send().await;
            let page = answer.map_err(|error| watch.classify(LIST_ROLES, error))?;
            for role in page.roles {
                if role.arn.is_empty() {
                    return Err(unreadable(LIST_ROLES, "the answer has a role without an ARN"));
                }
                arns.push(role.arn);
            }
            marker = next_page(LIST_ROLES, page.is_truncated, page.marker)?;
            match marker {
                Some(_) => {}
                // The functions' own roles are under the path. The SDK reads an answer without a list as an empty list.
                None if arns.is_empty() => {
                    return Err(unreadable(LIST_ROLES, format!("the answer has no role under `{}`", self.path)));
                }
                None => return Ok(arns),
            }
        }
        Err(too_many_pages(LIST_ROLES))
    }
}

/// The number of roles per page: the most that IAM allows.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>
const PAGE: i32 = 1_000;

#[async_trait]
impl AccountListing for IamAccountListing {
    async fn roles(&self) -> PortResult<Roles> {
        let arns = self.under_path().await?;
        let under = |part: &str| {
            let path = format!(":role{}{part}/", self.path);
            arns.iter().filter(|arn| arn.contains(&path)).cloned().collect::<BTreeSet<_>>()
        };
        let mut attachment = under("attachment");
        attachment.extend(self.others.iter().cloned());
        Ok(Roles { attachment: attachment.into_iter().collect(), session: under("session").into_iter().collect() })
    }

    async fn standing(&self, principal_arn: &str) -> PortResult<Standing> {
        self.principals.standing(principal_arn).await
    }
}
