//! Faults of each call and what is known of its effect. A small server plays each fault; the tests assert that it did.

#![expect(clippy::unwrap_used, reason = "this is test code")]

#[path = "faults/attachments.rs"]
mod attachments;
#[path = "faults/drill.rs"]
mod drill;
#[path = "local/config.rs"]
mod local;
#[path = "faults/secrets.rs"]
mod secrets;
mod server;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use brevet_aws::{DynamoStandbyTicks, DynamoStore, IamSessionRoles, LambdaEvaluateCall, StsVendor};
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::canonical::Digest;
use brevet_domain::evidence::{Body, Entry};
use brevet_domain::grant::EndCause;
use brevet_domain::id::GrantId;
use brevet_domain::plan::SessionPlan;
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::time::Timestamp;
use brevet_engine::fake::SeqIds;
use brevet_engine::port::{
    DenyStore, DueList, EvaluateAnswer, EvaluateCall, Findings, GrantReader, IdSource, InService, Mark, PortError,
    PortResult, RawProof, ReaperHealthStore, RequestStore, SessionRoles, StandbyTicks, Vendor,
};
use server::{Reply, Server};

const ROLE: &str = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";

/// A configuration with three attempts, as in the functions, but with short time-outs.
async fn config(url: &str) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_millis(400))
        .operation_timeout(Duration::from_secs(8));
    let retry = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(5));
    let config = local::config(url).await.into_builder();
    config.timeout_config(timeouts.build()).retry_config(retry).build()
}

async fn store(url: &str) -> DynamoStore {
    DynamoStore::new(aws_sdk_dynamodb::Client::new(&config(url).await), "table")
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_348_800)
}

fn grant_id() -> GrantId {
    SeqIds::new().grant_id(now())
}

async fn record_heartbeat(replies: Vec<Reply>) -> (PortResult<()>, Arc<Server>) {
    let server = Server::start(replies).await;
    let answer = store(&server.url()).await.record_heartbeat(&ReaperHealth::first(now()), None).await;
    (answer, server)
}

fn dynamodb_error(code: &str) -> Reply {
    Reply::Answer {
        status: 400,
        headers: Vec::new(),
        body: format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"the reason"}}"#),
    }
}

fn cancelled(reasons: &[&str]) -> Reply {
    let reasons: Vec<String> = reasons.iter().map(|code| format!(r#"{{"Code":"{code}"}}"#)).collect();
    let body = format!(
        r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"m","CancellationReasons":[{}]}}"#,
        reasons.join(",")
    );
    Reply::Answer { status: 400, headers: Vec::new(), body }
}

fn ok(body: &str) -> Reply {
    Reply::Answer { status: 200, headers: Vec::new(), body: body.to_owned() }
}

fn query_error(status: u16, code: &str) -> Reply {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>the reason</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    );
    let headers = vec![("date", "Sun, 22 Nov 2026 12:00:07 GMT"), ("x-amzn-requestid", "id-of-the-answer")];
    Reply::Answer { status, headers, body }
}

fn is_unknown<T: std::fmt::Debug>(answer: &PortResult<T>) {
    assert!(matches!(answer, Err(PortError::Unknown { .. })), "{answer:?}");
}

