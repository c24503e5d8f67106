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
fn what_conflicts_is_not_taken_by_another_identity_of_the_same_sponsor() {
    let refused = holding_deploy().take(holding(2, "bot-2", "approve-deploy"), &against("deploy", 0), at(1));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "it conflicts with `deploy`, which `bot-1` of the same sponsor holds: it can be asked for once grant \
         `grt_01ARZ3NDEKTSV4RRFFQ69G0001` has ended"
    );
    assert!(holding_deploy().take(holding(2, "bot-2", "read"), &against("other", 0), at(1)).is_ok());
}

#[test]
fn what_was_held_a_short_time_ago_is_still_in_the_way() {
    let mut held = holding_deploy();
    held.held[0].ended_at = Some(at(100));
    let take = |now| held.take(holding(2, "bot-2", "approve-deploy"), &against("deploy", 600), now);
    assert!(matches!(take(at(699)), Err(DutiesError::HeldBefore { free_at, .. }) if free_at == at(700)));
    assert!(take(at(700)).is_ok());
}

#[test]
fn an_end_is_remembered_as_long_as_it_was_said_to_be_and_then_forgotten() {
    let mut held = holding_deploy();
    held.held[0].ended_at = Some(at(100));
    let kept = |now| held.take(holding(2, "bot-1", "read"), &Duties::default(), now).unwrap().held.len();
    assert_eq!((kept(at(3_699)), kept(at(3_700))), (2, 1));
}

#[test]
fn nobody_has_more_at_once_than_they_may() {
    let capped = Duties { max_live: Some(1), ..Duties::default() };
    let held = holding_deploy();
    let refused = held.take(holding(2, "bot-1", "read"), &capped, at(1)).unwrap_err();
    assert!(refused.to_string().starts_with("`bot-1` may have 1 grants at once"), "{refused}");
    assert!(held.take(holding(2, "bot-2", "read"), &capped, at(1)).is_ok(), "another identity has its own");
}

#[test]
fn a_grant_and_its_renewal_count_as_one_and_a_third_of_the_row_has_to_wait() {
    let capped = Duties { max_live: Some(1), ..Duties::default() };
    let renewal = |n, of| Holding { renews: Some(grant(of)), ..holding(n, "bot-1", "deploy") };
    let mut held = holding_deploy().take(renewal(2, 1), &capped, at(1)).unwrap();
    assert!(matches!(held.take(holding(3, "bot-1", "read"), &capped, at(1)), Err(DutiesError::TooMany { .. })));
    let early = held.take(renewal(3, 2), &capped, at(1)).unwrap_err();
    assert_eq!(early, DutiesError::TooEarly { grant: grant(2), before: grant(1) });
    assert_eq!(held.in_the_way(&renewal(3, 2), &Duties::default()), [grant(1)], "it may have ended: worth a look");
    held.held[0].ended_at = Some(at(2));
    assert!(held.take(renewal(3, 2), &capped, at(3)).is_ok());
}

#[test]
fn a_renewal_of_what_is_not_held_makes_no_room() {
    let capped = Duties { max_live: Some(1), ..Duties::default() };
    let stranger = Holding { renews: Some(grant(7)), ..holding(2, "bot-1", "read") };
    assert!(matches!(holding_deploy().take(stranger, &capped, at(1)), Err(DutiesError::TooMany { .. })));
}

#[test]
fn nothing_is_forgotten_to_make_room() {
    let mut full = none();
    full.held = (0..Holdings::MAX).map(|n| holding(n, "bot-1", "read")).collect();
    let new = holding(9_999, "bot-2", "read");
    assert!(matches!(full.take(new.clone(), &Duties::default(), at(1)), Err(DutiesError::Full { .. })));
    assert_eq!(full.in_the_way(&new, &Duties::default()).len(), Holdings::MAX, "each is worth a look");
}

#[test]
fn a_full_record_fits_into_an_item() {
    let mut full = none();
    let name = "x".repeat(60);
    full.held = (0..Holdings::MAX)
        .map(|n| Holding { ended_at: Some(at(9)), renews: Some(grant(n)), ..holding(n, &name, &name) })
        .collect();
    let size = serde_json::to_string(&full).unwrap().len();
    assert!(size < 400_000, "{size}");
}

proptest! {
    /// Whatever is asked in whatever order: no two that conflict are ever live together, and no cap is passed.
    #[test]
    fn what_is_held_never_conflicts(asks in prop::collection::vec((0_u8..3, 0_u8..4, any::<bool>()), 0..80)) {
        let mut held = none();
        for (n, (who, what, ends)) in asks.into_iter().enumerate() {
            let now = at(u32::try_from(n).unwrap().saturating_mul(100));
            // 0 conflicts with 1, and 2 with 3.
            let (who, other) = (format!("bot-{who}"), format!("job-{}", what ^ 1));
            let duties = Duties { max_live: Some(3), remember_s: 500, ..against(&other, 500) };
            let new = Holding { taken_at: now, remember_s: 500, ..holding(n, &who, &format!("job-{what}")) };
            if let Ok(next) = held.take(new, &duties, now) { held = next; }
            if ends && let Some(one) = held.held.iter_mut().find(|one| one.ended_at.is_none()) {
                one.ended_at = Some(now);
            }
            let live: Vec<_> = held.held.iter().filter(|one| one.ended_at.is_none()).collect();
            for pair in [["job-0", "job-1"], ["job-2", "job-3"]] {
                let holds = |name: &str| live.iter().any(|one| one.entitlement.as_str() == name);
                prop_assert!(!(holds(pair[0]) && holds(pair[1])));
            }
            for n in 0..3 {
                let who = format!("bot-{n}");
                prop_assert!(live.iter().filter(|one| one.identity.as_str() == who).count() <= 3);
            }
        }
    }
}
