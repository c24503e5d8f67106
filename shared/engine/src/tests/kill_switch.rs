//! The kill switch: the next tick ends every grant that a block covers, and Brevet records when none is left alive.

use brevet_domain::block::BlockScope;
use brevet_domain::grant::{Delivery, EndCause, Grant, State};
use brevet_domain::id::GrantId;
use brevet_domain::revocation::{IN_FLIGHT_S, Progress, Reason, RevocationAction, WideScope};

use super::attachments::submit_for;
use super::world::{TICK_S, World, active, approved, ask_for, id_of, proof, refused};
use crate::evaluate::revoke::KnownBlock;
use crate::fake::{Fault, run};
use crate::port::{Clock, RevocationReader};
use crate::refusal::{Refusal, RefusalKind};

fn reason() -> Reason {
    Reason::try_from("a laptop was stolen".to_owned()).unwrap()
}

fn wide(scope: &str) -> WideScope {
    scope.parse().unwrap()
}

fn act(world: &World, caller: &str, act: RevocationAction, scope: &str) -> Option<Result<KnownBlock, Refusal>> {
    run(world.kill_switch.act(&proof(caller), act, &wide(scope), &reason(), world.clock.now()))
}

fn kill(world: &World, scope: &str) -> KnownBlock {
    act(world, "omar approve", RevocationAction::Placed, scope).unwrap().unwrap()
}

fn lift(world: &World, scope: &str) -> KnownBlock {
    act(world, "lea approve", RevocationAction::Lifted, scope).unwrap().unwrap()
}

fn progress(world: &World, scope: &str) -> Progress {
    run(world.store.progress(&wide(scope))).unwrap().unwrap().expect("the kill-switch pass has recorded its progress")
}

fn is_killed(grant: &Grant) -> bool {
    match &grant.state {
        State::Revoking(revoking) => revoking.cause == EndCause::Killed,
        State::Withdrawn { cause, .. } | State::Ended { cause, .. } => *cause == EndCause::Killed,
        State::Denied { .. }
        | State::ApprovalAwaited { .. }
        | State::Lapsed { .. }
        | State::Approved { .. }
        | State::Activating { .. }
        | State::Active { .. } => false,
    }
}

/// Ticks until the kill-switch pass has proved that no covered grant is alive. Returns the number of ticks.
fn ticks_to_zero(world: &World, scope: &str, at_most: u32) -> u32 {
    for n in 1..=at_most {
        world.activate();
        world.tick().unwrap().unwrap();
        if progress(world, scope).zero_at.is_some() {
            return n;
        }
        world.clock.advance(TICK_S);
    }
    panic!("no zero after {at_most} ticks: {:?}", progress(world, scope));
}

/// Submits `n` requests of each requester and leaves grants in every live state. Returns the number of grants.
fn crowd(world: &World, n: usize) -> usize {
    world.tick();
    for n in 0..n {
        // The bot's grant: approved or active.
        let id = id_of(run(world.intake.submit(
            &proof("bot ask run-1"),
            &format!("b{n}"),
            ask_for("deploy"),
            world.clock.now(),
        )));
        if n % 2 == 0 {
            world.vend("bot credentials run-1", id).unwrap().unwrap();
        }
        // The agent's grant: awaiting approval, approved or active.
        let id = id_of(run(world.intake.submit(
            &proof("agent ask"),
            &format!("a{n}"),
            ask_for("deploy"),
            world.clock.now(),
        )));
        if n % 3 != 0 {
            world.vote("omar approve", id, true).unwrap().unwrap();
        }
        if n % 3 == 2 {
            world.vend("agent credentials", id).unwrap().unwrap();
        }
    }
    n.saturating_mul(2)
}