fn is_not_done<T: std::fmt::Debug>(answer: &PortResult<T>) {
    assert!(matches!(answer, Err(PortError::NotDone { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_refused_connection_is_not_done() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    is_not_done(&store(&url).await.record_heartbeat(&ReaperHealth::first(now()), None).await);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_done() {
    is_not_done(&store("http://nowhere.invalid").await.record_heartbeat(&ReaperHealth::first(now()), None).await);
}

#[tokio::test]
async fn a_connection_that_times_out_is_not_done() {
    // TCP connects but the TLS handshake never ends, so no request was sent.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(100))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(20));
    let config = config(&url).await.into_builder().timeout_config(timeouts.build()).build();
    let store = DynamoStore::new(aws_sdk_dynamodb::Client::new(&config), "table");
    is_not_done(&store.record_heartbeat(&ReaperHealth::first(now()), None).await);
    drop(listener);
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let (answer, server) = record_heartbeat(vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 3);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_unknown() {
    let (answer, server) = record_heartbeat(vec![Reply::Silence, Reply::Silence, Reply::Silence]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 3);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown() {
    let (answer, server) = record_heartbeat(vec![Reply::Half, Reply::Half, Reply::Half]).await;
    is_unknown(&answer);
    assert!(server.n_played() >= 1);
}

#[tokio::test]
async fn a_failure_inside_aws_is_unknown() {
    let failed =
        || Reply::Answer { status: 500, headers: Vec::new(), body: r#"{"__type":"InternalServerError"}"#.to_owned() };
    let (answer, server) = record_heartbeat(vec![failed(), failed(), failed()]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 3);
}

#[tokio::test]
async fn a_throttled_call_is_not_done() {
    let throttled = || dynamodb_error("ThrottlingException");
    let (answer, server) = record_heartbeat(vec![throttled(), throttled(), throttled()]).await;
    is_not_done(&answer);
    assert_eq!(server.n_played(), 3);
}

#[tokio::test]
async fn a_throttled_call_succeeds_on_a_later_attempt() {
    let (answer, server) = record_heartbeat(vec![dynamodb_error("ThrottlingException"), ok("{}")]).await;
    answer.unwrap();
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn a_single_write_is_retried_after_a_transaction_conflict() {
    let conflict = || dynamodb_error("TransactionConflictException");
    let (answer, server) = record_heartbeat(vec![conflict(), conflict(), ok("{}")]).await;
    answer.unwrap();
    assert_eq!(server.n_played(), 3);
    let (answer, server) = record_heartbeat(vec![conflict(), conflict(), conflict(), conflict()]).await;
    is_not_done(&answer);
    assert_eq!(server.n_played(), 4);
}

#[tokio::test]
async fn a_lost_answer_stays_unknown_after_later_attempts() {
    let throttled = || dynamodb_error("ThrottlingException");
    for last in [dynamodb_error("AccessDeniedException"), throttled()] {
        let (answer, server) = record_heartbeat(vec![Reply::Hangup, throttled(), last]).await;
        is_unknown(&answer);
        assert_eq!(server.n_played(), 3);
    }
    let (answer, server) = record_heartbeat(vec![Reply::HangupForGood]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 1, "the later attempts could not connect");
}

#[tokio::test]
async fn a_standby_tick_is_written_by_a_later_attempt_or_its_failure_is_reported() {
    let put = async |replies| {
        let server = Server::start(replies).await;
        let answer = DynamoStandbyTicks::connect(&config(&server.url()).await, "standby").put_standby_tick(now()).await;
        (answer, server)
    };
    let (answer, server) = put(vec![Reply::Hangup, ok("{}")]).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(server.n_played(), 2);
    let key = r#""pk":{"S":"STANDBY#reap"}"#;
    let at = format!(r#""at":{{"S":"{}"}}"#, now());
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.contains(key) && request.contains(&at)), "{requests:?}");
    let throttled = || dynamodb_error("ThrottlingException");
    let (answer, server) = put(vec![throttled(), throttled(), throttled()]).await;
    is_not_done(&answer);
    assert_eq!(server.n_played(), 3);
    let (answer, _) = put(vec![Reply::Hangup, Reply::Silence, Reply::Hangup]).await;
    is_unknown(&answer);
    let (answer, _) = put(vec![dynamodb_error("AccessDeniedException")]).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_refused_call_is_not_retried() {
    for code in ["AccessDeniedException", "ValidationException", "ResourceNotFoundException"] {
        let (answer, server) = record_heartbeat(vec![dynamodb_error(code)]).await;
        assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
        assert_eq!(server.n_played(), 1);
    }
}

/// An entry as the adapter stores it.
fn entry() -> Entry {
    Entry::seal(Body {
        id: SeqIds::new().evidence_id(now()),
        grant: grant_id(),
        seq: 1,
        at: now(),
        by: "test".to_owned(),
        event: "Decided".to_owned(),
        state: "Denied".to_owned(),
        grant_digest: Digest::ZERO,
        detail: serde_json::json!({}),
        prev: Digest::ZERO,
    })
    .unwrap()
}

mod transactions {
    use brevet_domain::decision::{Decision, Outcome, Terms, Traits};
    use brevet_domain::grant::Grant;
    use brevet_domain::identity::{AuthContext, IdentityClass, ProofSummary};
    use brevet_domain::settings::{Bounds, Deployment};
    use brevet_domain::time::Term;
    use brevet_engine::port::GrantStore;

    use super::*;

    fn decision() -> Decision {
        let proof = ProofSummary::Token {
            issuer: "okta".parse().unwrap(),
            subject: "olga".to_owned(),
            token_digest: Digest::ZERO,
            issued_at: now(),
            expires_at: now(),
            auth: AuthContext::default(),
        };
        let terms = Terms {
            id: grant_id(),
            request_digest: Digest::ZERO,
            bundle_digest: Digest::ZERO,
            decided_at: now(),
            identity: "olga".parse().unwrap(),
            class: IdentityClass::Human,
            sponsor: "olga".parse().unwrap(),
            task: None,
            proof,
            delegation: None,
            renewal: None,
            entitlement: "deploy".parse().unwrap(),
            term: Term::from_seconds(60).unwrap(),
            start_within_s: 60,
            outcome: Outcome::Deny { reason: "no".to_owned() },
            determining: Vec::new(),
            template: None,
            traits: Traits::default(),
        };
        Decision { id: grant_id(), terms, votes: Vec::new() }
    }

    async fn create(replies: Vec<Reply>) -> (PortResult<()>, Arc<Server>) {
        let server = Server::start(replies).await;
        let deployment = Deployment {
            id: "dev".parse().unwrap(),
            account: "000000000000".parse().unwrap(),
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let bounds = Bounds { skew_s: 2, quiet_s: 10, call_s: 8 };
        let decision = decision();
        let grant = Grant::decided(&decision, &deployment, bounds);
        let answer = store(&server.url()).await.create(&decision, &grant, &entry(), &[]).await;
        (answer, server)
    }

    fn stored(entry: &Entry) -> Reply {
        let body = serde_json::to_string(entry).unwrap();
        let item = serde_json::json!({"Item": {"pk": {"S": "x"}, "v": {"N": "1"}, "body": {"S": body}}});
        ok(&item.to_string())
    }

    #[tokio::test]
    async fn a_transaction_is_retried_after_a_conflict() {
        let conflict = || cancelled(&["None", "TransactionConflict", "None"]);
        let (answer, server) = create(vec![conflict(), conflict(), ok("{}")]).await;
        answer.unwrap();
        assert_eq!(server.n_played(), 3);
    }

    #[tokio::test]
    async fn a_transaction_with_lasting_conflicts_is_not_done_and_not_a_lost_race() {
        let conflict = || cancelled(&["TransactionConflict", "None", "None"]);
        let (answer, server) = create(vec![conflict(), conflict(), conflict(), conflict()]).await;
        is_not_done(&answer);
        assert_eq!(server.n_played(), 4);
    }

    #[tokio::test]
    async fn a_lost_answer_before_a_transaction_conflict_stays_unknown() {
        let (answer, server) = create(vec![Reply::Hangup, cancelled(&["TransactionConflict", "None", "None"])]).await;
        is_unknown(&answer);
        assert_eq!(server.n_played(), 2);
    }

    #[tokio::test]
    async fn a_failed_condition_is_a_conflict_if_another_entry_is_stored() {
        let failed = || cancelled(&["ConditionalCheckFailed", "None", "None"]);
        let mut other = entry();
        other.body.by = "somebody else".to_owned();
        for read_back in [stored(&other), ok("{}")] {
            let (answer, server) = create(vec![failed(), read_back]).await;
            assert!(matches!(answer, Err(PortError::Conflict { .. })), "{answer:?}");
            assert_eq!(server.n_played(), 2);
        }
    }

    #[tokio::test]
    async fn a_failed_condition_is_success_if_the_same_entry_is_stored() {
        let failed = cancelled(&["ConditionalCheckFailed", "ConditionalCheckFailed", "ConditionalCheckFailed"]);
        let (answer, server) = create(vec![Reply::Hangup, failed, stored(&entry())]).await;
        answer.unwrap();
        assert_eq!(server.n_played(), 3);
    }

    #[tokio::test]
    async fn a_failed_condition_that_cannot_be_read_back_is_unknown() {
        let failed = cancelled(&["ConditionalCheckFailed", "None", "None"]);
        let (answer, server) = create(vec![failed, dynamodb_error("AccessDeniedException")]).await;
        is_unknown(&answer);
        assert_eq!(server.n_played(), 2);
    }

    #[tokio::test]
    async fn an_invalid_transaction_is_refused_and_a_throttled_one_is_not_done() {
        let (answer, _) = create(vec![cancelled(&["ValidationError", "None", "None"])]).await;
        assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
        let (answer, _) = create(vec![cancelled(&["ThrottlingError", "None", "None"])]).await;
        is_not_done(&answer);
    }

    #[tokio::test]
    async fn blocks_are_read_again_after_a_transaction_conflict() {
        let server = Server::start(vec![cancelled(&["TransactionConflict"]), ok(r#"{"Responses":[{}]}"#)]).await;
        let blocks = store(&server.url()).await.blocks(&[BlockScope::All]).await.unwrap();
        assert_eq!(blocks, []);
        assert_eq!(server.n_played(), 2);
    }
}

#[tokio::test]
async fn put_mark_succeeds_if_the_mark_exists() {
    let server = Server::start(vec![Reply::Hangup, dynamodb_error("ConditionalCheckFailedException")]).await;
    let id = grant_id();
    let by = "olga".parse().unwrap();
    let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by, at: now() };
    store(&server.url()).await.put_mark(&Mark { id, block }).await.unwrap();
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn an_unreadable_item_is_reported_without_its_content() {
    let item = r#"{"Item":{"pk":{"S":"GRANT#x"},"v":{"N":"1"},"body":{"S":"{\"secret\":1}"}}}"#;
    let server = Server::start(vec![ok(item)]).await;
    let error = store(&server.url()).await.grant(grant_id()).await.unwrap_err();
    assert!(matches!(error, PortError::Unreadable { .. }), "{error:?}");
    assert!(!error.chain().contains("secret"), "{}", error.chain());
}

fn plan() -> SessionPlan {
    SessionPlan {
        role_arn: ROLE.to_owned(),
        session_name: "dev.x".to_owned(),
        source_identity: "olga".to_owned(),
        tags: [("brevet:grant".to_owned(), "grt".to_owned())].into(),
        duration_s: 900,
        policy: "{}".to_owned(),
        policy_digest: Digest::of_bytes(b"{}"),
    }
}

#[tokio::test]
async fn a_failed_vend_is_refused_not_done_or_unknown_by_its_error() {
    let vend = async |replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        let answer = StsVendor::new(aws_sdk_sts::Client::new(&config(&server.url()).await)).vend(&plan()).await;
        (answer, server)
    };
    let (answer, server) = vend(vec![query_error(403, "AccessDenied")]).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    assert_eq!(server.n_played(), 1);
    let throttled = || query_error(400, "Throttling");
    let (answer, server) = vend(vec![throttled(), throttled(), throttled()]).await;
    is_not_done(&answer);
    assert_eq!(server.n_played(), 3);
    let (answer, server) = vend(vec![Reply::Hangup, query_error(403, "AccessDenied")]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 2);
    // The vend may have happened: the answer cannot be read.
    let (answer, server) = vend(vec![ok("<html>welcome</html>")]).await;
    is_unknown(&answer);
    assert_eq!(server.n_played(), 1);
}

#[tokio::test]
async fn an_absent_deny_is_read_with_the_request_id_and_date_of_its_answer() {
    let server = Server::start(vec![query_error(500, "ServiceFailure"), query_error(404, "NoSuchEntity")]).await;
    let roles = IamSessionRoles::new(aws_sdk_iam::Client::new(&config(&server.url()).await));
    let reading = roles.read_deny(ROLE, "brevet-dev-ended").await.unwrap();
    assert_eq!(reading.document, None);
    assert_eq!(reading.request_id, "id-of-the-answer");
    assert_eq!(reading.aws_date.to_string(), "2026-11-22T12:00:07.000Z");
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn a_deny_reading_without_date_or_request_id_is_unreadable() {
    let body = "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>".to_owned();
    let date = ("date", "Sun, 22 Nov 2026 12:00:07 GMT");
    for headers in
        [vec![], vec![date], vec![("x-amzn-requestid", "r")], vec![("date", "soon"), ("x-amzn-requestid", "r")]]
    {
        let server = Server::start(vec![Reply::Answer { status: 404, headers, body: body.clone() }]).await;
        let roles = IamSessionRoles::new(aws_sdk_iam::Client::new(&config(&server.url()).await));
        let answer = roles.read_deny(ROLE, "brevet-dev-ended").await;
        assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_deny_write_is_not_done_while_iam_is_busy_and_deleting_an_absent_deny_succeeds() {
    let server = Server::start(vec![query_error(404, "NoSuchEntity")]).await;
    let roles = IamSessionRoles::new(aws_sdk_iam::Client::new(&config(&server.url()).await));
    roles.delete_deny(ROLE, "brevet-dev-ended").await.unwrap();
    let server =
        Server::start(vec![query_error(409, "ConcurrentModification"), query_error(409, "LimitExceeded")]).await;
    let roles = IamSessionRoles::new(aws_sdk_iam::Client::new(&config(&server.url()).await));
    is_not_done(&roles.put_deny(ROLE, "brevet-dev-ended", "{}").await);
    let answer = roles.put_deny(ROLE, "brevet-dev-ended", "{}").await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    assert_eq!(server.n_played(), 2);
}

#[tokio::test]
async fn the_evaluator_is_invoked_once_and_a_missing_answer_is_unknown() {
    let evaluate = async |reply: Reply| {
        let server = Server::start(vec![reply]).await;
        let call = LambdaEvaluateCall::new(&config(&server.url()).await, "brevet-dev-evaluate");
        let answer = call.evaluate(grant_id(), &RawProof::new("the-token")).await;
        assert_eq!(server.n_played(), 1);
        let asked = format!(r#"{{"evaluate":{{"id":"{}","proof":"the-token"}}}}"#, grant_id());
        assert!(server.requests()[0].ends_with(&asked), "{:?}", server.requests());
        answer
    };
    assert_eq!(evaluate(ok(r#"{"answer":"decided"}"#)).await.unwrap(), EvaluateAnswer::Decided);
    is_unknown(&evaluate(Reply::Hangup).await);
    is_unknown(&evaluate(Reply::Answer { status: 500, headers: Vec::new(), body: "{}".to_owned() }).await);
    let headers = vec![("x-amz-function-error", "Unhandled")];
    let failed = Reply::Answer { status: 200, headers, body: r#"{"errorMessage":"the-token"}"#.to_owned() };
    let answer = evaluate(failed).await;
    is_unknown(&answer);
    assert!(!answer.unwrap_err().chain().contains("the-token"));
    let throttled = r#"{"Type":"User","message":"Rate Exceeded"}"#.to_owned();
    let headers = vec![("x-amzn-errortype", "TooManyRequestsException")];
    is_not_done(&evaluate(Reply::Answer { status: 429, headers, body: throttled }).await);
}

/// A page of a query. Its items have these keys and are due since the start of the epoch.
fn listed(keys: &[(&str, &str)]) -> Reply {
    let items: Vec<String> = keys
        .iter()
        .map(|(pk, sk)| {
            format!(r#"{{"pk":{{"S":"{pk}"}},"sk":{{"S":"{sk}"}},"next_at":{{"S":"1970-01-01T00:00:00.000Z"}}}}"#)
        })
        .collect();
    ok(&format!(r#"{{"Items":[{}]}}"#, items.join(",")))
}

#[tokio::test]
async fn a_foreign_item_on_the_list_of_deny_entries_blocks_no_role() {
    let deny = format!("DENY#{ROLE}");
    let server = Server::start(vec![listed(&[("REQUEST#grt_x", "-"), (&deny, "grt_y")])]).await;
    assert_eq!(store(&server.url()).await.denied_roles().await.unwrap(), [ROLE]);
}

#[tokio::test]
async fn the_to_do_list_returns_only_grants_and_marks_under_their_own_keys() {
    let id = grant_id();
    let (grant, mark) = (format!("GRANT#{id}"), format!("BLOCK#grant/{id}"));
    let keys = [(grant.as_str(), "META"), (&grant, "EVD#000001"), (&mark, "-"), (&mark, "again"), ("REQUEST#x", "-")];
    let server = Server::start(vec![listed(&keys)]).await;
    let page = store(&server.url()).await.due(brevet_domain::grant::DueRole::Reap, 0, now(), None, 100).await.unwrap();
    // An item under another key could never be taken off the list: the reaper would reconcile it for ever.
    assert_eq!(page.lines.iter().map(|line| line.is_mark).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn an_unreadable_deny_entry_blocks_no_other() {
    let entry = format!(
        r#"{{\"role_arn\":\"{ROLE}\",\"grant\":\"{}\",\"session_name\":\"dev.X\",\"stored_at\":\"1970-01-01T00:00:00.000Z\",\"issued_by\":\"1970-01-01T00:00:00.000Z\",\"leave_at\":\"1970-01-01T00:00:00.000Z\"}}"#,
        grant_id()
    );
    let item = |body: &str| {
        format!(r#"{{"pk":{{"S":"DENY#r"}},"sk":{{"S":"grt_"}},"v":{{"N":"1"}},"body":{{"S":"{body}"}}}}"#)
    };
    let server = Server::start(vec![ok(&format!(r#"{{"Items":[{},{}]}}"#, item("{"), item(&entry)))]).await;
    let entries = store(&server.url()).await.entries(ROLE).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.session_name.as_str()).collect::<Vec<_>>(), ["dev.X"]);
}

/// The identity of the table comes from `DescribeTable`.
mod table_identity {
    use super::*;

    const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/table";

    async fn table(replies: Vec<Reply>) -> (PortResult<String>, Arc<Server>) {
        let server = Server::start(replies).await;
        (store(&server.url()).await.table().await, server)
    }

    fn described(table: &str) -> Reply {
        ok(&format!(r#"{{"Table":{table}}}"#))
    }

    #[tokio::test]
    async fn a_table_is_identified_by_its_arn_and_the_second_of_its_creation() {
        for created in ["1795348800", "1795348800.987", "1.7953488009E9"] {
            let description = format!(r#"{{"TableArn":"{ARN}","CreationDateTime":{created}}}"#);
            let (answer, _) = table(vec![described(&description)]).await;
            assert_eq!(answer.unwrap(), format!("{ARN}@1795348800"), "{created}");
        }
    }

    #[tokio::test]
    async fn a_description_without_arn_or_creation_time_is_unreadable() {
        for description in
            ["{}".to_owned(), format!(r#"{{"TableArn":"{ARN}"}}"#), r#"{"CreationDateTime":1}"#.to_owned()]
        {
            let (answer, _) = table(vec![described(&description)]).await;
            assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_failed_description_is_unknown_not_done_or_refused() {
        let (answer, server) = table(vec![Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
        is_unknown(&answer);
        assert_eq!(server.n_played(), 3);
        let throttled = || dynamodb_error("ThrottlingException");
        let (answer, server) = table(vec![throttled(), throttled(), throttled()]).await;
        is_not_done(&answer);
        assert_eq!(server.n_played(), 3);
        let (answer, server) = table(vec![dynamodb_error("ResourceNotFoundException")]).await;
        assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
        assert_eq!(server.n_played(), 1);
    }
}

/// A finding is put once. The store distinguishes its own lost answer from another finding.
mod findings {
    use brevet_domain::attachment_target::AttachmentTarget;
    use brevet_domain::finding::{Finding, FindingAction, FindingReason, NewFinding};
    use brevet_domain::grant::Reading;

    use super::*;

    fn finding(by: &str) -> Finding {
        let target = AttachmentTarget::Managed { principal_arn: by.to_owned(), policy_arn: "policy".to_owned() };
        let reading = Reading { at: now(), request_id: "r".to_owned() };
        let (reason, action) = (FindingReason::NoHolder, FindingAction::RemovalRecorded);
        let new = NewFinding { target, reason, reading, action };
        Finding::next(None, SeqIds::new().evidence_id(now()), new, now()).unwrap()
    }

    fn stored(finding: &Finding) -> Reply {
        let body = serde_json::to_string(&serde_json::to_string(finding).unwrap()).unwrap();
        ok(&format!(r#"{{"Item":{{"pk":{{"S":"FINDING#sweep"}},"v":{{"N":"1"}},"body":{{"S":{body}}}}}}}"#))
    }

    async fn add(replies: Vec<Reply>) -> (PortResult<()>, Arc<Server>) {
        let server = Server::start(replies).await;
        (store(&server.url()).await.add_finding(&finding("mine"), None).await, server)
    }

    #[tokio::test]
    async fn a_failed_condition_is_success_only_if_the_same_finding_is_stored() {
        let failed = || cancelled(&["ConditionalCheckFailed"]);
        let (answer, server) = add(vec![failed(), stored(&finding("mine"))]).await;
        assert!(answer.is_ok() && server.n_played() == 2, "{answer:?}");
        let (answer, _) = add(vec![failed(), stored(&finding("another"))]).await;
        assert!(matches!(answer, Err(PortError::Conflict { .. })), "{answer:?}");
        let (answer, server) = add(vec![failed(), Reply::Hangup, Reply::Hangup, Reply::Hangup]).await;
        is_unknown(&answer);
        assert_eq!(server.n_played(), 4);
    }
}
