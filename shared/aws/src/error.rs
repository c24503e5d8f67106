//! Maps the SDK's errors to the port's, by what is known of the effect of a failed call.
//!
//! The SDK retries calls by itself and reports only the last attempt. An attempt without an answer may have taken
//! effect, whatever later attempts say. Therefore [`Watch`] observes each attempt of a call.

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

/// Error codes of calls that had no effect and may succeed later.
///
/// Source: <https://smithy.io/2.0/aws/aws-core.html> and the error lists of DynamoDB, IAM, STS and Lambda.
const NOT_DONE: &[&str] = &[
    "ConcurrentModification",
    "ConcurrentModificationException",
    "EntityTemporarilyUnmodifiable",
    // The signing credentials expired in transit. A later call is signed with fresh ones.
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

/// What is known of the attempts of one call.
#[derive(Clone, Debug, Default)]
struct Attempts {
    /// An attempt was handed to the connection and has not ended.
    is_underway: bool,
    /// The last attempt that ended never reached AWS.
    is_unsent: bool,
    /// An attempt before the last ended without an answer that shows its effect.
    is_doubtful: bool,
    /// The last attempt ended without such an answer.
    is_last_doubtful: bool,
    request_id: Option<String>,
    date: Option<String>,
}

/// Observes the attempts of one call: `call.customize().interceptor(watch.clone())`.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    attempts: Arc<Mutex<Attempts>>,
}

impl Watch {
    /// Observes a call that is not made yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn attempts(&self) -> Attempts {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut Attempts)) {
        change(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// AWS's request id of the last attempt, if AWS answered it.
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        self.attempts().request_id
    }

    /// The `Date` header of the last attempt, if AWS answered it.
    #[must_use]
    pub fn date(&self) -> Option<String> {
        self.attempts().date
    }

    /// Whether an attempt may have taken effect without an answer that shows it.
    pub(crate) fn is_doubtful(&self) -> bool {
        let attempts = self.attempts();
        attempts.is_doubtful || attempts.is_last_doubtful || attempts.is_underway
    }

    /// Classifies the failed call `operation`, named as in the AWS API, e.g. `iam:PutRolePolicy`.
    #[must_use]
    pub fn classify<E>(&self, operation: &'static str, error: SdkError<E, HttpResponse>) -> PortError
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let known = match &error {
            SdkError::ConstructionFailure(_) => KnownEffect::Refused,
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => KnownEffect::Unknown,
            SdkError::DispatchFailure(_) => KnownEffect::NotDone,
            SdkError::ServiceError(service) => KnownEffect::of(service.err().code(), service.raw().status().as_u16()),
            _ => KnownEffect::Unknown,
        };
        // INVARIANT: a lost answer is unknown, not failed, whether of this attempt or of an earlier one. A failed
        // condition stays a conflict: the caller reads back whether an earlier attempt of its own broke it.
        let known = match known {
            KnownEffect::NotDone | KnownEffect::Refused if self.is_doubtful() => KnownEffect::Unknown,
            KnownEffect::NotDone | KnownEffect::Refused | KnownEffect::Conflict | KnownEffect::Unknown => known,
        };
        known.into_error(operation, error)
    }
}

/// What is known of the effect of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownEffect {
    Refused,
    NotDone,
    Conflict,
    Unknown,
}

impl KnownEffect {
    fn of(code: Option<&str>, status: u16) -> Self {
        match code {
            Some("ConditionalCheckFailedException") => Self::Conflict,
            Some(code) if NOT_DONE.contains(&code) => Self::NotDone,
            _ if status == 429 => Self::NotDone,
            // Any status but 4xx is a failure inside AWS, or a success with an unreadable body.
            _ if !(400..500).contains(&status) => Self::Unknown,
            _ => Self::Refused,
        }
    }

    fn into_error(self, operation: &'static str, source: impl Into<BoxError>) -> PortError {
        let source = source.into();
        match self {
            Self::Refused => PortError::Refused { operation, source },
            Self::NotDone => PortError::NotDone { operation, source },
            Self::Conflict => PortError::Conflict { operation },
            Self::Unknown => PortError::Unknown { operation, source },
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
        self.update(|attempts| {
            attempts.is_doubtful |= attempts.is_last_doubtful || attempts.is_underway;
            attempts.is_last_doubtful = false;
            attempts.is_underway = true;
            attempts.is_unsent = false;
            attempts.request_id = None;
            attempts.date = None;
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
        self.update(|attempts| {
            if !attempts.is_underway {
                return;
            }
            attempts.is_underway = false;
            match context.response() {
                Some(response) => {
                    attempts.request_id =
                        header(response, "x-amzn-requestid").or_else(|| header(response, "x-amz-request-id"));
                    attempts.date = header(response, "date");
                    attempts.is_last_doubtful = !response.status().is_client_error() && failure.is_some();
                }
                None => {
                    let connector = failure.and_then(|error| error.as_connector_error());
                    attempts.is_unsent = connector.is_some_and(|error| is_unsent(error));
                    attempts.is_last_doubtful = !attempts.is_unsent;
                }
            }
        });
        Ok(())
    }
}

/// Whether the connection was never made (no address, refused, no TLS, time-out), so that nothing was sent.
///
/// Only the text of the connector's library error shows that. If the text changes, the effect counts as unknown and
/// tests turn red.
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

/// The error for an answer of AWS that lacks a required part. `problem` names it.
pub(crate) fn unreadable(operation: &'static str, problem: impl fmt::Display) -> PortError {
    PortError::Unreadable { operation, what: problem.to_string() }
}
