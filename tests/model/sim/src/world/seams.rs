//! The fakes of the model, and the ports over them that a control run replaces.

use std::sync::Arc;

use brevet_engine::fake::{
    ManualClock, MemoryAccountListing, MemoryCanary, MemoryPrincipals, MemoryRoles, MemorySecrets, MemoryStandbyTicks,
    MemoryStore, MemorySts,
};
use brevet_engine::port::{
    AccountListing, Canary, Delegations, Deprovisioner, GrantReader, GrantStore, InService, Principals, ReviewReader,
    Rotator, SessionRoles, StandbyTicks,
};

/// The fakes of the model.
#[derive(Clone, Debug)]
pub struct Fakes {
    /// AWS's clock.
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryStore>,
    pub sts: Arc<MemorySts>,
    pub roles: Arc<MemoryRoles>,
    pub principals: Arc<MemoryPrincipals>,
    /// IAM's account listing.
    pub listing: Arc<MemoryAccountListing>,
    pub secrets: Arc<MemorySecrets>,
    pub canary: Arc<MemoryCanary>,
    /// The queue of standby ticks.
    pub standby_ticks: Arc<MemoryStandbyTicks>,
}

/// The ports that a control run replaces.
#[derive(Clone)]
pub struct Seams {
    /// Consistent reads.
    pub reader: Arc<dyn GrantReader>,
    /// Changes of grants.
    pub store: Arc<dyn GrantStore>,
    /// Reads of principals.
    pub principals: Arc<dyn Principals>,
    /// Removals from principals.
    pub deprovisioner: Arc<dyn Deprovisioner>,
    /// The reserved deny.
    pub roles: Arc<dyn SessionRoles>,
    /// The identity of the table.
    pub service: Arc<dyn InService>,
    /// IAM's account listing.
    pub listing: Arc<dyn AccountListing>,
    /// Rotations of secrets.
    pub rotator: Arc<dyn Rotator>,
    pub delegations: Arc<dyn Delegations>,
    /// The uses of break-glass that await a review.
    pub reviews: Arc<dyn ReviewReader>,
    /// The call that only a canary grant allows.
    pub canary: Arc<dyn Canary>,
    /// The queue in which the reaper leaves standby ticks.
    pub standby_ticks: Arc<dyn StandbyTicks>,
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
            standby_ticks: fakes.standby_ticks,
            store: fakes.store,
            principals: fakes.principals.clone(),
            deprovisioner: fakes.principals,
            roles: fakes.roles,
            listing: fakes.listing,
            rotator: fakes.secrets,
        }
    }
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seams").finish_non_exhaustive()
    }
}
