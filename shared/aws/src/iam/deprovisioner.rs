//! Removing: reap's half of the calls.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::Probe;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Deprovisioner, Place, PortResult};

use super::{DELETE, DETACH, effective, is_gone, role_name};
use crate::error::Watch;

/// Deletes and detaches policies, and asks the simulator; there is no call in it that adds one.
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

    /// A client of its own, as `config` says.
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
    async fn remove(&self, place: &Place) -> PortResult<()> {
        match place {
            Place::Inline { principal_arn, policy_name } => self.delete(principal_arn, policy_name).await,
            Place::Managed { principal_arn, policy_arn } => self.detach(principal_arn, policy_arn).await,
        }
    }

    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess> {
        effective::tried(&self.client, principal_arn, probes, now).await
    }
}
