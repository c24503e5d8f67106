//! Maps HTTP calls, ticks and stream records to issue's use cases.

use brevet_api::answer::ProcessCredentials;
use brevet_api::read;
use brevet_engine::issue::attachment::{ActivateReport, Activator};
use brevet_engine::issue::credentials::{IssuedCredentials, Issuer};
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
            // The content of a tick is ignored on purpose: the table lists the due attachments.
            Incoming::Tick => reported(self.activator.pass().await),
            Incoming::Woken { ids, .. } => reported(self.activator.wake(&ids).await),
            other @ (Incoming::Evaluate { .. } | Incoming::Schedule(_) | Incoming::StandbyTick) => {
                let accepted = "HTTP calls, ticks of the schedule and records of the table's stream";
                Err(unexpected(&UnexpectedEvent::instead_of(accepted, &other)))
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
        read::no_body(call.body())?;
        let issued = self.issuer.vend(&proof, id).await?;
        // Every answer carries `Cache-Control: no-store`. This one must, because it holds credentials.
        Ok(Answer::json(200, &process_credentials(issued)).about(id))
    }
}

/// Fails for an incomplete pass, so that its dead letter raises an alarm. The next tick continues the work.
fn reported(report: ActivateReport) -> Result<Value, Diagnostic> {
    let ActivateReport { n_due, n_left, good } = report;
    if !good {
        return Err(diagnostic("BadPass", format!("a pass over due attachments was incomplete: {report:?}")));
    }
    tracing::info!(n_due, n_left, "processed due attachments");
    serde_json::to_value(report).map_err(|error| diagnostic("UnwritableAnswer", error.to_string()))
}

fn process_credentials(issued: IssuedCredentials) -> ProcessCredentials {
    let IssuedCredentials { credentials, expiration } = issued;
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
