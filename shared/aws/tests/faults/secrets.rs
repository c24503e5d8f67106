//! Faults of each call to Secrets Manager: the tests check the request and the meaning of each answer.
//!
//! No local stack rotates secrets.

use aws_sdk_secretsmanager::Client;
use brevet_aws::SecretsRotator;
use brevet_engine::port::{Rotator, VersionReading, VersionStage};

use super::*;

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db-??????";

fn token() -> Digest {
    Digest::of_bytes(b"round 1")
}

/// An error of Secrets Manager.
fn error(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"__type":"{code}","Message":"the reason"}}"#);
    Reply::Answer { status, headers: Vec::new(), body }
}

/// An answer to `DescribeSecret` with these versions and labels.
fn described(versions: &[(&str, &str)]) -> Reply {
    let versions: Vec<String> = versions.iter().map(|(version, labels)| format!(r#""{version}":[{labels}]"#)).collect();
    let body = format!(r#"{{"Name":"prod/db","VersionIdsToStages":{{{}}}}}"#, versions.join(","));
    Reply::Answer { status: 200, headers: vec![("x-amzn-requestid", "id-of-the-answer")], body }
}

async fn rotator(replies: Vec<Reply>) -> (SecretsRotator, Arc<Server>) {
    let server = Server::start(replies).await;
    (SecretsRotator::new(Client::new(&config(&server.url()).await)), server)
}

async fn rotate(replies: Vec<Reply>) -> (PortResult<()>, Arc<Server>) {
    let (rotator, server) = rotator(replies).await;
    (rotator.rotate(SECRET, token()).await, server)
}

async fn read(replies: Vec<Reply>) -> (PortResult<VersionReading>, Arc<Server>) {
    let (rotator, server) = rotator(replies).await;
    (rotator.read_version(SECRET, token()).await, server)
}

#[tokio::test]
async fn a_rotation_names_the_secret_and_its_version_and_keeps_its_configuration() {
    let (answer, server) = rotate(vec![ok(r#"{"Name":"prod/db"}"#)]).await;
    answer.unwrap();
    let request = server.requests().remove(0);
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    let expected = serde_json::json!({
        "SecretId": "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db",
        "ClientRequestToken": token().to_string(),
        "RotateImmediately": true,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), expected);
    assert!(request.contains("secretsmanager.RotateSecret"), "{request}");
}

#[tokio::test]
async fn a_rotation_with_a_lost_answer_is_unknown_and_retried_with_the_same_token() {
    let (answer, server) = rotate(vec![Reply::Hangup, Reply::Silence, Reply::Half]).await;
    is_unknown(&answer);
    let named = |request: &String| request.contains(&token().to_string());
    assert_eq!((server.n_played(), server.requests().iter().filter(|request| named(request)).count()), (3, 3));
    // The first attempt may have started the rotation. The refusal of the second shows nothing else.
    let (answer, server) = rotate(vec![Reply::Hangup, error(400, "InvalidRequestException")]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn a_failed_rotation_is_refused_not_done_or_unknown_by_its_error() {
    for code in ["InvalidRequestException", "ResourceNotFoundException", "AccessDeniedException"] {
        let (answer, server) = rotate(vec![error(400, code)]).await;
        assert!(matches!(&answer, Err(PortError::Refused { .. })), "{code}: {answer:?}");
        assert!(answer.unwrap_err().chain().contains("the reason"), "the error for {code} holds the reason");
        assert_eq!(server.n_played(), 1);
    }
    let throttled = || error(400, "ThrottlingException");
    let (answer, server) = rotate(vec![throttled(), throttled(), throttled()]).await;
    is_not_done(&answer);
    assert_eq!(server.n_played(), 3);
    let broken = || error(500, "InternalServiceError");
    is_unknown(&rotate(vec![broken(), broken(), broken()]).await.0);
}

#[tokio::test]
async fn read_version_finds_only_the_version_of_its_token() {
    let (token, other) = (token().to_string(), "f".repeat(64));
    for (versions, stage) in [
        (vec![(&*other, r#""AWSCURRENT""#)], VersionStage::Absent),
        (vec![(&*other, r#""AWSCURRENT""#), (&*token, r#""AWSPENDING""#)], VersionStage::Pending),
        (vec![(&*token, r#""AWSCURRENT","AWSPENDING""#)], VersionStage::Current),
        (vec![(&*other, r#""AWSCURRENT""#), (&*token, r#""AWSPREVIOUS""#)], VersionStage::Current),
        (vec![], VersionStage::Absent),
    ] {
        let (reading, server) = read(vec![described(&versions)]).await;
        assert_eq!(reading.unwrap(), VersionReading { stage, request_id: "id-of-the-answer".to_owned() });
        assert_eq!(server.n_played(), 1);
    }
}

#[tokio::test]
async fn read_version_fails_without_a_usable_answer() {
    is_unknown(&read(vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await.0);
    let gone = read(vec![error(400, "ResourceNotFoundException")]).await.0;
    assert!(matches!(gone, Err(PortError::Refused { .. })), "{gone:?}");
    let nameless = read(vec![ok(r#"{"VersionIdsToStages":{}}"#)]).await.0;
    assert!(matches!(nameless, Err(PortError::Unreadable { .. })), "{nameless:?}");
}
