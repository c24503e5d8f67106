//! The ports of the reaper.

use std::sync::Arc;

use super::{Drills, KillSwitchPorts, Sweep};
use crate::catalogue::Catalogue;
use crate::port::{
    AttachmentHoldersReader, Clock, DenyStore, Deprovisioner, DueList, GrantReader, GrantStore, IdSource, InService,
    Principals, ReaperHealthStore, ReviewReader, Rotator, SessionRoles,
};

/// The ports of the reap function.
#[derive(Clone)]
pub struct Ports {
    pub reader: Arc<dyn GrantReader>,
    pub store: Arc<dyn GrantStore>,
    pub due: Arc<dyn DueList>,
    /// The entries of reserved denies.
    pub deny: Arc<dyn DenyStore>,
    pub reviews: Arc<dyn ReviewReader>,
    pub kill_switch: KillSwitchPorts,
    pub sweep: Sweep,
    pub service: Arc<dyn InService>,
    pub reaper_health: Arc<dyn ReaperHealthStore>,
    pub drills: Drills,
    pub roles: Arc<dyn SessionRoles>,
    pub attachments: Attachments,
    /// Rotates secrets after a grant has ended.
    pub rotator: Arc<dyn Rotator>,
    /// The bundle in force: the registered identities and the listed entitlements.
    pub catalogue: Arc<Catalogue>,
    pub clock: Arc<dyn Clock>,
    /// Makes evidence ids.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// The ports to attachment principals.
#[derive(Clone)]
pub struct Attachments {
    pub principals: Arc<dyn Principals>,
    pub deprovisioner: Arc<dyn Deprovisioner>,
    pub holders: Arc<dyn AttachmentHoldersReader>,
}

impl std::fmt::Debug for Attachments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachments").finish_non_exhaustive()
    }
}
