use brevet_domain::decision::{Outcome, Step, Terms, Traits};
use brevet_domain::entitlement::{Outliving, Risk, Rotation};
use brevet_domain::identity::{AuthContext, ProofSummary};
use brevet_domain::settings::{Bounds, Deployment};
use serde_json::{Value, json};

use super::*;

const BOUNDS: Bounds = Bounds { skew_s: 2, quiet_s: 10, call_s: 8 };

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

fn request() -> Request {
    let ask = json!({
        "entitlement": "read-orders-table", "parameters": {"table": "orders"}, "term_s": 90,
        "ticket": "INC-7", "justification": "the shop is down",
    });
    Request {
        id: "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        ask: serde_json::from_value(ask).unwrap(),
        asked_at: at(0),
        decide_by: at(60),
    }
}

fn decision(outcome: Outcome) -> Decision {
    let request = request();
    let proof = ProofSummary::Token {
        issuer: "okta".parse().unwrap(),
        subject: "ana".to_owned(),
        token_digest: Digest::of_bytes(b"token"),
        issued_at: at(0),
        expires_at: at(600),
        auth: AuthContext::default(),
    };
    let terms = Terms {
        id: request.id,
        request_digest: Digest::of(&request).unwrap(),
        bundle_digest: Digest::of_bytes(b"bundle"),
        decided_at: at(1),
        identity: "oncall-ana".parse().unwrap(),
        class: IdentityClass::Human,
        sponsor: "oncall-ana".parse().unwrap(),
        task: None,
        proof,
        delegation: None,
        renewal: None,
        entitlement: request.ask.entitlement,
        term: request.ask.term_s,
        start_within_s: 900,
        outcome,
        determining: vec!["oncall-may-read".to_owned()],
        template: None,
        traits: Traits {
            break_glass: None,
            canary: false,
            risk: Some(Risk::High),
            environment: Some("production".parse().unwrap()),
            rotate: vec![Rotation { secret: "arn:aws:x".to_owned(), times: 1 }],
            outlives: vec![Outliving { action: "s3:GetObject".to_owned(), why: "a copy stays".to_owned() }],
        },
    };
    Decision { id: request.id, terms, votes: Vec::new() }
}

fn awaited() -> Decision {
    decision(Outcome::NeedsApproval {
        steps: vec![
            Step::single(1, ["omar".parse().unwrap(), "lea".parse().unwrap()].into()),
            Step {
                name: "security".parse().unwrap(),
                mfa: true,
                auth_within_s: Some(900),
                ..Step::single(1, ["omar".parse().unwrap()].into())
            },
        ],
        deadline: at(1800),
    })
}

fn grant(decision: &Decision) -> Grant {
    let deployment = Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    };
    Grant::decided(decision, &deployment, BOUNDS)
}

fn shown(grant: &Grant, decision: &Decision) -> Value {
    serde_json::to_value(GrantView::of(Some(&request()), Some(decision), Some(grant), at(2)).unwrap()).unwrap()
}

fn in_state(state: Value) -> Value {
    let decision = decision(Outcome::Allow);
    let grant = Grant { state: serde_json::from_value(state).unwrap(), ..grant(&decision) };
    shown(&grant, &decision)
}

#[test]
fn grant_view_shows_an_approver_the_request_and_the_steps() {
    let decision = awaited();
    let view = shown(&grant(&decision), &decision);
    let expected = json!({
        "id": "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "state": "ApprovalAwaited",
        "identity": "oncall-ana",
        "class": "human",
        "sponsor": "oncall-ana",
        "entitlement": "read-orders-table",
        "delivery": {"kind": "session"},
        "term_s": 90,
        "created_at": at(1).to_string(),
        "digest": decision.digest().unwrap().to_string(),
        "bundle": Digest::of_bytes(b"bundle").to_string(),
        "determining": ["oncall-may-read"],
        "risk": "high",
        "environment": "production",
        "rotate": [{"secret": "arn:aws:x", "times": 1}],
        "outlives": [{"action": "s3:GetObject", "why": "a copy stays"}],
        "request": {"parameters": {"table": "orders"}, "ticket": "INC-7", "justification": "the shop is down"},
        "approval": {
            "steps": [
                {"name": "approval", "needed": 1, "approved_by": [], "approvers": ["lea", "omar"]},
                {
                    "name": "security", "needed": 1, "approved_by": [], "approvers": ["omar"], "mfa": true,
                    "auth_within_s": 900,
                },
            ],
            "deadline": at(1800).to_string(),
        },
    });
    assert_eq!(view, expected);
}

#[test]
fn grant_view_hides_a_request_that_was_replaced_after_the_decision() {
    let decision = awaited();
    let mut other = request();
    other.ask.justification = None;
    let view = GrantView::of(Some(&other), Some(&decision), Some(&grant(&decision)), at(2)).unwrap();
    assert_eq!(view.request, None);
    let undecided = GrantView::of(Some(&request()), None, Some(&grant(&decision)), at(2)).unwrap();
    assert_eq!(undecided.request, None);
}

