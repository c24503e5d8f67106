//! Tests of the kill switch and of acknowledging overdue grants.

use super::*;

const KILL: &str = r#"{"scope":{"identity":"bot"},"reason":"its key was published"}"#;

fn revocations(method: &str, path: &str, token: &str) -> HttpCall {
    HttpCall::to(&format!("{method} /v1/revocations{path}")).token(token)
}

#[test]
fn block_is_placed_read_and_lifted_by_another_person() {
    let world = World::new();
    let placed = answer(&world, revocations("POST", "", "approvals.omar").body(KILL));
    assert_eq!(
        (placed.0, placed.2["key"].as_str(), placed.2["standing"].as_bool()),
        (200, Some("identity:bot"), Some(true))
    );
    assert_eq!(
        (placed.2["latest"]["reason"].as_str(), placed.2["progress"].is_null()),
        (Some("its key was published"), true)
    );
    let denied = world.decided("ask.bot");
    assert_eq!(state(&world, denied), "Denied");
    let again = answer(&world, revocations("POST", "", "approvals.omar").body(KILL));
    assert_eq!(again.2, placed.2, "a repeated request answers the block that is in force");
    let lift = revocations("POST", "/{id}/lift", "approvals.ana").id("identity:bot").body(r#"{"reason":"changed"}"#);
    let lifted = answer(&world, lift);
    assert_eq!((lifted.0, lifted.2["standing"].as_bool()), (200, Some(false)));
    let (status, _, block) = answer(&world, revocations("GET", "/{id}", "approvals.omar").id("identity:bot"));
    assert_eq!((status, block["history"].as_array().unwrap().len()), (200, 2), "{block}");
    let (_, _, list) = answer(&world, revocations("GET", "", "approvals.ana").query("limit", "1"));
    assert_eq!((list["revocations"].as_array().unwrap().len(), list["next"].is_null()), (1, true));
    let live = world.decided("ask.bot");
    assert_eq!(state(&world, live), "Approved");
}

#[test]
fn evaluate_refuses_every_bad_kill_switch_call_without_storing_it() {
    let world = World::new();
    let post = |token: &str, body: &str| revocations("POST", "", token).body(body);
    let before = world.stored();
    for (call, status, code) in [
        (post("ask.omar", KILL), 401, "token_audience"),
        (post("credentials.omar", KILL), 401, "token_audience"),
        (post("approvals.nobody", KILL), 403, "identity_unregistered"),
        (post("approvals.bot", KILL), 403, "revoker_not_human"),
        (post("approvals.dana", KILL), 403, "not_allowed"),
        (post("approvals.omar", ""), 400, "body_missing"),
        (post("approvals.omar", &KILL.replace("identity", "grant")), 400, "field_type"),
        (post("approvals.omar", &KILL.replace("bot", "Bot")), 422, "scope_unknown"),
        (post("approvals.omar", &KILL.replace("its", &"x".repeat(500))), 422, "reason"),
        (post("approvals.omar", KILL).query("by", "ana"), 400, "query"),
        (revocations("GET", "/{id}", "approvals.omar").id("grant:x"), 400, "revocation_key"),
        (revocations("GET", "/{id}", "approvals.omar").id("all"), 404, "revocation_not_found"),
        (revocations("GET", "/{id}", "approvals.dana").id("all"), 403, "not_allowed"),
        (revocations("GET", "", "approvals.omar").query("cursor", "x"), 400, "query"),
        (
            revocations("POST", "/{id}/lift", "approvals.ana").id("all").body(r#"{"reason":"x"}"#),
            404,
            "revocation_not_found",
        ),
        (revocations("POST", "/{id}/lift", "approvals.omar").id("all").body(r#"{"reason":"x"}"#), 403, "not_allowed"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(world.stored(), before, "{code}");
    }
}

const ACKNOWLEDGE: &str = "POST /v1/grants/{id}/acknowledge";
const KNOWN: &str = r#"{"reason":"the provider knows"}"#;

fn acknowledge(token: &str, id: impl ToString) -> HttpCall {
    HttpCall::to(ACKNOWLEDGE).token(token).id(&id.to_string()).body(KNOWN)
}

/// Stores a revoking grant of `bot` that should have ended `seconds` ago.
fn revoking(world: &World, seconds: u32) -> GrantId {
    let id = world.decided("ask.bot");
    let grant = world.store.snapshot().grants().find(|grant| grant.id == id).cloned().unwrap();
    let since = world.clock.now().minus(seconds);
    let state = json!({
        "name": "revoking", "cause": "released", "by": "bot", "since": since, "deadline": since, "fence": since,
        "attempts": 3, "last_problem": "refused", "first_absence": null, "next_at": since,
        "vends": {"count": 0, "last": []},
    });
    let state = serde_json::from_value(state).unwrap();
    world.store.overwrite(brevet_domain::grant::Grant { state, ..grant });
    id
}

#[test]
fn overdue_grant_is_acknowledged_once_by_an_authorized_person() {
    let world = World::new();
    let id = revoking(&world, 181);
    let (status, _, body) = answer(&world, acknowledge("approvals.omar", id));
    assert_eq!((status, body["state"].as_str()), (200, Some("Revoking")), "{body}");
    assert_eq!(body["acknowledged"]["by"], "omar");
    assert_eq!(body["due_since"], json!(world.clock.now().minus(181)));
    let before = world.stored();
    world.clock.advance(5);
    assert_eq!(answer(&world, acknowledge("approvals.omar", id)).2, body);
    assert_eq!(world.stored(), before);
}

#[test]
fn evaluate_refuses_every_bad_acknowledgement_without_storing_it() {
    let world = World::new();
    let (id, early) = (revoking(&world, 181), revoking(&world, 180));
    let before = world.stored();
    for (call, status, code) in [
        (HttpCall::to(ACKNOWLEDGE).id(&id.to_string()).body(KNOWN), 401, "token_missing"),
        (acknowledge("ask.omar", id), 401, "token_audience"),
        (acknowledge("approvals.agent", id), 403, "acknowledger_not_human"),
        (acknowledge("approvals.dana", id), 403, "own_grant"),
        (acknowledge("approvals.ana", id), 404, "grant_not_found"),
        (acknowledge("approvals.omar", "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 404, "grant_not_found"),
        (acknowledge("approvals.omar", "grt_7"), 400, "grant_id"),
        (acknowledge("approvals.omar", early), 409, "not_overdue"),
        (acknowledge("approvals.omar", id).body("{}"), 400, "field_missing"),
        (acknowledge("approvals.omar", id).body(r#"{"reason":"x","force":true}"#), 400, "field_unknown"),
        (acknowledge("approvals.omar", id).query("force", "yes"), 400, "query"),
    ] {
        let (found, _, problem) = answer(&world, call);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    assert_eq!(world.stored(), before);
}
