use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::testing::{NOW_S, at, claims_with};

/// The sign-in of a valid token with `changes`, by `rule`. The token was issued at [`NOW_S`].
fn auth_by(rule: &MfaRule, changes: &Value) -> AuthContext {
    let Value::Object(claims) = claims_with(changes) else { panic!("claims are an object") };
    Claims::new(claims).auth(rule, at(0))
}

fn auth(changes: &Value) -> AuthContext {
    auth_by(&MfaRule::default(), changes)
}

fn rule(amr: &[&str], acr: &[&str]) -> MfaRule {
    let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    MfaRule { amr: set(amr), acr: set(acr) }
}

#[test]
fn a_token_without_sign_in_claims_has_an_empty_auth_context() {
    assert!(auth(&json!({})).is_empty());
}

#[test]
fn auth_keeps_methods_class_and_time_of_the_token() {
    let kept = auth(&json!({"amr": ["pwd", "otp"], "acr": "urn:two", "auth_time": NOW_S - 60}));
    let amr = vec!["pwd".to_owned(), "otp".to_owned()];
    let expected = AuthContext { mfa: false, amr, acr: Some("urn:two".to_owned()), auth_time: Some(at(-60)) };
    assert_eq!(kept, expected);
}

#[test]
fn by_default_only_the_method_mfa_proves_two_factors() {
    assert!(auth(&json!({"amr": ["pwd", "mfa"]})).mfa);
    for other in [
        json!({"amr": ["pwd", "otp", "hwk", "sms"]}),
        json!({"amr": ["MFA", "mfa ", "mfamfa", ""]}),
        json!({"amr": []}),
        json!({"acr": "mfa"}),
        json!({"mfa": true}),
    ] {
        assert!(!auth(&other).mfa, "{other}");
    }
}

#[test]
fn the_issuers_rule_defines_which_methods_and_classes_prove_two_factors() {
    let both = rule(&["hwk", "swk"], &["urn:two", "urn:three"]);
    for claims in
        [json!({"amr": ["pwd", "swk"]}), json!({"acr": "urn:three"}), json!({"amr": ["pwd"], "acr": "urn:two"})]
    {
        assert!(auth_by(&both, &claims).mfa, "{claims}");
    }
    // The issuer's rule replaces the default. A class does not count as a method, nor a method as a class.
    for claims in
        [json!({"amr": ["mfa"]}), json!({"acr": "hwk"}), json!({"amr": ["urn:two"]}), json!({"acr": "urn:one"})]
    {
        assert!(!auth_by(&both, &claims).mfa, "{claims}");
    }
    let by_class = rule(&[], &["urn:two"]);
    assert!(auth_by(&by_class, &json!({"acr": "urn:two"})).mfa);
    assert!(!auth_by(&by_class, &json!({"amr": ["mfa", "urn:two"]})).mfa);
}

#[test]
fn amr_of_a_wrong_type_is_ignored_with_its_valid_methods() {
    for amr in [
        json!("mfa"),
        json!({"mfa": true}),
        json!(true),
        json!(1),
        json!(["mfa", 1]),
        json!(["mfa", null]),
        json!(["mfa", ["mfa"]]),
        json!([["mfa"]]),
    ] {
        let kept = auth(&json!({"amr": amr}));
        assert!(kept.is_empty(), "{amr}: {kept:?}");
    }
}

#[test]
fn acr_of_a_wrong_type_is_ignored() {
    let rule = rule(&[], &["1", "true", "urn:two"]);
    for acr in [json!(1), json!(true), json!(["urn:two"]), json!({"urn:two": 1})] {
        let kept = auth_by(&rule, &json!({"acr": acr}));
        assert!(kept.is_empty(), "{acr}: {kept:?}");
    }
}

#[test]
fn amr_is_kept_up_to_the_most_methods_and_ignored_beyond() {
    let methods = |n: usize| {
        let mut amr = vec!["pwd"; n - 1];
        amr.push("mfa");
        auth(&json!({"amr": amr}))
    };
    let most = methods(AuthContext::MAX_AMR);
    assert!(most.mfa && most.amr.len() == AuthContext::MAX_AMR);
    let more = methods(AuthContext::MAX_AMR + 1);
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn texts_are_kept_up_to_the_longest_in_bytes_and_ignored_beyond() {
    let (longest, longer) = ("x".repeat(AuthContext::MAX_TEXT), "x".repeat(AuthContext::MAX_TEXT + 1));
    let wide = "é".repeat(AuthContext::MAX_TEXT / 2 + 1);
    assert_eq!(auth(&json!({"acr": longest})).acr.as_deref(), Some(longest.as_str()));
    assert_eq!(auth(&json!({"amr": [longest]})).amr, std::slice::from_ref(&longest));
    for text in [&longer, &wide] {
        // The text does not count even if the issuer's rule names it, and the methods beside it are ignored too.
        let named = rule(&["mfa", text], &[text]);
        let kept = auth_by(&named, &json!({"amr": ["mfa", text], "acr": text}));
        assert!(kept.is_empty(), "{kept:?}");
    }
}

#[test]
fn auth_time_later_than_the_token_is_ignored() {
    assert_eq!(auth(&json!({"auth_time": NOW_S})).auth_time, Some(at(0)));
    for offset in [1, 60, 86_400] {
        assert_eq!(auth(&json!({"auth_time": NOW_S + offset})).auth_time, None, "{offset}");
    }
}

#[test]
fn auth_time_of_a_wrong_type_is_ignored_without_the_other_claims() {
    for time in [
        json!("1795348740"),
        json!(1_795_348_740.5),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!([NOW_S - 60]),
        json!(true),
    ] {
        let kept = auth(&json!({"auth_time": time, "amr": ["mfa"]}));
        assert_eq!((kept.auth_time, kept.mfa), (None, true), "{time}");
    }
}
