//! Maps HTTP calls to intake's use cases.

use std::sync::Arc;

use brevet_api::answer::{EvidencePage, GrantLine, GrantList, HealthAnswer, HealthStatus, StoppedBy};
use brevet_api::read;
use brevet_domain::grant::State;
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::Stop;
use brevet_domain::time::Timestamp;
use brevet_engine::intake::{Health, Intake, RenewalChanges};
use brevet_engine::port::Clock;
use brevet_engine::records::GrantRecords;
use brevet_engine::refusal::{Refusal, RefusalKind};
use brevet_lambda::answer::{Answer, Failure, finish, no_route};
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use brevet_lambda::http::Call;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

/// The number of evidence entries on a page: about 100 KiB.
const EVIDENCE_PAGE: u32 = 100;

/// `Retry-After` for a grant that is undecided or awaits approval, in seconds.
const POLL_S: u32 = 2;

pub(crate) struct Handler {
    intake: Intake,
    clock: Arc<dyn Clock>,
}

impl Handler {
    pub(crate) fn new(intake: Intake, clock: Arc<dyn Clock>) -> Self {
        Self { intake, clock }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        match Incoming::read(event.payload).map_err(unexpected)? {
            Incoming::Http(call) => Ok(finish(&call, self.route(&call).await)),
            other @ (Incoming::Evaluate { .. }
            | Incoming::Tick
            | Incoming::Schedule(_)
            | Incoming::StandbyTick
            | Incoming::Woken { .. }) => Err(unexpected(UnexpectedEvent::instead_of("HTTP calls", &other))),
        }
    }

    async fn route(&self, call: &Call) -> Result<Answer, Failure> {
        let now = self.clock.now();
        match call.route.as_str() {
            "POST /v1/grants" => self.submit(call, now).await,
            "GET /v1/grants" => self.list(call, now).await,
            "GET /v1/grants/{id}" => self.show(call, now).await,
            "GET /v1/grants/{id}/evidence" => self.evidence(call, now).await,
            "POST /v1/grants/{id}/renew" => self.renew(call, now).await,
            "POST /v1/grants/{id}/release" => self.release(call, now).await,
            "GET /v1/health" => self.health(call, now).await,
            _ => Err(no_route(call)),
        }
    }

    async fn submit(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let key = read::idempotency_key(call.header("idempotency-key"))?;
        let ask = read::ask(call.body())?;
        let records = self.intake.submit(&proof, key, ask, now).await?;
        submitted(&records, now)
    }

    async fn renew(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let key = read::idempotency_key(call.header("idempotency-key"))?;
        let id = call.grant_id()?;
        let read::RenewBody { term_s, ticket, justification } = read::renew(call.body())?;
        let changes = RenewalChanges { term_s, ticket, justification };
        let records = self.intake.renew(&proof, key, id, changes, now).await?;
        submitted(&records, now)
    }

    async fn list(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        let query = read::list_query(&call.query)?;
        let page = self.intake.list(&proof, query.cursor.as_deref(), query.limit, now).await?;
        let matches = |state: &str| query.state.is_none_or(|expected| expected == state);
        let lines = page.grants.into_iter().filter(|grant| matches(&grant.state));
        let grants =
            lines.map(|grant| GrantLine { id: grant.id, state: grant.state, created_at: grant.created_at }).collect();
        Ok(Answer::json(200, &GrantList { grants, next: page.next }))
    }

    async fn show(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let id = call.grant_id()?;
        let records = self.intake.show(&proof, id, now).await?;
        Ok(Answer::grant(200, id, &records, now)?)
    }

    async fn evidence(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        let query = read::evidence_query(&call.query)?;
        let grant = call.grant_id()?;
        let (head, entries) = self.intake.evidence(&proof, grant, query.after, EVIDENCE_PAGE, now).await?;
        // Entries written after the head was read belong to a later call.
        let entries: Vec<_> = entries.into_iter().filter(|entry| entry.body.seq <= head.seq).collect();
        let next = entries.last().map(|entry| entry.body.seq).filter(|seq| *seq < head.seq);
        Ok(Answer::json(200, &EvidencePage { grant, head, entries, next }).about(grant))
    }

    async fn release(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let id = call.grant_id()?;
        read::no_body(call.body())?;
        let records = self.intake.release(&proof, id, now).await?;
        Ok(Answer::grant(202, id, &records, now)?.with("retry-after", POLL_S.to_string()))
    }

    async fn health(&self, call: &Call, now: Timestamp) -> Result<Answer, Failure> {
        read::no_query(&call.query)?;
        let health = self.intake.health(now).await?;
        let stopped_by = match health.stop {
            Some(Stop::NoHeartbeat { .. }) => Some(StoppedBy::NoGoodPass),
            Some(Stop::NotDrilled { .. }) => Some(StoppedBy::NotDrilled),
            Some(Stop::TooManyOverdue { .. } | Stop::PrincipalOverdue { .. }) => Some(StoppedBy::TooManyOverdue),
            None => health.bundle.is_none().then_some(StoppedBy::NoBundle),
        };
        let (code, status) = match stopped_by {
            None => (200, HealthStatus::Ok),
            Some(_) => (503, HealthStatus::Stopped),
        };
        // The route needs no proof, so the answer does not name the overdue grants.
        let Health { heartbeat_age_s, bundle, n_overdue, n_unacknowledged, .. } = health;
        let answer = HealthAnswer { status, stopped_by, heartbeat_age_s, n_overdue, n_unacknowledged, bundle };
        Ok(Answer::json(code, &answer))
    }
}

/// Answers 201 for an allowed grant, 202 while the decision or an approval is pending, and a problem for a denied one.
fn submitted(records: &GrantRecords, now: Timestamp) -> Result<Answer, Failure> {
    let id = records.grant.as_ref().map(|grant| grant.id).or(records.request.as_ref().map(|request| request.id));
    let Some(id) = id else {
        let detail = "the stored request cannot be read back; repeat the request with the same `Idempotency-Key`";
        return Err(Refusal::new(RefusalKind::Unavailable, "unavailable", detail).into());
    };
    match records.grant.as_ref().map(|grant| &grant.state) {
        None | Some(State::ApprovalAwaited { .. }) => {
            Ok(located(202, id, records, now)?.with("retry-after", POLL_S.to_string()))
        }
        Some(State::Denied { reason, .. }) => {
            Err(Refusal::new(RefusalKind::Denied, "denied", reason.clone()).about(id).into())
        }
        Some(
            State::Approved { .. }
            | State::Activating { .. }
            | State::Active { .. }
            | State::Revoking(_)
            | State::Ended { .. }
            | State::Lapsed { .. }
            | State::Withdrawn { .. },
        ) => Ok(located(201, id, records, now)?),
    }
}

fn located(status: u16, id: GrantId, records: &GrantRecords, now: Timestamp) -> Result<Answer, Refusal> {
    Ok(Answer::grant(status, id, records, now)?.with("location", format!("/v1/grants/{id}")))
}

fn unexpected(error: UnexpectedEvent) -> Diagnostic {
    tracing::error!(problem = %error, "refused an event");
    Diagnostic { error_type: "UnexpectedEvent".to_owned(), error_message: error.to_string() }
}

#[cfg(test)]
mod tests;
