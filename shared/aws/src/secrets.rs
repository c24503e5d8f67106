//! Secrets Manager: rotates secrets and reads the progress of a rotation. It never reads a secret's value.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use brevet_domain::canonical::Digest;
use brevet_engine::port::{PortResult, Rotator, VersionReading, VersionStage};

use crate::error::{Watch, unreadable};

const ROTATE: &str = "secretsmanager:RotateSecret";
const DESCRIBE: &str = "secretsmanager:DescribeSecret";

/// The placeholder in policies for the hyphen and six characters that Secrets Manager adds to a name.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen>
const SUFFIX: &str = "-??????";

/// Rotates secrets as they are configured. It never changes their function or schedule.
#[derive(Clone, Debug)]
pub struct SecretsRotator {
    client: Client,
}

impl SecretsRotator {
    /// Rotates through `client`.
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

/// The `SecretId` of `secret`. An ARN without the hyphen and six characters is valid too.
fn secret_id(secret: &str) -> &str {
    secret.strip_suffix(SUFFIX).unwrap_or(secret)
}

/// The stage of a version with `labels`. A finished rotation may leave `AWSPENDING` beside `AWSCURRENT`.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
fn stage(labels: &[String]) -> VersionStage {
    let has = |label: &str| labels.iter().any(|other| other == label);
    if has("AWSCURRENT") || has("AWSPREVIOUS") {
        VersionStage::Current
    } else if has("AWSPENDING") {
        VersionStage::Pending
    } else {
        VersionStage::Absent
    }
}

#[async_trait]
impl Rotator for SecretsRotator {
    async fn read_version(&self, secret: &str, token: Digest) -> PortResult<VersionReading> {
        let watch = Watch::new();
        let answer = self
            .client
            .describe_secret()
            .secret_id(secret_id(secret))
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map_err(|error| watch.classify(DESCRIBE, error))?;
        let request_id = watch.request_id().ok_or_else(|| unreadable(DESCRIBE, "the answer has no request id"))?;
        // A secret scheduled for deletion is not in use and is not rotated, but it may be restored.
        let labels = answer.version_ids_to_stages().and_then(|versions| versions.get(&token.to_string()));
        Ok(VersionReading { stage: labels.map_or(VersionStage::Absent, |labels| stage(labels)), request_id })
    }

    async fn rotate(&self, secret: &str, token: Digest) -> PortResult<()> {
        let watch = Watch::new();
        // A retry by the SDK carries the same token, which names the new version.
        self.client
            .rotate_secret()
            .secret_id(secret_id(secret))
            .client_request_token(token.to_string())
            .rotate_immediately(true)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map(drop)
            .map_err(|error| watch.classify(ROTATE, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_stage_follows_from_its_labels() {
        let at = |labels: &[&str]| stage(&labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>());
        assert_eq!(at(&[]), VersionStage::Absent);
        assert_eq!(at(&["something-own"]), VersionStage::Absent);
        assert_eq!(at(&["AWSPENDING"]), VersionStage::Pending);
        assert_eq!(at(&["AWSPENDING", "AWSCURRENT"]), VersionStage::Current);
        assert_eq!(at(&["AWSPREVIOUS"]), VersionStage::Current);
    }

    #[test]
    fn secret_id_omits_the_placeholder_of_a_policy() {
        assert_eq!(
            secret_id("arn:aws:secretsmanager:r:1:secret:prod/db-??????"),
            "arn:aws:secretsmanager:r:1:secret:prod/db"
        );
        assert_eq!(
            secret_id("arn:aws:secretsmanager:r:1:secret:prod/db-AbCdEf"),
            "arn:aws:secretsmanager:r:1:secret:prod/db-AbCdEf"
        );
    }
}
