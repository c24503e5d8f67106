//! A gate with a small upstream, and the calls that tests send to it.

use super::*;
use crate::config::{BOOTSTRAP_KEY, BOOTSTRAP_SECRET};
use crate::decide::tests::modules;
use crate::fault::Rule;
use crate::map::CallLocation;
use crate::serve;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpListener;

static N_GATES: AtomicU32 = AtomicU32::new(0);

/// Stands for `LocalStack` and DynamoDB Local: one role and one table. It enforces nothing.
#[derive(Debug)]
pub(super) struct Behind {
    /// The role's inline policy `p`.
    pub(super) policy: Mutex<Value>,
    /// The role's other inline policies.
    pub(super) inline: Mutex<BTreeMap<String, Value>>,
    /// Managed policies by ARN. One with path `/boundary/` is the role's boundary; the others are attached to it.
    pub(super) managed: Mutex<BTreeMap<String, Value>>,
    /// The forwarded calls: `operation` and body. The gate's own reads are left out.
    pub(super) calls: Mutex<Vec<(String, String)>>,
}

impl Behind {
    fn answer(&self, target: &str, body: &str) -> (String, &'static str) {
        let parameter = |name: &str| {
            body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        let operation = match target.split_once('.') {
            Some((_, operation)) => operation.to_owned(),
            None => parameter("Action"),
        };
        let xml = |inner: &str| {
            format!("<{operation}Response><{operation}Result>{inner}</{operation}Result></{operation}Response>")
        };
        let document = |value: &Value| encode(&value.to_string(), b"");
        match operation.as_str() {
            "GetRole" => {
                let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "AWS": ROLE },
                    "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"] }] });
                (
                    xml(&format!(
                        "<Role><Arn>{ROLE}</Arn><AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument><MaxSessionDuration>3600</MaxSessionDuration>{}</Role>",
                        document(&trust),
                        self.managed(true).first().map_or_else(String::new, |arn| format!(
                            "<PermissionsBoundary><PermissionsBoundaryArn>{arn}</PermissionsBoundaryArn></PermissionsBoundary>"
                        ))
                    )),
                    "",
                )
            }
            "ListRolePolicies" => {
                let more: String =
                    self.inline.lock().unwrap().keys().map(|name| format!("<member>{name}</member>")).collect();
                (xml(&format!("<PolicyNames><member>p</member>{more}</PolicyNames>")), "")
            }
            "ListAttachedRolePolicies" => {
                let attached: String = self
                    .managed(false)
                    .iter()
                    .map(|arn| format!("<member><PolicyArn>{arn}</PolicyArn></member>"))
                    .collect();
                (xml(&format!("<AttachedPolicies>{attached}</AttachedPolicies>")), "")
            }
            "GetPolicy" => (xml("<Policy><DefaultVersionId>v1</DefaultVersionId></Policy>"), ""),
            "GetPolicyVersion" => {
                let arn = crate::inbound::decode(&parameter("PolicyArn"), true);
                let policy = document(&self.managed.lock().unwrap()[&arn]);
                (xml(&format!("<PolicyVersion><Document>{policy}</Document></PolicyVersion>")), "")
            }
            "GetRolePolicy" => {
                let name = parameter("PolicyName");
                let policy = match self.inline.lock().unwrap().get(&name) {
                    Some(policy) => document(policy),
                    None => document(&self.policy.lock().unwrap()),
                };
                (xml(&format!("<PolicyDocument>{policy}</PolicyDocument>")), "req-get")
            }
            "DescribeTable" => {
                (json!({ "Table": { "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }] } }).to_string(), "")
            }
            "AssumeRole" => {
                self.note(&operation, body);
                let name = parameter("RoleSessionName");
                (
                    xml(&format!(
                        "<Credentials><AccessKeyId>ASIA{name}</AccessKeyId><SecretAccessKey>made-secret</SecretAccessKey><SessionToken>made-token</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::000000000000:assumed-role/worker/{name}</Arn><AssumedRoleId>AROA:{name}</AssumedRoleId></AssumedRoleUser>"
                    )),
                    "req-assume",
                )
            }
            "PutRolePolicy" => {
                self.note(&operation, body);
                let text = crate::inbound::decode(&parameter("PolicyDocument"), true);
                let policy = serde_json::from_str(&text).unwrap();
                match parameter("PolicyName").as_str() {
                    "p" => *self.policy.lock().unwrap() = policy,
                    name => drop(self.inline.lock().unwrap().insert(name.to_owned(), policy)),
                }
                (xml(""), "req-put")
            }
            _ => {
                self.note(&operation, body);
                ("{\"done\":true}".to_owned(), "req-1")
            }
        }
    }

    fn managed(&self, boundary: bool) -> Vec<String> {
        self.managed.lock().unwrap().keys().filter(|arn| arn.contains("/boundary/") == boundary).cloned().collect()
    }

    fn note(&self, operation: &str, body: &str) {
        self.calls.lock().unwrap().push((operation.to_owned(), body.to_owned()));
    }

    /// The operations of `calls`.
    pub(super) fn operations(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(operation, _)| operation.clone()).collect()
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

async fn start_behind() -> (Arc<Behind>, SocketAddr) {
    let behind = Arc::new(Behind {
        policy: Mutex::new(allow(&json!(["dynamodb:GetItem", "dynamodb:PutItem", "sts:*"]), "*")),
        inline: Mutex::default(),
        managed: Mutex::default(),
        calls: Mutex::default(),
    });
    let (listener, at) = listen().await;
    let shared = Arc::clone(&behind);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let behind = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let behind = Arc::clone(&behind);
                    async move {
                        let target =
                            request.headers().get("x-amz-target").map(|value| value.to_str().unwrap().to_owned());
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let body = String::from_utf8(body.to_vec()).unwrap();
                        let (text, id) = behind.answer(&target.unwrap_or_default(), &body);
                        let answer = Response::builder()
                            .header("date", "Sun, 22 Nov 2026 12:00:00 GMT")
                            .header("x-amzn-requestid", id)
                            .body(Full::new(Bytes::from(text)));
                        Ok::<_, std::convert::Infallible>(answer.unwrap())
                    }
                });
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    (behind, at)
}

