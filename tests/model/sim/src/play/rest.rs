//! Requests other than a holder's own new request: on a human's behalf, renewals, schedules, and the drill.

use std::sync::Arc;

use brevet_domain::drill::Drilled;
use brevet_domain::request::Ask;
use brevet_engine::intake::RenewalChanges;
use brevet_engine::port::RawProof;
use serde_json::json;

use crate::catalogue::term_s;
use crate::policy::locked;
use crate::world::{Function, World};

/// The time between the drill's ticks, in seconds.
const DRILL_EVERY_S: u32 = 60;

/// The time budget of one pass over the schedules, in seconds.
const SCHEDULE_PASS_S: u32 = 8;

impl World {
    pub(super) fn ask_for(&mut self, who: &str, what: &str, of: &str) {
        let ask = json!({ "entitlement": what, "parameters": {}, "term_s": term_s(what), "on_behalf_of": of });
        self.submit(who, ask);
    }

    pub(super) fn renew(&mut self, nth: usize) {
        let Some((id, proof)) = self.holder(nth, "ask") else { return };
        let Some(term_s) = locked(&self.ledger).of(id).map(crate::ledger::Asked::term_s) else { return };
        self.n_keys += 1;
        let key = format!("key-{}", self.n_keys);
        let asked: Ask = serde_json::from_value(json!({ "entitlement": "any", "parameters": {}, "term_s": term_s }))
            .expect("a request");
        self.retry(|world| {
            let (intake, now) = (Arc::clone(&world.intake), world.now_of(Function::Intake));
            let (proof, key): (RawProof, _) = (proof.clone(), key.clone());
            let changes = RenewalChanges { term_s: asked.term_s, ticket: None, justification: None };
            async move { intake.renew(&proof, &key, id, changes, now).await }
        });
    }

    pub(super) fn run_schedules(&mut self) {
        let (decider, clock) = (Arc::clone(&self.decider), Arc::clone(&self.clocks[Function::Evaluate as usize]));
        self.call(async move { decider.decide_open_windows(&*clock, SCHEDULE_PASS_S).await });
    }

    /// A crashed process loses the credentials that it held.
    pub(super) fn drill(&mut self) {
        let n_crashed = self.faults.n_crashed();
        let driller = Arc::clone(&self.driller);
        self.call(async move { driller.tick().await });
        if self.faults.n_crashed() > n_crashed {
            self.restart_driller();
        }
        self.clock.advance(DRILL_EVERY_S);
    }

    pub(super) fn canary_outlives(&self, lasts: bool) {
        for drilled in Drilled::ALL {
            self.canary.outlives(drilled, if lasts { None } else { Some(0) });
        }
    }
}
