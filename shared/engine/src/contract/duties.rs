//! Separation of duties under races: the deciding transaction also records what a sponsor's identities hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use brevet_domain::bundle::Schedules;
use brevet_domain::decision::{Decision, Outcome, Traits, Verdict};
use brevet_domain::duties::{Duties, Holding, Holdings};
use brevet_domain::evidence::Entry;
use brevet_domain::grant::Grant;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{Audience, Caller, Identity, IdentityClass};
use brevet_domain::request::Request;
use brevet_domain::review::BreakGlassUse;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use super::samples::{at, decided, proof_of, template};
use super::store::{Ports, is_conflict};
use crate::evaluate::decide::Decider;
use crate::fake::RecordedUses;
use crate::port::{
    Commit, Evaluator, EvaluatorError, GrantStore, PortError, PortResult, ProofRefused, ProofVerifier, RawProof,
    TransactionItem,
};

/// Takes the proof as the identity's name. `dana-7` is the sponsor of `dana-7-bot-1`.
struct Names;

#[async_trait]
impl ProofVerifier for Names {
    async fn verify(&self, proof: &RawProof, _: Audience, _: Timestamp) -> Result<Caller, ProofRefused> {
        let (owner, _) = proof.expose().split_once("-bot-").unwrap();
        let identity = Identity {
            id: proof.expose().parse().unwrap(),
            class: IdentityClass::Pipeline,
            owner: owner.parse().unwrap(),
            teams: [].into(),
            proofs: Vec::new(),
        };
        Ok(Caller { identity, task: None, proof: proof_of(proof.expose()) })
    }
}

/// Allows everything, except that `pay-7` conflicts with `check-7`.
struct PairsConflict;

#[async_trait]
impl Evaluator for PairsConflict {
    async fn decide(&self, _: &Caller, request: &Request, _: Timestamp) -> Result<Verdict, EvaluatorError> {
        let requested = request.ask.entitlement.as_str();
        let (action, number) = requested.split_once('-').unwrap();
        let other = format!("{}-{number}", if action == "pay" { "check" } else { "pay" });
        let conflicts = BTreeMap::from([(other.parse().unwrap(), 600)]);
        Ok(Verdict {
            bundle_digest: brevet_domain::canonical::Digest::ZERO,
            outcome: Outcome::Allow,
            determining: vec!["everybody".to_owned()],
            nearest: None,
            template: Some(template(request.id, super::samples::ROLE)),
            term: request.ask.term_s,
            start_within_s: 600,
            max_renewals: 0,
            traits: Traits::default(),
            duties: Duties { conflicts, remember_s: 600, max_live: None },
        })
    }

    async fn registered(&self, _: &IdentityId, _: Timestamp) -> Result<Option<Identity>, EvaluatorError> {
        Ok(None)
    }

    async fn schedules(&self, _: Timestamp) -> Result<Schedules, EvaluatorError> {
        Ok(Schedules::new())
    }

    async fn reviewer(&self, _: &EntitlementId, _: Timestamp) -> Result<Option<BreakGlassUse>, EvaluatorError> {
        Ok(None)
    }

    async fn may_approve(&self, _: &Caller, _: &Decision, _: Timestamp) -> Result<Vec<String>, EvaluatorError> {
        Err(EvaluatorError::Refused("nobody".to_owned()))
    }
}

/// A store in which every fifth creation loses against another transaction.
struct Contended {
    store: Arc<dyn GrantStore>,
    n_created: AtomicU64,
    n_lost: AtomicU64,
}

#[async_trait]
impl GrantStore for Contended {
    async fn create(
        &self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        items: &[TransactionItem],
    ) -> PortResult<()> {
        if self.n_created.fetch_add(1, Ordering::Relaxed).checked_rem(5) == Some(4) {
            self.n_lost.fetch_add(1, Ordering::Relaxed);
            return Err(PortError::NotDone {
                operation: "create",
                source: "another transaction was in progress".into(),
            });
        }
        self.store.create(decision, grant, entry, items).await
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        self.store.commit(commit).await
    }
}

fn holding(grant: GrantId) -> Holding {
    Holding {
        grant,
        identity: "olga".parse().unwrap(),
        entitlement: "deploy-shop".parse().unwrap(),
        taken_at: at(0),
        likely_over_at: at(900),
        remember_s: 0,
        renews: None,
        ended_at: None,
    }
}

