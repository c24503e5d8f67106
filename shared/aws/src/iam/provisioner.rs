//! The issuer's half of the calls: puts and attaches policies.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use brevet_domain::plan::AttachmentPlan;
use brevet_engine::port::{PortResult, Provisioner};

use super::{ATTACH, PUT, role_name};
use crate::error::Watch;

/// Puts and attaches policies. It has no call that removes a policy.
#[derive(Clone, Debug)]
pub struct IamProvisioner {
    client: Client,
}

impl IamProvisioner {
    /// Writes through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Builds its own client from `config`.
    #[must_use]
    pub fn connect(config: &SdkConfig) -> Self {
        Self::new(Client::new(config))
    }

    async fn put(&self, principal_arn: &str, policy_name: &str, document: &str) -> PortResult<()> {
        let watch = Watch::new();
        self.client
            .put_role_policy()
            .role_name(role_name(PUT, principal_arn)?)
            .policy_name(policy_name)
            .policy_document(document)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map(drop)
            .map_err(|error| watch.classify(PUT, error))
    }

    async fn attach_managed(&self, principal_arn: &str, policy_arn: &str) -> PortResult<()> {
        let watch = Watch::new();
        self.client
            .attach_role_policy()
            .role_name(role_name(ATTACH, principal_arn)?)
            .policy_arn(policy_arn)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map(drop)
            .map_err(|error| watch.classify(ATTACH, error))
    }
}

#[async_trait]
impl Provisioner for IamProvisioner {
    async fn attach(&self, plan: &AttachmentPlan) -> PortResult<()> {
        match plan {
            AttachmentPlan::Inline { principal_arn, policy_name, document } => {
                self.put(principal_arn, policy_name, document).await
            }
            AttachmentPlan::Managed { principal_arn, policy_arn } => {
                self.attach_managed(principal_arn, policy_arn).await
            }
        }
    }
}
