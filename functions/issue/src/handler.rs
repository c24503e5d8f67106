//! HTTP calls, ticks and stream records to the use cases of issue.

use brevet_api::answer::ProcessCredentials;
use brevet_api::read;
use brevet_engine::activate::{ActivateReport, Activator};
use brevet_engine::issue::{Handout, Issuer};
use brevet_engine::port::Credentials;
use brevet_lambda::answer::{Answer, Failure, finish, no_route};
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use brevet_lambda::http::Call;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

pub(crate) struct Handler {
    issuer: Issuer,
    activator: Activator,
}

impl Handler {
    pub(crate) fn new(issuer: Issuer, activator: Activator) -> Self {
        Self { issuer, activator }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        match Incoming::read(event.payload).map_err(|error| unexpected(&error))? {
            Incoming::Http(call) => Ok(finish(&call, self.route(&call).await)),
            // What a tick carries is ignored on purpose: the table says what is to be attached.
            Incoming::Tick => told(self.activator.pass().await),
            Incoming::Woken { ids, .. } => told(self.activator.wake(&ids).await),
            other @ (Incoming::Evaluate { .. } | Incoming::Schedule(_) | Incoming::Echo) => {
                let wanted = "HTTP calls, ticks of the schedule and records of the table's stream";
                Err(unexpected(&UnexpectedEvent::instead_of(wanted, &other)))
            }
        }
    }

    async fn route(&self, call: &Call) -> Result<Answer, Failure> {
        match call.route.as_str() {
            "POST /v1/grants/{id}/credentials" => self.vend(call).await,
            _ => Err(no_route(call)),
        }
    }

    async fn vend(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let id = call.grant_id()?;
        read::nothing(call.body())?;
        let handout = self.issuer.vend(&proof, id).await?;
        // Every answer carries `Cache-Control: no-store`; this one must.
        Ok(Answer::json(200, &handed_out(handout)).about(id))
    }
}

/// A pass that did not come to its end fails, so that its dead letter raises an alarm; the next tick goes on.
fn told(report: ActivateReport) -> Result<Value, Diagnostic> {
    let ActivateReport { n_due, n_left, good } = report;
    if !good {
        return Err(diagnostic("BadPass", format!("a pass over attachments was not good: {report:?}")));
    }
    tracing::info!(n_due, n_left, "looked at what is to be attached");
    serde_json::to_value(report).map_err(|error| diagnostic("UnwritableAnswer", error.to_string()))
}

fn handed_out(handout: Handout) -> ProcessCredentials {
    let Handout { credentials, expiration } = handout;
    let Credentials { access_key_id, secret_access_key, session_token } = credentials;
    ProcessCredentials { version: 1, access_key_id, secret_access_key, session_token, expiration }
}

fn unexpected(error: &UnexpectedEvent) -> Diagnostic {
    diagnostic("UnexpectedEvent", error.to_string())
}

fn diagnostic(kind: &str, problem: String) -> Diagnostic {
    tracing::error!(problem, "an event failed");
    Diagnostic { error_type: kind.to_owned(), error_message: problem }
}

#[cfg(test)]
mod tests;
