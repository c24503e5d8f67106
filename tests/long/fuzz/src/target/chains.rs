//! Evidence: verification finds every change to a chain or to its recorded head.

use brevet_chance::Chance;
use brevet_domain::canonical::Digest;
use brevet_domain::evidence::{Body, Entry, Head, verify};
use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::time::Timestamp;
use serde_json::{Value, json};
use ulid::Ulid;

use super::{error_text, must};
use crate::harness::{Target, Verdict, Worker};
use crate::mutate;

pub(crate) const TARGET: Target = Target {
    name: "chains",
    holds: "a changed evidence chain does not verify; an unchanged one does",
    full: 1_000_000,
    short: 2_000,
    reaches: &["found", "unread", "unchanged"],
    start: || Ok(Box::new(Chains::new()?)),
};

/// Valid chains of two grants.
struct Chains {
    chains: Vec<(GrantId, Head, Vec<Entry>)>,
    as_json: Vec<Value>,
}

const EVENTS: [&str; 5] = ["Approved", "VendRecorded", "VendAnswered", "RemovalRecorded", "AbsenceObserved"];

impl Chains {
    fn new() -> Result<Self, String> {
        let chains: Vec<_> = (1..=8).map(|n| chain(1 + n % 2, n)).collect::<Result<_, _>>()?;
        let as_json = chains.iter().map(|(_, _, entries)| serde_json::to_value(entries).map_err(error_text));
        Ok(Self { as_json: as_json.collect::<Result<_, _>>()?, chains })
    }
}

fn chain(grant: u128, n_entries: u128) -> Result<(GrantId, Head, Vec<Entry>), String> {
    let (id, mut head, mut entries) = (GrantId::from_ulid(Ulid(grant)), Head::START, Vec::new());
    for n in 0..n_entries {
        let event = EVENTS[n as usize % EVENTS.len()];
        let entry = Entry::seal(Body {
            id: EvidenceId::from_ulid(Ulid(n)),
            grant: id,
            seq: head.seq + 1,
            at: Timestamp::from_seconds(1_795_348_800 + n as i64),
            by: "reap".to_owned(),
            event: event.to_owned(),
            state: "Revoking".to_owned(),
            grant_digest: Digest::of_bytes(event.as_bytes()),
            detail: json!({"operation": "iam:PutRolePolicy", "vend": n as u64, "seen": {"at": null, "by": ["a", true]}}),
            prev: head.hash,
        })
        .map_err(error_text)?;
        head = entry.head();
        entries.push(entry);
    }
    Ok((id, head, entries))
}

impl Worker for Chains {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        let at = chance.below(self.chains.len());
        let (grant, head, entries) = &self.chains[at];
        let (mut grant, mut head) = (*grant, *head);
        let mut changed = entries.clone();
        match chance.below(8) {
            // A change in the stored JSON.
            0..=3 => {
                let mut value = self.as_json[at].clone();
                mutate::json(chance, &mut value, &self.as_json);
                match serde_json::from_value::<Vec<Entry>>(value) {
                    Ok(read) => changed = read,
                    Err(_) => return Ok("unread"),
                }
            }
            4 => {
                let text = self.as_json[at].to_string();
                match serde_json::from_slice::<Vec<Entry>>(&mutate::bytes(chance, text.as_bytes(), &[], &[])) {
                    Ok(read) => changed = read,
                    Err(_) => return Ok("unread"),
                }
            }
            // An attacker who can seal: from the change on, every entry is chained and hashed again.
            5 => reseal(chance, &mut changed)?,
            6 => {
                let (_, _, others) = chance.pick(&self.chains);
                let (from, to) = (chance.below(others.len() + 1), chance.below(changed.len() + 1));
                changed.splice(to.., others[from..].iter().cloned());
            }
            _ => {
                let (other, other_head, _) = chance.pick(&self.chains);
                match chance.below(3) {
                    0 => head.seq = chance.below(10) as u64,
                    1 => head.hash = other_head.hash,
                    _ => grant = *other,
                }
            }
        }
        let (whose, end, kept) = &self.chains[at];
        let same = grant == *whose && head == *end && same(kept, &changed)?;
        let verdict = verify(grant, head, &changed);
        must(verdict.is_ok() == same, || {
            let chain = serde_json::to_string(&changed).unwrap_or_default();
            format!("same: {same}, but the verdict is {verdict:?}; grant {grant}, head {head:?}, chain {chain}")
        })?;
        Ok(if same { "unchanged" } else { "found" })
    }
}

fn reseal(chance: &mut Chance, entries: &mut [Entry]) -> Result<(), String> {
    let at = chance.below(entries.len());
    let mut prev = None;
    for (n, entry) in entries.iter_mut().enumerate().skip(at) {
        let mut body = entry.body.clone();
        if n == at {
            match chance.below(4) {
                0 => body.at = body.at.plus(1),
                1 => body.event.push('x'),
                2 => mutate::json(chance, &mut body.detail, &[]),
                _ => body.by = String::new(),
            }
        }
        body.prev = prev.unwrap_or(body.prev);
        *entry = Entry::seal(body).map_err(error_text)?;
        prev = Some(entry.hash);
    }
    Ok(())
}

/// Whether two chains have the same content. Numbers are compared by value: `1` and `1.0` are the same number.
fn same(one: &[Entry], other: &[Entry]) -> Result<bool, String> {
    let value = |entries: &[Entry]| serde_json::to_value(entries).map_err(error_text);
    Ok(alike(&value(one)?, &value(other)?))
}

fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.as_f64() == other.as_f64() && one.is_f64() != other.is_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| alike(one, other)))
        }
        _ => one == other,
    }
}
