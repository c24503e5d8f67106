//! Lambda function `reap`: removes due access and proves that it ended. It can remove access but not add it, and has no
//! STS rights. It also rotates the secrets that ended grants name.

mod handler;
mod metric;

use std::sync::Arc;

use brevet_aws::{
    DynamoStandbyTicks, DynamoStore, IamAccountListing, IamDeprovisioner, IamPrincipals, IamSessionRoles,
    SecretsRotator, config,
};
use brevet_engine::catalogue::Catalogue;
use brevet_engine::port::Clock;
use brevet_engine::reap::{
    Attachments, Drills, KillSwitchPorts, PASS_BUDGET_S, Ports, Reaper, ReaperWithStandby, Sweep,
};
use brevet_lambda::clock::{RandomIds, SystemClock};
use brevet_lambda::config::{Drilling, Settings, StandbySettings, other_principals_from_env};
use brevet_lambda::logs;
use brevet_lambda::metric::BundleStale;
use lambda_runtime::{Error, service_fn};

use crate::handler::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logs::init();
    let settings = Settings::from_env(config::CALL_BOUND_S)?;
    let aws = config::from_env().await;
    let store = Arc::new(DynamoStore::connect(&aws, settings.table));
    let clock = Arc::new(SystemClock);
    let attachments = Attachments {
        principals: Arc::new(IamPrincipals::connect(&aws)),
        deprovisioner: Arc::new(IamDeprovisioner::connect(&aws)),
        holders: Arc::clone(&store) as _,
    };
    let watch = Arc::new(BundleStale::new(settings.deployment.id.clone()));
    let drilling = Drilling::from_env()?;
    let ports = Ports {
        reader: Arc::clone(&store) as _,
        store: Arc::clone(&store) as _,
        due: Arc::clone(&store) as _,
        deny: Arc::clone(&store) as _,
        reviews: Arc::clone(&store) as _,
        kill_switch: KillSwitchPorts { reader: Arc::clone(&store) as _, progress: Arc::clone(&store) as _ },
        sweep: Sweep {
            listing: Arc::new(IamAccountListing::connect(
                &aws,
                settings.deployment.path(),
                other_principals_from_env()?,
            )),
            findings: Arc::clone(&store) as _,
        },
        service: Arc::clone(&store) as _,
        reaper_health: Arc::clone(&store) as _,
        drills: Drills { reader: Arc::clone(&store) as _, required: drilling.drilled, max_age_s: drilling.max_age_s },
        roles: Arc::new(IamSessionRoles::connect(&aws)),
        attachments,
        rotator: Arc::new(SecretsRotator::connect(&aws)),
        catalogue: Arc::new(Catalogue::new(Arc::clone(&store) as _, settings.bundle_max_age_s, watch)),
        clock: Arc::clone(&clock) as _,
        ids: Arc::new(RandomIds),
    };
    let holder = RandomIds.process_name(clock.now());
    let deployment = settings.deployment;
    let name = deployment.id.clone();
    let reaper = Reaper::new(ports, deployment, holder, (settings.bounds, PASS_BUDGET_S), settings.issuance_policy);
    let standby = StandbySettings::from_env()?;
    let standby_ticks = Arc::new(DynamoStandbyTicks::connect(&aws, standby.table));
    let reaper = ReaperWithStandby::new(reaper, standby_ticks, Arc::clone(&clock) as _, standby.after_s);
    let handler = &Handler::new(reaper, name, clock);
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}
