//! What woke a function. Each function takes the kinds it was made for and refuses all others.

use std::collections::BTreeSet;

use brevet_domain::id::{GrantId, ScheduleId};
use brevet_engine::port::RawProof;
use serde::Deserialize;
use serde_json::Value;

use crate::http::Call;

/// An event that a function can be woken by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A call of the HTTP API.
    Http(Call),
    /// Intake asks for a decision.
    Evaluate {
        /// The stored request.
        id: GrantId,
        /// Whose it claims to be; verified by the evaluator itself.
        proof: RawProof,
    },
    /// The schedule. What else it carries does not matter.
    Tick,
    /// An event that names a schedule of the catalogue, and says no more.
    Schedule(ScheduleId),
    /// An echo of the reaper's has come back.
    Echo,
    /// Changes in the table.
    Woken {
        /// The grants that they name.
        ids: Vec<GrantId>,
        /// The grants whose fuse burnt down.
        burnt: Vec<GrantId>,
        /// Whether the kill switch was moved.
        is_killed: bool,
    },
}

/// An event of no kind that the function takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} came; this function takes {wanted}")]
pub struct UnexpectedEvent {
    found: String,
    wanted: &'static str,
}

impl UnexpectedEvent {
    /// `incoming` is not among the kinds that are `wanted`.
    #[must_use]
    pub fn instead_of(wanted: &'static str, incoming: &Incoming) -> Self {
        let found = match incoming {
            Incoming::Http(call) => format!("HTTP call `{}`", call.route),
            Incoming::Evaluate { .. } => "a request for a decision".to_owned(),
            Incoming::Tick => "a tick of the schedule".to_owned(),
            Incoming::Schedule(id) => format!("the name of schedule `{id}`"),
            Incoming::Echo => "an echo of the reaper".to_owned(),
            Incoming::Woken { .. } => "records of the table's stream".to_owned(),
        };
        Self { found, wanted }
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
    /// Tells what came.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEvent`] if it is of no known kind; it names the event's fields, never their values.
    pub fn read(event: Value) -> Result<Self, UnexpectedEvent> {
        let unknown = UnexpectedEvent { found: described(&event), wanted: "other events" };
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
            woken(&event)
        } else if event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event") {
            Some(Self::Tick)
        } else {
            None
        };
        read.ok_or(unknown)
    }
}

/// The key under which the latest acts on the kill switch are.
const KILL_SWITCH: &str = "REVOCATION#latest";

/// The key under which the reaper leaves its echoes, in a table of their own.
const ECHO: &str = "ECHO#reap";

/// The grants that stream records name by their keys: `GRANT#<id>`, `BLOCK#grant/<id>` and `FUSE#<id>`; and the kill switch.
fn woken(event: &Value) -> Option<Incoming> {
    let records = event.get("Records")?.as_array()?;
    let (mut ids, mut burnt, mut is_killed) = (BTreeSet::new(), BTreeSet::new(), false);
    for record in records {
        let source = record.get("eventSource").and_then(Value::as_str);
        let key = record.pointer("/dynamodb/Keys/pk/S").and_then(Value::as_str);
        let (Some("aws:dynamodb"), Some(key)) = (source, key) else {
            return None;
        };
        if key == ECHO {
            return Some(Incoming::Echo);
        }
        if key == KILL_SWITCH {
            is_killed = true;
            continue;
        }
        let (named, id) = match key.strip_prefix("FUSE#") {
            Some(id) => (&mut burnt, Some(id)),
            None => (&mut ids, ["GRANT#", "BLOCK#grant/"].iter().find_map(|prefix| key.strip_prefix(prefix))),
        };
        match id.and_then(|id| id.parse().ok()) {
            Some(id) => drop(named.insert(id)),
            None => tracing::warn!(key, "a record of the table's stream names no grant; it was left out"),
        }
    }
    Some(Incoming::Woken { ids: ids.into_iter().collect(), burnt: burnt.into_iter().collect(), is_killed })
}

fn described(event: &Value) -> String {
    match event {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().take(12).map(|name| name.chars().take(40).collect()).collect();
            format!("an event with the fields [{}]", names.join(", "))
        }
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "a text".to_owned(),
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
    fn each_kind_is_told_from_the_others() {
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
    fn stream_records_name_grants_once_each() {
        let id: GrantId = ID.parse().unwrap();
        let woken = |keys: &[&str]| {
            Incoming::read(json!({ "Records": keys.iter().map(|key| record(key)).collect::<Vec<_>>() }))
        };
        let (grant, mark, fuse) = (format!("GRANT#{ID}"), format!("BLOCK#grant/{ID}"), format!("FUSE#{ID}"));
        let named = Incoming::Woken { ids: vec![id], burnt: Vec::new(), is_killed: false };
        assert_eq!(woken(&[&grant, &mark, "BLOCK#all"]), Ok(named.clone()));
        assert_eq!(woken(&[&mark]), Ok(named));
        let burnt = Incoming::Woken { ids: Vec::new(), burnt: vec![id], is_killed: false };
        assert_eq!(woken(&[&fuse, &fuse]), Ok(burnt));
        assert_eq!(woken(&["ECHO#reap", "ECHO#reap"]), Ok(Incoming::Echo));
        let killed = Incoming::Woken { ids: vec![id], burnt: Vec::new(), is_killed: true };
        assert_eq!(woken(&[&grant, "REVOCATION#latest"]), Ok(killed));
    }

    #[test]
    fn anything_else_is_refused_by_the_names_of_its_fields() {
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
