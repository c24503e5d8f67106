use proptest::prelude::*;

use super::*;

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(1_795_348_800).plus(seconds)
}

fn grant(n: usize) -> GrantId {
    format!("grt_01ARZ3NDEKTSV4RRFFQ69G{n:04}").parse().unwrap()
}

fn holding(n: usize, who: &str, what: &str) -> Holding {
    Holding {
        grant: grant(n),
        identity: who.parse().unwrap(),
        entitlement: what.parse().unwrap(),
        taken_at: at(0),
        likely_over_at: at(900),
        remember_s: 3_600,
        renews: None,
        ended_at: None,
    }
}

fn against(what: &str, within_s: u32) -> Duties {
    Duties { conflicts: [(what.parse().unwrap(), within_s)].into(), ..Duties::default() }
}

fn none() -> Holdings {
    Holdings::none(&"dana".parse().unwrap())
}

fn holding_deploy() -> Holdings {
    none().take(holding(1, "bot-1", "deploy"), &Duties::default(), at(0)).unwrap()
}

#[test]
fn conflicting_grant_is_refused_to_another_identity_of_the_sponsor() {
    let refused = holding_deploy().take(holding(2, "bot-2", "approve-deploy"), &against("deploy", 0), at(1));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the entitlement conflicts with `deploy`, which `bot-1` of the same sponsor holds: request it again after \
         grant `grt_01ARZ3NDEKTSV4RRFFQ69G0001` has ended"
    );
    assert!(holding_deploy().take(holding(2, "bot-2", "read"), &against("other", 0), at(1)).is_ok());
}

#[test]
fn ended_grant_still_conflicts_for_its_time() {
    let mut held = holding_deploy();
    held.held[0].ended_at = Some(at(100));
    let take = |now| held.take(holding(2, "bot-2", "approve-deploy"), &against("deploy", 600), now);
    assert!(matches!(take(at(699)), Err(DutiesError::HeldBefore { free_at, .. }) if free_at == at(700)));
    assert!(take(at(700)).is_ok());
}

#[test]
fn ended_holding_is_kept_for_its_time_and_then_removed() {
    let mut held = holding_deploy();
    held.held[0].ended_at = Some(at(100));
    let kept = |now| held.take(holding(2, "bot-1", "read"), &Duties::default(), now).unwrap().held.len();
    assert_eq!((kept(at(3_699)), kept(at(3_700))), (2, 1));
}

#[test]
fn grant_is_refused_when_the_identity_has_its_maximum() {
    let capped = Duties { max_live: Some(1), ..Duties::default() };
    let held = holding_deploy();
    let refused = held.take(holding(2, "bot-1", "read"), &capped, at(1)).unwrap_err();
    assert!(refused.to_string().starts_with("`bot-1` may have 1 grants at once"), "{refused}");
    assert!(held.take(holding(2, "bot-2", "read"), &capped, at(1)).is_ok(), "another identity has its own limit");
}

#[test]
fn renewal_counts_with_its_grant_and_a_third_in_the_chain_is_refused() {
    let capped = Duties { max_live: Some(1), ..Duties::default() };
    let renewal = |n, of| Holding { renews: Some(grant(of)), ..holding(n, "bot-1", "deploy") };
    let mut held = holding_deploy().take(renewal(2, 1), &capped, at(1)).unwrap();
    assert!(matches!(held.take(holding(3, "bot-1", "read"), &capped, at(1)), Err(DutiesError::TooMany { .. })));
    let early = held.take(renewal(3, 2), &capped, at(1)).unwrap_err();
    assert_eq!(early, DutiesError::TooEarly { grant: grant(2), before: grant(1) });
    assert_eq!(held.in_the_way(&renewal(3, 2), &Duties::default()), [grant(1)], "it may have ended and must be read");
    held.held[0].ended_at = Some(at(2));
    assert!(held.take(renewal(3, 2), &capped, at(3)).is_ok());
}

#[test]
fn renewal_of_a_grant_not_held_counts_as_a_further_grant() {
    let capped = Duties { max_live: Some(1), ..Duties::default() };
    let stranger = Holding { renews: Some(grant(7)), ..holding(2, "bot-1", "read") };
    assert!(matches!(holding_deploy().take(stranger, &capped, at(1)), Err(DutiesError::TooMany { .. })));
}

#[test]
fn full_record_refuses_a_grant_and_removes_none() {
    let mut full = none();
    full.held = (0..Holdings::MAX).map(|n| holding(n, "bot-1", "read")).collect();
    let new = holding(9_999, "bot-2", "read");
    assert!(matches!(full.take(new.clone(), &Duties::default(), at(1)), Err(DutiesError::Full { .. })));
    assert_eq!(full.in_the_way(&new, &Duties::default()).len(), Holdings::MAX, "each may have ended and must be read");
}

#[test]
fn full_record_fits_into_a_table_item() {
    let mut full = none();
    let name = "x".repeat(60);
    full.held = (0..Holdings::MAX)
        .map(|n| Holding { ended_at: Some(at(9)), renews: Some(grant(n)), ..holding(n, &name, &name) })
        .collect();
    let size = serde_json::to_string(&full).unwrap().len();
    assert!(size < 400_000, "{size}");
}

proptest! {
    /// In any order of requests, no two conflicting grants are live together, and no limit is exceeded.
    #[test]
    fn live_holdings_never_conflict_or_exceed_a_limit(
        asks in prop::collection::vec((0_u8..3, 0_u8..4, any::<bool>()), 0..80),
    ) {
        let mut held = none();
        for (n, (identity, entitlement, ends)) in asks.into_iter().enumerate() {
            let now = at(u32::try_from(n).unwrap().saturating_mul(100));
            // 0 conflicts with 1, and 2 with 3.
            let (who, other) = (format!("bot-{identity}"), format!("job-{}", entitlement ^ 1));
            let duties = Duties { max_live: Some(3), remember_s: 500, ..against(&other, 500) };
            let new = Holding { taken_at: now, remember_s: 500, ..holding(n, &who, &format!("job-{entitlement}")) };
            if let Ok(next) = held.take(new, &duties, now) { held = next; }
            if ends && let Some(holding) = held.held.iter_mut().find(|holding| holding.ended_at.is_none()) {
                holding.ended_at = Some(now);
            }
            let live: Vec<_> = held.held.iter().filter(|holding| holding.ended_at.is_none()).collect();
            for pair in [["job-0", "job-1"], ["job-2", "job-3"]] {
                let holds = |name: &str| live.iter().any(|holding| holding.entitlement.as_str() == name);
                prop_assert!(!(holds(pair[0]) && holds(pair[1])));
            }
            for n in 0..3 {
                let who = format!("bot-{n}");
                prop_assert!(live.iter().filter(|holding| holding.identity.as_str() == who).count() <= 3);
            }
        }
    }
}
