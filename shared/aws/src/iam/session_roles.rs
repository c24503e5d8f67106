//! The reserved deny on session roles.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use aws_smithy_types::date_time::{DateTime, Format};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{DenyReading, PortResult, SessionRoles};

use super::{DELETE, GET, PUT, document, is_gone, request_id, role_name};
use crate::error::{Watch, unreadable};

/// Reads and writes the reserved deny, an inline policy of the role.
#[derive(Clone, Debug)]
pub struct IamSessionRoles {
    client: Client,
}

impl IamSessionRoles {
    /// Reads and writes through `client`.
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

/// The request id and AWS's date of an answer.
fn reading(watch: &Watch) -> PortResult<(String, Timestamp)> {
    let date = watch.date().ok_or_else(|| unreadable(GET, "the answer has no `Date` header"))?;
    let aws_date = DateTime::from_str(&date, Format::HttpDate)
        .map_err(|_| unreadable(GET, format!("the `Date` header `{date}` is not an HTTP date")))?;
    Ok((request_id(GET, watch)?, Timestamp::from_seconds(aws_date.secs())))
}

#[async_trait]
impl SessionRoles for IamSessionRoles {
    async fn read_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<DenyReading> {
        let watch = Watch::new();
        let answer = self
            .client
            .get_role_policy()
            .role_name(role_name(GET, role_arn)?)
            .policy_name(policy_name)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await;
        let document = match answer {
            Ok(answer) => Some(document(GET, &answer.policy_document)?),
            Err(error) if is_gone(&error) => None,
            Err(error) => return Err(watch.classify(GET, error)),
        };
        let (request_id, aws_date) = reading(&watch)?;
        Ok(DenyReading { document, request_id, aws_date })
    }

    async fn put_deny(&self, role_arn: &str, policy_name: &str, document: &str) -> PortResult<()> {
        let watch = Watch::new();
        self.client
            .put_role_policy()
            .role_name(role_name(PUT, role_arn)?)
            .policy_name(policy_name)
            .policy_document(document)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map(drop)
            .map_err(|error| watch.classify(PUT, error))
    }

    async fn delete_deny(&self, role_arn: &str, policy_name: &str) -> PortResult<()> {
        let watch = Watch::new();
        let answer = self
            .client
            .delete_role_policy()
            .role_name(role_name(DELETE, role_arn)?)
            .policy_name(policy_name)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(watch.classify(DELETE, error)),
        }
    }
}
