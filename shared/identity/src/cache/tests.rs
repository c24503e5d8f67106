use serde_json::{Value, json};

use super::*;
use crate::testing::{
    Answer::{Down, Keys},
    ES256, ScriptedKeys, Signer, at, fetched_issuer, inline_issuer, jwks,
};

const HOUR: i64 = 3_600;

fn cache(keys: &Arc<ScriptedKeys>) -> KeyCache {
    KeyCache::new(Arc::clone(keys) as Arc<dyn KeySource>)
}

fn good() -> Value {
    jwks([&*ES256])
}

/// The code of the error, or `ok`.
async fn outcome(cache: &KeyCache, kid: &str, offset_s: i64) -> &'static str {
    let issuer = fetched_issuer();
    let key = cache.key(&issuer, Some(kid), TokenAlgorithm::ES256, at(offset_s));
    key.await.map_or_else(|error| error.code(), |_| "ok")
}

#[tokio::test]
async fn keys_are_fetched_once_and_cached() {
    let keys = ScriptedKeys::new([Keys(good())]);
    let cache = cache(&keys);
    for offset_s in [0, 1, 300, 599] {
        assert_eq!(outcome(&cache, "es256", offset_s).await, "ok");
    }
    assert_eq!(keys.played(), ["keys"]);
}

#[tokio::test]
async fn an_unknown_kid_refetches_at_most_once_a_minute() {
    let keys = ScriptedKeys::new([Keys(good()), Keys(good()), Keys(good())]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    for offset_s in [1, 2, 30, 59] {
        assert_eq!(outcome(&cache, "other", offset_s).await, "key_unknown");
    }
    assert_eq!(keys.played(), ["keys"]);
    for offset_s in [60, 61, 90, 119] {
        assert_eq!(outcome(&cache, "other", offset_s).await, "key_unknown");
    }
    assert_eq!(keys.played().len(), 2);
    assert_eq!(outcome(&cache, "other", 120).await, "key_unknown");
    assert_eq!(keys.played().len(), 3);
}

#[tokio::test]
async fn a_new_key_is_found_and_the_withdrawn_one_is_dropped() {
    let fresh = Signer::p256("fresh");
    let keys = ScriptedKeys::new([Keys(good()), Keys(jwks([&fresh]))]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    assert_eq!(outcome(&cache, "fresh", 100).await, "ok");
    assert_eq!(outcome(&cache, "es256", 101).await, "key_unknown");
    assert_eq!(keys.played(), ["keys", "keys"]);
}

#[tokio::test]
async fn a_withdrawn_key_is_dropped_by_the_refresh_after_ten_minutes() {
    let keys = ScriptedKeys::new([Keys(good()), Keys(json!({"keys": []}))]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    assert_eq!(outcome(&cache, "es256", 599).await, "ok");
    assert_eq!(outcome(&cache, "es256", 600).await, "key_unknown");
    assert_eq!(keys.played(), ["keys", "keys"]);
}

#[tokio::test]
async fn the_last_good_keys_serve_for_an_hour_while_the_endpoint_is_down() {
    let keys = ScriptedKeys::new([Keys(good()), Down, Down, Down, Down, Keys(good())]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    assert_eq!(outcome(&cache, "es256", 600).await, "ok");
    assert_eq!(keys.played(), ["keys", "down"], "the fault fired and the keys still serve");
    assert_eq!(outcome(&cache, "es256", 1_800).await, "ok");
    assert_eq!(outcome(&cache, "es256", HOUR - 1).await, "ok");
    assert_eq!(keys.played().len(), 4);
    // The last fetch was a second ago. The keys are an hour old, and refused without another fetch.
    assert_eq!(outcome(&cache, "es256", HOUR).await, "keys_unavailable");
    assert_eq!(keys.played().len(), 4);
    assert_eq!(outcome(&cache, "es256", HOUR + 60).await, "keys_unavailable");
    assert_eq!(keys.played(), ["keys", "down", "down", "down", "down"]);
    // The cache recovers by itself.
    assert_eq!(outcome(&cache, "es256", HOUR + 120).await, "ok");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_asked_at_most_once_a_minute() {
    let keys = ScriptedKeys::new([Down, Down]);
    let cache = cache(&keys);
    for offset_s in [0, 1, 30, 59, 60, 119] {
        assert_eq!(outcome(&cache, "es256", offset_s).await, "keys_unavailable");
    }
    assert_eq!(keys.played(), ["down", "down"]);
}

#[tokio::test]
async fn an_unknown_kid_is_keys_unavailable_while_the_endpoint_is_down() {
    let keys = ScriptedKeys::new([Keys(good()), Down, Keys(good())]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    assert_eq!(outcome(&cache, "other", 70).await, "keys_unavailable");
    assert_eq!(outcome(&cache, "other", 71).await, "keys_unavailable");
    assert_eq!(outcome(&cache, "es256", 72).await, "ok");
    assert_eq!(keys.played(), ["keys", "down"]);
    assert_eq!(outcome(&cache, "other", 130).await, "key_unknown");
}

#[tokio::test]
async fn an_answer_without_a_key_set_counts_as_down() {
    let keys = ScriptedKeys::new([Keys(good()), Keys(json!({"error": "maintenance"}))]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    assert_eq!(outcome(&cache, "es256", 700).await, "ok");
    assert_eq!(keys.played(), ["keys", "keys"]);
}

#[tokio::test]
async fn a_clock_set_back_does_not_keep_old_keys_alive() {
    let keys = ScriptedKeys::new([Keys(good()), Down]);
    let cache = cache(&keys);
    assert_eq!(outcome(&cache, "es256", 0).await, "ok");
    assert_eq!(outcome(&cache, "es256", -HOUR).await, "keys_unavailable");
    assert_eq!(keys.played(), ["keys", "down"]);
}

#[tokio::test]
async fn a_burst_of_callers_causes_one_fetch() {
    let keys = ScriptedKeys::new([Keys(good())]);
    let cache = cache(&keys);
    let (first, second, third) =
        tokio::join!(outcome(&cache, "es256", 0), outcome(&cache, "es256", 0), outcome(&cache, "other", 0));
    assert_eq!([first, second, third], ["ok", "ok", "key_unknown"]);
    assert_eq!(keys.played(), ["keys"]);
}

#[tokio::test]
async fn keys_unavailable_has_the_fetch_failure_as_its_source() {
    let cache = cache(&ScriptedKeys::new([Down]));
    let issuer = fetched_issuer();
    let key = cache.key(&issuer, None, TokenAlgorithm::ES256, at(0)).await;
    let error = key.err().unwrap();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the key endpoint answered 503 instead of 200");
}

#[tokio::test]
async fn inline_keys_need_no_fetch_and_invalid_ones_fail_closed() {
    let keys = ScriptedKeys::new([]);
    let cache = cache(&keys);
    for (jwks, expected) in [(good(), "ok"), (json!({"keys": []}), "key_unknown"), (json!({}), "keys_unavailable")] {
        let issuer = inline_issuer(&jwks);
        let key = cache.key(&issuer, Some("es256"), TokenAlgorithm::ES256, at(0));
        let outcome = key.await.map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(outcome, expected);
    }
    assert!(keys.played().is_empty());
}
