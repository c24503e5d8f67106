//! The kill switch: what a block covers ends at the next tick, and it is known when nothing of it lives any more.

use brevet_domain::block::BlockScope;
use brevet_domain::grant::{Delivery, EndCause, Grant, State};
use brevet_domain::id::GrantId;
use brevet_domain::revocation::{Act, IN_FLIGHT_S, Progress, Reason, WideScope};

use super::attaching::submit_for;
use super::world::{TICK_S, World, active, approved, ask_for, id_of, proof, refused};
use crate::fake::{Fault, run};
use crate::port::{Clock, RevocationReader};
use crate::refusal::{Refusal, RefusalKind};
use crate::revoke::Known;

fn reason() -> Reason {
    Reason::try_from("a laptop was stolen".to_owned()).unwrap()
}

fn wide(scope: &str) -> WideScope {
    scope.parse().unwrap()
}

fn act(world: &World, who: &str, act: Act, scope: &str) -> Option<Result<Known, Refusal>> {
    run(world.kill_switch.act(&proof(who), act, &wide(scope), &reason(), world.clock.now()))
}

fn kill(world: &World, scope: &str) -> Known {
    act(world, "omar approve", Act::Placed, scope).unwrap().unwrap()
}

fn lift(world: &World, scope: &str) -> Known {
    act(world, "lea approve", Act::Lifted, scope).unwrap().unwrap()
}

fn progress(world: &World, scope: &str) -> Progress {
    run(world.store.progress(&wide(scope))).unwrap().unwrap().expect("the walk has told its progress")
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

/// Ticks until zero is proved; answers after how many.
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

/// Asks again and again for each kind of thing, and leaves them in all the states that live. Answers how many there are.
fn crowd(world: &World, n: usize) -> usize {
    world.tick();
    for n in 0..n {
        // Of the bot: approved, or vended.
        let id = id_of(run(world.intake.submit(
            &proof("bot ask run-1"),
            &format!("b{n}"),
            ask_for("deploy"),
            world.clock.now(),
        )));
        if n % 2 == 0 {
            world.vend("bot credentials run-1", id).unwrap().unwrap();
        }
        // Of the agent: awaiting a person, or approved, or vended.
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
fn what_a_block_covers_ends_at_the_next_tick_and_nothing_else_does() {
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
            assert!(!(is_covered && world.can_act(grant.id)), "{scope}: {} acts on", grant.id);
        }
        ticks_to_zero(&world, scope, 6);
        let left = |grant: &&Grant| covers.contains(&grant.identity.as_str()) && !grant.state.is_terminal();
        assert_eq!(world.store.snapshot().grants().filter(left).count(), 0, "{scope}");
        assert_eq!(progress(&world, scope).n_alive, 0);
        world.assert_all_ends(scope);
    }
}

#[test]
fn attachments_end_with_a_block_too() {
    let world = World::new();
    world.tick();
    let (batch, sync) = (submit_for(&world, "bot", "batch").unwrap(), submit_for(&world, "other", "sync").unwrap());
    world.activate();
    assert!(world.can_act(batch) && world.can_act(sync));
    kill(&world, "entitlement:batch");
    world.tick();
    assert!(!world.can_act(batch), "what was attached is removed at once");
    assert!(world.can_act(sync), "others keep what they hold");
    ticks_to_zero(&world, "entitlement:batch", 8);
    assert!(matches!(world.grant(batch).state, State::Ended { cause: EndCause::Killed, .. }));
    world.assert_all_ends("attachments");
}

/// Puts `n` more grants beside each of `ids`, like it but for their names.
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
fn thousands_end_over_several_passes_and_zero_is_measured() {
    let (world, session) = active();
    let mut like = vec![session];
    for (who, key) in [("bot ask run-1", "approved"), ("agent ask", "awaited")] {
        world.clock.advance(1);
        like.push(id_of(world.submit(who, key)));
    }
    multiply(&world, &like, 700);
    let n_grants = world.store.snapshot().grants().count();
    assert!(n_grants > 2_000);
    let placed = kill(&world, "sponsor:dana").latest;
    let mut looked_at = Vec::new();
    let told = loop {
        // Each tenth port call takes a second of the forty that a pass has; half of them are for the walk.
        let before = world.faults.n_calls();
        for number in (before + 1..before + 1_000).step_by(10) {
            let clock = world.clock.clone();
            world.faults.meanwhile(number, move || clock.advance(1));
        }
        let report = world.tick().unwrap().unwrap();
        world.faults.clear();
        looked_at.push(report.n_blocked_alive);
        let told = run(world.store.progress(&wide("sponsor:dana"))).unwrap().unwrap();
        if let Some(told) = told.filter(|told| told.zero_at.is_some()) {
            break told;
        }
        assert!(looked_at.len() < 400, "{looked_at:?}");
        world.clock.advance(TICK_S);
    };
    assert!(looked_at.iter().take(10).all(Option::is_none), "no walk over so many fits into one pass: {looked_at:?}");
    let left = world.store.snapshot().grants().filter(|grant| !(grant.state.is_terminal() && is_killed(grant))).count();
    assert_eq!((left, told.n_alive), (0, 0));
    assert_eq!(told.zero_after_s, told.zero_at.map(|at| at.seconds_since(placed.at)));
    println!("{n_grants} grants: zero after {:?} s and {} passes", told.zero_after_s, looked_at.len());
}

#[test]
fn without_a_block_nothing_ends() {
    let (world, id) = active();
    world.tick_for(4 * TICK_S);
    assert!(matches!(world.grant(id).state, State::Active { .. }) && world.can_act(id));
    kill(&world, "identity:agent");
    world.tick_for(4 * TICK_S);
    assert!(matches!(world.grant(id).state, State::Active { .. }) && world.can_act(id), "another's block");
}

#[test]
fn a_block_stops_decisions_and_vends_at_once_and_lifting_brings_nothing_back() {
    let (world, id) = approved();
    kill(&world, "identity:bot");
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "blocked");
    let denied = id_of(world.submit("bot ask run-1", "other"));
    assert!(matches!(world.grant(denied).state, State::Denied { .. }));
    ticks_to_zero(&world, "identity:bot", 6);
    let lifted = lift(&world, "identity:bot");
    assert_eq!((lifted.latest.version, lifted.latest.by.as_str()), (2, "lea"));
    world.tick();
    assert!(is_killed(&world.grant(id)), "what was ended stays ended");
    assert!(refused(world.vend("bot credentials run-1", id)).0 != RefusalKind::Unavailable);
    let anew = id_of(world.submit("bot ask run-1", "anew"));
    world.vend("bot credentials run-1", anew).unwrap().unwrap();
    world.tick();
    assert!(world.can_act(anew), "what is asked anew is had anew");
    world.assert_all_ends("lifted");
}

