//! The records of drills, checked against AWS's answers to their probes.

use brevet_domain::canonical::Digest;
use brevet_domain::drill::{Drilled, Fault, Outcome, Probe, RunStage};
use brevet_engine::fake::Snapshot;

use super::{Claim, Observer};
use crate::world::World;

impl Observer {
    /// Each record follows the one before, and reports only what AWS answered.
    pub(super) fn drills(&mut self, world: &World, held: &Snapshot) {
        let answers = world.canary.probed();
        // The instant of AWS's answer under this id, if the drill reports it correctly.
        let seen = |probe: &Probe, outcome: Outcome| {
            let answer = answers.iter().find(|one| Some(&one.request_id) == probe.request_id.as_ref())?;
            let is_so = probe.outcome == outcome && answer.is_allowed == (outcome == Outcome::Allowed);
            is_so.then_some(answer.at)
        };
        for drilled in Drilled::ALL {
            let mut before = Digest::ZERO;
            for (n, record) in held.drills(drilled).enumerate() {
                let follows = record.prev == before && record.seq == n as u64 + 1;
                self.hold(Claim::EvidenceVerifies, follows, || format!("drill record {} does not follow", record.seq));
                before = Digest::of(record).expect("a form");
                let is_so = match &record.stage {
                    RunStage::Passed { before, grant, during, after, .. } => {
                        let (first, second) = (seen(before, Outcome::Denied), seen(during, Outcome::Allowed));
                        let (third, deadline) = (seen(after, Outcome::Denied), world.canary.deadline_of(*grant));
                        let in_order = first.is_some() && first <= second && second < deadline && deadline <= third;
                        Some(in_order)
                    }
                    RunStage::Failed { fault: Fault::AllowedAfter, grant: Some(grant), last: Some(last) } => {
                        let (shown, deadline) = (seen(last, Outcome::Allowed), world.canary.deadline_of(*grant));
                        Some(shown.is_some() && deadline <= shown)
                    }
                    RunStage::Begun
                    | RunStage::Barred { .. }
                    | RunStage::Asked { .. }
                    | RunStage::Live { .. }
                    | RunStage::Used { .. }
                    | RunStage::Failed { .. }
                    | RunStage::Lost { .. } => None,
                };
                if let Some(is_so) = is_so {
                    self.hold(Claim::DrilledAsSeen, is_so, || format!("AWS's answers do not confirm {record:?}"));
                }
            }
        }
    }
}
