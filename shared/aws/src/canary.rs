//! The canary: reads one item of the canary table with the access that the drill probes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, Credentials as Keys};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use brevet_domain::drill::{Drilled, Outcome};
use brevet_engine::port::{Canary, Credentials, PortError, PortResult, ProbeIdentity};

use crate::error::{Watch, unreadable};

const ASSUME_ROLE: &str = "sts:AssumeRole";

/// The key attribute of the canary item. The item need not exist.
const KEY: &str = "pk";

/// Reads the canary table.
#[derive(Clone, Debug)]
pub struct DynamoCanary {
    config: SdkConfig,
    sts: aws_sdk_sts::Client,
    table: String,
    principals: BTreeMap<Drilled, String>,
    session_name: String,
}

impl DynamoCanary {
    /// Reads `table`. `principals` are the ARNs of the canary principals, which it assumes as `session_name`.
    #[must_use]
    pub fn connect(
        config: &SdkConfig,
        table: impl Into<String>,
        principals: BTreeMap<Drilled, String>,
        session_name: impl Into<String>,
    ) -> Self {
        let sts = aws_sdk_sts::Client::new(config);
        Self { config: config.clone(), sts, table: table.into(), principals, session_name: session_name.into() }
    }

    /// A client that signs with `credentials`.
    fn client(&self, credentials: &Credentials) -> Client {
        let Credentials { access_key_id, secret_access_key, session_token } = credentials;
        let keys =
            Keys::new(access_key_id, secret_access_key, Some(session_token.clone()), None, "canary of the drill");
        Client::from_conf(Builder::from(&self.config).credentials_provider(keys).build())
    }

    async fn assume(&self, drilled: Drilled) -> PortResult<Credentials> {
        let Some(role_arn) = self.principals.get(&drilled) else {
            return Err(unreadable(ASSUME_ROLE, "no canary principal is configured for this delivery"));
        };
        let watch = Watch::new();
        let call = self.sts.assume_role().role_arn(role_arn).role_session_name(&self.session_name);
        let call = call.duration_seconds(900).customize().interceptor(watch.clone());
        let answer = call.send().await.map_err(|error| watch.classify(ASSUME_ROLE, error))?;
        let issued = answer.credentials.ok_or_else(|| unreadable(ASSUME_ROLE, "the answer has no credentials"))?;
        Ok(Credentials {
            access_key_id: issued.access_key_id,
            secret_access_key: issued.secret_access_key,
            session_token: issued.session_token,
        })
    }

    async fn read(&self, client: &Client) -> (Outcome, Option<String>) {
        let watch = Watch::new();
        let key = AttributeValue::S("canary".to_owned());
        let call = client.get_item().table_name(&self.table).key(KEY, key).customize().interceptor(watch.clone());
        let outcome = match call.send().await {
            Ok(_) => Outcome::Allowed,
            // INVARIANT: only AccessDenied is a denial. Throttling, expired credentials and lost answers are unclear.
            Err(error) if error.code() == Some("AccessDeniedException") => Outcome::Denied,
            Err(error) => {
                tracing::warn!(code = error.code(), "the canary call showed neither access nor denial");
                Outcome::Unclear
            }
        };
        (outcome, watch.request_id())
    }
}

#[async_trait]
impl Canary for DynamoCanary {
    async fn probe(&self, by: ProbeIdentity<'_>) -> (Outcome, Option<String>) {
        let assumed = match by {
            ProbeIdentity::Itself => return self.read(&Client::new(&self.config)).await,
            ProbeIdentity::Session(credentials) => return self.read(&self.client(credentials)).await,
            ProbeIdentity::Principal(drilled) => self.assume(drilled).await,
        };
        match assumed {
            Ok(credentials) => self.read(&self.client(&credentials)).await,
            Err(error) => {
                tracing::warn!(problem = PortError::chain(&error), "the canary principal could not be assumed");
                (Outcome::Unclear, None)
            }
        }
    }
}
