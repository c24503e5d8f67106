use proptest::prelude::*;

use super::*;

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

fn given(entitlements: &[&str], max_term_s: Option<u32>, until: Timestamp) -> Scope {
    let term = |seconds| Term::from_seconds(i64::from(seconds)).unwrap();
    Scope::Given {
        entitlements: entitlements.iter().map(|name| name.parse().unwrap()).collect(),
        max_term_s: max_term_s.map(term),
        until,
    }
}

fn delegation(scope: Scope) -> Delegation {
    Delegation {
        by: "ana".parse().unwrap(),
        to: "fix-agent".parse().unwrap(),
        version: 3,
        prev: Digest::ZERO,
        scope,
        at: at(0),
        proof: ProofSummary::Token {
            issuer: "okta".parse().unwrap(),
            subject: "00u-ana".to_owned(),
            token_digest: Digest::ZERO,
            issued_at: at(0),
            expires_at: at(300),
            auth: crate::identity::AuthContext::default(),
        },
    }
}

fn result(scope: Scope, entitlement: &str, term_s: u32, waits_s: u32, now: Timestamp) -> String {
    let entitlement = entitlement.parse().unwrap();
    let term = Term::from_seconds(i64::from(term_s)).unwrap();
    let asked = Use { entitlement: &entitlement, term, waits_s, start_within_s: 600 };
    delegation(scope).covers(asked, now).map_or_else(|error| error.to_string(), |start| format!("start in {start}"))
}

#[test]
fn uncovered_request_is_refused_with_the_reason() {
    let scope = || given(&["read-logs"], Some(300), at(3_600));
    let of = "the delegation of `ana` to `fix-agent`";
    for (scope, entitlement, term_s, waits_s, now, expected) in [
        (scope(), "read-logs", 300, 0, at(1), "start in 600".to_owned()),
        (scope(), "read-secret", 300, 0, at(1), format!("{of} does not cover `read-secret`")),
        (scope(), "read-logs", 301, 0, at(1), format!("{of} allows terms of at most 300 s; you asked for 301 s")),
        (scope(), "read-logs", 300, 0, at(3_600), format!("{of} ended at {}", at(3_600))),
        (scope(), "read-logs", 300, 2_800, at(0), "start in 500".to_owned()),
        (
            scope(),
            "read-logs",
            300,
            3_241,
            at(0),
            format!(
                "{of} ends at {}, and the grant could last longer: ask for a shorter term, or have the delegation renewed",
                at(3_600)
            ),
        ),
        (
            Scope::Ended,
            "read-logs",
            300,
            0,
            at(1),
            "`ana` has delegated nothing to `fix-agent`: `ana` must store a delegation first".to_owned(),
        ),
    ] {
        assert_eq!(result(scope, entitlement, term_s, waits_s, now), expected);
    }
}

#[test]
fn delegation_is_refused_when_too_long_or_without_valid_entitlements() {
    let check = |scope: Scope| scope.check(at(0)).map_err(|error| error.to_string());
    assert_eq!(check(given(&["read-logs"], None, at(MAX_DELEGATION_S))), Ok(()));
    assert_eq!(check(Scope::Ended), Ok(()));
    let late = check(given(&["read-logs"], None, at(MAX_DELEGATION_S + 1))).unwrap_err();
    assert!(late.starts_with("a delegation ends at most 30 days ahead, and after now"), "{late}");
    assert!(check(given(&["read-logs"], None, at(0))).is_err());
    assert_eq!(
        check(given(&[], None, at(60))),
        Err("a delegation names 1 to 50 entitlements; this one names 0".to_owned())
    );
    let many: Vec<String> = (0..=MAX_ENTITLEMENTS).map(|n| format!("read-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(check(given(&many, None, at(60))).is_err());
}

#[test]
fn delegation_version_is_kept_until_every_earlier_one_has_expired() {
    let earlier = delegation(given(&["read-logs"], None, at(MAX_DELEGATION_S)));
    let ended = Delegation { version: 4, at: at(1), ..delegation(Scope::Ended) };
    assert!(ended.drop_at() >= earlier.drop_at() && earlier.drop_at() > at(MAX_DELEGATION_S).plus(RETENTION_S - 1));
}

#[test]
fn immediate_start_is_refused_when_its_term_outlasts_the_delegation() {
    let entitlement = "read-logs".parse().unwrap();
    let asked = Use { entitlement: &entitlement, term: Term::SHORTEST, waits_s: 0, start_within_s: 0 };
    let delegation = delegation(given(&["read-logs"], None, at(360)));
    assert_eq!(delegation.covers(asked, at(300)).ok(), Some(0));
    let late = delegation.covers(asked, at(301));
    assert!(matches!(late, Err(DelegationError::Outlasts { .. })), "{late:?}");
}

proptest! {
    /// A covered grant ends with the delegation at the latest, however late the approvals and the start are.
    #[test]
    fn covered_grant_ends_before_its_delegation(
        (until_s, term_s, waits_s, start_within_s) in (1..20_000_u32, 60..43_200_u32, 0..4_000_u32, 0..4_000_u32),
        now_s in 0..20_000_u32,
    ) {
        let entitlement = "read-logs".parse().unwrap();
        let term = Term::from_seconds(i64::from(term_s)).unwrap();
        let asked = Use { entitlement: &entitlement, term, waits_s, start_within_s };
        if let Ok(start) = delegation(given(&["read-logs"], None, at(until_s))).covers(asked, at(now_s)) {
            prop_assert!(start <= start_within_s);
            prop_assert!(at(now_s).plus(waits_s).plus(start).plus(term_s) <= at(until_s));
        }
    }
}
