//! STS and IAM keep the contracts of their ports, on LocalStack.
#![expect(clippy::unwrap_used, reason = "this is test code")]

mod local;

use std::sync::Arc;

use aws_config::SdkConfig;
use brevet_aws::{IamSessionRoles, StsVendor};
use brevet_engine::contract::{roles, vendor};
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
