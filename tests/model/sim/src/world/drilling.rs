//! The drill of the world: a course of every delivery, whose clock is that of whoever asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use brevet_domain::drill::{Drilled, Rules};
use brevet_domain::time::Term;
use brevet_engine::drill::{Course, Driller, Ports};
use brevet_engine::fake::{MemoryCanary, MemoryStore, SeqIds, SkewedClock};
use brevet_engine::port::Canary;

use super::{OVERDUE_S, SKEW_S, World};

/// For how long a canary is asked for, in seconds.
const TERM_S: u32 = 300;
/// How far apart runs of one delivery are, in seconds.
const PERIOD_S: u32 = 900;
/// How long ago a run must have passed at most, in seconds.
const MAX_AGE_S: u32 = 3_600;

/// What the drill works with.
pub(super) fn ports(
    store: &Arc<MemoryStore>,
    grants: &Arc<MemoryCanary>,
    canary: Arc<dyn Canary>,
    clock: Arc<SkewedClock>,
    ids: &Arc<SeqIds>,
) -> Ports {
    Ports { store: store.clone(), grants: grants.clone(), canary, clock, ids: ids.clone() }
}

/// A process that drills, and holds no credentials yet.
pub(super) fn driller(ports: Ports) -> Driller {
    let named = |drilled: Drilled| (drilled, format!("canary-{drilled}").parse().expect("a name"));
    let course = Course {
        entitlements: BTreeMap::from(Drilled::ALL.map(named)),
        term: Term::from_seconds(i64::from(TERM_S)).expect("a term"),
        rules: Rules { term_s: TERM_S, period_s: PERIOD_S, skew_s: SKEW_S, lasts_s: 0 },
        overdue_s: OVERDUE_S,
        max_age_s: MAX_AGE_S,
    };
    Driller::new(ports, course)
}

impl World {
    /// Another process drills from now on.
    pub fn restart_driller(&mut self) {
        self.driller = Arc::new(driller(self.drill_ports.clone()));
    }
}