#[test]
fn undecided_request_is_requested_until_it_lapses() {
    let view = |seconds| GrantView::of(Some(&request()), None, None, at(seconds)).unwrap();
    assert_eq!((view(59).state, view(59).reason), ("Requested", None));
    assert_eq!(view(60).state, "Lapsed");
    assert!(view(60).reason.unwrap().starts_with("the request was not decided by 2026-"));
    assert_eq!(GrantView::of(None, None, None, at(0)), None);
}

#[test]
fn a_live_session_shows_its_deadline_and_vends() {
    let vend = json!({
        "seq": 1, "recorded_at": at(5), "fence": at(15), "policy_digest": Digest::ZERO, "duration_s": 900,
        "answer": {"kind": "issued", "access_key_id": "ASIAX", "expires_at": at(905), "packed_percent": 40},
    });
    let vends = json!({"count": 1, "last": [vend], "gone_by": at(915)});
    let state = json!({"name": "active", "activated_at": at(5), "deadline": at(95), "fence": at(15), "vends": vends});
    let view = in_state(state);
    assert_eq!(view["deadline"], json!(at(95)));
    assert_eq!(view["activated_at"], json!(at(5)));
    assert_eq!(view["vends"]["count"], 1);
    assert_eq!(view["vends"]["last"][0]["answer"]["access_key_id"], "ASIAX");
}

#[test]
fn ended_grant_shows_its_cause_and_proof() {
    let proof = json!({"kind": "by_construction", "deadline": at(95), "aws_date": at(98), "request_id": "r-1"});
    let state = json!({
        "name": "ended", "cause": "deadline", "proof": proof, "verified_at": at(99), "ended_by": "time_limit",
        "effective": null,
    });
    let view = in_state(state);
    assert_eq!(view["state"], "Ended");
    assert_eq!(view["end"]["proof"]["kind"], "by_construction");
    assert_eq!(view["end"]["ended_by"], "time_limit");
    assert!(view["end"].get("effective").is_none() && view.get("reason").is_none());
}

#[test]
fn revoking_grant_shows_its_last_problem() {
    let state = json!({
        "name": "revoking", "cause": "released", "by": "dana", "since": at(20), "deadline": at(95), "fence": at(40),
        "attempts": 3, "last_problem": "`iam:PutRolePolicy` did not answer", "first_absence": null,
        "next_at": at(50), "vends": {"count": 0, "last": [], "gone_by": null},
    });
    let view = in_state(state);
    assert_eq!(view["revoking"]["attempts"], 3);
    assert_eq!(view["revoking"]["by"], "dana");
    assert_eq!(view["revoking"]["last_problem"], "`iam:PutRolePolicy` did not answer");
}

const PRINCIPAL: &str = "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-vendor-sync";

/// The view of an attachment in `state`.
fn attached(managed: bool, state: Value) -> Value {
    let decision = decision(Outcome::Allow);
    let mut delivery = json!({
        "delivery": "inline", "principal_arn": PRINCIPAL, "policy_name": "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "probes": [{"action": "s3:GetObject", "resource": "arn:aws:s3:::acme-exports/secret-statement"}],
    });
    if managed {
        delivery["delivery"] = json!("managed");
        delivery["policy_arn"] = json!("arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-vendor-sync");
        delivery.as_object_mut().unwrap().remove("policy_name");
    }
    let delivery = serde_json::from_value(delivery).unwrap();
    let view = shown(&Grant { state: serde_json::from_value(state).unwrap(), delivery, ..grant(&decision) }, &decision);
    assert!(!view.to_string().contains("secret-statement"), "{view}");
    view
}

#[test]
fn attachment_view_shows_its_principal_and_never_its_permissions() {
    let vends = json!({"count": 0, "last": [], "gone_by": null});
    let state = json!({"name": "active", "activated_at": at(5), "deadline": at(95), "fence": at(15), "vends": vends});
    let inline = attached(false, state.clone());
    let expected = json!({
        "kind": "inline", "principal_arn": PRINCIPAL, "policy_name": "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV",
    });
    assert_eq!((&inline["delivery"], inline.get("vends")), (&expected, None));
    let managed = attached(true, state);
    let expected = json!({"kind": "managed", "principal_arn": PRINCIPAL, "policy_name": "brevet-dev-vendor-sync"});
    assert_eq!((&managed["delivery"], managed.get("vends")), (&expected, None));
}

#[test]
fn hand_over_proof_names_the_remaining_holders() {
    let holder = "grt_01BX5ZZKBKACTAV9WEVGEMMVRZ";
    let reading = json!({"at": at(98), "request_id": "r-9"});
    let state = json!({
        "name": "ended", "cause": "deadline", "proof": {"kind": "handed_over", "holders": [holder], "reading": reading},
        "verified_at": at(99), "ended_by": "hand_over", "effective": {"outcome": "not_allowed"},
    });
    let view = attached(true, state);
    assert_eq!(view["end"]["proof"]["holders"], json!([holder]));
    assert_eq!(view["end"]["proof"]["reading"]["request_id"], "r-9");
    assert_eq!(
        (&view["end"]["ended_by"], &view["end"]["effective"]["outcome"]),
        (&json!("hand_over"), &json!("not_allowed"))
    );
}

