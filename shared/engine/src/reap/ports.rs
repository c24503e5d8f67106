//! What the reaper needs from outside.

use std::sync::Arc;

use super::{Drills, Kills, Sweep};
use crate::catalogue::Catalogue;
use crate::port::{
    Clock, Counts, DenyStore, Deprovisioner, DueList, GrantReader, GrantStore, HeartStore, IdSource, InService,
    Principals, ReviewReader, Rotator, SessionRoles,
};

/// The ports of the reap function.
#[derive(Clone)]
pub struct Ports {
    /// Consistent reads.
    pub reader: Arc<dyn GrantReader>,
    /// Changes of grants.
    pub store: Arc<dyn GrantStore>,
    /// The to-do list.
    pub due: Arc<dyn DueList>,
    /// Live early ends.
    pub deny: Arc<dyn DenyStore>,
    /// Uses of break-glass that await their review.
    pub reviews: Arc<dyn ReviewReader>,
    /// The kill switch.
    pub kills: Kills,
    /// The sweep from AWS's side.
    pub sweep: Sweep,
    /// Which table this is.
    pub service: Arc<dyn InService>,
    /// The heart.
    pub heart: Arc<dyn HeartStore>,
    /// What the drills showed.
    pub drills: Drills,
    /// The reserved deny on session roles.
    pub roles: Arc<dyn SessionRoles>,
    /// Attachment principals.
    pub attachments: Attachments,
    /// Secrets that are rotated once a grant has ended.
    pub rotator: Arc<dyn Rotator>,
    /// The bundle in force: who is registered, and what can be asked for.
    pub catalogue: Arc<Catalogue>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Names for evidence.
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
    /// Reads them.
    pub principals: Arc<dyn Principals>,
    /// Removes from them.
    pub deprovisioner: Arc<dyn Deprovisioner>,
    /// Who holds managed policies on them.
    pub counts: Arc<dyn Counts>,
}

impl std::fmt::Debug for Attachments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachments").finish_non_exhaustive()
    }
}
