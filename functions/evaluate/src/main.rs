//! Lambda function `evaluate`: decides requests, counts votes and answers dry runs. It verifies every proof itself.
//! It has no IAM and no STS rights.

mod bundle;
mod handler;

use std::sync::Arc;

use brevet_aws::{DynamoStore, config};
use brevet_engine::catalogue::Catalogue;
use brevet_engine::evaluate::acknowledge::Acknowledging;
use brevet_engine::evaluate::decide::Decider;
use brevet_engine::evaluate::offers::Offers;
use brevet_engine::evaluate::revoke::KillSwitch;
use brevet_identity::{HttpKeySource, Verifier};
use brevet_lambda::clock::{RandomIds, SystemClock};
use brevet_lambda::config::Settings;
use brevet_lambda::logs;
use brevet_lambda::metric::{BreakGlassUsed, BundleStale};
use brevet_lambda::proof::OidcProofs;
use lambda_runtime::{Error, service_fn};

use crate::bundle::BundleEvaluator;
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
    let proofs = Arc::new(OidcProofs::new(verifier, Arc::clone(&catalogue)));
    let policy = Arc::new(BundleEvaluator::new(Arc::clone(&catalogue), settings.deployment.clone()));
    let offers = Offers { proofs: Arc::clone(&proofs) as _, catalogue, judge: Arc::clone(&policy) as _ };
    let stores = (Arc::clone(&store) as _, Arc::clone(&store) as _);
    let kill_switch = KillSwitch::new(Arc::clone(&proofs) as _, Arc::clone(&policy) as _, stores);
    let acknowledging = Acknowledging::new(
        Arc::clone(&proofs) as _,
        Arc::clone(&policy) as _,
        Arc::clone(&store) as _,
        (Arc::clone(&store) as _, Arc::new(RandomIds)),
        settings.issuance_policy.overdue_s,
    );
    let decider = Decider::new(
        proofs,
        policy,
        (Arc::clone(&store) as _, Arc::clone(&store) as _, Arc::clone(&store) as _, Arc::clone(&store) as _),
        Arc::new(BreakGlassUsed::new(settings.deployment.id.clone())),
        (store, Arc::new(RandomIds)),
        settings.deployment,
        settings.bounds,
    );
    let stopping = (kill_switch, acknowledging);
    let handler = &Handler::new(decider, stopping, offers, settings.issuance_policy, Arc::new(SystemClock));
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}
