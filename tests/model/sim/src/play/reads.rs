//! The read-only calls. They must change nothing, and must show the stored state.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::request::Ask;
use brevet_domain::revocation::WideScope;
use brevet_engine::port::RawProof;
use brevet_engine::refusal::Refusal;
use serde_json::json;

use crate::catalogue::{APPROVERS, term_s};
use crate::world::{Function, ISSUANCE_POLICY, World};

/// The page size of list calls.
const PAGE: u32 = 10;

impl World {
    /// The holder of a grant reads everything that they may read, then an approver does.
    pub(super) fn read_all(&mut self, nth: usize) {
        let Some((id, proof)) = self.holder(nth, "ask") else { return };
        let (intake, decider, switch) =
            (Arc::clone(&self.intake), Arc::clone(&self.decider), Arc::clone(&self.kill_switch));
        let (at, later) = (self.now_of(Function::Intake), self.now_of(Function::Evaluate));
        let before = format!("{:?}", self.store.snapshot());
        let stored = self.grant(id);

        let (show, who) = (Arc::clone(&intake), proof.clone());
        if let Some(Ok(report)) = self.call(async move { show.show(&who, id, at).await }) {
            assert_eq!(report.grant, stored, "the shown grant {id} differs from the stored one");
        }
        let (list, who) = (Arc::clone(&intake), proof.clone());
        if let Some(Ok(page)) = self.call(async move { list.list(&who, None, PAGE, at).await }) {
            assert!(page.grants.iter().all(|one| self.grant(one.id).is_some()), "a listed grant is not stored");
        }
        let (evidence, who) = (Arc::clone(&intake), proof.clone());
        if let Some(Ok((head, entries))) = self.call(async move { evidence.evidence(&who, id, 0, PAGE, at).await }) {
            assert_eq!(
                Some(head),
                stored.as_ref().map(|grant| grant.evidence),
                "the shown evidence of {id} differs from the stored one"
            );
            assert_eq!(
                entries,
                self.store.snapshot().evidence_of(id),
                "the shown evidence of {id} differs from the stored one"
            );
        }
        self.call(async move { intake.health(at).await });
        let (rehearsal, who, ask) = (Arc::clone(&decider), proof, an_ask());
        self.call(async move { rehearsal.rehearse(&who, ask, ISSUANCE_POLICY, later).await });

        let by = RawProof::new(format!("{} approve", APPROVERS[0]));
        let (delegations, who) = (Arc::clone(&decider), by.clone());
        self.call(async move { delegations.delegations(&who, later).await });
        let (reviews, who) = (decider, by.clone());
        self.call(async move { reviews.reviews(&who, None, PAGE, later).await });
        let (listed, who) = (Arc::clone(&switch), by.clone());
        self.call(async move { listed.list(&who, None, PAGE, later).await });
        let all = WideScope::try_from(BlockScope::All).expect("a wide scope");
        self.call(async move { switch.read(&by, &all, later).await.map_err(|refusal: Refusal| refusal.kind) });
        assert_eq!(format!("{:?}", self.store.snapshot()), before, "a read-only call changed the table");
    }
}

fn an_ask() -> Ask {
    serde_json::from_value(json!({ "entitlement": "deploy", "parameters": {}, "term_s": term_s("deploy") }))
        .expect("a request")
}
