#![expect(clippy::string_slice, reason = "tokens are ASCII, and a test that slices wrongly fails")]

mod generated;
mod rules;
mod signatures;

use aws_lc_rs::hmac;
use brevet_domain::identity::Audience::{Approvals, Ask, Credentials};
use brevet_domain::identity::AuthContext;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{
    APPROVALS, ASK, Answer, CREDENTIALS, ES256, ES384, ISS, NOW_S, RS256, ScriptedKeys, Signer, at, b64, claims,
    claims_with, index, inline_issuer, jwks, pipeline, rule,
};

const LEEWAY_S: u32 = 5;

fn verifier(keys: Arc<dyn KeySource>) -> Verifier {
    let audiences =
        Audiences { ask: ASK.to_owned(), approvals: APPROVALS.to_owned(), credentials: CREDENTIALS.to_owned() };
    Verifier::new(audiences, LEEWAY_S, keys)
}

fn known() -> Index {
    pipeline(inline_issuer(&jwks([&*ES256, &*ES384, &*RS256])))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Verifies with inline keys. The key source panics if the verifier calls it.
fn verify_in(index: &Index, token: &str, audience: Audience) -> Result<Caller, ProofError> {
    run(verifier(ScriptedKeys::new([])).verify(token, audience, index, at(0)))
}

fn ask(claims: &Value) -> Result<Caller, ProofError> {
    verify_in(&known(), &ES256.token(claims), Ask)
}

/// Asserts that the verifier refused the token with `code` and a text that contains `message`.
#[track_caller]
fn refused(result: Result<Caller, ProofError>, code: &str, message: &str) {
    let error = result.expect_err("accepted");
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.is_unavailable());
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn a_valid_token_of_each_algorithm_proves_its_caller() {
    for signer in [&*ES256, &*ES384, &*RS256] {
        let token = signer.token(&claims());
        let caller = verify_in(&known(), &token, Ask).unwrap();
        assert_eq!(caller.identity.id.to_string(), "shop-release");
        assert_eq!(caller.task.unwrap().as_str(), "9001");
        let expected = ProofSummary::Token {
            issuer: "example".parse().unwrap(),
            subject: "repo:acme/shop:environment:production".to_owned(),
            token_digest: Digest::of_bytes(token.as_bytes()),
            issued_at: at(-10),
            expires_at: at(300),
            auth: AuthContext::default(),
        };
        assert_eq!(caller.proof, expected);
    }
}

#[test]
fn a_token_without_kid_is_accepted_if_one_key_has_its_algorithm() {
    let header = r#"{"alg":"ES256"}"#;
    let token = ES256.sign(header, &claims().to_string());
    assert!(verify_in(&known(), &token, Ask).is_ok());

    let second = Signer::p256("second");
    let two = pipeline(inline_issuer(&jwks([&*ES256, &second])));
    refused(verify_in(&two, &token, Ask), "key_unclear", "by `kid`");
}

#[test]
fn a_token_is_accepted_only_for_its_own_use() {
    let uses = [(Ask, ASK), (Approvals, APPROVALS), (Credentials, CREDENTIALS)];
    for (made_for, aud) in uses {
        let token = ES256.token(&claims_with(&json!({"aud": [aud]})));
        for (used_for, expected) in uses {
            let result = verify_in(&known(), &token, used_for);
            if made_for == used_for {
                assert!(result.is_ok(), "{made_for:?}");
            } else {
                refused(result, "token_audience", &format!("`aud` must contain `{expected}`"));
            }
        }
    }
}

#[test]
fn a_token_for_several_uses_is_refused_for_each() {
    for (aud, uses) in [
        (vec![ASK, CREDENTIALS], vec![Ask, Credentials]),
        (vec![CREDENTIALS, APPROVALS], vec![Credentials, Approvals]),
        (vec![APPROVALS, "other", ASK], vec![Approvals, Ask]),
        (vec![ASK, APPROVALS, CREDENTIALS], vec![Ask, Approvals, Credentials]),
    ] {
        let token = ES256.token(&claims_with(&json!({"aud": aud})));
        for audience in uses {
            refused(verify_in(&known(), &token, audience), "token_audience_several", "alone");
        }
    }
}

#[test]
fn duplicate_audiences_refuse_every_token() {
    let audiences = Audiences { ask: ASK.to_owned(), approvals: APPROVALS.to_owned(), credentials: ASK.to_owned() };
    let verifier = Verifier::new(audiences, LEEWAY_S, ScriptedKeys::new([]));
    for audience in [Ask, Credentials] {
        let result = run(verifier.verify(&ES256.token(&claims()), audience, &known(), at(0)));
        refused(result, "token_audience_several", "alone");
    }
}

#[test]
fn an_audience_must_match_exactly() {
    for aud in [
        json!("brevet-de"),
        json!("brevet-dev "),
        json!("BREVET-DEV"),
        json!("other"),
        json!([]),
        json!(["brevet-dev/x"]),
    ] {
        refused(ask(&claims_with(&json!({"aud": aud}))), "token_audience", "`aud`");
    }
    for aud in [json!(7), json!(true), json!({"brevet-dev": 1}), json!([ASK, 7])] {
        refused(ask(&claims_with(&json!({"aud": aud}))), "token_claim", "a string or an array of strings");
    }
    assert!(ask(&claims_with(&json!({"aud": ["other", ASK]}))).is_ok());
}

#[test]
fn a_token_expires_at_exp_plus_the_leeway_to_the_second() {
    let leeway = i64::from(LEEWAY_S);
    let ending = |offset| claims_with(&json!({"iat": NOW_S - 60, "exp": NOW_S - offset}));
    assert!(ask(&ending(leeway - 1)).is_ok());
    refused(ask(&ending(leeway)), "token_expired", "expired at 2026-11-22T11:59:55.000Z");
}

#[test]
fn a_token_is_valid_from_iat_and_nbf_minus_the_leeway_to_the_second() {
    let leeway = i64::from(LEEWAY_S);
    for claim in ["iat", "nbf"] {
        assert!(ask(&claims_with(&json!({claim: NOW_S + leeway}))).is_ok());
        refused(
            ask(&claims_with(&json!({claim: NOW_S + leeway + 1}))),
            "token_not_yet_valid",
            &format!("`{claim}` is 2026-11-22T12:00:06.000Z"),
        );
    }
}

#[test]
fn exp_and_iat_are_required_and_nbf_is_optional() {
    for claim in ["exp", "iat"] {
        refused(ask(&claims_with(&json!({claim: null}))), "token_claim", &format!("`{claim}` must be present"));
    }
    assert!(ask(&claims_with(&json!({"nbf": null}))).is_ok());
}

#[test]
fn times_of_a_wrong_type_are_refused() {
    for claim in ["exp", "iat", "nbf"] {
        for wrong in [
            json!("1795348800"),
            json!(1_795_348_800.5),
            json!(-1),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!([NOW_S]),
            json!(true),
        ] {
            refused(ask(&claims_with(&json!({claim: wrong}))), "token_claim", "whole seconds since 1970");
        }
    }
}

#[test]
fn a_life_of_a_day_is_accepted_and_a_second_more_is_not() {
    let living = |life: i64| claims_with(&json!({"iat": NOW_S, "nbf": null, "exp": NOW_S + life}));
    assert!(ask(&living(86_400)).is_ok());
    refused(ask(&living(86_401)), "token_lives_too_long", "86401 s");
    refused(ask(&living(0)), "token_claim", "later than `iat`");
    refused(ask(&living(-1)), "token_claim", "later than `iat`");
}

#[test]
fn garbage_is_refused() {
    let header = b64(ES256.header().to_string());
    let body = b64(claims().to_string());
    for token in [
        "".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "garbage".to_owned(),
        "a.b".to_owned(),
        "a.b.c.d".to_owned(),
        format!("{header}.{body}"),
        format!("{header}.{body}.x.y"),
        format!("{header}=.{body}.x"),
        format!("{header}.{body} .x"),
        format!("{}.{body}.x", b64("[]")),
        format!("{}.{body}.x", b64("{}")),
        format!("{}.{body}.x", b64(r#"{"alg":7}"#)),
        format!("{}.{body}.x", b64(r#"{"alg":"ES256","kid":7}"#)),
        format!("{}.{body}.x", b64(r#"{"alg":"ES256","alg":"ES256"}"#)),
        format!("{header}.{}.x", b64("null")),
        format!("{header}.{}.x", b64([0xff, 0xfe])),
    ] {
        refused(verify_in(&known(), &token, Ask), "token_malformed", "send a signed JWT");
    }
}

#[test]
fn a_signed_token_with_a_duplicate_claim_is_refused() {
    let text = claims().to_string();
    let twice = format!("{{\"environment\":\"staging\",{}", &text[1..]);
    let token = ES256.sign(&ES256.header().to_string(), &twice);
    refused(verify_in(&known(), &token, Ask), "token_malformed", "each name once");
}

#[test]
fn an_oversized_token_is_refused_before_it_is_parsed() {
    let fill = |n: usize| claims_with(&json!({"fill": "x".repeat(n)}));
    let large = ES256.token(&fill(8_000));
    assert!(large.len() > 8 * 1024);
    refused(verify_in(&known(), &large, Ask), "token_too_large", "at most 8192");
    let garbage = "\u{0}".repeat(8 * 1024 + 1);
    refused(verify_in(&known(), &garbage, Ask), "token_too_large", "8193 bytes");
    assert!(verify_in(&known(), &ES256.token(&fill(5_000)), Ask).is_ok());
}

#[test]
fn an_issuer_must_match_a_configured_issuer_exactly() {
    for iss in ["https://issuer.example/", "https://Issuer.example", "", "https://evil"] {
        refused(ask(&claims_with(&json!({"iss": iss}))), "issuer_unknown", iss);
    }
    for iss in [json!(null), json!(7), json!([ISS])] {
        refused(ask(&claims_with(&json!({"iss": iss}))), "token_claim", "`iss`");
    }
    let long = ask(&claims_with(&json!({"iss": "\n".repeat(500)}))).unwrap_err();
    assert!(long.to_string().len() < 200 && !long.to_string().contains('\n'));
}

#[test]
fn two_issuers_with_one_iss_refuse_every_token() {
    let mut index = known();
    index.issuers.push(index.issuers[0].clone());
    refused(verify_in(&index, &ES256.token(&claims()), Ask), "issuer_ambiguous", "exactly one");
}

/// The sign-in in the proof of a token with `claims`.
fn signed_in(index: &Index, claims: &Value) -> AuthContext {
    let caller = verify_in(index, &ES256.token(claims), Ask).unwrap();
    caller.proof.auth().unwrap().clone()
}

#[test]
fn the_proof_keeps_the_sign_in_by_the_rule_of_its_issuer() {
    let claims = claims_with(&json!({"amr": ["pwd", "hwk"], "acr": "urn:two", "auth_time": NOW_S - 60}));
    let sign_in = AuthContext {
        mfa: false,
        amr: vec!["pwd".to_owned(), "hwk".to_owned()],
        acr: Some("urn:two".to_owned()),
        auth_time: Some(at(-60)),
    };
    assert_eq!(signed_in(&known(), &claims), sign_in);
    let mut index = known();
    for mfa in [json!({"amr": ["hwk"]}), json!({"acr": ["urn:two"]})] {
        index.issuers[0].mfa = serde_json::from_value(mfa).unwrap();
        assert_eq!(signed_in(&index, &claims), AuthContext { mfa: true, ..sign_in.clone() });
    }
}

#[test]
fn a_sign_in_after_the_issue_of_the_token_is_ignored() {
    // The token was issued ten seconds ago.
    assert_eq!(signed_in(&known(), &claims_with(&json!({"auth_time": NOW_S - 10}))).auth_time, Some(at(-10)));
    assert!(signed_in(&known(), &claims_with(&json!({"auth_time": NOW_S - 9}))).is_empty());
}

#[test]
fn malformed_sign_in_claims_do_not_refuse_the_token() {
    let claims = claims_with(&json!({"amr": "mfa", "acr": 7, "auth_time": "yesterday"}));
    assert!(signed_in(&known(), &claims).is_empty());
}

#[test]
fn a_token_without_a_subject_is_refused() {
    for sub in [json!(null), json!(""), json!(7)] {
        refused(ask(&claims_with(&json!({"sub": sub}))), "token_claim", "`sub`");
    }
}

#[test]
fn no_message_contains_the_token_or_its_signature() {
    let good = ES256.token(&claims());
    let signature = good.rsplit_once('.').unwrap().1;
    let forged = Signer::p256("es256").token(&claims());
    let stranger = index(inline_issuer(&jwks([&*ES256])), &[]);
    let results = [
        verify_in(&known(), &good, Credentials),
        verify_in(&stranger, &good, Ask),
        verify_in(&known(), &forged, Ask),
        verify_in(&known(), &format!("{good}.{good}"), Ask),
    ];
    for result in results {
        let shown = format!("{0} {0:?}", result.unwrap_err());
        assert!(!shown.contains(signature) && !shown.contains(&good[..40]), "{shown}");
        assert!(!shown.contains(forged.rsplit_once('.').unwrap().1));
    }
}

#[test]
fn debug_output_of_a_verifier_contains_no_keys() {
    let shown = format!("{:?}", verifier(ScriptedKeys::new([])));
    assert!(shown.contains(ASK) && shown.ends_with(".. }"), "{shown}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_makes_the_error_unavailable() {
    let keys = ScriptedKeys::new([Answer::Down]);
    let index = pipeline(crate::testing::fetched_issuer());
    let verifier = verifier(Arc::clone(&keys) as Arc<dyn KeySource>);
    let token = ES256.token(&claims());
    let error = verifier.verify(&token, Ask, &index, at(0)).await.unwrap_err();
    assert_eq!(keys.played(), ["down"]);
    assert_eq!(error.code(), "keys_unavailable");
    assert!(error.is_unavailable());
}

#[tokio::test]
async fn a_token_of_an_unknown_issuer_causes_no_fetch() {
    let keys = ScriptedKeys::new([]);
    let index = pipeline(crate::testing::fetched_issuer());
    let verifier = verifier(Arc::clone(&keys) as Arc<dyn KeySource>);
    let token = ES256.token(&claims_with(&json!({"iss": "https://evil.example"})));
    let result = verifier.verify(&token, Ask, &index, at(0)).await;
    refused(result, "issuer_unknown", "evil");
    assert!(keys.played().is_empty());
}
