//! The reaper's half of the calls: removes policies.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::Probe;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{AttachmentTarget, Deprovisioner, PortResult};

use super::{DELETE, DETACH, effective, is_gone, role_name};
use crate::error::Watch;

/// Deletes and detaches policies, and calls the simulator. It has no call that adds a policy.
#[derive(Clone, Debug)]
pub struct IamDeprovisioner {
    client: Client,
}

impl IamDeprovisioner {
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

    async fn delete(&self, principal_arn: &str, policy_name: &str) -> PortResult<()> {
        let watch = Watch::new();
        let call = self.client.delete_role_policy().role_name(role_name(DELETE, principal_arn)?);
        match call.policy_name(policy_name).customize().interceptor(watch.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(watch.classify(DELETE, error)),
        }
    }

    async fn detach(&self, principal_arn: &str, policy_arn: &str) -> PortResult<()> {
        let watch = Watch::new();
        let call = self.client.detach_role_policy().role_name(role_name(DETACH, principal_arn)?);
        match call.policy_arn(policy_arn).customize().interceptor(watch.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(watch.classify(DETACH, error)),
        }
    }
}

#[async_trait]
impl Deprovisioner for IamDeprovisioner {
    async fn remove(&self, target: &AttachmentTarget) -> PortResult<()> {
        match target {
            AttachmentTarget::Inline { principal_arn, policy_name } => self.delete(principal_arn, policy_name).await,
            AttachmentTarget::Managed { principal_arn, policy_arn } => self.detach(principal_arn, policy_arn).await,
        }
    }

    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess> {
        effective::simulate_all(&self.client, principal_arn, probes, now).await
    }
}
