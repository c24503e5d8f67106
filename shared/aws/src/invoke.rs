//! Lambda: intake invokes the evaluator.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use brevet_domain::id::GrantId;
use brevet_engine::port::{EvaluateAnswer, EvaluateCall, PortError, PortResult, RawProof};
use serde_json::json;

use crate::error::{Watch, unreadable};

const INVOKE: &str = "lambda:Invoke";

/// The bound for an answer of the evaluator, in seconds: its own time-out plus overhead.
const ANSWER_BOUND_S: u64 = 17;

/// Invokes the evaluator synchronously.
#[derive(Clone, Debug)]
pub struct LambdaEvaluateCall {
    client: Client,
    function: String,
}

impl LambdaEvaluateCall {
    /// Invokes `function`. Only the connect time-out equals that of other calls: a cold evaluator may need seconds.
    ///
    /// The client never retries. The caller retries with the same idempotency key.
    #[must_use]
    pub fn new(config: &SdkConfig, function: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_timeout(Duration::from_secs(ANSWER_BOUND_S))
            .operation_attempt_timeout(Duration::from_secs(ANSWER_BOUND_S))
            .build();
        let config = aws_sdk_lambda::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), function: function.into() }
    }
}

fn read_answer(payload: &[u8]) -> PortResult<EvaluateAnswer> {
    // The position only, never the content: a refusal may name the caller.
    serde_json::from_slice(payload).map_err(|error| {
        let position = format!("line {}, column {}", error.line(), error.column());
        unreadable(INVOKE, format!("the payload is not an answer of the evaluator: wrong at {position}"))
    })
}

#[async_trait]
impl EvaluateCall for LambdaEvaluateCall {
    async fn evaluate(&self, id: GrantId, proof: &RawProof) -> PortResult<EvaluateAnswer> {
        let watch = Watch::new();
        let payload = json!({ "evaluate": { "id": id, "proof": proof.expose() } });
        let answer = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(payload.to_string()))
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map_err(|error| watch.classify(INVOKE, error))?;
        if let Some(failure) = answer.function_error {
            // The payload is the evaluator's own error text, which does not belong in intake's log.
            return Err(PortError::Unknown {
                operation: INVOKE,
                source: format!("the evaluator failed: {failure}").into(),
            });
        }
        read_answer(answer.payload.as_ref().map(AsRef::as_ref).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_answer_decided_counts_as_a_decision() {
        let answer = read_answer(br#"{"answer": "decided"}"#).unwrap();
        assert_eq!(answer, EvaluateAnswer::Decided);
        for malformed in [
            &b""[..],
            b"{}",
            b"null",
            br#""decided""#,
            br#"{"decided": true}"#,
            br#"{"answer": "refused"}"#,
            br#"{"answer": "maybe"}"#,
        ] {
            let error = read_answer(malformed).unwrap_err();
            assert!(matches!(error, PortError::Unreadable { .. }), "{error}");
        }
    }
}
