//! The contract suites of the STS, IAM and Secrets Manager ports, run on LocalStack.
#![expect(clippy::unwrap_used, reason = "this is test code")]

mod local;

use std::sync::Arc;

use aws_config::SdkConfig;
use brevet_aws::{IamDeprovisioner, IamPrincipals, IamProvisioner, IamSessionRoles, SecretsRotator, StsVendor};
use brevet_engine::contract::{principals, roles, rotator, vendor};
use brevet_engine::fake::SeqIds;
use brevet_engine::port::{IdSource, SessionRoles};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}"#;

/// Creates a session role for one test. Returns its ARN.
async fn create_role(config: &SdkConfig) -> String {
    let client = aws_sdk_iam::Client::new(config);
    let call = client.create_role().path("/brevet/dev/session/").assume_role_policy_document(TRUST);
    let answer = call.role_name(local::fresh_name("brevet-dev-contract")).send().await.unwrap();
    answer.role.unwrap().arn
}

mod on_sts {
    use super::*;

    async fn fixture() -> Option<vendor::Fixture> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        let config = local::config(&url).await;
        let role_arn = create_role(&config).await;
        let roles = IamSessionRoles::new(aws_sdk_iam::Client::new(&config));
        let now = roles.read_deny(&role_arn, "none").await.unwrap().aws_date;
        let vendor = Arc::new(StsVendor::new(aws_sdk_sts::Client::new(&config)));
        Some(vendor::Fixture { vendor, role_arn, grant: SeqIds::new().grant_id(now), now })
    }

    brevet_engine::vendor_contract!(fixture());
}

mod on_iam {
    use super::*;

    async fn fixture() -> Option<roles::Fixture> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        let config = local::config(&url).await;
        let role_arn = create_role(&config).await;
        let roles = Arc::new(IamSessionRoles::new(aws_sdk_iam::Client::new(&config)));
        Some(roles::Fixture { roles, role_arn })
    }

    brevet_engine::roles_contract!(fixture());
}

mod on_attachment_principals {
    use super::*;

    const READ: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}"#;

    /// Creates an attachment principal for one test. Returns its ARN.
    async fn create_principal(client: &aws_sdk_iam::Client, boundary_arn: Option<&str>) -> String {
        let call = client.create_role().path("/brevet/dev/attachment/").assume_role_policy_document(TRUST);
        let call = call.set_permissions_boundary(boundary_arn.map(str::to_owned));
        let answer = call.role_name(local::fresh_name("brevet-dev-principal")).send().await.unwrap();
        answer.role.unwrap().arn
    }

    /// Creates a managed policy for one test. Returns its ARN.
    async fn create_policy(client: &aws_sdk_iam::Client, path: &str) -> String {
        let call = client.create_policy().path(path).policy_document(READ);
        let answer = call.policy_name(local::fresh_name("brevet-dev-policy")).send().await.unwrap();
        answer.policy.unwrap().arn.unwrap()
    }

    async fn fixture() -> Option<principals::Fixture> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        let config = local::config(&url).await;
        let client = aws_sdk_iam::Client::new(&config);
        let boundary_arn = create_policy(&client, "/brevet/dev/").await;
        let role_arn = create_principal(&client, Some(&boundary_arn)).await;
        let now = IamSessionRoles::new(client.clone()).read_deny(&role_arn, "none").await.unwrap().aws_date;
        Some(principals::Fixture {
            principals: Arc::new(IamPrincipals::new(client.clone())),
            provisioner: Arc::new(IamProvisioner::new(client.clone())),
            deprovisioner: Arc::new(IamDeprovisioner::new(client.clone())),
            gone_arn: format!("{role_arn}-gone"),
            role_arn,
            boundary_arn,
            bare_arn: create_principal(&client, None).await,
            policy_arns: [
                create_policy(&client, "/brevet/dev/managed/").await,
                create_policy(&client, "/brevet/dev/managed/").await,
            ],
            now,
            has_full_simulator: false,
        })
    }

    brevet_engine::principals_contract!(fixture());
}

mod on_secrets_manager {
    use brevet_domain::canonical::Digest;
    use brevet_engine::port::{Rotator, VersionStage};

    use super::*;

    /// Creates a secret for one test. Returns its ARN in the form of a catalogue.
    async fn create_secret(client: &aws_sdk_secretsmanager::Client) -> String {
        let name = format!("prod/{}", local::fresh_name("contract"));
        let answer = client.create_secret().name(name).secret_string("s3cret").send().await.unwrap();
        let arn = answer.arn.unwrap();
        format!("{}-??????", arn.rsplit_once('-').unwrap().0)
    }

    async fn client() -> Option<aws_sdk_secretsmanager::Client> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        Some(aws_sdk_secretsmanager::Client::new(&local::config(&url).await))
    }

    /// No secret has a rotation function: LocalStack runs none here.
    async fn fixture() -> Option<rotator::Fixture> {
        let client = client().await?;
        let bare = create_secret(&client).await;
        let gone = bare.replace("contract", "gone");
        Some(rotator::Fixture { rotator: Arc::new(SecretsRotator::new(client)), bare, gone, set_up: None })
    }

    brevet_engine::rotator_contract!(fixture());

    #[tokio::test]
    async fn a_rotated_version_reads_as_current_even_after_the_next_rotation() {
        let Some(client) = client().await else { return };
        let secret = create_secret(&client).await;
        let rotator = SecretsRotator::new(client.clone());
        let (first, second) = (Digest::of_bytes(b"first"), Digest::of_bytes(b"second"));
        for token in [first, second] {
            let put = client.put_secret_value().secret_id(secret.trim_end_matches("-??????"));
            put.client_request_token(token.to_string()).secret_string("fresh").send().await.unwrap();
            assert_eq!(rotator.read_version(&secret, token).await.unwrap().stage, VersionStage::Current);
        }
        assert_eq!(rotator.read_version(&secret, first).await.unwrap().stage, VersionStage::Current);
    }
}
