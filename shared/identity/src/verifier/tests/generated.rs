//! Whatever comes: no panic, and nobody is let in.

use super::*;

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
