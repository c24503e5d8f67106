//! Refusals in each protocol's own error shape, so that SDKs read them as AWS's.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::map::Service;
use crate::xml::escape;

/// The reason why the gate answers instead of forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The call has no signature that the gate can read.
    Unsigned(String),
    /// The key, or its token, was not vended here.
    UnknownKey,
    /// The session's time is over.
    Expired,
    /// Signed with another secret, for another call, or at another time.
    BadSignature(String),
    /// Not allowed, with AWS's sentence.
    Denied(String),
    /// The service is busy (an injected fault).
    Throttled,
    /// A transaction of `n_items` conflicts with another one, or two callers change IAM at once (an injected fault).
    Conflict {
        transaction: bool,
        /// The number of items in the transaction.
        n_items: usize,
    },
    /// AWS would reject the call's parameters; the emulator accepts them.
    Invalid { code: &'static str, message: String },
    /// The upstream did not answer.
    Upstream(String),
}

/// HTTP status, AWS error code and message of a refusal.
struct Words {
    status: u16,
    code: String,
    message: String,
}

impl Refusal {
    pub(crate) fn code(&self, service: Option<Service>) -> String {
        self.words(service).code
    }

    fn words(&self, service: Option<Service>) -> Words {
        let json_body = matches!(service, Some(Service::DynamoDb | Service::SecretsManager));
        let s3 = service == Some(Service::S3);
        let rest_or_json = json_body || service == Some(Service::Lambda);
        // The JSON protocols answer 400 to all of these; REST and Query answer 403.
        let denied_status = if json_body { 400 } else { 403 };
        let words = |status: u16, code: &str, message: &str| Words {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        match self {
            Self::Unsigned(why) => {
                let code = match (s3, rest_or_json) {
                    (true, _) => "AccessDenied",
                    (_, true) => "MissingAuthenticationTokenException",
                    (false, false) => "MissingAuthenticationToken",
                };
                words(denied_status, code, why)
            }
            Self::UnknownKey => {
                let code = match (s3, rest_or_json) {
                    (true, _) => "InvalidAccessKeyId",
                    (_, true) => "UnrecognizedClientException",
                    (false, false) => "InvalidClientTokenId",
                };
                words(denied_status, code, "The security token included in the request is invalid.")
            }
            Self::Expired => {
                let code = if rest_or_json { "ExpiredTokenException" } else { "ExpiredToken" };
                let status = if s3 { 400 } else { denied_status };
                words(status, code, "The security token included in the request is expired")
            }
            Self::BadSignature(why) => {
                let code = if rest_or_json { "InvalidSignatureException" } else { "SignatureDoesNotMatch" };
                words(denied_status, code, why)
            }
            Self::Denied(why) => {
                let code = if rest_or_json { "AccessDeniedException" } else { "AccessDenied" };
                words(denied_status, code, why)
            }
            Self::Throttled => match service {
                Some(Service::S3) => words(503, "SlowDown", "Please reduce your request rate."),
                Some(Service::Lambda) => words(429, "TooManyRequestsException", "Rate exceeded"),
                Some(Service::DynamoDb | Service::SecretsManager) => words(400, "ThrottlingException", "Rate exceeded"),
                Some(Service::Iam | Service::Sts) | None => words(400, "Throttling", "Rate exceeded"),
            },
            Self::Conflict { .. } if service == Some(Service::Iam) => words(
                409,
                "ConcurrentModification",
                "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again.",
            ),
            Self::Conflict { transaction: true, n_items } => {
                let reasons = reasons(*n_items).join(", ");
                words(
                    400,
                    "TransactionCanceledException",
                    &format!(
                        "Transaction cancelled, please refer cancellation reasons for specific reasons [{reasons}]"
                    ),
                )
            }
            Self::Conflict { transaction: false, .. } => {
                words(400, "TransactionConflictException", "Transaction is ongoing for the item")
            }
            Self::Invalid { code, message } => {
                let status = match *code {
                    "LimitExceeded" => 409,
                    "NoSuchEntity" => 404,
                    "PolicyEvaluation" => 500,
                    _ => 400,
                };
                words(status, code, message)
            }
            Self::Upstream(why) => words(502, "BadGateway", why),
        }
    }

    /// The answer in the error shape of `service`, with `request_id`.
    pub(crate) fn answer(&self, service: Option<Service>, request_id: &str) -> Response<Full<Bytes>> {
        let words = self.words(service);
        let Words { status, code, message } = &words;
        let mut headers = vec![("x-amzn-requestid", request_id.to_owned())];
        let body = match service {
            Some(Service::DynamoDb | Service::SecretsManager) => {
                let dynamodb = service == Some(Service::DynamoDb);
                let (version, space) =
                    if dynamodb { ("1.0", "com.amazonaws.dynamodb.v20120810#") } else { ("1.1", "") };
                headers.push(("content-type", format!("application/x-amz-json-{version}")));
                let kind = format!("{space}{code}");
                let body = if let Self::Conflict { transaction: true, n_items } = self {
                    let reasons: Vec<_> = reasons(*n_items)
                        .iter()
                        .map(|code| match *code {
                            "None" => json!({ "Code": code }),
                            _ => json!({ "Code": code, "Message": "Transaction is ongoing for the item" }),
                        })
                        .collect();
                    json!({ "__type": kind, "Message": message, "CancellationReasons": reasons })
                } else {
                    json!({ "__type": kind, "message": message })
                };
                body.to_string()
            }
            Some(Service::Lambda) => {
                headers.push(("content-type", "application/json".to_owned()));
                headers.push(("x-amzn-errortype", code.clone()));
                json!({ "Message": message }).to_string()
            }
            Some(Service::S3) => {
                headers.push(("content-type", "application/xml".to_owned()));
                headers.push(("x-amz-request-id", request_id.to_owned()));
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message><RequestId>{request_id}</RequestId></Error>",
                    escape(message)
                )
            }
            Some(Service::Iam | Service::Sts) | None => {
                let space = match service {
                    Some(Service::Sts) => "https://sts.amazonaws.com/doc/2011-06-15/",
                    Some(_) | None => "https://iam.amazonaws.com/doc/2010-05-08/",
                };
                headers.push(("content-type", "text/xml".to_owned()));
                format!(
                    "<ErrorResponse xmlns=\"{space}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
                    escape(message)
                )
            }
        };
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN);
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}

