//! The fakes of the model, and the ports over them that a control run replaces.

use std::sync::Arc;

use brevet_engine::fake::{
    ManualClock, MemoryCanary, MemoryEchoes, MemoryEstate, MemoryPrincipals, MemoryRoles, MemorySecrets, MemoryStore,
    MemorySts,
};
use brevet_engine::port::{
    Canary, Delegations, Deprovisioner, Echoes, Estate, GrantReader, GrantStore, InService, Principals, ReviewReader,
    Rotator, SessionRoles,
};

/// The fakes of the model.
#[derive(Clone, Debug)]
pub struct Fakes {
    /// AWS's clock.
    pub clock: Arc<ManualClock>,
    /// The table.
    pub store: Arc<MemoryStore>,
    /// STS.
    pub sts: Arc<MemorySts>,
    /// Session roles.
    pub roles: Arc<MemoryRoles>,
    /// Attachment principals.
    pub principals: Arc<MemoryPrincipals>,
    /// What IAM lists.
    pub estate: Arc<MemoryEstate>,
    /// Secrets.
    pub secrets: Arc<MemorySecrets>,
    /// The canary.
    pub canary: Arc<MemoryCanary>,
    /// Echoes that come back.
    pub echoes: Arc<MemoryEchoes>,
}

/// The ports that a control run replaces.
#[derive(Clone)]
pub struct Seams {
    /// Consistent reads.
    pub reader: Arc<dyn GrantReader>,
    /// Changes of grants.
    pub store: Arc<dyn GrantStore>,
    /// Reads principals.
    pub principals: Arc<dyn Principals>,
    /// Removes from them.
    pub deprovisioner: Arc<dyn Deprovisioner>,
    /// The reserved deny.
    pub roles: Arc<dyn SessionRoles>,
    /// Which table this is.
    pub service: Arc<dyn InService>,
    /// What IAM lists.
    pub estate: Arc<dyn Estate>,
    /// Rotates secrets.
    pub rotator: Arc<dyn Rotator>,
    /// What people let others ask for.
    pub delegations: Arc<dyn Delegations>,
    /// Which uses of break-glass await a review.
    pub reviews: Arc<dyn ReviewReader>,
    /// The call that only a canary grant allows.
    pub canary: Arc<dyn Canary>,
    /// Where the reaper leaves its echoes.
    pub echoes: Arc<dyn Echoes>,
}

impl Seams {
    /// The fakes themselves.
    #[must_use]
    pub fn faithful(fakes: Fakes) -> Self {
        Self {
            reader: fakes.store.clone(),
            service: fakes.store.clone(),
            delegations: fakes.store.clone(),
            reviews: fakes.store.clone(),
            canary: fakes.canary,
            echoes: fakes.echoes,
            store: fakes.store,
            principals: fakes.principals.clone(),
            deprovisioner: fakes.principals,
            roles: fakes.roles,
            estate: fakes.estate,
            rotator: fakes.secrets,
        }
    }
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seams").finish_non_exhaustive()
    }
}
