//! Faults of the drill's adapters: which answers count, and what is known of a failed call.

use std::collections::BTreeMap;

use brevet_aws::{DynamoCanary, StsProofs};
use brevet_domain::drill::{Drill, Drilled, Outcome, RunStage};
use brevet_domain::identity::Audience;
use brevet_engine::port::{
    Canary as _, Credentials, DrillReader as _, DrillStore as _, ProbeIdentity, ProofSource as _,
};

use super::*;

const PRINCIPAL: &str = "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-canary-inline";

fn credentials() -> Credentials {
    let text = |value: &str| value.to_owned();
    Credentials { access_key_id: text("ASIAX"), secret_access_key: text("secret"), session_token: text("token") }
}

fn answered(code: &str) -> Reply {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"the reason"}}"#);
    Reply::Answer { status: 400, headers: vec![("x-amzn-requestid", "id-of-the-answer")], body }
}

fn assumed() -> Reply {
    ok(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAY</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2026-11-22T12:15:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    )
}

async fn probe(by: ProbeIdentity<'_>, replies: Vec<Reply>) -> ((Outcome, Option<String>), Arc<Server>) {
    let server = Server::start(replies).await;
    let principals = BTreeMap::from([(Drilled::Inline, PRINCIPAL.to_owned())]);
    let canary = DynamoCanary::connect(&config(&server.url()).await, "canary-dev", principals, "drill");
    (canary.probe(by).await, server)
}

#[tokio::test]
async fn canary_is_denied_only_by_access_denied_and_allowed_only_by_an_answer() {
    let held = credentials();
    let request_id = Some("id-of-the-answer".to_owned());
    for by in [ProbeIdentity::Itself, ProbeIdentity::Session(&held)] {
        let (found, _) = probe(by, vec![answered("AccessDeniedException")]).await;
        assert_eq!(found, (Outcome::Denied, request_id.clone()));
        let (found, server) = probe(by, vec![ok("{}")]).await;
        assert_eq!((found.0, server.n_played()), (Outcome::Allowed, 1));
        for code in ["ExpiredTokenException", "UnrecognizedClientException", "ResourceNotFoundException"] {
            let (found, _) = probe(by, vec![answered(code), answered(code), answered(code)]).await;
            assert_eq!(found.0, Outcome::Unclear, "{code}");
        }
        let throttled = || answered("ThrottlingException");
        let (found, server) = probe(by, vec![throttled(), throttled(), throttled()]).await;
        assert_eq!((found.0, server.n_played()), (Outcome::Unclear, 3));
        let (found, server) = probe(by, vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
        assert_eq!((found, server.n_played()), ((Outcome::Unclear, None), 3));
    }
}

#[tokio::test]
async fn a_principal_that_cannot_be_assumed_is_unclear() {
    let by = ProbeIdentity::Principal(Drilled::Inline);
    let (found, server) = probe(by, vec![assumed(), answered("AccessDeniedException")]).await;
    assert_eq!((found.0, server.n_played()), (Outcome::Denied, 2));
    // A denial of the assumption concerns the drill's own role, so it shows nothing about the principal.
    let (found, server) = probe(by, vec![query_error(403, "AccessDenied")]).await;
    assert_eq!((found, server.n_played()), ((Outcome::Unclear, None), 1));
    let (found, server) = probe(by, vec![ok("<html>welcome</html>")]).await;
    assert_eq!((found.0, server.n_played()), (Outcome::Unclear, 1));
    let (found, server) = probe(ProbeIdentity::Principal(Drilled::Managed), Vec::new()).await;
    assert_eq!((found.0, server.n_played()), (Outcome::Unclear, 0));
}

#[tokio::test]
async fn proof_is_issued_for_requests_and_credentials_and_never_for_votes() {
    let proof = async |audience, replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        let client = aws_sdk_sts::Client::new(&config(&server.url()).await);
        (StsProofs::new(client, "brevet", "brevet/credentials").proof(audience).await, server)
    };
    let token = "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>a.b.c</WebIdentityToken></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>";
    for audience in [Audience::Ask, Audience::Credentials] {
        let (answer, server) = proof(audience, vec![ok(token)]).await;
        assert_eq!((answer.unwrap().expose(), server.n_played()), ("a.b.c", 1));
    }
    let (answer, server) = proof(Audience::Approvals, Vec::new()).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })) && server.n_played() == 0, "{answer:?}");
    let (answer, server) = proof(Audience::Ask, vec![query_error(403, "AccessDenied")]).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })) && server.n_played() == 1, "{answer:?}");
    let (answer, _) = proof(Audience::Ask, vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
    is_unknown(&answer);
    let (answer, _) = proof(Audience::Ask, vec![ok(&token.replace("WebIdentityToken>", "Other>"))]).await;
    assert!(answer.is_err(), "{answer:?}");
}

fn record(n: u32) -> Drill {
    let id = SeqIds::new().evidence_id(now());
    Drill::next(None, (id, Drilled::Session), RunStage::Begun, now().plus(n)).unwrap()
}

fn stored(record: &Drill) -> Reply {
    let body = serde_json::to_string(&serde_json::to_string(record).unwrap()).unwrap();
    ok(&format!(r#"{{"Item":{{"pk":{{"S":"DRILL#session"}},"v":{{"N":"1"}},"body":{{"S":{body}}}}}}}"#))
}

#[tokio::test]
async fn a_failed_condition_is_success_only_if_the_same_record_is_stored() {
    let add = async |replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        (store(&server.url()).await.add_drill(&record(1)).await, server)
    };
    let failed = || cancelled(&["ConditionalCheckFailed"]);
    let (answer, server) = add(vec![failed(), stored(&record(1))]).await;
    assert!(answer.is_ok() && server.n_played() == 2, "{answer:?}");
    let (answer, _) = add(vec![failed(), stored(&record(2))]).await;
    assert!(matches!(answer, Err(PortError::Conflict { .. })), "{answer:?}");
    let (answer, server) = add(vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 3);
}

#[tokio::test]
async fn an_unreadable_last_record_is_an_error_and_not_absent() {
    let server =
        Server::start(vec![ok(r#"{"Items":[{"pk":{"S":"DRILL#session"},"v":{"N":"2"},"body":{"S":"{}"}}]}"#)]).await;
    let answer = store(&server.url()).await.last_drill(Drilled::Session).await;
    assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{answer:?}");
    let server = Server::start(vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
    let answer = store(&server.url()).await.last_drill(Drilled::Session).await;
    assert!(matches!(answer, Err(PortError::Unknown { .. } | PortError::NotDone { .. })), "{answer:?}");
}