/// A transaction based on an older record of holdings creates nothing.
pub async fn holdings_change_with_a_decision_or_not_at_all(ports: &Ports) {
    let sponsor: IdentityId = format!("s-{}", ports.ids.grant_id(at(0)).ulid()).to_lowercase().parse().unwrap();
    assert_eq!(ports.holdings.holdings(&sponsor).await.unwrap(), Holdings::none(&sponsor));
    let (first, second) = (decided(&*ports.ids, "olga", at(0)), decided(&*ports.ids, "olga", at(0)));
    let take = |held: &Holdings, grant| held.take(holding(grant), &Duties::default(), at(0)).unwrap();
    let taken = take(&Holdings::none(&sponsor), first.1.id);
    ports.grants.create(&first.0, &first.1, &first.2, &[TransactionItem::Holdings(taken.clone())]).await.unwrap();
    assert_eq!(ports.holdings.holdings(&sponsor).await.unwrap(), taken);
    let stale = TransactionItem::Holdings(take(&Holdings::none(&sponsor), second.1.id));
    is_conflict(ports.grants.create(&second.0, &second.1, &second.2, &[stale]).await);
    assert_eq!(ports.reader.grant(second.1.id).await.unwrap(), None);
    assert_eq!(ports.reader.decision(second.1.id).await.unwrap(), None);
    let both = take(&taken, second.1.id);
    ports.grants.create(&second.0, &second.1, &second.2, &[TransactionItem::Holdings(both.clone())]).await.unwrap();
    assert_eq!(ports.holdings.holdings(&sponsor).await.unwrap(), both);
}

/// Two bots of one sponsor request the two entitlements of each pair at the same time, and every fifth write loses
/// against another transaction. One request of each pair is granted, and no request is lost.
pub async fn one_of_each_of_two_hundred_concurrent_conflicting_pairs_is_granted(ports: &Ports) {
    let deployment = Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let contended =
        Arc::new(Contended { store: ports.grants.clone(), n_created: AtomicU64::new(0), n_lost: AtomicU64::new(0) });
    let decider = Arc::new(Decider::new(
        Arc::new(Names),
        Arc::new(PairsConflict),
        (ports.reader.clone(), ports.holdings.clone(), ports.delegations.clone(), ports.reviews.clone()),
        Arc::new(RecordedUses::default()),
        (contended.clone(), ports.ids.clone()),
        deployment,
        Bounds { skew_s: 2, quiet_s: 10, call_s: 8 },
    ));
    // Sponsors of this run alone, because runs may share a store.
    let run = ports.ids.grant_id(at(0)).ulid().to_string().to_lowercase();
    let mut asks = JoinSet::new();
    for pair in 0..200_u64 {
        for (bot, action) in ["pay", "check"].into_iter().enumerate() {
            let (ports, decider) = (ports.clone(), decider.clone());
            let caller = format!("s{}-{run}-bot-{bot}", pair.checked_rem(40).unwrap());
            asks.spawn(async move {
                let ask = json!({ "entitlement": format!("{action}-{pair}"), "term_s": 60 });
                let request = Request {
                    id: ports.ids.grant_id(at(0)),
                    ask: serde_json::from_value(ask).unwrap(),
                    asked_at: at(0),
                    decide_by: at(600),
                };
                ports.requests.put_request(&request).await.unwrap();
                // Retries as a caller does after an answer with `Retry-After`.
                while let Err(refusal) = decider.decide(request.id, &RawProof::new(caller.as_str()), at(1)).await {
                    assert!(refusal.retry_after_s.is_some(), "{refusal:?}");
                    let pause_ms = request.id.ulid().random().checked_rem(40).unwrap_or(0);
                    tokio::time::sleep(Duration::from_millis(u64::try_from(pause_ms).unwrap_or(40))).await;
                }
                (pair, ports.reader.decision(request.id).await.unwrap().unwrap().terms.outcome)
            });
        }
    }
    let mut granted = BTreeMap::new();
    for (pair, outcome) in asks.join_all().await {
        let count: &mut u32 = granted.entry(pair).or_default();
        *count = count.saturating_add(u32::from(outcome == Outcome::Allow));
    }
    assert_eq!(granted.len(), 200);
    let wrong: Vec<_> = granted.iter().filter(|(_, n)| **n != 1).collect();
    assert!(wrong.is_empty(), "pairs without exactly one grant: {wrong:?}");
    // Each of 400 decisions is created at least once, and every fifth creation is lost.
    assert!(contended.n_lost.load(Ordering::Relaxed) >= 80, "at least 80 creations must be lost and retried");
}
