//! Maps intake's Invoke calls, HTTP calls and ticks to evaluate's use cases.

mod revoking;

use std::sync::Arc;

use brevet_api::answer::{DelegationLine, DelegationList};
use brevet_api::evaluation::{EntitlementLine, EntitlementList, EvaluationView};
use brevet_api::read::{self, PageQuery};
use brevet_api::view::{GrantView, ReviewList};
use brevet_domain::delegation::{Delegation, Scope};
use brevet_domain::id::{GrantId, ScheduleId};
use brevet_domain::reaper_health::IssuancePolicy;
use brevet_domain::time::Timestamp;
use brevet_engine::evaluate::acknowledge::Acknowledging;
use brevet_engine::evaluate::decide::{Ballot, Decider, ReviewBallot, SchedulePass};
use brevet_engine::evaluate::offers::Offers;
use brevet_engine::evaluate::revoke::KillSwitch;
use brevet_engine::port::{Clock, EvaluateAnswer, RawProof};
use brevet_engine::records::GrantRecords;
use brevet_engine::refusal::{Refusal, RefusalKind};
use brevet_lambda::answer::{Answer, Failure, finish, no_route};
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use brevet_lambda::http::Call;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

/// A tick begins new windows for this many seconds. The rest of the function's timeout is for the last window.
const PASS_BUDGET_S: u32 = 8;

pub(crate) struct Handler {
    decider: Decider,
    kill_switch: KillSwitch,
    offers: Offers,
    acknowledging: Acknowledging,
    /// The limits beyond which issuing stops; dry runs report them.
    issuance_policy: IssuancePolicy,
    clock: Arc<dyn Clock>,
}

impl Handler {
    pub(crate) fn new(
        decider: Decider,
        (kill_switch, acknowledging): (KillSwitch, Acknowledging),
        offers: Offers,
        issuance_policy: IssuancePolicy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { decider, kill_switch, offers, acknowledging, issuance_policy, clock }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        match Incoming::read(event.payload).map_err(unexpected)? {
            Incoming::Http(call) => Ok(finish(&call, self.route(&call).await)),
            Incoming::Evaluate { id, proof } => {
                let answer = self.decide(id, &proof).await;
                serde_json::to_value(answer).map_err(|error| diagnostic("UnwritableAnswer", &error))
            }
            // The content of a tick is ignored on purpose: the catalogue lists the schedules.
            Incoming::Tick => self.tick().await,
            Incoming::Schedule(id) => self.run_schedule(&id).await,
            other @ (Incoming::StandbyTick | Incoming::Woken { .. }) => {
                let accepted = "HTTP calls, intake's requests for a decision, ticks and names of schedules";
                Err(unexpected(UnexpectedEvent::instead_of(accepted, &other)))
            }
        }
    }

    /// Decides for intake. An invoker can only have the own request of a verified caller decided.
    async fn decide(&self, id: GrantId, proof: &RawProof) -> EvaluateAnswer {
        match self.decider.decide(id, proof, self.clock.now()).await {
            Ok(()) => {
                tracing::info!(grant.id = %id, code = "ok", "decided grant `{id}`");
                EvaluateAnswer::Decided
            }
            Err(refusal) => {
                tracing::info!(grant.id = %id, code = refusal.code.as_ref(), "did not decide grant `{id}`");
                EvaluateAnswer::Refused { refusal }
            }
        }
    }

    /// An undecided window fails the tick, so that its dead letter raises an alarm. The next tick tries again.
    async fn tick(&self) -> Result<Value, Diagnostic> {
        let pass = self.decider.decide_open_windows(&*self.clock, PASS_BUDGET_S).await.map_err(|e| undecided(&e))?;
        if pass.n_failed > 0 || pass.n_left > 0 {
            let counts = format!("not every open schedule window was decided: {pass:?}");
            tracing::error!(problem = counts, "an event failed");
            return Err(Diagnostic { error_type: "WindowsUndecided".to_owned(), error_message: counts });
        }
        let SchedulePass { n_schedules, n_open, n_granted, n_denied, .. } = pass;
        tracing::info!(n_schedules, n_open, n_granted, n_denied, "checked all schedules");
        serde_json::to_value(pass).map_err(|error| diagnostic("UnwritableAnswer", &error))
    }

    /// Decides the declared request of one schedule. The sender can trigger it once per window and change nothing.
    async fn run_schedule(&self, id: &ScheduleId) -> Result<Value, Diagnostic> {
        let outcome = self.decider.decide_schedule(id, self.clock.now()).await.map_err(|e| undecided(&e))?;
        serde_json::to_value(outcome).map_err(|error| diagnostic("UnwritableAnswer", &error))
    }

