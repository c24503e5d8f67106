#![expect(clippy::string_slice, reason = "tokens are ASCII, and a test that slices wrongly fails")]

use aws_lc_rs::hmac;
use brevet_domain::identity::Audience::{Approvals, Ask, Credentials};
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

/// Verifies against inline keys: the key source must not be asked, and panics if it is.
fn verify_in(index: &Index, token: &str, audience: Audience) -> Result<Caller, ProofError> {
    run(verifier(ScriptedKeys::new([])).verify(token, audience, index, at(0)))
}

fn ask(claims: &Value) -> Result<Caller, ProofError> {
    verify_in(&known(), &ES256.token(claims), Ask)
}

/// Asserts that `token` is refused with `code`, and that the message gives nothing of it away.
#[track_caller]
fn refused(result: Result<Caller, ProofError>, code: &str, message: &str) {
    let error = result.expect_err("accepted");
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.is_unavailable());
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn a_good_token_of_each_algorithm_proves_its_caller() {
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
            auth: brevet_domain::identity::AuthContext::default(),
        };
        assert_eq!(caller.proof, expected);
    }
}

#[test]
fn a_token_without_kid_is_good_while_one_key_fits_its_algorithm() {
    let header = r#"{"alg":"ES256"}"#;
    let token = ES256.sign(header, &claims().to_string());
    assert!(verify_in(&known(), &token, Ask).is_ok());

    let second = Signer::p256("second");
    let two = pipeline(inline_issuer(&jwks([&*ES256, &second])));
    refused(verify_in(&two, &token, Ask), "key_unclear", "by `kid`");
}