/// The cancellation reasons of a transaction whose first item conflicts.
fn reasons(n_items: usize) -> Vec<&'static str> {
    let mut reasons = vec!["None"; n_items.max(1)];
    if let Some(first) = reasons.first_mut() {
        *first = "TransactionConflict";
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn body(refusal: &Refusal, service: Service) -> (u16, String) {
        let answer = refusal.answer(Some(service), "r-1");
        let status = answer.status().as_u16();
        let body = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(answer.into_body().collect())
            .unwrap()
            .to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn access_denied_has_the_error_shape_of_each_protocol() {
        let denied = Refusal::Denied("no <b>".to_owned());
        let (status, text) = body(&denied, Service::DynamoDb);
        assert_eq!(status, 400);
        assert_eq!(text, r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no <b>"}"#);
        let (status, text) = body(&denied, Service::Sts);
        assert_eq!(status, 403);
        assert!(text.contains("<Code>AccessDenied</Code><Message>no &lt;b&gt;</Message>"));
        let (status, text) = body(&denied, Service::S3);
        assert_eq!(status, 403);
        assert!(text.contains("<Error><Code>AccessDenied</Code>"));
        assert_eq!(body(&denied, Service::Lambda).0, 403);
        assert_eq!(body(&denied, Service::SecretsManager).0, 400);
    }

    #[test]
    fn expired_session_and_unknown_key_have_the_codes_of_their_service() {
        let codes = |service| (Refusal::UnknownKey.code(Some(service)), Refusal::Expired.code(Some(service)));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(codes(Service::Sts), pair("InvalidClientTokenId", "ExpiredToken"));
        assert_eq!(codes(Service::S3), pair("InvalidAccessKeyId", "ExpiredToken"));
        assert_eq!(codes(Service::DynamoDb), pair("UnrecognizedClientException", "ExpiredTokenException"));
    }

    #[test]
    fn iam_conflict_is_a_concurrent_modification() {
        let (status, text) = body(&Refusal::Conflict { transaction: false, n_items: 0 }, Service::Iam);
        assert_eq!(status, 409);
        assert!(text.contains("<Code>ConcurrentModification</Code>"), "{text}");
    }

    #[test]
    fn transaction_conflict_has_one_reason_for_each_item() {
        let conflict = Refusal::Conflict { transaction: true, n_items: 3 };
        let (status, text) = body(&conflict, Service::DynamoDb);
        assert_eq!(status, 400);
        assert!(text.contains("[TransactionConflict, None, None]"), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["CancellationReasons"].as_array().unwrap().len(), 3);
        assert_eq!(value["CancellationReasons"][0]["Code"], "TransactionConflict");
    }
}
