//! STS: vends sessions, and proves the drill's identity.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::types::Tag;
use brevet_domain::identity::Audience;
use brevet_domain::plan::SessionPlan;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Credentials, PortError, PortResult, ProofSource, RawProof, Vended, Vendor};

use crate::error::{Watch, unreadable};

const ASSUME_ROLE: &str = "sts:AssumeRole";
const IDENTIFY: &str = "sts:GetWebIdentityToken";

/// The life of a token, in seconds. The drill uses it at once.
const TOKEN_S: i32 = 300;

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

    /// Builds its own client from `config`.
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
        let issued = answer.credentials.ok_or_else(|| unreadable(ASSUME_ROLE, "the answer has no credentials"))?;
        let expires_at = Timestamp::from_seconds(issued.expiration.secs());
        #[expect(deprecated, reason = "its successor measures the whole token instead of policies and tags")]
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

/// Proves the caller's identity with `GetWebIdentityToken`: AWS signs a token for one audience.
///
/// The account must have outbound identity federation enabled.
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>
#[derive(Clone, Debug)]
pub struct StsProofs {
    client: Client,
    ask: String,
    credentials: String,
}

impl StsProofs {
    /// Calls through `client`. `ask` and `credentials` are the audiences of requests and of credential fetches.
    #[must_use]
    pub fn new(client: Client, ask: impl Into<String>, credentials: impl Into<String>) -> Self {
        Self { client, ask: ask.into(), credentials: credentials.into() }
    }

    /// Builds its own client from `config`.
    #[must_use]
    pub fn connect(config: &SdkConfig, ask: impl Into<String>, credentials: impl Into<String>) -> Self {
        Self::new(Client::new(config), ask, credentials)
    }
}

#[async_trait]
impl ProofSource for StsProofs {
    async fn proof(&self, audience: Audience) -> PortResult<RawProof> {
        let audience = match audience {
            Audience::Ask => &self.ask,
            Audience::Credentials => &self.credentials,
            // A machine never votes.
            Audience::Approvals => {
                let source = "a machine gets no token for the audience of approvals".into();
                return Err(PortError::Refused { operation: IDENTIFY, source });
            }
        };
        let watch = Watch::new();
        let call = self.client.get_web_identity_token().audience(audience);
        let call = call.signing_algorithm("RS256").duration_seconds(TOKEN_S);
        let call = call.customize().interceptor(watch.clone());
        let answer = call.send().await.map_err(|error| watch.classify(IDENTIFY, error))?;
        let token = answer.web_identity_token.ok_or_else(|| unreadable(IDENTIFY, "the answer has no token"))?;
        Ok(RawProof::new(token))
    }
}
