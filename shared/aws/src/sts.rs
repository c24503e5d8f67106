//! STS: vends sessions.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::types::Tag;
use brevet_domain::plan::SessionPlan;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Credentials, PortError, PortResult, Vended, Vendor};

use crate::error::{Watch, unreadable};

const ASSUME_ROLE: &str = "sts:AssumeRole";

/// Vends sessions by `AssumeRole`.
#[derive(Clone, Debug)]
pub struct StsVendor {
    client: Client,
}

impl StsVendor {
    /// Vends through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// A client of its own, as `config` says.
    #[must_use]
    pub fn connect(config: &SdkConfig) -> Self {
        Self::new(Client::new(config))
    }
}

#[async_trait]
impl Vendor for StsVendor {
    async fn vend(&self, plan: &SessionPlan) -> PortResult<Vended> {
        let watch = Watch::new();
        let duration_s = i32::try_from(plan.duration_s).unwrap_or(i32::MAX);
        let mut call = self
            .client
            .assume_role()
            .role_arn(&plan.role_arn)
            .role_session_name(&plan.session_name)
            .source_identity(&plan.source_identity)
            .duration_seconds(duration_s)
            .policy(&plan.policy);
        for (key, value) in &plan.tags {
            let tag = Tag::builder().key(key).value(value).build();
            call = call.tags(tag.map_err(|error| PortError::Refused { operation: ASSUME_ROLE, source: error.into() })?);
        }
        let answer = call
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map_err(|error| watch.classify(ASSUME_ROLE, error))?;
        let issued = answer.credentials.ok_or_else(|| unreadable(ASSUME_ROLE, "there are no credentials in it"))?;
        let expires_at = Timestamp::from_seconds(issued.expiration.secs());
        #[expect(deprecated, reason = "its successor measures the whole token, not the policies and tags")]
        let packed = answer.packed_policy_size;
        Ok(Vended {
            credentials: Credentials {
                access_key_id: issued.access_key_id,
                secret_access_key: issued.secret_access_key,
                session_token: issued.session_token,
            },
            expires_at,
            packed_percent: packed.and_then(|percent| u32::try_from(percent).ok()),
        })
    }
}
