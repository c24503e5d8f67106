//! Lambda events by kind. Each function accepts the kinds that it serves and refuses all others.

use std::collections::BTreeSet;

use brevet_domain::id::{GrantId, ScheduleId};
use brevet_engine::port::RawProof;
use serde::Deserialize;
use serde_json::Value;

use crate::http::Call;

/// An event that invokes a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A call of the HTTP API.
    Http(Call),
    /// A request for a decision, from intake.
    Evaluate {
        /// The stored request.
        id: GrantId,
        /// The requester's proof, which the evaluator verifies itself.
        proof: RawProof,
    },
    /// A tick of the EventBridge schedule. Other content of the event is ignored.
    Tick,
    /// An event that names a catalogue schedule and carries nothing else.
    Schedule(ScheduleId),
    /// A record of the standby table's stream.
    StandbyTick,
    /// Records of the main table's stream.
    Woken {
        /// The grants that the records name.
        ids: Vec<GrantId>,
        /// The grants whose TTL backstop expired.
        expired: Vec<GrantId>,
        /// Whether a block of the kill switch was placed or lifted.
        is_killed: bool,
    },
}

/// An event that the function does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("received {found}; this function accepts {accepted}")]
pub struct UnexpectedEvent {
    found: String,
    accepted: &'static str,
}

