//! HTTP calls to the use case of issue.

use brevet_api::answer::ProcessCredentials;
use brevet_api::read;
use brevet_engine::issue::{Handout, Issuer};
use brevet_engine::port::Credentials;
use brevet_lambda::answer::{Answer, Failure, finish, no_route};
use brevet_lambda::event::{Incoming, UnexpectedEvent};
use brevet_lambda::http::Call;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

pub(crate) struct Handler {
    issuer: Issuer,
}

impl Handler {
    pub(crate) fn new(issuer: Issuer) -> Self {
        Self { issuer }
    }

    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        match Incoming::read(event.payload).map_err(unexpected)? {
            Incoming::Http(call) => Ok(finish(&call, self.route(&call).await)),
            other @ (Incoming::Evaluate { .. } | Incoming::Tick | Incoming::Woken(_)) => {
                Err(unexpected(UnexpectedEvent::instead_of("HTTP calls", &other)))
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

fn handed_out(handout: Handout) -> ProcessCredentials {
    let Handout { credentials, expiration } = handout;
    let Credentials { access_key_id, secret_access_key, session_token } = credentials;
    ProcessCredentials { version: 1, access_key_id, secret_access_key, session_token, expiration }
}

fn unexpected(error: UnexpectedEvent) -> Diagnostic {
    tracing::error!(problem = %error, "an event was refused");
    Diagnostic { error_type: "UnexpectedEvent".to_owned(), error_message: error.to_string() }
}

#[cfg(test)]
mod tests;
