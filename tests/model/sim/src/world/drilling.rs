//! The drill of the world: a plan with every delivery. It runs by intake's clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use brevet_domain::drill::{Drilled, Rules};
use brevet_domain::time::Term;
use brevet_engine::drill::{DrillPlan, Driller, Ports};
use brevet_engine::fake::{MemoryCanary, MemoryStore, SeqIds, SkewedClock};
use brevet_engine::port::Canary;

use super::{OVERDUE_S, SKEW_S, World};

/// The term of a canary grant, in seconds.
const TERM_S: u32 = 300;
/// The time between runs of one delivery, in seconds.
const PERIOD_S: u32 = 900;
/// The largest age of the last passed run, in seconds.
const MAX_AGE_S: u32 = 3_600;

/// The ports of the drill.
pub(super) fn ports(
    store: &Arc<MemoryStore>,
    grants: &Arc<MemoryCanary>,
    canary: Arc<dyn Canary>,
    clock: Arc<SkewedClock>,
    ids: &Arc<SeqIds>,
) -> Ports {
    Ports { store: store.clone(), grants: grants.clone(), canary, clock, ids: ids.clone() }
}

/// A drill process without credentials.
pub(super) fn driller(ports: Ports) -> Driller {
    let named = |drilled: Drilled| (drilled, format!("canary-{drilled}").parse().expect("a name"));
    let plan = DrillPlan {
        entitlements: BTreeMap::from(Drilled::ALL.map(named)),
        term: Term::from_seconds(i64::from(TERM_S)).expect("a term"),
        rules: Rules { term_s: TERM_S, period_s: PERIOD_S, skew_s: SKEW_S, lasts_s: 0 },
        overdue_s: OVERDUE_S,
        max_age_s: MAX_AGE_S,
    };
    Driller::new(ports, plan)
}

impl World {
    /// Replaces the drill process.
    pub fn restart_driller(&mut self) {
        self.driller = Arc::new(driller(self.drill_ports.clone()));
    }
}
