//! Lambda function `intake`: accepts requests and releases, and shows grants. It can request, withdraw and release.

mod handler;

use std::sync::Arc;

use brevet_aws::{DynamoStore, LambdaEvaluateCall, config};
use brevet_engine::catalogue::Catalogue;
use brevet_engine::intake::Intake;
use brevet_identity::{HttpKeySource, Verifier};
use brevet_lambda::clock::{RandomIds, SystemClock};
use brevet_lambda::config::{Settings, evaluate_function_from_env};
use brevet_lambda::logs;
use brevet_lambda::metric::BundleStale;
use brevet_lambda::proof::OidcProofs;
use lambda_runtime::{Error, service_fn};

use crate::handler::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let settings = Settings::from_env(config::CALL_BOUND_S)?;
    let aws = config::from_env().await;
    let store = Arc::new(DynamoStore::connect(&aws, settings.table));
    let watch = Arc::new(BundleStale::new(settings.deployment.id.clone()));
    let catalogue = Arc::new(Catalogue::new(Arc::clone(&store) as _, settings.bundle_max_age_s, watch));
    let verifier = Verifier::new(settings.audiences, settings.bounds.skew_s, Arc::new(HttpKeySource::new()?));
    let intake = Intake {
        proofs: Arc::new(OidcProofs::new(verifier, Arc::clone(&catalogue))),
        catalogue,
        requests: Arc::clone(&store) as _,
        reader: store,
        evaluator: Arc::new(LambdaEvaluateCall::new(&aws, evaluate_function_from_env()?)),
        ids: Arc::new(RandomIds),
        issuance_policy: settings.issuance_policy,
    };
    let handler = &Handler::new(intake, Arc::new(SystemClock));
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}
