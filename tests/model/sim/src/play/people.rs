//! The actions of people other than voting: block and lift, delegate, review, acknowledge.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::delegation::Scope as Delegated;
use brevet_domain::review::{Note, ReviewOutcome};
use brevet_domain::revocation::{Reason, RevocationAction, WideScope};
use brevet_engine::evaluate::decide::ReviewBallot;
use brevet_engine::port::RawProof;

use crate::catalogue::APPROVERS;
use crate::ledger::{Given, Ledger, Stop};
use crate::op::Scope;
use crate::policy::locked;
use crate::world::{Function, World};

impl World {
    /// A stop counts from its answer on: before that nobody may rely on it.
    pub(super) fn kill(&mut self, nth: usize, scope: Scope) {
        let Some(scope) = self.scope(nth, scope) else { return };
        if self.act_on(RevocationAction::Placed, &scope) {
            locked(&self.ledger).stop(Stop::Block(scope.as_block().clone()), self.now());
        }
    }

    /// A lift counts from its attempt on: from then on nobody may rely on the block.
    pub(super) fn lift(&mut self) {
        let wide = |stop: &Stop| match stop {
            Stop::Block(scope) => WideScope::try_from(scope.clone()).ok(),
            Stop::Left(_) | Stop::Void(_) | Stop::Undelegated { .. } => None,
        };
        let standing: Vec<_> = locked(&self.ledger).stops.iter().filter_map(|(stop, _)| wide(stop)).collect();
        for scope in standing {
            forget(&mut locked(&self.ledger), &scope);
            self.act_on(RevocationAction::Lifted, &scope);
        }
    }

    /// One approver places, the other one lifts. Returns whether the call was answered as done.
    fn act_on(&mut self, act: RevocationAction, scope: &WideScope) -> bool {
        let [placer, lifter] = APPROVERS;
        let who = if act == RevocationAction::Placed { placer } else { lifter };
        let answer = self.retry(|world| {
            let (switch, now) = (Arc::clone(&world.kill_switch), world.now_of(Function::Evaluate));
            let (proof, scope, ledger) =
                (RawProof::new(format!("{who} approve")), scope.clone(), Arc::clone(&world.ledger));
            let reason = Reason::try_from(format!("{who} has seen something")).expect("a reason");
            async move {
                let answer = switch.act(&proof, act, &scope, &reason, now).await;
                // A delayed lift may have lifted a block that was placed again meanwhile.
                if act == RevocationAction::Lifted {
                    forget(&mut locked(&ledger), &scope);
                }
                answer
            }
        });
        matches!(answer, Some(Ok(_)))
    }

    fn scope(&self, nth: usize, scope: Scope) -> Option<WideScope> {
        let ledger = locked(&self.ledger);
        let (_, asked) = ledger.nth(nth)?;
        let who = asked.identity.clone();
        let scope = match scope {
            Scope::Identity => BlockScope::Identity(who.id),
            Scope::Sponsor => BlockScope::Sponsor(who.owner),
            Scope::Class => BlockScope::Class(who.class),
            Scope::Entitlement => BlockScope::Entitlement(asked.entitlement.parse().expect("a name")),
            Scope::Account => BlockScope::Account(self.deployment.account.clone()),
            Scope::All => BlockScope::All,
        };
        WideScope::try_from(scope).ok()
    }

    /// A delegation counts from its attempt on. The end of a delegation counts from its answer on.
    pub(super) fn delegate(&mut self, by: &str, to: &str, what: &'static [&'static str], for_s: u32) {
        let until = self.now_of(Function::Evaluate).plus(for_s);
        let (human, machine) = (by.parse().expect("a name"), to.parse::<brevet_domain::id::IdentityId>());
        let machine = machine.expect("a name");
        let scope = if what.is_empty() {
            Delegated::Ended
        } else {
            let entitlements = what.iter().map(|name| name.parse().expect("a name")).collect();
            Delegated::Given { entitlements, max_term_s: None, until }
        };
        let mut ledger = locked(&self.ledger);
        ledger.given.push(Given { by: human, to: machine.clone(), what, until });
        drop(ledger);
        let answer = self.retry(|world| {
            let (decider, now) = (Arc::clone(&world.decider), world.now_of(Function::Evaluate));
            let (proof, to, scope) = (RawProof::new(format!("{by} approve")), machine.clone(), scope.clone());
            async move { decider.delegate(&proof, &to, scope, now).await }
        });
        if matches!(answer, Some(Ok(_))) {
            let (by, to, at) = (by.parse().expect("a name"), machine, self.now());
            let mut ledger = locked(&self.ledger);
            let n_asked = ledger.asked.len();
            ledger.stop(Stop::Undelegated { by, to, keeps: what, n_asked }, at);
        }
    }

    /// A review counts from its attempt on: from then on ordinary access may be granted again.
    pub(super) fn review(&mut self, nth: usize, by: &str) {
        let Some(id) = self.nth(nth) else { return };
        let Some(digest) = self.grant(id).map(|grant| grant.decision_digest) else { return };
        let at = self.now();
        locked(&self.ledger).reviewed.entry(id).or_insert(at);
        self.retry(|world| {
            let (decider, now) = (Arc::clone(&world.decider), world.now_of(Function::Evaluate));
            let proof = RawProof::new(format!("{by} approve"));
            let note = Note::try_from("nobody answered".to_owned()).expect("a note");
            let ballot = ReviewBallot { outcome: ReviewOutcome::Justified, note, digest };
            async move { decider.review(&proof, id, ballot, now).await }
        });
    }

    pub(super) fn acknowledge(&mut self, nth: usize, by: &str) {
        let Some(id) = self.nth(nth) else { return };
        self.retry(|world| {
            let (acknowledging, now) = (Arc::clone(&world.acknowledging), world.now_of(Function::Evaluate));
            let proof = RawProof::new(format!("{by} approve"));
            let reason = Reason::try_from("the provider knows".to_owned()).expect("a reason");
            async move { acknowledging.acknowledge(&proof, id, &reason, now).await }
        });
    }
}

fn forget(ledger: &mut Ledger, lifted: &WideScope) {
    ledger.stops.retain(|(stop, _)| !matches!(stop, Stop::Block(scope) if scope == lifted.as_block()));
}