#[test]
fn block_ends_exactly_the_grants_it_covers_at_the_next_tick() {
    for (scope, covers) in [
        ("identity:bot", &["bot"][..]),
        ("class:agent", &["agent"]),
        ("sponsor:dana", &["bot", "agent"]),
        ("entitlement:deploy", &["bot", "agent"]),
        ("account:000000000000", &["bot", "agent"]),
        ("all", &["bot", "agent"]),
        ("entitlement:batch", &[]),
        ("identity:lea", &[]),
    ] {
        let world = World::new();
        let n_grants = crowd(&world, 12);
        kill(&world, scope);
        world.tick().unwrap().unwrap();
        let grants: Vec<Grant> = world.store.snapshot().grants().cloned().collect();
        assert_eq!(grants.len(), n_grants);
        for grant in &grants {
            let is_covered = covers.contains(&grant.identity.as_str());
            assert_eq!(is_killed(grant), is_covered, "{scope}: {:?}", grant.state);
            assert!(!(is_covered && world.can_act(grant.id)), "{scope}: {} can still act", grant.id);
        }
        ticks_to_zero(&world, scope, 6);
        let left = |grant: &&Grant| covers.contains(&grant.identity.as_str()) && !grant.state.is_terminal();
        assert_eq!(world.store.snapshot().grants().filter(left).count(), 0, "{scope}");
        assert_eq!(progress(&world, scope).n_alive, 0);
        world.assert_all_ends(scope);
    }
}

#[test]
fn block_ends_attachments_at_the_next_tick() {
    let world = World::new();
    world.tick();
    let (batch, sync) = (submit_for(&world, "bot", "batch").unwrap(), submit_for(&world, "other", "sync").unwrap());
    world.activate();
    assert!(world.can_act(batch) && world.can_act(sync));
    kill(&world, "entitlement:batch");
    world.tick();
    assert!(!world.can_act(batch), "the reaper detaches the policy at once");
    assert!(world.can_act(sync), "the other entitlement's grant stays");
    ticks_to_zero(&world, "entitlement:batch", 8);
    assert!(matches!(world.grant(batch).state, State::Ended { cause: EndCause::Killed, .. }));
    world.assert_all_ends("attachments");
}

/// Stores `n` copies of each grant in `ids`. Only the ids and session names differ.
fn multiply(world: &World, ids: &[GrantId], n: u32) {
    for id in ids {
        let like = world.grant(*id);
        for number in 0..n {
            let id = GrantId::from_ulid(ulid::Ulid::from_parts(id.ulid().timestamp_ms(), u128::from(number) << 8 | 7));
            let mut grant = Grant { id, ..like.clone() };
            if let Delivery::Session { session_name, .. } = &mut grant.delivery {
                *session_name = world.deployment.session_name(id);
            }
            world.store.overwrite(grant);
        }
        world.clock.advance(1);
    }
}

#[test]
fn kill_switch_ends_thousands_of_grants_over_several_passes_and_measures_zero() {
    let (world, session) = active();
    let mut like = vec![session];
    for (caller, key) in [("bot ask run-1", "approved"), ("agent ask", "awaited")] {
        world.clock.advance(1);
        like.push(id_of(world.submit(caller, key)));
    }
    multiply(&world, &like, 700);
    let n_grants = world.store.snapshot().grants().count();
    assert!(n_grants > 2_000);
    let placed = kill(&world, "sponsor:dana").latest;
    let mut alive_by_pass = Vec::new();
    let last = loop {
        // Every tenth port call takes one second of the pass's forty. The kill-switch pass may use half of them.
        let before = world.faults.n_calls();
        for number in (before + 1..before + 1_000).step_by(10) {
            let clock = world.clock.clone();
            world.faults.meanwhile(number, move || clock.advance(1));
        }
        let report = world.tick().unwrap().unwrap();
        world.faults.clear();
        alive_by_pass.push(report.n_blocked_alive);
        let recorded = run(world.store.progress(&wide("sponsor:dana"))).unwrap().unwrap();
        if let Some(recorded) = recorded.filter(|recorded| recorded.zero_at.is_some()) {
            break recorded;
        }
        assert!(alive_by_pass.len() < 400, "{alive_by_pass:?}");
        world.clock.advance(TICK_S);
    };
    assert!(alive_by_pass.iter().take(10).all(Option::is_none), "one pass is too short for so many: {alive_by_pass:?}");
    let left = world.store.snapshot().grants().filter(|grant| !(grant.state.is_terminal() && is_killed(grant))).count();
    assert_eq!((left, last.n_alive), (0, 0));
    assert_eq!(last.zero_after_s, last.zero_at.map(|at| at.seconds_since(placed.at)));
    println!("{n_grants} grants: zero after {:?} s and {} passes", last.zero_after_s, alive_by_pass.len());
}

