//! Stored items, changed in the store: each reads as an error or a value, and no event moves any grant wrongly.

use std::collections::BTreeSet;

use brevet_chance::Chance;
use brevet_domain::decision::{Decision, Outcome};
use brevet_domain::grant::{Applied, Event, Grant, State};
use brevet_domain::request::Request;
use brevet_domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{error_text, must};
use crate::harness::{Target, Verdict, Worker};
use crate::mutate;

pub(crate) const TARGET: Target = Target {
    name: "stored",
    holds: "a stored grant, event, decision or request reads as an error or a value; no event moves a grant wrongly",
    full: 2_500_000,
    short: 5_000,
    reaches: &["moved", "refused", "already applied", "unread", "permitted", "not permitted", "request read"],
    start: || Ok(Box::new(Stored::new()?)),
};

struct Stored {
    grants: Vec<Value>,
    events: Vec<Value>,
    decisions: Vec<Value>,
    requests: Vec<Value>,
}

impl Stored {
    fn new() -> Result<Self, String> {
        let list = |text| serde_json::from_str(text).map_err(error_text);
        let proof = json!({
            "kind": "token", "issuer": "okta", "subject": "00u-lea", "token_digest": "0".repeat(64),
            "issued_at": "2026-11-22T12:00:00.000Z", "expires_at": "2026-11-22T12:05:00.000Z",
        });
        let request = json!({
            "id": "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "ask": {"entitlement": "deploy-release", "parameters": {"version": "v1.2.3"}, "term_s": 90, "ticket": "OPS-1"},
            "asked_at": "2026-11-22T12:00:00.000Z", "decide_by": "2026-11-22T12:01:00.000Z",
        });
        let mut decision = json!({
            "id": "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "terms": {
                "id": "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "request_digest": "1".repeat(64), "bundle_digest": "2".repeat(64),
                "decided_at": "2026-11-22T12:00:00.000Z", "identity": "ana", "class": "human", "sponsor": "ana",
                "task": null, "proof": proof, "entitlement": "read-orders-table", "term": 600, "start_within_s": 900,
                "outcome": {
                    "outcome": "needs_approval", "deadline": "2026-11-22T12:30:00.000Z",
                    "steps": [{"name": "approval", "count": 1, "approvers": ["lea", "omar"]}],
                },
                "determining": ["oncall-reads-orders"],
                "template": {
                    "role_arn": "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-oncall-read",
                    "session_name": "dev.01ARZ3NDEKTSV4RRFFQ69G5FAV", "source_identity": "ana", "tags": {},
                    "credential_s": 900, "iam_allowed": false,
                    "statements": [{"actions": ["dynamodb:GetItem"], "resources": ["arn:aws:dynamodb:us-east-1:000000000000:table/orders"]}],
                },
            },
            "votes": [],
        });
        let digest =
            serde_json::from_value::<Decision>(decision.clone()).map_err(error_text)?.digest().map_err(error_text)?;
        let undecided = decision.clone();
        decision["votes"] = json!([
            {"by": "lea", "approve": true, "at": "2026-11-22T12:10:00.000Z", "digest": digest.to_string(), "proof": proof},
        ]);
        let mut allowed = undecided.clone();
        allowed["terms"]["outcome"] = json!({"outcome": "allow"});
        Ok(Self {
            grants: list(include_str!("../../corpus/grants.json"))?,
            events: list(include_str!("../../corpus/events.json"))?,
            decisions: vec![decision, undecided, allowed],
            requests: vec![request],
        })
    }
}

/// A stored item with random changes, often none.
fn changed<T: DeserializeOwned>(chance: &mut Chance, from: &[Value], others: &[Value]) -> Option<T> {
    let mut value = chance.pick(from).clone();
    match chance.below(16) {
        0..=6 => {}
        7 => {
            let text = value.to_string();
            return serde_json::from_slice(&mutate::bytes(chance, text.as_bytes(), &[], &["\"", "{", "null"])).ok();
        }
        _ => mutate::json(chance, &mut value, others),
    }
    serde_json::from_value(value).ok()
}

/// Checks that the item is the same after writing and reading.
fn kept<T: Serialize + DeserializeOwned + PartialEq>(item: &T) -> Result<(), String> {
    let text = serde_json::to_string(item).map_err(error_text)?;
    let again: T = serde_json::from_str(&text).map_err(|error| format!("it does not read again ({error}): {text}"))?;
    must(again == *item, || format!("it reads again as another value: {text}"))
}

impl Worker for Stored {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        match chance.below(8) {
            0..=5 => self.apply(chance),
            6 => {
                let Some(decision) = changed::<Decision>(chance, &self.decisions, &self.decisions) else {
                    return Ok("unread");
                };
                kept(&decision)?;
                permits(&decision)
            }
            _ => {
                let Some(request) = changed::<Request>(chance, &self.requests, &self.decisions) else {
                    return Ok("unread");
                };
                kept(&request).map(|()| "request read")
            }
        }
    }
}