/// A gate that listens, its upstream, and one session (see [`caller::session`]).
pub(super) struct Stand {
    pub(super) gate: Arc<Gate>,
    pub(super) behind: Arc<Behind>,
    pub(super) at: SocketAddr,
    pub(super) log: PathBuf,
}

impl Drop for Stand {
    fn drop(&mut self) {
        std::fs::remove_file(&self.log).ok();
    }
}

/// A gate with the real decider. `None` if this run has no evaluator; the function then prints that the test is
/// skipped.
pub(super) async fn stand(test: &str) -> Option<Stand> {
    let modules = modules(test)?;
    let (behind, upstream_at) = start_behind().await;
    let number = N_GATES.fetch_add(1, Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("brevet-gate-{}-{number}.jsonl", std::process::id()));
    let (listener, at) = listen().await;
    let config = Config {
        listen: at,
        localstack: upstream_at,
        dynamodb: upstream_at,
        lambda: upstream_at,
        account: "000000000000".to_owned(),
        partition: "aws".to_owned(),
        log: log.clone(),
        modules: modules.clone(),
    };
    let place = CallLocation {
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
    };
    let upstream = Upstream::new();
    let gate = Arc::new(Gate {
        decider: Decider::start(&modules).unwrap(),
        live: Live::new(upstream.clone(), upstream_at, upstream_at, &place),
        upstream,
        sessions: Sessions::default(),
        faults: Faults::default(),
        record: Record::open(&log).unwrap(),
        issuer: Issuer::default(),
        n_verdicts: 0,
        config,
    });
    gate.sessions.add(caller::session(clock::now()));
    tokio::spawn(serve::serve(Arc::clone(&gate), listener));
    Some(Stand { gate, behind, at, log })
}

/// The signer of a call.
#[derive(Clone, Copy)]
pub(super) struct As<'a> {
    pub(super) key: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
}

/// The session that every [`Stand`] has.
pub(super) const WORKER: As<'_> = As { key: "ASIAONE", secret: "secret", token: Some("token") };
/// The bootstrap key, which may do everything.
pub(super) const BOOTSTRAP: As<'_> = As { key: BOOTSTRAP_KEY, secret: BOOTSTRAP_SECRET, token: None };

impl Stand {
    /// Sends a call, signed now.
    pub(super) async fn send(
        &self,
        by: As<'_>,
        service: &str,
        target: Option<&str>,
        body: &str,
    ) -> Result<Response<Bytes>, String> {
        self.send_at(by, service, target, body, clock::now()).await
    }

    async fn send_at(
        &self,
        by: As<'_>,
        service: &str,
        target: Option<&str>,
        body: &str,
        at: DateTime<Utc>,
    ) -> Result<Response<Bytes>, String> {
        let mut headers = HeaderMap::new();
        headers.insert("host", self.at.to_string().parse().unwrap());
        if let Some(target) = target {
            headers.insert("x-amz-target", target.parse().unwrap());
        }
        if let Some(token) = by.token {
            headers.insert("x-amz-security-token", token.parse().unwrap());
        }
        let call = Inbound {
            method: Method::POST,
            uri: "/".parse().unwrap(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let call = sigv4::sign(call, by.key, by.secret, service, at);
        // Each call has its own client: a client would retry on a closed connection.
        Upstream::new().forward(self.at, &call).await.map_err(|error| error.to_string())
    }

    /// Calls `operation` on the item with key `pk`.
    pub(super) async fn item(&self, by: As<'_>, operation: &str, pk: &str) -> Result<Response<Bytes>, String> {
        let target = format!("DynamoDB_20120810.{operation}");
        let part = if operation == "PutItem" { "Item" } else { "Key" };
        let body = json!({ "TableName": "T", part: { "pk": { "S": pk } } }).to_string();
        self.send(by, "dynamodb", Some(&target), &body).await
    }

    /// Assumes the role in a session called `name` with session policy `policy`.
    pub(super) async fn assume(&self, name: &str, policy: &Value) -> Result<Response<Bytes>, String> {
        let body = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn={ROLE}&RoleSessionName={name}&Policy={}",
            encode(&policy.to_string(), b"")
        );
        self.send(WORKER, "sts", None, &body).await
    }

    pub(super) fn fault(&self, rule: Value) {
        let rule: Rule = serde_json::from_value(rule).unwrap();
        self.gate.faults.add(vec![rule]).unwrap();
    }

    /// The gate's log.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.gate.record.since(0).entries
    }
}
