//! Lambda function `issue`: vends credentials and attaches policies for decided grants. It cannot decide or remove.

mod handler;

use std::sync::Arc;

use brevet_aws::{DynamoStore, IamPrincipals, IamProvisioner, StsVendor, config};
use brevet_engine::catalogue::Catalogue;
use brevet_engine::issue::attachment::{Activator, Ports};
use brevet_engine::issue::credentials::Issuer;
use brevet_identity::{HttpKeySource, Verifier};
use brevet_lambda::clock::{RandomIds, SystemClock};
use brevet_lambda::config::Settings;
use brevet_lambda::logs;
use brevet_lambda::metric::BundleStale;
use brevet_lambda::proof::OidcProofs;
use lambda_runtime::{Error, service_fn};

use crate::handler::Handler;

/// A pass begins new attachments for this many seconds. Each may then take a few more calls of 8 s.
const PASS_BUDGET_S: u32 = 15;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let settings = Settings::from_env(config::CALL_BOUND_S)?;
    let aws = config::from_env().await;
    let store = Arc::new(DynamoStore::connect(&aws, settings.table));
    let watch = Arc::new(BundleStale::new(settings.deployment.id.clone()));
    let catalogue = Arc::new(Catalogue::new(Arc::clone(&store) as _, settings.bundle_max_age_s, watch));
    let verifier = Verifier::new(settings.audiences, settings.bounds.skew_s, Arc::new(HttpKeySource::new()?));
    let issuer = Issuer::new(
        Arc::new(OidcProofs::new(verifier, Arc::clone(&catalogue))),
        (Arc::clone(&store) as _, Arc::clone(&catalogue), Arc::clone(&store) as _),
        (Arc::clone(&store) as _, Arc::new(RandomIds)),
        Arc::new(StsVendor::connect(&aws)),
        Arc::new(SystemClock),
        settings.issuance_policy,
    );
    let ports = Ports {
        reader: Arc::clone(&store) as _,
        catalogue,
        service: Arc::clone(&store) as _,
        store: Arc::clone(&store) as _,
        due: Arc::clone(&store) as _,
        principals: Arc::new(IamPrincipals::connect(&aws)),
        provisioner: Arc::new(IamProvisioner::connect(&aws)),
        holders: store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    };
    let activator = Activator::new(ports, settings.deployment, settings.issuance_policy, PASS_BUDGET_S);
    let handler = &Handler::new(issuer, activator);
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}