#[test]
fn a_token_is_good_for_its_own_use_alone() {
    let uses = [(Ask, ASK), (Approvals, APPROVALS), (Credentials, CREDENTIALS)];
    for (made_for, aud) in uses {
        let token = ES256.token(&claims_with(&json!({"aud": [aud]})));
        for (used_for, wanted) in uses {
            let result = verify_in(&known(), &token, used_for);
            if made_for == used_for {
                assert!(result.is_ok(), "{made_for:?}");
            } else {
                refused(result, "token_audience", &format!("`aud` must hold `{wanted}`"));
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
fn audiences_that_do_not_differ_let_nobody_in() {
    let audiences = Audiences { ask: ASK.to_owned(), approvals: APPROVALS.to_owned(), credentials: ASK.to_owned() };
    let verifier = Verifier::new(audiences, LEEWAY_S, ScriptedKeys::new([]));
    for audience in [Ask, Credentials] {
        let result = run(verifier.verify(&ES256.token(&claims()), audience, &known(), at(0)));
        refused(result, "token_audience_several", "alone");
    }
}

#[test]
fn an_audience_must_be_equal_and_not_merely_alike() {
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
        refused(ask(&claims_with(&json!({"aud": aud}))), "token_claim", "a text or an array of texts");
    }
    assert!(ask(&claims_with(&json!({"aud": ["other", ASK]}))).is_ok());
}

#[test]
fn a_token_ends_at_its_expiry_plus_the_leeway_to_the_second() {
    let leeway = i64::from(LEEWAY_S);
    let ending = |offset| claims_with(&json!({"iat": NOW_S - 60, "exp": NOW_S - offset}));
    assert!(ask(&ending(leeway - 1)).is_ok());
    refused(ask(&ending(leeway)), "token_expired", "expired at 2026-11-22T11:59:55.000Z");
}

#[test]
fn a_token_begins_at_iat_and_nbf_less_the_leeway_to_the_second() {
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
fn expiry_and_issue_time_are_required_and_the_start_is_not() {
    for claim in ["exp", "iat"] {
        refused(ask(&claims_with(&json!({claim: null}))), "token_claim", &format!("`{claim}` must be present"));
    }
    assert!(ask(&claims_with(&json!({"nbf": null}))).is_ok());
}

#[test]
fn times_of_another_form_are_refused() {
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
fn a_signature_by_another_key_is_refused() {
    let forger = Signer::p256("es256");
    refused(verify_in(&known(), &forger.token(&claims()), Ask), "token_signature", "issuer `example`");
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let forger = Signer::p256("es256");
    let mut header = forger.header();
    header["jwk"] = forger.jwk();
    header["jku"] = json!("https://forger.example/keys");
    let token = forger.sign(&header.to_string(), &claims().to_string());
    refused(verify_in(&known(), &token, Ask), "token_signature", "example");
}

#[test]
fn a_missing_or_cut_signature_is_refused() {
    let good = ES256.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for signature in ["", &signature[..40], "AAAA", "!!!!", &b64([0; 64])] {
        let token = format!("{signed}.{signature}");
        refused(verify_in(&known(), &token, Ask), "token_signature", "example");
    }
}

#[test]
fn claims_changed_after_signing_are_refused() {
    let good = ES256.token(&claims());
    let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
    parts[1] = b64(claims_with(&json!({"run_id": "1"})).to_string());
    refused(verify_in(&known(), &parts.join("."), Ask), "token_signature", "example");
}

#[test]
fn alg_none_is_refused_in_every_spelling() {
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": alg, "kid": "es256"}).to_string();
        let signed = format!("{}.{}", b64(header), b64(claims().to_string()));
        for token in [format!("{signed}."), format!("{signed}.{}", b64([0; 64]))] {
            refused(verify_in(&known(), &token, Ask), "token_algorithm", "accepted here: ES256, ES384, RS256");
        }
    }
}

#[test]
fn hmac_with_the_public_key_as_secret_is_refused() {
    for signer in [&*ES256, &*RS256] {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &signer.public_bytes());
        let kid = signer.header()["kid"].clone();
        for (alg, code) in [
            ("HS256", "token_algorithm"),
            ("HS384", "token_algorithm"),
            ("HS512", "token_algorithm"),
            (signer.alg(), "token_signature"),
        ] {
            let header = json!({"alg": alg, "kid": kid}).to_string();
            let signed = format!("{}.{}", b64(header), b64(claims().to_string()));
            let tag = hmac::sign(&secret, signed.as_bytes());
            let token = format!("{signed}.{}", b64(tag));
            refused(verify_in(&known(), &token, Ask), code, "");
        }
    }
}

#[test]
fn algorithms_that_are_not_the_issuers_are_refused() {
    for alg in ["RS384", "RS512", "PS256", "ES512", "EdDSA", "es256", "x"] {
        let header = json!({"alg": alg, "kid": "rs256"}).to_string();
        let token = RS256.sign(&header, &claims().to_string());
        refused(verify_in(&known(), &token, Ask), "token_algorithm", alg);
    }
    let mut index = known();
    index.issuers[0].algorithms = [brevet_domain::identity::TokenAlgorithm::ES384].into();
    refused(verify_in(&index, &ES256.token(&claims()), Ask), "token_algorithm", "`ES256`; accepted here: ES384");
}

#[test]
fn a_key_serves_its_own_algorithm_alone() {
    for (alg, kid) in [("RS256", "es256"), ("ES384", "es256"), ("ES256", "rs256")] {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let token = ES256.sign(&header, &claims().to_string());
        refused(verify_in(&known(), &token, Ask), "key_unknown", "`kid` and `alg`");
    }
}

#[test]
fn a_header_with_crit_is_refused() {
    let mut header = ES256.header();
    header["crit"] = json!(["b64"]);
    header["b64"] = json!(false);
    let token = ES256.sign(&header.to_string(), &claims().to_string());
    refused(verify_in(&known(), &token, Ask), "token_malformed", "`crit`");
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
fn a_claim_that_stands_twice_is_refused_though_it_is_signed() {
    let text = claims().to_string();
    let twice = format!("{{\"environment\":\"staging\",{}", &text[1..]);
    let token = ES256.sign(&ES256.header().to_string(), &twice);
    refused(verify_in(&known(), &token, Ask), "token_malformed", "each name once");
}

#[test]
fn a_token_too_large_is_refused_before_it_is_read() {
    let fill = |n: usize| claims_with(&json!({"fill": "x".repeat(n)}));
    let large = ES256.token(&fill(8_000));
    assert!(large.len() > 8 * 1024);
    refused(verify_in(&known(), &large, Ask), "token_too_large", "at most 8192");
    let garbage = "\u{0}".repeat(8 * 1024 + 1);
    refused(verify_in(&known(), &garbage, Ask), "token_too_large", "8193 bytes");
    assert!(verify_in(&known(), &ES256.token(&fill(5_000)), Ask).is_ok());
}

#[test]
fn an_issuer_must_be_configured_to_the_character() {
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
fn two_issuers_with_one_name_let_nobody_in() {
    let mut index = known();
    index.issuers.push(index.issuers[0].clone());
    refused(verify_in(&index, &ES256.token(&claims()), Ask), "issuer_ambiguous", "exactly one");
}

#[test]
fn a_subject_is_required() {
    for sub in [json!(null), json!(""), json!(7)] {
        refused(ask(&claims_with(&json!({"sub": sub}))), "token_claim", "`sub`");
    }
}

#[test]
fn no_message_holds_the_token_or_its_signature() {
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
fn a_verifier_says_nothing_of_keys_when_printed() {
    let shown = format!("{:?}", verifier(ScriptedKeys::new([])));
    assert!(shown.contains(ASK) && shown.ends_with(".. }"), "{shown}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_a_503_and_not_a_401() {
    let keys = ScriptedKeys::new([Answer::Down]);
    let index = pipeline(crate::testing::fetched_issuer());
    let verifier = verifier(Arc::clone(&keys) as Arc<dyn KeySource>);
    let token = ES256.token(&claims());
    let error = verifier.verify(&token, Ask, &index, at(0)).await.unwrap_err();
    assert_eq!(keys.fired(), ["down"]);
    assert_eq!(error.code(), "keys_unavailable");
    assert!(error.is_unavailable());
}

#[tokio::test]
async fn an_unregistered_identity_of_an_unknown_issuer_costs_no_fetch() {
    let keys = ScriptedKeys::new([]);
    let index = pipeline(crate::testing::fetched_issuer());
    let verifier = verifier(Arc::clone(&keys) as Arc<dyn KeySource>);
    let token = ES256.token(&claims_with(&json!({"iss": "https://evil.example"})));
    let result = verifier.verify(&token, Ask, &index, at(0)).await;
    refused(result, "issuer_unknown", "evil");
    assert!(keys.fired().is_empty());
}

/// The pipeline's rule with `changes` to its members.
fn rule_with(changes: &Value) -> Value {
    let mut all = rule();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn ask_among(identities: &[(&str, Value)], claims: &Value) -> Result<Caller, ProofError> {
    let index = index(inline_issuer(&jwks([&*ES256])), identities);
    verify_in(&index, &ES256.token(claims), Ask)
}

fn ask_with_rule(rule: Value, claims: &Value) -> Result<Caller, ProofError> {
    ask_among(&[("one", json!([rule]))], claims)
}

#[test]
fn a_good_token_of_nobody_registered_is_refused() {
    for changes in [
        json!({"environment": "staging"}),
        json!({"environment": null}),
        json!({"environment": ["production"]}),
        json!({"repository_id": 4712}),
        json!({"repository_id": 4711.0}),
    ] {
        refused(ask(&claims_with(&changes)), "identity_unregistered", "registered with an owner");
    }
    refused(ask_among(&[], &claims()), "identity_unregistered", "`example`");
}

#[test]
fn a_rule_of_another_issuer_is_not_met() {
    let rule = rule_with(&json!({"issuer": "other"}));
    refused(ask_with_rule(rule, &claims()), "identity_unregistered", "`example`");
}

#[test]
fn a_rule_without_claims_is_met_by_nobody() {
    let rule = rule_with(&json!({"claims": {}}));
    refused(ask_with_rule(rule, &claims()), "identity_unregistered", "`example`");
}

#[test]
fn a_token_that_fits_two_identities_proves_neither() {
    let wide = json!([rule_with(&json!({"claims": {"environment": "production"}}))]);
    let both = [("shop", json!([rule()])), ("wide", wide.clone())];
    refused(ask_among(&both, &claims()), "identity_ambiguous", "`shop`, `wide`");
    assert!(ask_among(&[("wide", wide)], &claims()).is_ok());
}

#[test]
fn numbers_and_booleans_are_compared_by_their_json_text() {
    let rule = rule_with(&json!({"claims": {"protected": "true", "big": "18446744073709551615"}}));
    let claims = claims_with(&json!({"protected": true, "big": u64::MAX}));
    assert!(ask_with_rule(rule.clone(), &claims).is_ok());
    let other = claims_with(&json!({"protected": false, "big": u64::MAX}));
    refused(ask_with_rule(rule, &other), "identity_unregistered", "");
}

#[test]
fn numbers_too_large_to_tell_apart_match_nothing() {
    // The first two texts read as the same floating-point number, whose JSON text is the third.
    let float = json!(18_446_744_073_709_551_617.0_f64).to_string();
    let mut claims = claims().to_string();
    claims.insert_str(1, "\"big\":18446744073709551617,");
    let token = ES256.sign(&ES256.header().to_string(), &claims);
    for text in ["18446744073709551617", "18446744073709551618", &float] {
        let rule = rule_with(&json!({"claims": {"big": text}}));
        let index = index(inline_issuer(&jwks([&*ES256])), &[("one", json!([rule]))]);
        refused(verify_in(&index, &token, Ask), "identity_unregistered", "");
    }
}

#[test]
fn nested_claims_are_named_by_pointer_and_request_tags_are_never_believed() {
    let claims = claims_with(&json!({"https://sts.amazonaws.com/": {
        "aws_account": "111122223333",
        "request_tags": {"team": "payments", "task": "T-1"},
    }}));
    let at = |path: &str, value: &str| rule_with(&json!({"claims": {path: value}}));
    let account = at("/https:~1~1sts.amazonaws.com~1/aws_account", "111122223333");
    assert!(ask_with_rule(account.clone(), &claims).is_ok());
    let tag = at("/https:~1~1sts.amazonaws.com~1/request_tags/team", "payments");
    refused(ask_with_rule(tag, &claims), "identity_unregistered", "");

    let mut task_from_tag = account;
    task_from_tag["task"] = json!("/https:~1~1sts.amazonaws.com~1/request_tags/task");
    refused(ask_with_rule(task_from_tag, &claims), "task_missing", "request_tags/task");
}

#[test]
fn a_task_that_the_rule_names_must_be_there_and_be_usable() {
    refused(ask(&claims_with(&json!({"run_id": null}))), "task_missing", "needs its claim `run_id`");
    refused(ask(&claims_with(&json!({"run_id": {"id": 1}}))), "task_missing", "`run_id`");
    for unfit in [json!(""), json!("a*b"), json!("x".repeat(257)), json!("é")] {
        let error = ask(&claims_with(&json!({"run_id": unfit}))).unwrap_err();
        assert_eq!(error.code(), "task_unfit");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("1 to 256 characters"), "{source}");
    }
    let numbered = ask(&claims_with(&json!({"run_id": 17}))).unwrap();
    assert_eq!(numbered.task.unwrap().as_str(), "17");
}

#[test]
fn an_identity_without_tasks_has_none_whatever_the_token_says() {
    let rule = json!({"issuer": "example", "claims": {"environment": "production"}});
    assert_eq!(ask_with_rule(rule, &claims()).unwrap().task, None);
}

#[test]
fn two_rules_of_one_identity_may_fit_if_they_agree_on_the_task() {
    let wide = |task: Value| json!({"issuer": "example", "claims": {"environment": "production"}, "task": task});
    let agree = [("one", json!([rule(), wide(json!("run_id"))]))];
    assert_eq!(ask_among(&agree, &claims()).unwrap().task.unwrap().as_str(), "9001");
    for task in [json!("sub"), Value::Null] {
        let differ = [("one", json!([rule(), wide(task)]))];
        refused(ask_among(&differ, &claims()), "task_ambiguous", "must agree");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_verifies(text in "\\PC{0,200}") {
        prop_assert!(verify_in(&known(), &text, Ask).is_err());
    }

    #[test]
    fn no_three_parts_make_it_panic_or_verify(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        body in proptest::collection::vec(any::<u8>(), 0..80),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let token = format!("{}.{}.{}", b64(header), b64(body), b64(signature));
        prop_assert!(verify_in(&known(), &token, Ask).is_err());
    }

    #[test]
    fn no_unsigned_claims_verify(
        alg in prop::sample::select(vec!["ES256", "ES384", "RS256", "HS256", "none"]),
        kid in prop::sample::select(vec!["es256", "es384", "rs256"]),
        signature in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let token = format!("{}.{}.{}", b64(header), b64(claims().to_string()), b64(signature));
        prop_assert!(verify_in(&known(), &token, Ask).is_err());
    }

    #[test]
    fn no_good_token_verifies_with_one_byte_changed_dropped_or_added(
        place in any::<prop::sample::Index>(),
        byte in 0x20_u8..0x7f,
        how in 0..3,
    ) {
        let good = ES256.token(&claims());
        prop_assert!(verify_in(&known(), &good, Ask).is_ok());
        let mut bytes = good.clone().into_bytes();
        let place = place.index(bytes.len());
        match how {
            0 => bytes[place] = byte,
            1 => drop(bytes.remove(place)),
            _ => bytes.insert(place, byte),
        }
        let mutated = String::from_utf8(bytes).unwrap();
        prop_assume!(mutated != good);
        prop_assert!(verify_in(&known(), &mutated, Ask).is_err());
    }
}
