//! Requests: any bytes as a body, any text as a query, path or header. The code reads exactly the given values, and no
//! error repeats a value.

use std::collections::BTreeMap;

use brevet_api::problem::Problem;
use brevet_api::read::{
    BadInput, MAX_BODY_BYTES, RawBody, ask, ballot, evidence_query, grant_id, idempotency_key, list_query, no_body,
    no_query,
};
use brevet_chance::Chance;
use serde_json::{Map, Value};

use super::{error_text, must};
use crate::harness::{Target, Verdict, Worker};
use crate::mutate;

pub(crate) const TARGET: Target = Target {
    name: "requests",
    holds: "bodies, queries, ids and headers are read exactly, or refused without repeating a value",
    full: 4_000_000,
    short: 20_000,
    reaches: &["ask read", "ballot read", "empty body read", "query read", "id read", "key read", "refused"],
    start: || Ok(Box::new(Requests)),
};

struct Requests;

/// Looks like a token: no answer may contain it.
const SECRET: &str = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA.c2ln";

const BODIES: [&str; 9] = [
    r#"{"entitlement":"deploy-release","parameters":{"version":"v1.2.3"},"term_s":90,"ticket":"OPS-1","justification":"why not"}"#,
    r#"{"entitlement":"read-secret","parameters":{"secret":"shop/db"},"term_s":300}"#,
    r#"{"entitlement":"ab","term_s":60,"ticket":null,"justification":"eyJhbGciOiJFUzI1NiJ9.c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA.c2ln"}"#,
    r#"{"entitlement":"ab","term_s":60,"parameters":{"a":"eyJhbGciOiJFUzI1NiJ9.c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA.c2ln"}}"#,
    r#"{"approve":true,"digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#,
    r#"{"approve":false,"digest":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}"#,
    " {} ",
    "{}",
    "",
];

const WORDS: [&str; 26] = [
    "entitlement",
    "parameters",
    "term_s",
    "ticket",
    "justification",
    "approve",
    "digest",
    "identity",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0061",
    "\\ud800",
    "null",
    "true",
    "false",
    "1e400",
    "-0",
    "*",
    "${account}",
    SECRET,
];

impl Worker for Requests {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        match chance.below(8) {
            0..=5 => body(chance),
            6 => query(chance),
            _ => texts(chance),
        }
    }
}