impl Stored {
    fn apply(&self, chance: &mut Chance) -> Verdict {
        let Some(grant) = changed::<Grant>(chance, &self.grants, &self.grants) else {
            return Ok("unread");
        };
        let Some(event) = changed::<Event>(chance, &self.events, &self.events) else {
            return Ok("unread");
        };
        kept(&grant)?;
        kept(&event)?;
        let now = match chance.below(4) {
            0 => Timestamp::from_millis(chance.number() as i64),
            _ => Timestamp::from_seconds(1_795_348_800).plus(chance.below(700) as u32),
        };
        let _ = (grant.digest().map_err(error_text)?, grant.due_at(), grant.due_role(), grant.drop_at());
        let _ = grant.deadline_if_activated(now);
        let shown = || {
            let json = |value| serde_json::to_string(&value).unwrap_or_default();
            format!("at {now}: {} on {}", json(json!(event)), json(json!(grant)))
        };
        let applied = grant.apply(&event, now);
        must(applied == grant.apply(&event, now), shown)?;
        let next = match applied {
            Err(error) => return must(!error.to_string().is_empty(), shown).map(|()| "refused"),
            Ok(Applied::NoOp) => return Ok("already applied"),
            Ok(Applied::Changed(next)) => next,
        };
        kept(next.as_ref())?;
        let rest = Grant { state: grant.state.clone(), version: grant.version, ..next.as_ref().clone() };
        must(rest == grant && next.version == grant.version.saturating_add(1), shown)?;
        // A final state never changes, and a grant that was begun ends only by a proof.
        must(!grant.state.is_terminal() || next.state.name() == grant.state.name(), shown)?;
        let begun = matches!(grant.state.name(), "Activating" | "Active" | "Revoking");
        must(!begun || matches!(next.state.name(), "Activating" | "Active" | "Revoking" | "Ended"), shown)?;
        let revoking = grant.state.name() == "Revoking";
        must(!revoking || matches!(next.state.name(), "Revoking" | "Ended"), shown)?;
        // A fixed deadline never moves. A deadline that is fixed now follows from the term.
        if let Some(deadline) = deadline(&next.state) {
            let expected = super::stored::deadline(&grant.state).unwrap_or_else(|| grant.deadline_if_activated(now));
            must(deadline == expected, shown)?;
        }
        Ok("moved")
    }
}

/// The instant when access must be gone, if the state may have access.
fn deadline(state: &State) -> Option<Timestamp> {
    match state {
        State::Activating { deadline, .. } | State::Active { deadline, .. } => Some(*deadline),
        State::Revoking(revoking) => Some(revoking.deadline),
        State::Denied { .. }
        | State::ApprovalAwaited { .. }
        | State::Lapsed { .. }
        | State::Withdrawn { .. }
        | State::Approved { .. }
        | State::Ended { .. } => None,
    }
}

/// Counts the votes independently of the domain.
fn permits(decision: &Decision) -> Verdict {
    let digest = decision.digest().map_err(error_text)?;
    let expected = match &decision.terms.outcome {
        Outcome::Allow => true,
        Outcome::Deny { .. } => false,
        Outcome::NeedsApproval { steps, deadline } => {
            // The index of the next step, the approvals in it, and the approvers of all steps.
            let (mut at, mut n_yes, mut approvers) = (0_usize, 0_usize, BTreeSet::new());
            let mut refused = false;
            for vote in &decision.votes {
                refused |= !vote.approve;
                let terms = &decision.terms;
                let own = [Some(&terms.identity), Some(&terms.sponsor), terms.on_behalf_of()].contains(&Some(&vote.by));
                let valid = vote.approve && vote.digest == digest && vote.at < *deadline && !own;
                let Some(step) = steps.get(at).filter(|_| valid && !approvers.contains(vote.by.as_str())) else {
                    continue;
                };
                let auth = vote.proof.auth();
                let age_ms = auth.and_then(|auth| auth.auth_time).map(|then| vote.at.as_millis() - then.as_millis());
                let old = step.auth_within_s.is_some_and(|s| age_ms.is_none_or(|ms| ms >= (i64::from(s) + 1) * 1000));
                if !step.approvers.contains(&vote.by) || (step.mfa && !auth.is_some_and(|auth| auth.mfa)) || old {
                    continue;
                }
                approvers.insert(vote.by.as_str());
                n_yes += 1;
                if n_yes >= usize::from(step.count.max(1)) {
                    (at, n_yes) = (at + 1, 0);
                }
            }
            !refused && !steps.is_empty() && at >= steps.len()
        }
    };
    let shown = || serde_json::to_string(decision).unwrap_or_default();
    must(decision.permits() == expected, shown)?;
    Ok(if expected { "permitted" } else { "not permitted" })
}
