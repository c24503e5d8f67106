use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const ID: &str = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";

struct Proofs;

#[async_trait]
impl ProofSource for Proofs {
    async fn proof(&self, audience: Audience) -> PortResult<brevet_engine::port::RawProof> {
        Ok(brevet_engine::port::RawProof::new(format!("proof-for-{audience:?}")))
    }
}

/// Makes one call against a server that sends `answer` or closes the connection. Returns the request and the result.
async fn called<T, F: Future<Output = PortResult<T>> + Send>(
    answer: Option<(u16, &str)>,
    call: impl FnOnce(HttpGrants) -> F + Send,
) -> (String, PortResult<T>)
where
    T: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grants = HttpGrants::new(&format!("http://{}/", listener.local_addr().unwrap()), Arc::new(Proofs)).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut sent, mut buffer) = (String::new(), [0; 4096]);
        // Reads the head and a body of the announced length.
        loop {
            let n = stream.read(&mut buffer).await.unwrap();
            sent.push_str(&String::from_utf8_lossy(&buffer[..n]));
            let Some((head, body)) = sent.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |text| text.parse().unwrap()) {
                break;
            }
        }
        if let Some((status, body)) = answer {
            let length = body.len();
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
        sent
    };
    tokio::join!(serve, call(grants))
}

fn id() -> GrantId {
    ID.parse().unwrap()
}

#[tokio::test]
async fn ask_sends_the_canary_its_term_and_the_idempotency_key() {
    let answer = format!(r#"{{"id":"{ID}","state":"Approved"}}"#);
    let ask = |grants: HttpGrants| async move {
        grants.ask("drill-7", &"canary-session".parse().unwrap(), Term::from_seconds(300).unwrap()).await
    };
    let (sent, asked) = called(Some((201, &answer)), ask).await;
    assert_eq!(asked.unwrap(), id());
    for line in [
        "POST /v1/grants HTTP/1.1",
        "authorization: Bearer proof-for-Ask",
        "idempotency-key: drill-7",
        r#"{"entitlement":"canary-session","term_s":300}"#,
    ] {
        assert!(sent.contains(line), "{line}: {sent}");
    }
}

#[tokio::test]
async fn show_reads_each_known_state_and_refuses_others() {
    let deadline = r#","deadline":"2026-11-28T12:00:00.000Z""#;
    for (state, more, expected) in [
        ("Requested", "", Some(GrantProgress::Waiting)),
        ("ApprovalAwaited", "", Some(GrantProgress::Waiting)),
        ("Approved", "", Some(GrantProgress::Waiting)),
        ("Activating", deadline, Some(GrantProgress::Waiting)),
        ("Active", deadline, Some(GrantProgress::Live("2026-11-28T12:00:00.000Z".parse().unwrap()))),
        ("Active", "", None),
        ("Revoking", deadline, Some(GrantProgress::Over)),
        ("Ended", deadline, Some(GrantProgress::Over)),
        ("Denied", "", Some(GrantProgress::Over)),
        ("Lapsed", "", Some(GrantProgress::Over)),
        ("Withdrawn", "", Some(GrantProgress::Over)),
        ("Forgotten", "", None),
    ] {
        let body = format!(r#"{{"id":"{ID}","state":"{state}"{more},"term_s":300}}"#);
        let (sent, shown) = called(Some((200, &body)), |grants| async move { grants.show(id()).await }).await;
        assert!(sent.starts_with(&format!("GET /v1/grants/{ID} HTTP/1.1")), "{sent}");
        match expected {
            Some(expected) => assert_eq!(shown.unwrap(), expected, "{state}"),
            None => assert!(matches!(shown, Err(PortError::Unreadable { .. })), "{state}: {shown:?}"),
        }
    }
}

#[tokio::test]
async fn fetch_uses_the_credentials_audience_and_never_leaks_a_secret() {
    let body = r#"{"Version":1,"AccessKeyId":"ASIAX","SecretAccessKey":"s3cr3t","SessionToken":"t0k3n","Expiration":"2026-11-28T12:00:00.000Z"}"#;
    let (sent, fetched) = called(Some((200, body)), |grants| async move { grants.fetch(id()).await }).await;
    assert!(sent.starts_with(&format!("POST /v1/grants/{ID}/credentials HTTP/1.1")), "{sent}");
    assert!(sent.contains("authorization: Bearer proof-for-Credentials"), "{sent}");
    assert_eq!(fetched.unwrap().secret_access_key, "s3cr3t");
    let cut = body.replace(r#""SessionToken""#, r#""Token""#);
    let (_, fetched) = called(Some((200, &cut)), |grants| async move { grants.fetch(id()).await }).await;
    let error = fetched.unwrap_err().chain();
    assert!(error.contains("something unreadable") && !error.contains("s3cr3t"), "{error}");
}

#[tokio::test]
async fn problem_keeps_its_text_and_maps_the_status_to_a_port_error() {
    let body =
        r#"{"type":"urn:brevet:problem:issuing-stopped","code":"heartbeat_missing","detail":"nothing is issued"}"#;
    for (status, expected) in
        [(403, "Refused"), (410, "Refused"), (429, "NotDone"), (503, "NotDone"), (500, "Unknown"), (302, "Unknown")]
    {
        let (_, answer) = called(Some((status, body)), |grants| async move { grants.fetch(id()).await }).await;
        let error = answer.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{status}: {error:?}");
        assert!(error.chain().contains("heartbeat_missing nothing is issued"), "{}", error.chain());
    }
    let (_, answer) = called(None, |grants| async move { grants.show(id()).await }).await;
    assert!(matches!(answer, Err(PortError::Unknown { .. })), "{answer:?}");
}
