//! The key and the algorithm of a token's signature.

use super::*;

#[test]
fn a_signature_by_another_key_is_refused() {
    let forger = Signer::p256("es256");
    refused(verify_in(&known(), &forger.token(&claims()), Ask), "token_signature", "issuer `example`");
}

#[test]
fn a_key_in_the_tokens_header_is_not_used() {
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
fn algorithms_outside_the_issuers_list_are_refused() {
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
fn a_key_serves_only_its_own_algorithm() {
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
