//! Sample decisions, the grants that they create, and changes of those grants.

use std::collections::BTreeMap;

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Outcome, Step, Terms, Traits, Vote};
use brevet_domain::deny::DenyEntry;
use brevet_domain::evidence::{Body, Entry};
use brevet_domain::grant::{EndCause, Grant, State};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::identity::{AuthContext, IdentityClass, ProofSummary};
use brevet_domain::plan::{PlanTemplate, SessionPlan, SessionTemplate};
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::{Term, Timestamp};
use serde_json::json;

use crate::port::{Commit, IdSource};

pub(super) const ROLE: &str = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";

/// `seconds` after noon.
pub(super) fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

pub(super) fn proof_of(subject: &str) -> ProofSummary {
    ProofSummary::Token {
        issuer: "okta".parse().unwrap(),
        subject: subject.to_owned(),
        token_digest: Digest::of_bytes(b"token"),
        issued_at: at(0),
        expires_at: at(300),
        auth: AuthContext::default(),
    }
}

pub(super) fn template(id: GrantId, role_arn: &str) -> PlanTemplate {
    PlanTemplate::Session(SessionTemplate {
        role_arn: role_arn.to_owned(),
        session_name: format!("dev.{}", id.ulid()),
        source_identity: "olga".parse().unwrap(),
        tags: BTreeMap::from([("brevet:grant".to_owned(), id.to_string())]),
        credential_s: 900,
        statements: Vec::new(),
        iam_allowed: false,
    })
}

/// A plan on `role_arn` with a session policy that denies everything from `deadline` on.
pub(super) fn plan(id: GrantId, role_arn: &str, deadline: Timestamp, now: Timestamp) -> SessionPlan {
    template(id, role_arn).render(deadline, now).unwrap()
}

/// A decision that awaits approval until ten minutes after `now`, with its grant and the evidence of its creation.
pub(super) fn decided(ids: &dyn IdSource, identity: &str, now: Timestamp) -> (Decision, Grant, Entry) {
    let id = ids.grant_id(now);
    let identity: IdentityId = identity.parse().unwrap();
    let terms = Terms {
        id,
        request_digest: Digest::of_bytes(b"request"),
        bundle_digest: Digest::of_bytes(b"bundle"),
        decided_at: now,
        class: IdentityClass::Human,
        sponsor: identity.clone(),
        identity,
        task: None,
        proof: proof_of("someone"),
        delegation: None,
        renewal: None,
        entitlement: "deploy-shop".parse().unwrap(),
        term: Term::from_seconds(60).unwrap(),
        start_within_s: 600,
        outcome: Outcome::NeedsApproval {
            steps: vec![Step::single(2, ["ada", "bob"].into_iter().map(|name| name.parse().unwrap()).collect())],
            deadline: now.plus(600),
        },
        determining: vec!["people".to_owned()],
        template: Some(template(id, ROLE)),
        traits: Traits::default(),
    };
    let decision = Decision { id, terms, votes: Vec::new() };
    let deployment = Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let bounds = Bounds { skew_s: 2, quiet_s: 10, call_s: 8 };
    let (grant, entry) = sealed(Grant::decided(&decision, &deployment, bounds), ids, "Decided", now);
    (decision, grant, entry)
}

fn sealed(grant: Grant, ids: &dyn IdSource, event: &str, now: Timestamp) -> (Grant, Entry) {
    let entry = Entry::seal(Body {
        id: ids.evidence_id(now),
        grant: grant.id,
        seq: grant.evidence.seq.saturating_add(1),
        at: now,
        by: "contract".to_owned(),
        event: event.to_owned(),
        state: grant.state.name().to_owned(),
        grant_digest: grant.digest().unwrap(),
        // Texts and numbers that a store could alter.
        detail: json!({ "empty": "", "text": "ü \u{1F511} \"'\\", "number": 1.5, "null": null, "list": [[], {}] }),
        prev: grant.evidence.hash,
    })
    .unwrap();
    (Grant { evidence: entry.head(), ..grant }, entry)
}

/// The commit that moves `grant` into `state`.
pub(super) fn change(grant: &Grant, state: State, ids: &dyn IdSource, now: Timestamp) -> Commit {
    let next = Grant { version: grant.version.saturating_add(1), state, ..grant.clone() };
    let (after, entry) = sealed(next, ids, "Changed", now);
    Commit { expected_version: grant.version, after, entry, items: Vec::new() }
}

/// Approved: the grant can start within five minutes of `now`.
pub(super) fn approved(now: Timestamp) -> State {
    State::Approved { starts_at: now, start_by: now.plus(300) }
}

/// A terminal state.
pub(super) fn withdrawn(now: Timestamp) -> State {
    State::Withdrawn { cause: EndCause::Released, by: None, at: now }
}

pub(super) fn vote(decision: &Decision, by: &str) -> Decision {
    let mut voted = decision.clone();
    voted.votes.push(Vote {
        by: by.parse().unwrap(),
        approve: true,
        at: at(5),
        digest: decision.digest().unwrap(),
        proof: proof_of("someone"),
    });
    voted
}

pub(super) fn early_end(role_arn: &str, grant: GrantId, stored_at: Timestamp) -> DenyEntry {
    DenyEntry {
        role_arn: role_arn.to_owned(),
        grant,
        session_name: format!("dev.{}", grant.ulid()),
        stored_at,
        issued_by: stored_at,
        leave_at: stored_at.plus(900),
    }
}
