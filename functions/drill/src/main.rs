//! Lambda function `drill`: requests a canary grant of each delivery. It checks with the grant's own access that the
//! grant works and ends. It calls the API like any client; it decides, issues and ends nothing.

mod grants;
mod handler;
mod metric;

use std::sync::Arc;

use brevet_aws::{DynamoCanary, DynamoStore, StsProofs, config};
use brevet_domain::drill::Rules;
use brevet_engine::drill::{DrillPlan, Driller, Ports};
use brevet_lambda::clock::{RandomIds, SystemClock};
use brevet_lambda::config::{CanaryTargets, Drilling, Settings};
use brevet_lambda::logs;
use lambda_runtime::{Error, service_fn};

use crate::grants::HttpGrants;
use crate::handler::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let settings = Settings::from_env(config::CALL_BOUND_S)?;
    let (drilling, targets) = (Drilling::from_env()?, CanaryTargets::from_env()?);
    let aws = config::from_env().await;
    let proofs = StsProofs::connect(&aws, settings.audiences.ask, settings.audiences.credentials);
    let session_name = format!("brevet-{}-drill", settings.deployment.id);
    let ports = Ports {
        store: Arc::new(DynamoStore::connect(&aws, settings.table)),
        grants: Arc::new(HttpGrants::new(&targets.api_url, Arc::new(proofs))?),
        canary: Arc::new(DynamoCanary::connect(&aws, targets.table, targets.principals, session_name)),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    };
    let plan = DrillPlan {
        entitlements: drilling.entitlements(),
        term: drilling.term,
        rules: Rules {
            term_s: drilling.term.as_seconds(),
            period_s: drilling.period_s,
            skew_s: settings.bounds.skew_s,
            lasts_s: 0,
        },
        overdue_s: settings.issuance_policy.overdue_s,
        max_age_s: drilling.max_age_s,
    };
    let handler = &Handler::new(Driller::new(ports, plan), settings.deployment.id, Arc::new(SystemClock));
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}
