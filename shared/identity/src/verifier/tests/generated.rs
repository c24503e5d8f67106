//! Generated tokens: the verifier never panics, and accepts none.

use super::*;

proptest! {
    #[test]
    fn arbitrary_text_never_verifies_or_panics(text in "\\PC{0,200}") {
        prop_assert!(verify_in(&known(), &text, Ask).is_err());
    }

    #[test]
    fn arbitrary_parts_never_verify_or_panic(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        body in proptest::collection::vec(any::<u8>(), 0..80),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let token = format!("{}.{}.{}", b64(header), b64(body), b64(signature));
        prop_assert!(verify_in(&known(), &token, Ask).is_err());
    }

    #[test]
    fn unsigned_claims_never_verify(
        alg in prop::sample::select(vec!["ES256", "ES384", "RS256", "HS256", "none"]),
        kid in prop::sample::select(vec!["es256", "es384", "rs256"]),
        signature in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let token = format!("{}.{}.{}", b64(header), b64(claims().to_string()), b64(signature));
        prop_assert!(verify_in(&known(), &token, Ask).is_err());
    }

    #[test]
    fn a_valid_token_never_verifies_with_one_byte_changed_dropped_or_added(
        position in any::<prop::sample::Index>(),
        byte in 0x20_u8..0x7f,
        mutation in 0..3,
    ) {
        let valid = ES256.token(&claims());
        prop_assert!(verify_in(&known(), &valid, Ask).is_ok());
        let mut bytes = valid.clone().into_bytes();
        let position = position.index(bytes.len());
        match mutation {
            0 => bytes[position] = byte,
            1 => drop(bytes.remove(position)),
            _ => bytes.insert(position, byte),
        }
        let mutated = String::from_utf8(bytes).unwrap();
        prop_assume!(mutated != valid);
        prop_assert!(verify_in(&known(), &mutated, Ask).is_err());
    }
}
