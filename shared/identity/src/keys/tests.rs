use serde_json::json;

use super::*;
use crate::testing::{ES256, ES384, RS256, Signer, jwks};

fn usable(jwk: Value) -> bool {
    PublicKey::from_jwk(&jwk).is_some()
}

#[test]
fn key_set_reads_keys_of_accepted_kinds() {
    for signer in [&*ES256, &*ES384, &*RS256] {
        assert!(usable(signer.jwk()));
        let mut bare = signer.jwk();
        for member in ["kid", "use", "alg"] {
            bare.as_object_mut().unwrap().remove(member);
        }
        assert!(usable(bare));
    }
}

#[test]
fn key_set_ignores_keys_of_other_kinds() {
    for (member, value) in [
        ("use", json!("enc")),
        ("alg", json!("ES384")),
        ("alg", json!("HS256")),
        ("key_ops", json!(["encrypt"])),
        ("key_ops", json!("verify")),
        ("kid", json!(7)),
        ("kty", json!("oct")),
        ("kty", json!("RSA")),
        ("crv", json!("P-384")),
        ("crv", json!("P-521")),
        ("x", json!("AAAA")),
        ("y", json!("!")),
        ("d", json!("AAAA")),
    ] {
        let mut jwk = ES256.jwk();
        jwk[member] = value.clone();
        assert!(!usable(jwk), "{member} {value}");
    }
    assert!(!usable(json!({"kty": "oct", "k": "AAAA", "alg": "HS256"})));
    assert!(!usable(json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})));
    assert!(!usable(json!("EC")));
}

#[test]
fn an_unsupported_key_does_not_hide_the_others() {
    let mut set = jwks([&*ES256]);
    let keys = set["keys"].as_array_mut().unwrap();
    keys.insert(0, json!({"kty": "AKP", "alg": "ML-DSA-44"}));
    keys.insert(1, json!(null));
    let set = KeySet::from_jwks(&set).unwrap();
    assert!(matches!(set.choose(Some("es256"), TokenAlgorithm::ES256), Choice::One(_)));
}

#[test]
fn two_keys_with_one_kid_and_algorithm_are_ambiguous() {
    let twin = Signer::p256("es256");
    let set = KeySet::from_jwks(&jwks([&*ES256, &twin])).unwrap();
    assert!(matches!(set.choose(Some("es256"), TokenAlgorithm::ES256), Choice::Several));
}

#[test]
fn json_without_a_key_set_is_refused() {
    for other in [json!({}), json!([]), json!({"keys": {}}), json!(null)] {
        let error = KeySet::from_jwks(&other).err().unwrap();
        assert!(error.to_string().contains("no array `keys`"), "{error}");
    }
}