#[test]
fn placing_and_lifting_twice_are_done_once_and_the_history_names_each() {
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
fn nobody_else_has_their_hands_on_the_switch() {
    let world = World::new();
    for (who, code) in [
        ("omar ask", "token_audience"),
        ("omar credentials", "token_audience"),
        ("bot approve", "revoker_not_human"),
        ("agent approve", "revoker_not_human"),
        ("dana approve", "not_allowed"),
        ("nobody approve", "identity_unregistered"),
    ] {
        assert_eq!(refused(act(&world, who, Act::Placed, "all")).1, code, "{who}");
    }
    assert_eq!(refused(act(&world, "omar approve", Act::Lifted, "all")).1, "revocation_not_found");
    kill(&world, "all");
    assert_eq!(refused(act(&world, "omar approve", Act::Lifted, "all")).1, "not_allowed", "their own block");
    let page = run(world.kill_switch.list(&proof("dana approve"), None, 10, world.clock.now())).unwrap().unwrap();
    assert_eq!(page.known, [], "and who may read nothing sees nothing");
    let blocks = run(crate::port::GrantReader::blocks(&*world.store, &[BlockScope::All])).unwrap().unwrap();
    assert_eq!(blocks.len(), 1);
}

/// A decision that had read the blocks before the kill, and is stored after it.
#[test]
fn what_is_decided_while_the_block_is_placed_does_not_live_on() {
    for k in 1..40 {
        let world = World::new();
        world.tick();
        let before = world.faults.n_calls();
        let (other, clock) = (world.store.clone(), world.clock.clone());
        let placed = kill_in_passing(&world);
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
        assert!(zero >= IN_FLIGHT_S.div_ceil(TICK_S), "call {k}: zero was proved while a decision could be under way");
        assert!(world.store.snapshot().grants().all(|grant| grant.state.is_terminal()), "call {k}");
    }
    panic!("the use case never ended");
}

/// The version that a kill of the bot would store.
fn kill_in_passing(world: &World) -> brevet_domain::revocation::Revocation {
    let other = World::new();
    let placed = kill(&other, "identity:bot").latest;
    assert_eq!(placed.version, 1);
    brevet_domain::revocation::Revocation { at: world.clock.now(), ..placed }
}

#[test]
fn any_one_fault_leaves_nothing_alive_that_a_block_covers() {
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
            if let Some(Ok(_)) = act(world, "omar approve", Act::Placed, "sponsor:dana") {
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
                assert!(!world.can_act(id), "{context}: {id} acts on");
            }
            world.assert_all_ends(&context);
        }
    }
    assert!(n_fired > 400, "only {n_fired} faults fired");
    println!("{n_fired} faults fired at {n_calls} calls");
}

#[test]
fn where_it_cannot_be_read_what_stands_no_pass_is_good_and_nothing_is_issued() {
    let (world, id) = approved();
    world.faults.plan_next("revocations", Fault::NotSent);
    let report = world.tick().unwrap().unwrap();
    assert_eq!((world.faults.fired().len(), report.good), (1, false));
    world.faults.clear();
    world.clock.advance(181);
    assert_eq!(refused(world.vend("bot credentials run-1", id)).1, "heart_stopped");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_ended() {
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
    let told = progress(&world, "identity:bot");
    assert_eq!((told.n_alive, told.zero_at), (1, None), "no walk came through");
    world.tick();
    assert!(is_killed(&world.grant(id)));
    assert!(progress(&world, "identity:bot").zero_at.is_some());
}

#[test]
fn a_lagging_record_that_is_found_alive_takes_a_zero_back() {
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
    let told = progress(&world, "identity:bot");
    assert_eq!((told.n_alive, told.zero_at), (1, None), "{told:?}");
}