impl UnexpectedEvent {
    /// `incoming` is not one of the `accepted` kinds.
    #[must_use]
    pub fn instead_of(accepted: &'static str, incoming: &Incoming) -> Self {
        let found = match incoming {
            Incoming::Http(call) => format!("HTTP call `{}`", call.route),
            Incoming::Evaluate { .. } => "a request for a decision".to_owned(),
            Incoming::Tick => "a tick of the schedule".to_owned(),
            Incoming::Schedule(id) => format!("an event that names schedule `{id}`"),
            Incoming::StandbyTick => "a standby tick of the reaper".to_owned(),
            Incoming::Woken { .. } => "records of the table's stream".to_owned(),
        };
        Self { found, accepted }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateEvent {
    evaluate: EvaluateBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateBody {
    id: GrantId,
    proof: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleEvent {
    schedule: ScheduleBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleBody {
    id: ScheduleId,
}

impl Incoming {
    /// Determines the kind of an event.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEvent`] if the kind is unknown; the error names the event's fields, never their values.
    pub fn read(event: Value) -> Result<Self, UnexpectedEvent> {
        let unknown = UnexpectedEvent { found: describe(&event), accepted: "other events" };
        let has = |path: &str| event.pointer(path).is_some();
        let read = if has("/requestContext/http") {
            Call::from_event(event).map(Self::Http)
        } else if has("/evaluate") {
            serde_json::from_value(event).ok().map(|EvaluateEvent { evaluate: EvaluateBody { id, proof } }| {
                Self::Evaluate { id, proof: RawProof::new(proof) }
            })
        } else if has("/schedule") {
            serde_json::from_value(event).ok().map(|ScheduleEvent { schedule: ScheduleBody { id } }| Self::Schedule(id))
        } else if has("/Records") {
            stream_records(&event)
        } else if event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event") {
            Some(Self::Tick)
        } else {
            None
        };
        read.ok_or(unknown)
    }
}

/// The partition key of the latest version of each block of the kill switch.
const KILL_SWITCH: &str = "REVOCATION#latest";

/// The partition key of the standby tick, in the standby table.
const STANDBY_TICK: &str = "STANDBY#reap";

/// Reads stream records by their keys. `GRANT#<id>`, `BLOCK#grant/<id>` and `BACKSTOP#<id>` name a grant. Two fixed
/// keys stand for the kill switch and the standby tick.
fn stream_records(event: &Value) -> Option<Incoming> {
    let records = event.get("Records")?.as_array()?;
    let (mut ids, mut expired, mut is_killed) = (BTreeSet::new(), BTreeSet::new(), false);
    for record in records {
        let source = record.get("eventSource").and_then(Value::as_str);
        let key = record.pointer("/dynamodb/Keys/pk/S").and_then(Value::as_str);
        let (Some("aws:dynamodb"), Some(key)) = (source, key) else {
            return None;
        };
        if key == STANDBY_TICK {
            return Some(Incoming::StandbyTick);
        }
        if key == KILL_SWITCH {
            is_killed = true;
            continue;
        }
        let (named, id) = match key.strip_prefix("BACKSTOP#") {
            Some(id) => (&mut expired, Some(id)),
            None => (&mut ids, ["GRANT#", "BLOCK#grant/"].iter().find_map(|prefix| key.strip_prefix(prefix))),
        };
        match id.and_then(|id| id.parse().ok()) {
            Some(id) => drop(named.insert(id)),
            None => tracing::warn!(key, "ignored a record of the table's stream whose key names no grant"),
        }
    }
    Some(Incoming::Woken { ids: ids.into_iter().collect(), expired: expired.into_iter().collect(), is_killed })
}

fn describe(event: &Value) -> String {
    match event {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().take(12).map(|name| name.chars().take(40).collect()).collect();
            format!("an event with the fields [{}]", names.join(", "))
        }
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn record(key: &str) -> Value {
        json!({"eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb",
            "dynamodb": {"Keys": {"pk": {"S": key}, "sk": {"S": "-"}}}})
    }

    #[test]
    fn event_kinds_are_recognized_by_their_fields() {
        let http = json!({"routeKey": "GET /v1/health", "requestContext": {"http": {"method": "GET"}}});
        assert!(matches!(Incoming::read(http), Ok(Incoming::Http(call)) if call.route == "GET /v1/health"));
        let evaluate = json!({"evaluate": {"id": ID, "proof": "a.b.c"}});
        let expected = Incoming::Evaluate { id: ID.parse().unwrap(), proof: RawProof::new("a.b.c") };
        assert_eq!(Incoming::read(evaluate), Ok(expected));
        let tick = json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"});
        assert_eq!(Incoming::read(tick), Ok(Incoming::Tick));
        let named = Incoming::read(json!({"schedule": {"id": "nightly-batch"}}));
        assert_eq!(named, Ok(Incoming::Schedule("nightly-batch".parse().unwrap())));
    }

    #[test]
    fn stream_records_name_each_grant_once() {
        let id: GrantId = ID.parse().unwrap();
        let woken = |keys: &[&str]| {
            Incoming::read(json!({ "Records": keys.iter().map(|key| record(key)).collect::<Vec<_>>() }))
        };
        let (grant, mark, backstop) = (format!("GRANT#{ID}"), format!("BLOCK#grant/{ID}"), format!("BACKSTOP#{ID}"));
        let named = Incoming::Woken { ids: vec![id], expired: Vec::new(), is_killed: false };
        assert_eq!(woken(&[&grant, &mark, "BLOCK#all"]), Ok(named.clone()));
        assert_eq!(woken(&[&mark]), Ok(named));
        let expired = Incoming::Woken { ids: Vec::new(), expired: vec![id], is_killed: false };
        assert_eq!(woken(&[&backstop, &backstop]), Ok(expired));
        assert_eq!(woken(&["STANDBY#reap", "STANDBY#reap"]), Ok(Incoming::StandbyTick));
        let killed = Incoming::Woken { ids: vec![id], expired: Vec::new(), is_killed: true };
        assert_eq!(woken(&[&grant, "REVOCATION#latest"]), Ok(killed));
    }

    #[test]
    fn unknown_event_is_refused_with_the_names_of_its_fields() {
        for event in [
            json!(null),
            json!({}),
            json!({"secret": "s3cr3t"}),
            json!({"evaluate": {"id": ID}}),
            json!({"evaluate": {"id": ID, "proof": "s3cr3t", "identity": "dana"}}),
            json!({"evaluate": {"id": ID, "proof": "s3cr3t"}, "requestContext": {}, "x": 1}),
            json!({"evaluate": {"id": "no", "proof": "s3cr3t"}}),
            json!({"schedule": {"id": "s3cr3t!"}}),
            json!({"schedule": {"id": "nightly-batch", "term_s": 43_200}}),
            json!({"schedule": {"id": "nightly-batch"}, "now": "2026-01-01T00:00:00Z"}),
            json!({"Records": [{"eventSource": "aws:s3", "s3": {}}]}),
            json!({"Records": [{"eventSource": "aws:dynamodb"}]}),
            json!({"requestContext": {"http": {}}}),
        ] {
            let error = Incoming::read(event.clone()).unwrap_err().to_string();
            assert!(!error.contains("s3cr3t"), "{error}");
            for name in event.as_object().into_iter().flatten().map(|(name, _)| name) {
                assert!(error.contains(name), "{error}");
            }
        }
    }
}
