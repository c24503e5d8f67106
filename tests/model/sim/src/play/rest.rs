//! What is asked for otherwise than by its holder for themselves and anew: on a human's behalf, once more, by the
//! catalogue, and by the drill.

use std::sync::Arc;

use brevet_domain::drill::Drilled;
use brevet_domain::request::Ask;
use brevet_engine::intake::Anew;
use brevet_engine::port::RawProof;
use serde_json::json;

use crate::catalogue::term_s;
use crate::policy::locked;
use crate::world::{Function, World};

/// How far apart the ticks of the drill are, in seconds.
const DRILL_EVERY_S: u32 = 60;

/// How long one look at all schedules may take, in seconds.
const LOOK_S: u32 = 8;

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
        self.insist(|world| {
            let (intake, now) = (Arc::clone(&world.intake), world.now_of(Function::Intake));
            let (proof, key): (RawProof, _) = (proof.clone(), key.clone());
            let anew = Anew { term_s: asked.term_s, ticket: None, justification: None };
            async move { intake.renew(&proof, &key, id, anew, now).await }
        });
    }

    pub(super) fn look_at_schedules(&mut self) {
        let (decider, clock) = (Arc::clone(&self.decider), Arc::clone(&self.clocks[Function::Evaluate as usize]));
        self.call(async move { decider.look_at_schedules(&*clock, LOOK_S).await });
    }

    /// A process that died has lost the credentials that it held.
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
