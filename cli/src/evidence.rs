//! `brevet evidence verify`.

use std::path::Path;

use brevet_domain::evidence::{Entry, Head, verify as verify_chain};
use brevet_domain::id::GrantId;
use serde_json::Value;

use crate::input::read;

/// Checks the chain in `file` against the head that the file names. Returns one line, good or bad.
pub(crate) fn verify(file: &Path) -> Result<String, String> {
    let text = read(file)?;
    check_chain(&text).map_err(|message| format!("{}: {message}", file.display()))
}

fn check_chain(text: &str) -> Result<String, String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
    let grant: GrantId = field(&answer, "grant")?;
    let head: Head = field(&answer, "head")?;
    let entries: Vec<Entry> = field(&answer, "entries")?;
    if answer.get("next").is_some_and(|next| !next.is_null()) {
        return Err(
            "this is one page of several; put all entries into one answer, since the chain is only checked whole"
                .to_owned(),
        );
    }
    verify_chain(grant, head, &entries).map_err(|error| format!("the chain is broken: {error}"))?;
    let n = entries.len();
    Ok(format!("{grant}: the chain of {n} entries is whole; head {}", head.hash))
}

fn field<T: serde::de::DeserializeOwned>(answer: &Value, name: &str) -> Result<T, String> {
    let value = answer
        .get(name)
        .ok_or_else(|| format!("there is no `{name}`; this must be the answer of `GET /v1/grants/{{id}}/evidence`"))?;
    serde_json::from_value(value.clone()).map_err(|error| format!("`{name}` cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use brevet_domain::canonical::Digest;
    use brevet_domain::evidence::Body;
    use brevet_domain::time::Timestamp;
    use serde_json::json;

    use super::*;

    type Break = fn(&mut Value);

    fn answer() -> Value {
        let grant: GrantId = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let mut prev = Digest::ZERO;
        let mut entries = Vec::new();
        for seq in 1..=3 {
            let entry = Entry::seal(Body {
                id: "evd_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
                grant,
                seq,
                at: Timestamp::EPOCH,
                by: "issue".to_owned(),
                event: "VendRecorded".to_owned(),
                state: "Active".to_owned(),
                grant_digest: Digest::ZERO,
                detail: json!({ "seq": seq }),
                prev,
            })
            .unwrap();
            prev = entry.hash;
            entries.push(entry);
        }
        json!({ "grant": grant, "head": entries[2].head(), "entries": entries })
    }

    #[test]
    fn verify_accepts_a_complete_chain() {
        let line = check_chain(&answer().to_string()).unwrap();
        assert!(line.contains("the chain of 3 entries is whole"), "{line}");
    }

    #[test]
    fn verify_refuses_a_changed_cut_or_reordered_chain() {
        let broken: [(&str, Break); 5] = [
            ("entry 2 was altered", |a| a["entries"][1]["detail"] = json!({ "seq": 9 })),
            ("the chain ends at entry 2", |a| {
                a["entries"].as_array_mut().unwrap().pop();
            }),
            ("entry 1 is missing", |a| a["entries"].as_array_mut().unwrap().reverse()),
            ("belongs to another grant", |a| a["grant"] = json!("grt_01BX5ZZKBKACTAV9WEVGEMMVRZ")),
            ("there is no `head`", |a| {
                a.as_object_mut().unwrap().remove("head");
            }),
        ];
        for (expected, break_it) in broken {
            let mut answer = answer();
            break_it(&mut answer);
            let message = check_chain(&answer.to_string()).unwrap_err();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }
}
