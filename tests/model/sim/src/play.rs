//! Plays the operations of a run in a world.

mod people;
mod reads;
mod rest;

use std::sync::Arc;

use brevet_domain::block::{Block, BlockScope};
use brevet_domain::grant::{EndCause, Grant};
use brevet_domain::id::GrantId;
use brevet_domain::request::Ask;
use brevet_domain::time::Timestamp;
use brevet_engine::evaluate::decide::Ballot;
use brevet_engine::fake::{Fault, Snapshot};
use brevet_engine::port::{AttachmentTarget, Clock, Mark, RawProof, RequestStore};
use brevet_engine::reap::{FoundBy, Reaper};
use brevet_engine::refusal::{Refusal, RefusalKind};
use serde_json::json;

use crate::catalogue::{BATCH, term_s};
use crate::ledger::{Restored, Stop};
use crate::op::Op;
use crate::policy::locked;
use crate::world::{Fate, Function, TICK_S, Work, World};

/// How often a client tries a call that got no answer.
const TRIES: usize = 3;

/// The document that somebody puts in place of a policy: it allows everything, without a limit.
const WIDENED: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

impl World {
    /// Plays `op`. Calls whose answer was delayed continue after it.
    pub fn play(&mut self, op: &Op) {
        let earlier = std::mem::take(&mut self.parked);
        self.act(op);
        for mut work in earlier {
            if self.poll(&mut work) == Fate::Waiting {
                self.parked.push(work);
            }
        }
        self.note_disturbances();
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Ask { who, what } => self.ask(who, what),
            Op::AskFor { who, what, of } => self.ask_for(who, what, of),
            Op::Renew { nth } => self.renew(*nth),
            Op::Delegate { by, to, what, for_s } => self.delegate(by, to, what, *for_s),
            Op::RunSchedules => self.run_schedules(),
            Op::Review { nth, by } => self.review(*nth, by),
            Op::RefuseRemovals { refuses } => self.principals.refuse_removals(*refuses),
            Op::Acknowledge { nth, by } => self.acknowledge(*nth, by),
            Op::Drill { n } => (0..*n).for_each(|_| self.drill()),
            Op::CanaryOutlives { lasts } => self.canary_outlives(*lasts),
            Op::Vote { nth, by, yes } => self.vote(*nth, by, *yes),
            Op::Vend { nth } => self.vend(*nth),
            Op::Release { nth } => self.release(*nth),
            Op::Revoke { nth } => self.revoke(*nth),
            Op::Kill { nth, scope } => self.kill(*nth, *scope),
            Op::Lift => self.lift(),
            Op::ReadAll { nth } => self.read_all(*nth),
            Op::Issue => {
                let activator = Arc::clone(&self.activator);
                self.call(async move { activator.pass().await });
            }
            Op::Reap { other } => self.reap(usize::from(*other)),
            Op::Wake { nth } => self.wake(*nth),
            Op::Ticks { n } => (0..*n).for_each(|n| self.tick(n % 2 == 1)),
            Op::Wait { seconds } => self.clock.advance(*seconds),
            Op::StandbyTicks { seconds } => {
                self.tick_by_schedule();
                (0..*seconds).for_each(|_| self.receive_standby_ticks());
            }
            Op::TwoReapers { order } => {
                let works = vec![self.pass_of(0), self.pass_of(1)];
                self.weave(works, *order);
            }
            Op::IssueAndReap { order } => {
                let activator = Arc::clone(&self.activator);
                let works: Vec<Work> = vec![
                    Box::pin(async move {
                        activator.pass().await;
                    }),
                    self.pass_of(0),
                ];
                self.weave(works, *order);
            }
            Op::AllAtOnce { nth, order } => self.all_at_once(*nth, *order),
            Op::Redeploy { without } => self.redeploy(*without),
            Op::Boundary { stands } => {
                let boundary = self.deployment.boundary_arn();
                self.principals.set_boundary(BATCH, stands.then_some(boundary.as_str()));
            }
            Op::EditPolicy { nth, gone } => self.edit_policy(*nth, *gone),
            Op::EditDeny { gone } => self.edit_deny(*gone),
            Op::Expire => {
                let expired = self.store.expire(self.now());
                let reaper = Arc::clone(&self.reapers[0]);
                self.call(async move { reaper.wake(&expired, FoundBy::Backstop).await });
            }
            Op::Jump { function, ahead_ms } => {
                self.clocks[*function as usize].set_ahead(*ahead_ms);
                self.disturb();
            }
            Op::BackUp => self.backup = Some((self.store.snapshot(), self.now())),
            Op::Restore => {
                if let Some((snapshot, of)) = self.backup.clone() {
                    self.restore(snapshot, of);
                }
            }
            Op::Empty => self.restore(Snapshot::default(), Timestamp::EPOCH),
            Op::Confirm => self.confirm(),
            Op::Fail { ahead, fault } => self.faults.plan(self.faults.n_calls() + ahead, *fault),
        }
    }

    /// One tick of the schedule, and the time until the next.
    pub fn tick(&mut self, other: bool) {
        let activator = Arc::clone(&self.activator);
        self.call(async move { activator.pass().await });
        self.reap(usize::from(other));
        self.note_disturbances();
        self.clock.advance(TICK_S);
    }

    fn reap(&mut self, which: usize) {
        let work = self.pass_of(which);
        self.start(work);
    }

    /// A whole pass. It is recorded as possibly successful unless it reports otherwise.
    fn pass_of(&mut self, which: usize) -> Work {
        let began = self.now();
        if began.seconds_since(self.last_pass_at) > u64::from(TICK_S) {
            self.disturb();
        }
        self.last_pass_at = began;
        let (reaper, ledger): (Arc<Reaper>, _) = (Arc::clone(&self.reapers[which]), Arc::clone(&self.ledger));
        let n = locked(&ledger).passes.len();
        locked(&ledger).passes.push(began);
        Box::pin(async move {
            if matches!(reaper.pass().await, Ok(report) if !report.good) {
                let passes = &mut locked(&ledger).passes;
                passes[n] = Timestamp::EPOCH;
            }
        })
    }

    /// Runs several works concurrently, step by step. `order` chooses who makes each step.
    pub fn weave(&mut self, mut works: Vec<Work>, order: u64) {
        self.faults.step_by_step(true);
        let mut order = order;
        while !works.is_empty() {
            let n = u64::try_from(works.len()).unwrap_or(1);
            let next = usize::try_from(order % n).unwrap_or(0);
            // The bits rotate, so that each bit is used more than once.
            order = order.rotate_right(1);
            if self.poll(&mut works[next]) != Fate::Waiting {
                drop(works.remove(next));
            }
        }
        self.faults.step_by_step(false);
    }

    fn ask(&mut self, who: &str, what: &str) {
        self.submit(who, json!({ "entitlement": what, "parameters": {}, "term_s": term_s(what) }));
    }

    fn submit(&mut self, who: &str, ask: serde_json::Value) {
        self.n_keys += 1;
        let (who, key) = (who.to_owned(), format!("key-{}", self.n_keys));
        let ask: Ask = serde_json::from_value(ask).expect("a request");
        self.retry(|world| {
            let (intake, now) = (Arc::clone(&world.intake), world.now_of(Function::Intake));
            let (proof, key, ask) = (RawProof::new(format!("{who} ask")), key.clone(), ask.clone());
            async move { intake.submit(&proof, &key, ask, now).await }
        });
    }

    /// A client's retries after a lost answer or a `Retry-After`.
    fn retry<T, C>(&mut self, call: impl Fn(&Self) -> C) -> Option<Result<T, Refusal>>
    where
        T: Send + 'static,
        C: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        for _ in 0..TRIES {
            let next = call(self);
            match self.call(next) {
                Some(Err(refusal)) if refusal.kind == RefusalKind::Unavailable || refusal.retry_after_s.is_some() => {}
                Some(answer) => return Some(answer),
                None => {}
            }
            self.clock.advance(1);
        }
        None
    }

    fn vote(&mut self, nth: usize, by: &str, yes: bool) {
        let Some(id) = self.nth(nth) else { return };
        let Some(digest) = self.grant(id).map(|grant| grant.decision_digest) else { return };
        if yes {
            locked(&self.ledger).yes.entry(id).or_default().insert(by.to_owned());
        }
        for _ in 0..TRIES {
            let (decider, now) = (Arc::clone(&self.decider), self.now_of(Function::Evaluate));
            let proof = RawProof::new(format!("{by} approve"));
            let ballot = Ballot { approve: yes, digest };
            match self.call(async move { decider.vote(&proof, id, ballot, now).await }) {
                Some(Ok(_)) => return,
                Some(Err(refusal)) if refusal.retry_after_s.is_none() => return,
                Some(Err(_)) | None => self.clock.advance(1),
            }
        }
    }

    fn vend(&mut self, nth: usize) {
        let Some((id, proof)) = self.holder(nth, "credentials") else { return };
        for _ in 0..TRIES {
            let (issuer, proof) = (Arc::clone(&self.issuer), proof.clone());
            match self.call(async move { issuer.vend(&proof, id).await.map(drop) }) {
                Some(Ok(())) => return,
                Some(Err(refusal)) if refusal.retry_after_s.is_none() => return,
                Some(Err(_)) | None => self.clock.advance(1),
            }
        }
    }

    fn release(&mut self, nth: usize) {
        let Some((id, proof)) = self.holder(nth, "ask") else { return };
        for _ in 0..TRIES {
            let (intake, now) = (Arc::clone(&self.intake), self.now_of(Function::Intake));
            let proof = proof.clone();
            match self.call(async move { intake.release(&proof, id, now).await.map(drop) }) {
                Some(Ok(())) => return locked(&self.ledger).stop(Stop::Block(BlockScope::Grant(id)), self.now()),
                Some(Err(refusal)) if refusal.kind != RefusalKind::Unavailable => return,
                Some(Err(_)) | None => self.clock.advance(1),
            }
        }
    }

    fn revoke(&mut self, nth: usize) {
        let Some(id) = self.nth(nth) else { return };
        let by = "omar".parse().expect("a name");
        let at = self.now_of(Function::Evaluate);
        let mark = Mark { id, block: Block { scope: BlockScope::Grant(id), cause: EndCause::Revoked, by, at } };
        for _ in 0..TRIES {
            let (store, mark) = (Arc::clone(&self.store), mark.clone());
            if let Some(Ok(())) = self.call(async move { store.put_mark(&mark).await }) {
                return locked(&self.ledger).stop(Stop::Block(BlockScope::Grant(id)), self.now());
            }
        }
    }

    fn wake(&mut self, nth: usize) {
        let Some(id) = self.nth(nth) else { return };
        let activator = Arc::clone(&self.activator);
        self.call(async move { activator.wake(&[id]).await });
        let reaper = Arc::clone(&self.reapers[0]);
        self.call(async move { reaper.wake(&[id], FoundBy::Stream).await });
    }

    fn all_at_once(&mut self, nth: usize, order: u64) {
        let Some((id, proof)) = self.holder(nth, "credentials") else { return };
        let (activator, reaper, issuer) =
            (Arc::clone(&self.activator), Arc::clone(&self.reapers[0]), Arc::clone(&self.issuer));
        let works: Vec<Work> = vec![
            Box::pin(async move {
                activator.wake(&[id]).await;
            }),
            Box::pin(async move {
                reaper.wake(&[id], FoundBy::Stream).await;
            }),
            Box::pin(async move { drop(issuer.vend(&proof, id).await) }),
        ];
        self.weave(works, order);
    }

    fn edit_policy(&mut self, nth: usize, gone: bool) {
        let Some(target) = self.nth(nth).and_then(|id| self.target(id)) else { return };
        if self.principals.standing(&target).is_none() {
            return;
        }
        match (&target, gone) {
            (_, true) => self.principals.tamper(&target, None),
            (AttachmentTarget::Inline { .. }, false) => self.principals.tamper(&target, Some(WIDENED)),
            (AttachmentTarget::Managed { .. }, false) => return,
        }
        self.tampered();
    }

    fn edit_deny(&mut self, gone: bool) {
        let name = self.deployment.deny_policy_name();
        for target in ["deploy", "glass"] {
            let role = self.deployment.session_role_arn(&target.parse().expect("a name"));
            if self.roles.standing(&role, &name).is_some() {
                self.roles.tamper(&role, &name, (!gone).then_some(r#"{"Version":"2012-10-17","Statement":[]}"#));
                self.tampered();
            }
        }
    }

    /// The operator's clock is AWS's. Nobody confirms a table in service, because that would void its live grants.
    fn confirm(&mut self) {
        let now = self.now();
        let mut ledger = locked(&self.ledger);
        if ledger.unconfirmed_since.take().is_some() {
            self.store.confirm(now);
            ledger.stops.retain(|(stop, _)| !matches!(stop, Stop::Void(_)));
            ledger.stop(Stop::Void(now), now);
        }
    }

    fn restore(&mut self, snapshot: Snapshot, of: Timestamp) {
        // Bundles are deployed, not restored.
        self.store.restore(snapshot);
        let leaver = locked(&self.ledger).stops.iter().find_map(|(stop, _)| match stop {
            Stop::Left(leaver) => Some(*leaver),
            Stop::Block(_) | Stop::Void(_) | Stop::Undelegated { .. } => None,
        });
        self.redeploy(leaver);
        let at = self.now();
        let mut ledger = locked(&self.ledger);
        // Stops since the backup are lost. Until an operator confirms the table, nothing is issued from it.
        ledger.unconfirmed_since = ledger.unconfirmed_since.or(Some(at));
        ledger.stops.retain(|(stop, stood_at)| matches!(stop, Stop::Left(_)) || *stood_at < of);
        ledger.restored = Some(Restored { at, of: ledger.restored.map_or(of, |before| before.of.min(of)) });
        drop(ledger);
        self.disturb();
    }

    fn tampered(&mut self) {
        locked(&self.ledger).tampered_at = Some(self.now());
        self.disturb();
    }

    fn disturb(&self) {
        locked(&self.ledger).disturb(self.clock.now());
    }

    /// A fired fault or work in progress disturbs the schedule; a late call disturbs it until it has landed.
    fn note_disturbances(&mut self) {
        let fired = self.faults.fired();
        for fired in &fired[self.n_fired..] {
            let late_s = if let Fault::LandsLate(seconds) = fired.fault { seconds } else { 0 };
            locked(&self.ledger).disturb(self.clock.now().plus(late_s));
        }
        self.n_fired = fired.len();
        if !self.parked.is_empty() {
            self.disturb();
        }
        if self.principals.refuses_removals() {
            locked(&self.ledger).refused_at = Some(self.now());
        }
    }

    #[must_use]
    pub fn nth(&self, nth: usize) -> Option<GrantId> {
        locked(&self.ledger).nth(nth).map(|(id, _)| id)
    }

    fn holder(&self, nth: usize, audience: &str) -> Option<(GrantId, RawProof)> {
        let ledger = locked(&self.ledger);
        let (id, asked) = ledger.nth(nth)?;
        // A scheduled request belongs to no task.
        let task = if asked.schedule.is_some() { " for no task" } else { "" };
        Some((id, RawProof::new(format!("{} {audience}{task}", asked.identity.id))))
    }

    #[must_use]
    pub fn grant(&self, id: GrantId) -> Option<Grant> {
        self.store.peek(|held| held.grants().find(|grant| grant.id == id).cloned())
    }

    /// The target where AWS would show a request's attachment, by public names.
    #[must_use]
    pub fn target(&self, id: GrantId) -> Option<AttachmentTarget> {
        let principal_arn = BATCH.to_owned();
        match locked(&self.ledger).of(id)?.entitlement.as_str() {
            "batch" => {
                Some(AttachmentTarget::Inline { principal_arn, policy_name: self.deployment.inline_policy_name(id) })
            }
            "sync" => Some(self.managed()),
            _ => None,
        }
    }

    /// The target of the one managed policy.
    #[must_use]
    pub fn managed(&self) -> AttachmentTarget {
        let policy_arn = self.deployment.managed_policy_arn(&"sync".parse().expect("a name"));
        AttachmentTarget::Managed { principal_arn: BATCH.to_owned(), policy_arn }
    }
}