#[test]
fn grant_stays_active_without_a_block_on_it() {
    let (world, id) = active();
    world.tick_for(4 * TICK_S);
    assert!(matches!(world.grant(id).state, State::Active { .. }) && world.can_act(id));
    kill(&world, "identity:agent");
    world.tick_for(4 * TICK_S);
    assert!(
        matches!(world.grant(id).state, State::Active { .. }) && world.can_act(id),
        "a block on another identity must not end it"
    );
}

#[test]
fn block_stops_decisions_and_vends_at_once_and_a_lift_revives_nothing() {
    let (world, id) = approved();
    kill(&world, "identity:bot");
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked");
    let denied = id_of(world.submit("bot ask run-1", "other"));
    assert!(matches!(world.grant(denied).state, State::Denied { .. }));
    ticks_to_zero(&world, "identity:bot", 6);
    let lifted = lift(&world, "identity:bot");
    assert_eq!((lifted.latest.version, lifted.latest.by.as_str()), (2, "lea"));
    world.tick();
    assert!(is_killed(&world.grant(id)), "lifting a block revives no grant");
    assert!(refused(world.vend("bot credentials run-1", id)).0 != RefusalKind::Unavailable);
    let fresh = id_of(world.submit("bot ask run-1", "fresh"));
    world.vend("bot credentials run-1", fresh).unwrap().unwrap();
    world.tick();
    assert!(world.can_act(fresh), "a new request after the lift is granted");
    world.assert_all_ends("lifted");
}

#[test]
fn block_placed_or_lifted_twice_is_stored_once_and_history_names_each_change() {
    let world = World::new();
    let (first, again) = (kill(&world, "all"), kill(&world, "all"));
    assert_eq!(first.latest, again.latest);
    lift(&world, "all");
    lift(&world, "all");
    kill(&world, "all");
    let (known, history) =
        run(world.kill_switch.read(&proof("lea approve"), &WideScope::ALL, world.clock.now())).unwrap().unwrap();
    assert_eq!((known.latest.version, history.len()), (3, 3));
    for (later, earlier) in history.iter().zip(history.iter().skip(1)) {
        assert_eq!(later.prev, brevet_domain::canonical::Digest::of(earlier).unwrap());
    }
    let page = run(world.kill_switch.list(&proof("omar approve"), None, 10, world.clock.now())).unwrap().unwrap();
    assert_eq!(page.known.len(), 1);
}

#[test]
fn kill_switch_refuses_everybody_but_permitted_humans() {
    let world = World::new();
    for (caller, code) in [
        ("omar ask", "token_audience"),
        ("omar credentials", "token_audience"),
        ("bot approve", "revoker_not_human"),
        ("agent approve", "revoker_not_human"),
        ("dana approve", "not_allowed"),
        ("nobody approve", "identity_unregistered"),
    ] {
        assert_eq!(refused(act(&world, caller, RevocationAction::Placed, "all")).1, code, "{caller}");
    }
    assert_eq!(refused(act(&world, "omar approve", RevocationAction::Lifted, "all")).1, "revocation_not_found");
    kill(&world, "all");
    assert_eq!(
        refused(act(&world, "omar approve", RevocationAction::Lifted, "all")).1,
        "not_allowed",
        "nobody may lift a block of their own"
    );
    let page = run(world.kill_switch.list(&proof("dana approve"), None, 10, world.clock.now())).unwrap().unwrap();
    assert_eq!(page.known, [], "a caller without read permission gets an empty list");
    let blocks = run(crate::port::GrantReader::blocks(&*world.store, &[BlockScope::All])).unwrap().unwrap();
    assert_eq!(blocks.len(), 1);
}

/// The decision reads the blocks before the kill and is stored after it.
#[test]
fn grant_decided_while_a_block_is_placed_is_ended() {
    for k in 1..40 {
        let world = World::new();
        world.tick();
        let before = world.faults.n_calls();
        let (other, clock) = (world.store.clone(), world.clock.clone());
        let placed = kill_record(&world);
        world.faults.meanwhile(before + k, move || {
            let _ = (&clock, run(crate::port::RevocationStore::revoke(&*other, &placed)));
        });
        world.submit("bot ask run-1", "key");
        let fired = world.faults.n_calls() >= before + k;
        world.faults.clear();
        if !fired {
            assert!(k > 8, "the use case makes {k} calls");
            return;
        }
        let zero = ticks_to_zero(&world, "identity:bot", 10);
        assert!(zero >= IN_FLIGHT_S.div_ceil(TICK_S), "call {k}: zero was proved while a decision could be in flight");
        assert!(world.store.snapshot().grants().all(|grant| grant.state.is_terminal()), "call {k}");
    }
    panic!("the use case never ended");
}

