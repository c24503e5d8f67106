use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::testing::{NOW_S, at, claims_with};

/// How the bearer of a good token with `changes` signed in, by `rule`; the token was issued at [`NOW_S`].
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
fn a_token_that_tells_of_no_sign_in_shows_none() {
    assert!(auth(&json!({})).is_unsaid());
}

#[test]
fn methods_class_and_time_are_kept_as_the_token_has_them() {
    let kept = auth(&json!({"amr": ["pwd", "otp"], "acr": "urn:two", "auth_time": NOW_S - 60}));
    let amr = vec!["pwd".to_owned(), "otp".to_owned()];
    let expected = AuthContext { mfa: false, amr, acr: Some("urn:two".to_owned()), auth_time: Some(at(-60)) };
    assert_eq!(kept, expected);
}

#[test]
fn unless_the_issuer_says_otherwise_the_method_mfa_alone_shows_two_factors() {
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
fn an_issuer_says_which_methods_and_classes_show_two_factors() {
    let both = rule(&["hwk", "swk"], &["urn:two", "urn:three"]);
    for told in [json!({"amr": ["pwd", "swk"]}), json!({"acr": "urn:three"}), json!({"amr": ["pwd"], "acr": "urn:two"})]
    {
        assert!(auth_by(&both, &told).mfa, "{told}");
    }
    // What the issuer names stands in place of what counts otherwise; a class is no method, and a method no class.
    for told in [json!({"amr": ["mfa"]}), json!({"acr": "hwk"}), json!({"amr": ["urn:two"]}), json!({"acr": "urn:one"})]
    {
        assert!(!auth_by(&both, &told).mfa, "{told}");
    }
    let by_class = rule(&[], &["urn:two"]);
    assert!(auth_by(&by_class, &json!({"acr": "urn:two"})).mfa);
    assert!(!auth_by(&by_class, &json!({"amr": ["mfa", "urn:two"]})).mfa);
}

#[test]
fn methods_of_another_form_show_nothing_not_even_those_that_are_right() {
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
        assert!(kept.is_unsaid(), "{amr}: {kept:?}");
    }
}

#[test]
fn a_class_of_another_form_shows_nothing() {
    let one = rule(&[], &["1", "true", "urn:two"]);
    for acr in [json!(1), json!(true), json!(["urn:two"]), json!({"urn:two": 1})] {
        let kept = auth_by(&one, &json!({"acr": acr}));
        assert!(kept.is_unsaid(), "{acr}: {kept:?}");
    }
}

#[test]
fn so_many_methods_are_kept_and_one_more_shows_nothing() {
    let methods = |n: usize| {
        let mut amr = vec!["pwd"; n - 1];
        amr.push("mfa");
        auth(&json!({"amr": amr}))
    };
    let most = methods(AuthContext::MAX_AMR);
    assert!(most.mfa && most.amr.len() == AuthContext::MAX_AMR);
    let more = methods(AuthContext::MAX_AMR + 1);
    assert!(more.is_unsaid(), "{more:?}");
}

#[test]
fn texts_are_kept_up_to_their_longest_in_bytes() {
    let (longest, longer) = ("x".repeat(AuthContext::MAX_TEXT), "x".repeat(AuthContext::MAX_TEXT + 1));
    let wide = "é".repeat(AuthContext::MAX_TEXT / 2 + 1);
    assert_eq!(auth(&json!({"acr": longest})).acr.as_deref(), Some(longest.as_str()));
    assert_eq!(auth(&json!({"amr": [longest]})).amr, std::slice::from_ref(&longest));
    for text in [&longer, &wide] {
        // Not even an issuer that names it makes it count, and what stands beside it is lost with it.
        let named = rule(&["mfa", text], &[text]);
        let kept = auth_by(&named, &json!({"amr": ["mfa", text], "acr": text}));
        assert!(kept.is_unsaid(), "{kept:?}");
    }
}

#[test]
fn a_sign_in_later_than_the_token_is_none() {
    assert_eq!(auth(&json!({"auth_time": NOW_S})).auth_time, Some(at(0)));
    for offset in [1, 60, 86_400] {
        assert_eq!(auth(&json!({"auth_time": NOW_S + offset})).auth_time, None, "{offset}");
    }
}

#[test]
fn a_time_of_another_form_shows_nothing_and_what_stands_beside_it_does() {
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