    async fn route(&self, call: &Call) -> Result<Answer, Failure> {
        match call.route.as_str() {
            "POST /v1/grants/{id}/approvals" => self.vote(call).await,
            "POST /v1/evaluations" => self.dry_run(call).await,
            "GET /v1/entitlements" => self.list(call).await,
            "GET /v1/delegations" => self.delegations(call).await,
            "PUT /v1/delegations/{id}" => {
                let (proof, scope) = (call.proof()?, read::delegation(call.body())?);
                self.delegate(call, &proof, scope).await
            }
            "DELETE /v1/delegations/{id}" => {
                let proof = call.proof()?;
                read::no_body(call.body())?;
                self.delegate(call, &proof, Scope::Ended).await
            }
            "POST /v1/grants/{id}/review" => self.review(call).await,
            "POST /v1/grants/{id}/acknowledge" => self.acknowledge(call).await,
            "GET /v1/reviews" => self.reviews(call).await,
            "GET /v1/revocations" => self.revocations(call).await,
            "POST /v1/revocations" => self.revoke(call).await,
            "GET /v1/revocations/{id}" => self.revocation(call).await,
            "POST /v1/revocations/{id}/lift" => self.lift(call).await,
            _ => Err(no_route(call)),
        }
    }

    async fn review(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let id = call.grant_id()?;
        let read::ReviewBody { outcome, note, digest } = read::review(call.body())?;
        let now = self.clock.now();
        let report = self.decider.review(&proof, id, ReviewBallot { outcome, note, digest }, now).await?;
        Ok(Answer::grant(200, id, &report, now)?)
    }

    async fn reviews(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        let PageQuery { cursor, limit } = read::page_query(&call.query)?;
        let now = self.clock.now();
        let page = self.decider.reviews(&proof, cursor.as_deref(), limit, now).await?;
        let view = |GrantRecords { request, decision, grant }: &GrantRecords| {
            GrantView::of(request.as_ref(), decision.as_ref(), grant.as_ref(), now)
        };
        let reviews = page.reports.iter().filter_map(view).collect();
        Ok(Answer::json(200, &ReviewList { reviews, next: page.next }))
    }

    async fn vote(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let id = call.grant_id()?;
        let read::BallotBody { approve, digest } = read::ballot(call.body())?;
        let now = self.clock.now();
        let report = self.decider.vote(&proof, id, Ballot { approve, digest }, now).await?;
        Ok(Answer::grant(200, id, &report, now)?)
    }

    async fn dry_run(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let ask = read::ask(call.body())?;
        let entitlement = ask.entitlement.clone();
        let dry_run = self.decider.rehearse(&proof, ask, self.issuance_policy, self.clock.now()).await?;
        let view =
            EvaluationView::of(dry_run.caller, entitlement, dry_run.verdict, dry_run.plan, dry_run.issuance_gate);
        Ok(Answer::json(200, &view))
    }

    async fn list(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        let query = read::page_query(&call.query)?;
        let now = self.clock.now();
        let page = self.offers.list(&proof, query.cursor.as_deref(), query.limit, now).await?;
        let entitlements = page.offers.into_iter().map(|offer| EntitlementLine::of(offer, now)).collect();
        Ok(Answer::json(200, &EntitlementList { entitlements, next: page.next }))
    }

    async fn delegate(&self, call: &Call, proof: &RawProof, scope: Scope) -> Result<Answer, Failure> {
        read::no_query(&call.query)?;
        let (to, now) = (call.identity_id()?, self.clock.now());
        let delegation = self.decider.delegate(proof, &to, scope, now).await?;
        Ok(Answer::json(200, &line(&delegation, now)?))
    }

    async fn delegations(&self, call: &Call) -> Result<Answer, Failure> {
        let (proof, now) = (call.proof()?, self.clock.now());
        read::no_query(&call.query)?;
        let all = self.decider.delegations(&proof, now).await?;
        let delegations = all.iter().map(|delegation| line(delegation, now)).collect::<Result<_, _>>()?;
        Ok(Answer::json(200, &DelegationList { delegations }))
    }
}

fn line(delegation: &Delegation, now: Timestamp) -> Result<DelegationLine, Refusal> {
    DelegationLine::of(delegation, now)
        .map_err(|error| Refusal::new(RefusalKind::Unavailable, "unavailable", error.to_string()))
}

fn undecided(refusal: &Refusal) -> Diagnostic {
    diagnostic("WindowUndecided", refusal)
}

fn unexpected(error: UnexpectedEvent) -> Diagnostic {
    diagnostic("UnexpectedEvent", &error)
}

fn diagnostic(kind: &str, error: &dyn std::error::Error) -> Diagnostic {
    tracing::error!(problem = %error, "an event failed");
    Diagnostic { error_type: kind.to_owned(), error_message: error.to_string() }
}

#[cfg(test)]
mod tests;
