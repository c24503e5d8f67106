//! What a failed call is known to have done: from the SDK's error to the port's.
//!
//! The SDK repeats calls by itself and reports the last attempt only. An attempt whose answer got lost may have been
//! done, whatever the attempts after it say: hence each call is watched, attempt by attempt.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use brevet_engine::port::PortError;

/// Codes that say: nothing was done, and the same call may go through later.
///
/// Source: <https://smithy.io/2.0/aws/aws-core.html> and the error lists of DynamoDB, IAM, STS and Lambda.
const NOT_DONE: &[&str] = &[
    "ConcurrentModification",
    "ConcurrentModificationException",
    "EntityTemporarilyUnmodifiable",
    // What the call was signed with ran out on its way; a later one is signed afresh.
    "ExpiredToken",
    "ExpiredTokenException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestExpired",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// What was seen of the attempts of one call.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// An attempt was handed to the connection, and has not come to an end.
    is_underway: bool,
    /// The last attempt that ended surely never reached AWS.
    is_unsent: bool,
    /// An attempt before the last ended without an answer that says what it did.
    is_doubtful: bool,
    /// The last attempt ended without such an answer.
    is_last_doubtful: bool,
    request_id: Option<String>,
    date: Option<String>,
}

/// Watches the attempts of one call: `call.customize().interceptor(watch.clone())`.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
}

impl Watch {
    /// Watches a call that is yet to be made.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// AWS's id of the last attempt that was answered.
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        self.seen().request_id
    }

    /// The `Date` header of the last attempt that was answered.
    #[must_use]
    pub fn date(&self) -> Option<String> {
        self.seen().date
    }

    /// Whether some attempt may have been done although nobody knows.
    pub(crate) fn is_doubtful(&self) -> bool {
        let seen = self.seen();
        seen.is_doubtful || seen.is_last_doubtful || seen.is_underway
    }

    /// What is known of the failed call `operation` (as the AWS API names it, e.g. `iam:PutRolePolicy`).
    #[must_use]
    pub fn classify<E>(&self, operation: &'static str, error: SdkError<E, HttpResponse>) -> PortError
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let known = match &error {
            SdkError::ConstructionFailure(_) => Known::Refused,
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Known::Nothing,
            SdkError::DispatchFailure(_) => Known::NotDone,
            SdkError::ServiceError(service) => Known::of(service.err().code(), service.raw().status().as_u16()),
            _ => Known::Nothing,
        };
        // INVARIANT: a lost answer is unknown, not failed: of this attempt or of one before it. Only a condition that
        // did not hold stays as it is: whoever cares reads back whether it was an own earlier attempt that broke it.
        let known = match known {
            Known::NotDone | Known::Refused if self.is_doubtful() => Known::Nothing,
            Known::NotDone | Known::Refused | Known::Conflict | Known::Nothing => known,
        };
        known.into_error(operation, error)
    }
}

/// What is known of the effect of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Refused,
    NotDone,
    Conflict,
    Nothing,
}

impl Known {
    fn of(code: Option<&str>, status: u16) -> Self {
        match code {
            Some("ConditionalCheckFailedException") => Self::Conflict,
            Some(code) if NOT_DONE.contains(&code) => Self::NotDone,
            _ if status == 429 => Self::NotDone,
            // An error that is none of the client's is AWS's own, or a success that cannot be read.
            _ if !(400..500).contains(&status) => Self::Nothing,
            _ => Self::Refused,
        }
    }

    fn into_error(self, operation: &'static str, source: impl Into<BoxError>) -> PortError {
        let source = source.into();
        match self {
            Self::Refused => PortError::Refused { operation, source },
            Self::NotDone => PortError::NotDone { operation, source },
            Self::Conflict => PortError::Conflict { operation },
            Self::Nothing => PortError::Unknown { operation, source },
        }
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.note(|seen| {
            seen.is_doubtful |= seen.is_last_doubtful || seen.is_underway;
            seen.is_last_doubtful = false;
            seen.is_underway = true;
            seen.is_unsent = false;
            seen.request_id = None;
            seen.date = None;
        });
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let header = |response: &HttpResponse, name: &str| response.headers().get(name).map(ToOwned::to_owned);
        let failure = context.output_or_error().and_then(Result::err);
        self.note(|seen| {
            if !seen.is_underway {
                return;
            }
            seen.is_underway = false;
            match context.response() {
                Some(response) => {
                    seen.request_id =
                        header(response, "x-amzn-requestid").or_else(|| header(response, "x-amz-request-id"));
                    seen.date = header(response, "date");
                    seen.is_last_doubtful = !response.status().is_client_error() && failure.is_some();
                }
                None => {
                    let connector = failure.and_then(|error| error.as_connector_error());
                    seen.is_unsent = connector.is_some_and(|error| is_unsent(error));
                    seen.is_last_doubtful = !seen.is_unsent;
                }
            }
        });
        Ok(())
    }
}

/// Whether the connection was never made (no address, refused, no TLS, not in time), so that nothing can have been sent.
///
/// The connector tells that apart by an error of its own library alone, hence by its text. Should the text ever change,
/// this falls back to unknown, and tests turn red.
fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string() == "client error (Connect)" {
            return true;
        }
        next = error.source();
    }
    false
}

/// An answer of AWS that lacks what it must have.
pub(crate) fn unreadable(operation: &'static str, what: impl fmt::Display) -> PortError {
    PortError::Unreadable { operation, what: what.to_string() }
}
