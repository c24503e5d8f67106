//! The contract of stored drills: one chain per delivery, never overwritten.

use brevet_domain::drill::{Drill, Drilled, Outcome, Probe, RunStage};

use super::samples::at;
use super::store::{Ports, is_conflict};

fn next(last: Option<&Drill>, drilled: Drilled, ports: &Ports) -> Drill {
    let before = Probe { outcome: Outcome::Denied, at: at(1), request_id: Some("r-1".to_owned()) };
    let stage = if last.is_some() { RunStage::Barred { before } } else { RunStage::Begun };
    Drill::next(last, (ports.ids.evidence_id(at(1)), drilled), stage, at(1)).unwrap()
}

/// Each record is stored once, separately for each delivery, and the last one is read.
pub async fn drill_chain_is_never_overwritten(ports: &Ports) {
    for drilled in Drilled::ALL {
        assert_eq!(ports.drills.last_drill(drilled).await.unwrap(), None);
        let mut chain: Vec<Drill> = Vec::new();
        for _ in 0..11 {
            let record = next(chain.last(), drilled, ports);
            ports.drills.add_drill(&record).await.unwrap();
            ports.drills.add_drill(&record).await.unwrap(); // a repeat of the same record
            assert_eq!(ports.drills.last_drill(drilled).await.unwrap().as_ref(), Some(&record));
            chain.push(record);
        }
        is_conflict(ports.drills.add_drill(&next(chain.get(9), drilled, ports)).await); // another writer was first
        assert_eq!(ports.drills.last_drill(drilled).await.unwrap().as_ref(), chain.last());
    }
}
