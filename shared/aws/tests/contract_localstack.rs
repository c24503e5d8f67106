//! STS and IAM keep the contracts of their ports, on LocalStack.
#![expect(clippy::unwrap_used, reason = "this is test code")]

mod local;

use std::sync::Arc;

use aws_config::SdkConfig;
use brevet_aws::{IamDeprovisioner, IamPrincipals, IamProvisioner, IamSessionRoles, StsVendor};
use brevet_engine::contract::{principals, roles, vendor};
use brevet_engine::fake::SeqIds;
use brevet_engine::port::{IdSource, SessionRoles};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}"#;

/// A session role of its own for each test; its ARN.
async fn create_role(config: &SdkConfig) -> String {
    let client = aws_sdk_iam::Client::new(config);
    let call = client.create_role().path("/brevet/dev/session/").assume_role_policy_document(TRUST);
    let answer = call.role_name(local::fresh_name("brevet-dev-contract")).send().await.unwrap();
    answer.role.unwrap().arn
}

mod on_sts {
    use super::*;

    async fn tried() -> Option<vendor::Tried> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        let config = local::config(&url).await;
        let role_arn = create_role(&config).await;
        let roles = IamSessionRoles::new(aws_sdk_iam::Client::new(&config));
        let now = roles.read_deny(&role_arn, "none").await.unwrap().aws_date;
        let vendor = Arc::new(StsVendor::new(aws_sdk_sts::Client::new(&config)));
        Some(vendor::Tried { vendor, role_arn, grant: SeqIds::new().grant_id(now), now })
    }

    brevet_engine::vendor_contract!(tried());
}

mod on_iam {
    use super::*;

    async fn tried() -> Option<roles::Tried> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        let config = local::config(&url).await;
        let role_arn = create_role(&config).await;
        let roles = Arc::new(IamSessionRoles::new(aws_sdk_iam::Client::new(&config)));
        Some(roles::Tried { roles, role_arn })
    }

    brevet_engine::roles_contract!(tried());
}

mod on_attachment_principals {
    use super::*;

    const READ: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}"#;

    /// An attachment principal of its own for each test; its ARN.
    async fn create_principal(client: &aws_sdk_iam::Client, boundary_arn: Option<&str>) -> String {
        let call = client.create_role().path("/brevet/dev/attachment/").assume_role_policy_document(TRUST);
        let call = call.set_permissions_boundary(boundary_arn.map(str::to_owned));
        let answer = call.role_name(local::fresh_name("brevet-dev-principal")).send().await.unwrap();
        answer.role.unwrap().arn
    }

    /// A managed policy, likewise.
    async fn create_policy(client: &aws_sdk_iam::Client, path: &str) -> String {
        let call = client.create_policy().path(path).policy_document(READ);
        let answer = call.policy_name(local::fresh_name("brevet-dev-policy")).send().await.unwrap();
        answer.policy.unwrap().arn.unwrap()
    }

    async fn tried() -> Option<principals::Tried> {
        let url = local::url("BREVET_TEST_LOCALSTACK_URL")?;
        let config = local::config(&url).await;
        let client = aws_sdk_iam::Client::new(&config);
        let boundary_arn = create_policy(&client, "/brevet/dev/").await;
        let role_arn = create_principal(&client, Some(&boundary_arn)).await;
        let now = IamSessionRoles::new(client.clone()).read_deny(&role_arn, "none").await.unwrap().aws_date;
        Some(principals::Tried {
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

    brevet_engine::principals_contract!(tried());
}