fn body(chance: &mut Chance) -> Verdict {
    let others: Vec<&[u8]> = BODIES.iter().map(|body| body.as_bytes()).collect();
    let start = chance.pick(&BODIES).as_bytes();
    let mut bytes = mutate::bytes(chance, start, &others, &WORDS);
    if chance.one_in(512) {
        bytes.resize(MAX_BODY_BYTES - 4 + chance.below(8), b' ');
    }
    let media = [None, Some("application/json"), Some("Application/JSON; charset=utf-8"), Some("text/xml"), Some("")];
    let content_type = if chance.one_in(8) { *chance.pick(&media) } else { None };
    let raw = RawBody { content_type, bytes: &bytes };
    let shown = || String::from_utf8_lossy(&bytes).into_owned();
    let taken = bytes.len() <= MAX_BODY_BYTES
        && (bytes.is_empty()
            || content_type.is_none_or(|media| media.to_ascii_lowercase().starts_with("application/json")));
    match chance.below(3) {
        0 => match ask(raw) {
            Ok(ask) => {
                must(taken, shown)?;
                let body = object(&bytes)?;
                let text = |name: &str| body.get(name).and_then(Value::as_str);
                let mut expected: Map<String, Value> = Map::new();
                expected.insert("entitlement".to_owned(), ask.entitlement.as_str().into());
                expected.insert("term_s".to_owned(), ask.term_s.as_seconds().into());
                let parameters = ask.parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
                let parameters: Map<String, Value> = parameters.collect();
                for value in ask.parameters.values() {
                    let harmless = |c: char| c.is_ascii_alphanumeric() || "_.:/=+-@,".contains(c);
                    must(value.as_str().chars().all(harmless) && !value.as_str().is_empty(), shown)?;
                }
                must((60..=43_200).contains(&ask.term_s.as_seconds()), shown)?;
                must(ask.ticket.as_ref().map(|ticket| ticket.as_str()) == text("ticket"), shown)?;
                must(ask.justification.as_ref().map(|why| why.as_str()) == text("justification"), shown)?;
                if !parameters.is_empty() || body.contains_key("parameters") {
                    expected.insert("parameters".to_owned(), parameters.into());
                }
                let mut rest = body.clone();
                rest.retain(|name, _| !["ticket", "justification"].contains(&name.as_str()));
                must(rest == expected, shown)?;
                Ok("ask read")
            }
            Err(bad) => refused(bad, &bytes),
        },
        1 => match ballot(raw) {
            Ok(ballot) => {
                let body = object(&bytes)?;
                let approve = body.get("approve").and_then(Value::as_bool);
                let digest = body.get("digest").and_then(Value::as_str);
                let same = approve == Some(ballot.approve) && digest == Some(ballot.digest.to_string().as_str());
                must(taken && body.len() == 2 && same, shown)?;
                Ok("ballot read")
            }
            Err(bad) => refused(bad, &bytes),
        },
        _ => match no_body(raw) {
            Ok(()) => {
                let text = bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect::<Vec<_>>();
                must(taken && (text.is_empty() || text == b"{}"), shown)?;
                Ok("empty body read")
            }
            Err(bad) => refused(bad, &bytes),
        },
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    serde_json::from_slice(bytes)
        .map_err(|error| format!("it was read, and is not a JSON object ({error}): {}", shown()))
}

fn refused(bad: BadInput, input: &[u8]) -> Verdict {
    let shown = || format!("{bad:?}: {}", String::from_utf8_lossy(input));
    must(!bad.detail.is_empty() && bad.detail.chars().count() < 600, shown)?;
    must(!bad.detail.contains(SECRET), shown)?;
    must([400, 413, 415, 422].contains(&bad.kind.status()), shown)?;
    serde_json::to_string(&Problem::from(bad)).map_err(error_text)?;
    Ok("refused")
}

fn query(chance: &mut Chance) -> Verdict {
    let names = ["cursor", "limit", "state", "after", "identity", SECRET];
    let values =
        ["", "1", "100", "101", "+5", "-1", "0", "18446744073709551616", "Active", "active", "Ended", "é", SECRET];
    let mut query = BTreeMap::new();
    for _ in 0..chance.below(4) {
        let value = *chance.pick(&values);
        let value = if chance.one_in(2) { value.to_owned() } else { mutate::text(chance, value, &[], &values) };
        query.insert((*chance.pick(&names)).to_owned(), value);
    }
    let shown = || format!("{query:?}");
    let read = match chance.below(3) {
        0 => list_query(&query).map(|list| {
            (1..=100).contains(&list.limit)
                && query.get("limit").is_none_or(|text| text.trim_start_matches('0') == list.limit.to_string())
                && list.state == query.get("state").map(String::as_str)
                && list.cursor.as_ref() == query.get("cursor")
                && query.keys().all(|name| ["cursor", "limit", "state"].contains(&name.as_str()))
        }),
        1 => evidence_query(&query).map(|page| {
            query.keys().all(|name| name == "after")
                && query.get("after").is_none_or(|text| text.parse() == Ok(page.after))
        }),
        _ => no_query(&query).map(|()| query.is_empty()),
    };
    match read {
        Ok(right) => must(right, shown).map(|()| "query read"),
        Err(bad) => refused(bad, shown().as_bytes()),
    }
}

fn texts(chance: &mut Chance) -> Verdict {
    let start =
        *chance.pick(&["grt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "grt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "Run-7_a.b", SECRET]);
    let text = if chance.one_in(8) {
        start.to_owned()
    } else {
        mutate::text(chance, start, &[], &["grt_", "I", "L", "O", "U"])
    };
    let crockford = |byte: u8| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte);
    if chance.one_in(2) {
        let ulid = text.strip_prefix("grt_").filter(|ulid| ulid.len() == 26 && ulid.bytes().all(crockford));
        // 26 letters of five bits have two bits more than an id.
        let right = ulid.is_some_and(|ulid| ulid.as_bytes()[0] <= b'7');
        let read = grant_id(Some(&text));
        must(read.is_ok() == right, || format!("{text:?}: {read:?}"))?;
        return match read {
            Ok(id) => must(id.to_string() == text, || text.clone()).map(|()| "id read"),
            Err(bad) => refused(bad, text.as_bytes()),
        };
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let right = !text.is_empty() && text.len() <= 64 && text.bytes().all(plain);
    let read = idempotency_key(Some(&text));
    must(read.as_ref().is_ok_and(|key| *key == text) == right, || format!("{text:?}: {read:?}"))?;
    match read {
        Ok(_) => Ok("key read"),
        Err(bad) => refused(bad, text.as_bytes()),
    }
}