#[test]
fn residual_access_is_shown_with_the_policies_that_allow_it() {
    let reading = |seconds| json!({"at": at(seconds), "request_id": "r"});
    let found = json!({"outcome": "residual", "policies": ["standing-admin"]});
    let proof = json!({"kind": "observed", "first": reading(20), "second": reading(40)});
    let state = json!({
        "name": "ended", "cause": "released", "proof": proof, "verified_at": at(41), "ended_by": "removal",
        "effective": found,
    });
    assert_eq!(attached(false, state)["end"]["effective"], found);
    let state = json!({
        "name": "revoking", "cause": "released", "by": "dana", "since": at(20), "deadline": at(95), "fence": at(40),
        "attempts": 1, "last_problem": null, "first_absence": reading(21), "next_at": at(50), "effective": found,
        "vends": {"count": 0, "last": [], "gone_by": null},
    });
    let view = attached(false, state);
    assert_eq!((&view["revoking"]["effective"], view.get("vends")), (&found, None));
}

#[test]
fn grant_view_gives_the_reason_when_a_grant_never_became_active() {
    for (state, words) in [
        (json!({"name": "denied", "by": "policy", "reason": "no policy allows it"}), "no policy allows it"),
        (json!({"name": "denied", "by": {"approver": "lea"}, "reason": "no"}), "`lea` refused: no"),
        (json!({"name": "lapsed", "cause": "approval", "at": at(9)}), "the approvals were not complete in time"),
        (json!({"name": "lapsed", "cause": "start", "at": at(9)}), "the grant was not started in time"),
        (json!({"name": "withdrawn", "cause": "released", "by": "dana", "at": at(9)}), "released by `dana`"),
    ] {
        let view = in_state(state);
        assert!(view["reason"].as_str().unwrap().contains(words), "{view}");
        assert_eq!(view.get("delivery").is_none(), view["state"] == "Denied", "{view}");
    }
}

#[test]
fn scheduled_grant_names_its_schedule() {
    let mut scheduled = decision(Outcome::Allow);
    let plain = shown(&grant(&scheduled), &scheduled);
    assert_eq!(plain.get("schedule"), None, "a caller made the request");
    scheduled.terms.proof = ProofSummary::Schedule {
        schedule: "nightly-batch".parse().unwrap(),
        declared: Digest::of_bytes(b"declaration"),
        opens_at: at(0),
        closes_at: at(900),
    };
    let grant = grant(&scheduled);
    // A scheduled grant has no stored request.
    let view = GrantView::of(None, Some(&scheduled), Some(&grant), at(2)).unwrap();
    let view = serde_json::to_value(view).unwrap();
    assert_eq!((view["schedule"].as_str(), view.get("request")), (Some("nightly-batch"), None), "{view}");
}

#[test]
fn rotation_is_shown_from_the_proved_end_until_it_is_done() {
    let decision = decision(Outcome::Allow);
    let active = shown(&grant(&decision), &decision);
    assert_eq!((&active["rotate"], active.get("rotations")), (&json!([{"secret": "arn:aws:x", "times": 1}]), None));
    let proof = json!({"kind": "by_construction", "deadline": at(95), "aws_date": at(98), "request_id": "r"});
    let state = json!({
        "name": "ended", "cause": "deadline", "proof": proof, "verified_at": at(99), "ended_by": "time_limit",
        "effective": null,
    });
    let mut ended = Grant { state: serde_json::from_value(state).unwrap(), ..grant(&decision) };
    let due = json!([{"secret": "arn:aws:x", "times": 1, "done": 0, "attempts": 0, "next_at": at(99).to_string()}]);
    assert_eq!(shown(&ended, &decision)["rotations"], due);
    ended.rotations[0].attempts = 1;
    ended.rotations[0].last_problem = Some("`secretsmanager:RotateSecret` was refused".to_owned().into());
    ended.rotations[0].next_at = Some(at(160));
    let failed = json!([{
        "secret": "arn:aws:x", "times": 1, "done": 0, "attempts": 1, "next_at": at(160).to_string(),
        "last_problem": "`secretsmanager:RotateSecret` was refused",
    }]);
    assert_eq!(shown(&ended, &decision)["rotations"], failed);
    (ended.rotations[0].done, ended.rotations[0].last_problem, ended.rotations[0].next_at) = (1, None, None);
    let done = json!([{"secret": "arn:aws:x", "times": 1, "done": 1, "attempts": 1}]);
    assert_eq!(shown(&ended, &decision)["rotations"], done);
}