/// The record that a kill of the bot would store.
fn kill_record(world: &World) -> brevet_domain::revocation::Revocation {
    let other = World::new();
    let placed = kill(&other, "identity:bot").latest;
    assert_eq!(placed.version, 1);
    brevet_domain::revocation::Revocation { at: world.clock.now(), ..placed }
}

#[test]
fn kill_switch_ends_every_covered_grant_under_any_single_fault() {
    let story = |world: &World| -> Vec<GrantId> {
        world.tick();
        let session = id_of(world.submit("bot ask run-1", "s"));
        let awaited = id_of(world.submit("agent ask", "a"));
        let batch = submit_for(world, "bot", "batch").unwrap();
        world.vend("bot credentials run-1", session).unwrap().unwrap();
        world.activate();
        vec![session, awaited, batch]
    };
    let stop = |world: &World| {
        for _ in 0..3 {
            if let Some(Ok(_)) = act(world, "omar approve", RevocationAction::Placed, "sponsor:dana") {
                break;
            }
        }
        for _ in 0..3 {
            world.tick();
            world.clock.advance(TICK_S);
        }
    };
    let clean = World::new();
    story(&clean);
    let start = clean.faults.n_calls();
    stop(&clean);
    let n_calls = clean.faults.n_calls() - start;
    let mut n_fired = 0;
    for k in 1..=n_calls {
        for fault in Fault::ALL {
            let world = World::new();
            let ids = story(&world);
            world.faults.plan(start + k, fault);
            stop(&world);
            n_fired += world.faults.fired().len();
            let context = format!("call {k}, {fault:?}");
            world.faults.clear();
            ticks_to_zero(&world, "sponsor:dana", 20);
            for id in ids {
                assert!(world.grant(id).state.is_terminal(), "{context}: {:?}", world.grant(id).state);
                assert!(!world.can_act(id), "{context}: {id} can still act");
            }
            world.assert_all_ends(&context);
        }
    }
    assert!(n_fired > 400, "only {n_fired} faults fired");
    println!("{n_fired} faults fired at {n_calls} calls");
}

#[test]
fn pass_is_not_good_and_issuing_stops_when_revocations_cannot_be_read() {
    let (world, id) = approved();
    world.faults.plan_next("revocations", Fault::NotSent);
    let report = world.tick().unwrap().unwrap();
    assert_eq!((world.faults.fired().len(), report.good), (1, false));
    world.faults.clear();
    world.clock.advance(181);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "heartbeat_missing");
}

#[test]
fn kill_switch_counts_an_unreadable_grant_as_alive() {
    let (world, id) = approved();
    kill(&world, "identity:bot");
    world.faults.plan_next("commit", Fault::NotSent);
    world.tick();
    assert!(matches!(world.grant(id).state, State::Approved { .. }));
    assert_eq!(progress(&world, "identity:bot").n_alive, 1);
    world.clock.advance(IN_FLIGHT_S);
    world.faults.plan_next("grant", Fault::NotSent);
    world.tick();
    assert_eq!(world.faults.fired().len(), 2);
    let recorded = progress(&world, "identity:bot");
    assert_eq!((recorded.n_alive, recorded.zero_at), (1, None), "no kill-switch pass was complete");
    world.tick();
    assert!(is_killed(&world.grant(id)));
    assert!(progress(&world, "identity:bot").zero_at.is_some());
}

#[test]
fn kill_switch_withdraws_a_zero_when_a_lagging_record_is_alive() {
    let (world, id) = approved();
    let kept = world.grant(id);
    kill(&world, "identity:bot");
    ticks_to_zero(&world, "identity:bot", 6);
    let mut revived = kept;
    revived.version = world.grant(id).version;
    world.store.overwrite(revived);
    world.clock.advance(TICK_S);
    world.faults.plan_next("commit", Fault::NotSent);
    world.tick();
    let recorded = progress(&world, "identity:bot");
    assert_eq!((recorded.n_alive, recorded.zero_at), (1, None), "{recorded:?}");
}
