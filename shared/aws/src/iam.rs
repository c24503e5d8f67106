//! IAM: the reserved deny on session roles.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use aws_smithy_types::date_time::{DateTime, Format};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{DenyReading, PortError, PortResult, SessionRoles};

use crate::error::{Watch, unreadable};

const GET: &str = "iam:GetRolePolicy";
const PUT: &str = "iam:PutRolePolicy";
const DELETE: &str = "iam:DeleteRolePolicy";

/// The reserved deny, as an inline policy of the role.
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

    /// A client of its own, as `config` says.
    #[must_use]
    pub fn connect(config: &SdkConfig) -> Self {
        Self::new(Client::new(config))
    }
}

/// IAM names roles without their path, and role names are unique in an account.
fn role_name<'a>(operation: &'static str, role_arn: &'a str) -> PortResult<&'a str> {
    let resource = role_arn.split(':').nth(5);
    resource
        .filter(|resource| resource.starts_with("role/"))
        .and_then(|resource| resource.rsplit('/').next())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| PortError::Refused {
            operation,
            source: format!("`{role_arn}` is not the ARN of a role").into(),
        })
}

/// Undoes RFC 3986 percent-encoding: how IAM answers documents.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRolePolicy.html>
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// When and by which answer something was read.
fn sighting(watch: &Watch) -> PortResult<(String, Timestamp)> {
    let date = watch.date().ok_or_else(|| unreadable(GET, "it has no Date"))?;
    let aws_date =
        DateTime::from_str(&date, Format::HttpDate).map_err(|_| unreadable(GET, format!("its Date is `{date}`")))?;
    let request_id = watch.request_id().ok_or_else(|| unreadable(GET, "it has no request id"))?;
    Ok((request_id, Timestamp::from_seconds(aws_date.secs())))
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
            Ok(answer) => Some(
                decoded(&answer.policy_document)
                    .ok_or_else(|| unreadable(GET, "its document is not percent-encoded"))?,
            ),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()) => None,
            Err(error) => return Err(watch.classify(GET, error)),
        };
        let (request_id, aws_date) = sighting(&watch)?;
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
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()) => Ok(()),
            Err(error) => Err(watch.classify(DELETE, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_without_its_path() {
        let arn = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";
        assert_eq!(role_name(GET, arn).unwrap(), "brevet-dev-shop");
        for wrong in ["", "brevet-dev-shop", "arn:aws:iam::000000000000:user/x", "arn:aws:iam::0:role/"] {
            assert!(role_name(GET, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn documents_are_decoded_and_broken_ones_refused() {
        assert_eq!(decoded("%7B%22a%22%3A%2B+1%7D").as_deref(), Some(r#"{"a":++1}"#));
        for broken in ["%", "%7", "%zz", "%ff"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
