//! The sweep removes access in AWS that carries this installation's names and belongs to no live grant.

use brevet_domain::attachment_target::AttachmentTarget;
use brevet_domain::deny::Denied;
use brevet_domain::finding::{Finding, FindingAction, FindingReason};
use brevet_domain::grant::{EndCause, State};
use brevet_domain::id::GrantId;

use super::attachments::{FENCE_S, release, state, submit_for};
use super::world::{BATCH, TERM_S, TICK_S, World, active, people, publish};
use crate::fake::{Fault, Faults, Snapshot};
use crate::port::Clock;
use crate::reap::LISTED_WITHIN_S;

const OTHER: &str = "arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-other";
const STRANGER: &str = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// A world after one reaper pass.
fn world() -> World {
    let world = World::new();
    world.tick();
    world
}

fn inline(world: &World, id: GrantId) -> AttachmentTarget {
    AttachmentTarget::Inline { principal_arn: BATCH.to_owned(), policy_name: world.deployment.inline_policy_name(id) }
}

fn managed(world: &World) -> AttachmentTarget {
    let policy_arn = world.deployment.managed_policy_arn(&"sync".parse().unwrap());
    AttachmentTarget::Managed { principal_arn: BATCH.to_owned(), policy_arn }
}

/// An inline policy named after a grant without a record.
fn stray(world: &World) -> AttachmentTarget {
    let target = inline(world, STRANGER.parse().unwrap());
    world.principals.tamper(&target, Some(ALLOW));
    target
}

const ALLOW: &str = r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

fn attached(world: &World, entitlement: &str) -> GrantId {
    let id = submit_for(world, entitlement, entitlement).unwrap();
    world.activate();
    assert_eq!(state(world, id), "Active");
    id
}

fn stands(world: &World, target: &AttachmentTarget) -> bool {
    world.principals.standing(target).is_some()
}

fn findings(world: &World) -> Vec<Finding> {
    world.store.peek(|held| held.findings().to_vec())
}

fn actions(world: &World) -> Vec<FindingAction> {
    findings(world).iter().map(|finding| finding.action).collect()
}

/// Replaces the table by an empty one, with the catalogue published again as the deploying role would.
fn lose_everything(world: &World) {
    world.store.restore(Snapshot::default());
    publish(&world.store, &people());
}

#[test]
fn sweep_removes_and_records_an_unexplained_inline_policy() {
    let world = world();
    let target = stray(&world);
    let report = world.tick().unwrap().unwrap();
    assert!(!stands(&world, &target));
    assert_eq!((report.n_swept, report.swept, report.good), (1, true, true));
    assert_eq!(actions(&world), [FindingAction::RemovalRecorded, FindingAction::GoneObserved]);
    let finding = &findings(&world)[0];
    assert_eq!(
        (&finding.target, &finding.reason),
        (&target, &FindingReason::NoRecord { grant: STRANGER.parse().unwrap() })
    );
    // INVARIANT: recorded first.
    let removed = world.principals.landed().into_iter().find_map(|write| write.number.filter(|_| write.put.is_none()));
    assert!(world.store.written_at(finding.id) < removed, "the finding is stored before the removal is called");
    assert_eq!(world.tick().unwrap().unwrap().n_swept, 0);
}

#[test]
fn sweep_never_touches_policies_with_other_names() {
    let world = world();
    let names = [
        "standing",
        "brevet-dev-input",
        "brevet-dev-2-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "brevet-prod-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "x-brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FA",
    ];
    let inline =
        |name: &str| AttachmentTarget::Inline { principal_arn: BATCH.to_owned(), policy_name: name.to_owned() };
    let managed = |arn: &str| AttachmentTarget::Managed { principal_arn: BATCH.to_owned(), policy_arn: arn.to_owned() };
    let mut targets: Vec<_> = names.into_iter().map(inline).collect();
    targets.extend(
        ["policy/brevet/prod/managed/brevet-prod-sync", "policy/brevet/dev/base/x", "policy/ReadOnly"]
            .map(|name| managed(&format!("arn:aws:iam::000000000000:{name}"))),
    );
    for target in &targets {
        world.principals.tamper(target, Some(ALLOW));
    }
    world.tick_for(60);
    assert!(targets.iter().all(|target| stands(&world, target)));
    assert_eq!(actions(&world), []);
}

#[test]
fn sweep_never_removes_live_attachments() {
    let world = world();
    let (batch, sync) = (attached(&world, "batch"), attached(&world, "sync"));
    world.tick_for(60);
    assert_eq!((state(&world, batch), state(&world, sync)), ("Active", "Active"));
    world.clock.advance(TERM_S);
    world.assert_all_ends("swept while they lived and ended");
    assert_eq!(actions(&world), [], "each policy is removed by the end of its own grant");
}

#[test]
fn sweep_ends_an_unlisted_grant_that_is_still_attached() {
    for entitlement in ["batch", "sync"] {
        let world = world();
        let id = attached(&world, entitlement);
        world.store.unlist(id);
        world.clock.advance(TERM_S + LISTED_WITHIN_S);
        let target = world.target(id).unwrap();
        assert!(stands(&world, &target), "{entitlement}");
        let report = world.tick().unwrap().unwrap();
        assert_eq!(
            (state(&world, id), stands(&world, &target), report.good),
            ("Revoking", false, true),
            "{entitlement}"
        );
        let entries = world.store.snapshot().evidence_of(id);
        let began = entries.iter().find(|entry| entry.body.event == "DeadlinePassed").unwrap();
        assert_eq!(began.body.detail["with"]["found_by"], "sweep", "{entitlement}");
        assert_eq!(actions(&world), [], "{entitlement}: the grant ends, without a finding");
        world.assert_all_ends("not listed as due");
    }
}

#[test]
fn sweep_never_removes_an_attachment_in_progress() {
    for entitlement in ["batch", "sync"] {
        let world = world();
        let id = submit_for(&world, "key", entitlement).unwrap();
        world.faults.plan_next("attach", Fault::CrashAfter);
        world.activate();
        assert_eq!((world.faults.fired().len(), state(&world, id)), (1, "Activating"), "{entitlement}");
        assert!(world.can_act(id), "{entitlement}: the policy is attached, but not yet recorded as present");
        assert!(world.tick().unwrap().unwrap().swept);
        assert_eq!((actions(&world), world.can_act(id)), (vec![], true), "{entitlement}");
        world.clock.advance(FENCE_S);
        world.activate();
        assert_eq!(state(&world, id), "Active", "{entitlement}");
    }
}

#[test]
fn sweep_keeps_a_policy_that_is_put_while_it_lists() {
    let mut n_tried = 0;
    for number in 1..40 {
        let world = std::sync::Arc::new(world());
        let id = submit_for(&world, "key", "batch").unwrap();
        let (number, meanwhile) = (world.faults.n_calls() + number, std::sync::Arc::clone(&world));
        world.faults.meanwhile(number, move || {
            meanwhile.activate();
        });
        world.tick();
        n_tried += usize::from(world.faults.n_calls() > number && state(&world, id) == "Active");
        assert_eq!(actions(&world), [], "call {number}");
    }
    assert!(n_tried > 10, "{n_tried}");
}

#[test]
fn sweep_removes_a_policy_that_is_put_back_after_its_grant_ended() {
    let world = world();
    let id = attached(&world, "batch");
    let document = world.principals.standing(&inline(&world, id)).unwrap();
    release(&world, id);
    world.clock.advance(FENCE_S);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    world.principals.tamper(&inline(&world, id), Some(&document));
    assert!(world.can_act(id));
    world.tick();
    assert!(!world.can_act(id));
    assert_eq!(findings(&world)[0].reason, FindingReason::NotHeld { grant: id, state: "Ended".to_owned() });
}

#[test]
fn sweep_detaches_an_unheld_managed_policy_and_delays_new_holders_past_the_fence() {
    let world = world();
    world.principals.tamper(&managed(&world), Some("attached"));
    world.tick();
    assert!(!stands(&world, &managed(&world)));
    assert_eq!(findings(&world)[0].reason, FindingReason::NoHolder);
    let id = submit_for(&world, "key", "sync").unwrap();
    world.activate();
    assert_eq!(state(&world, id), "Approved", "a detach that lands late would remove it");
    world.tick_for(60);
    assert_eq!(state(&world, id), "Active");
    assert!(world.can_act(id));
    world.clock.advance(TERM_S);
    world.tick_for(60);
    assert_eq!((state(&world, id), stands(&world, &managed(&world))), ("Ended", false));
}

#[test]
fn sweep_keeps_a_managed_policy_whose_holder_joins_while_it_reads() {
    let mut n_joined = 0;
    for number in 1..40 {
        let world = std::sync::Arc::new(world());
        world.principals.tamper(&managed(&world), Some("attached"));
        let id = submit_for(&world, "key", "sync").unwrap();
        let (number, meanwhile) = (world.faults.n_calls() + number, std::sync::Arc::clone(&world));
        world.faults.meanwhile(number, move || {
            // The stray attachment is removed just before, so that nothing prevents the grant from joining.
            meanwhile.principals.tamper(&managed(&meanwhile), None);
            meanwhile.activate();
        });
        world.tick();
        world.tick_for(60);
        n_joined += usize::from(state(&world, id) == "Active");
        let keeps = state(&world, id) != "Active" || world.can_act(id);
        assert!(keeps, "call {number}: a held policy was detached");
    }
    assert!(n_joined > 5, "{n_joined}");
}

#[test]
fn sweep_removes_all_access_after_the_table_was_emptied() {
    let world = world();
    let batch = attached(&world, "batch");
    attached(&world, "sync");
    let session = super::world::id_of(world.submit("bot ask run-1", "key"));
    world.vend("bot credentials run-1", session);
    world.release("bot ask run-1", session);
    world.tick();
    let can_act = |world: &World, id| {
        let name = world.deployment.session_name(id);
        let live = world.sts.live(&world.roles, &world.deployment.deny_policy_name());
        stands(world, &inline(world, id)) || live.iter().any(|session| session.plan.session_name == name)
    };
    assert!(!can_act(&world, session) && can_act(&world, batch) && stands(&world, &managed(&world)));
    lose_everything(&world);
    world.tick();
    assert!(!stands(&world, &inline(&world, batch)) && !stands(&world, &managed(&world)));
    assert!(!can_act(&world, session), "its time of issue keeps it denied");
    for _ in 0..2 * 3_900 / TICK_S {
        world.clock.advance(TICK_S);
        world.tick();
        assert!(!can_act(&world, session));
    }
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let reserved = world.roles.standing(&role, &world.deployment.deny_policy_name());
    assert_eq!(reserved, None, "the deny is removed once no session that it denies can live");
}

#[test]
fn sweep_ends_a_grant_that_an_older_table_revived() {
    let (world, id) = active();
    let backup = world.store.snapshot();
    world.release("bot ask run-1", id);
    world.tick_for(60);
    assert_eq!(state(&world, id), "Ended");
    world.store.restore(backup);
    assert_eq!(state(&world, id), "Active", "the older table says Active");
    world.tick();
    assert!(!world.can_act(id));
    let State::Revoking(revoking) = world.grant(id).state else { panic!("{:?}", world.grant(id).state) };
    assert_eq!(revoking.cause, EndCause::Drift);
    let entries = world.store.snapshot().evidence_of(id);
    let stopped = entries.iter().find(|entry| entry.body.event == "Stopped").unwrap();
    assert_eq!(stopped.body.detail["with"]["found_by"], "sweep");
    world.assert_all_ends("ended twice");
}

#[test]
fn session_named_only_by_the_deny_stays_denied_by_time_of_issue() {
    let (world, id) = active();
    let role = world.deployment.session_role_arn(&"deploy".parse().unwrap());
    let name = world.deployment.deny_policy_name();
    let unknown = brevet_domain::deny::document(["dev.01ARZ3NDEKTSV4RRFFQ69G5FAV"]).unwrap().unwrap();
    world.roles.tamper(&role, &name, Some(&unknown));
    let before = world.clock.now();
    world.tick();
    let denied = Denied::read(&world.roles.standing(&role, &name).unwrap());
    assert!(denied.names.is_empty() && denied.denies("dev.01ARZ3NDEKTSV4RRFFQ69G5FAV", before));
    assert!(denied.cut <= Some(before.plus(1)), "credentials issued from now on are not denied");
    assert_eq!(findings(&world)[0].reason, FindingReason::NoEntry { n_sessions: 1 });
    assert!(!world.can_act(id), "a live session of the role is denied too");
    world.clock.advance(2);
    world.vend("bot credentials run-1", id).unwrap().unwrap();
    assert!(world.can_act(id), "new credentials work");
    world.tick();
    assert!(world.can_act(id), "the deny by time of issue is written once, not at every tick");
}

/// One fault at every port call of a tick that sweeps.
#[test]
fn sweep_records_then_removes_a_stray_policy_under_any_single_fault() {
    let mut fired = 0;
    for number in 1..60 {
        for fault in Fault::ALL {
            let world = world();
            let targets = [stray(&world), managed(&world)];
            world.principals.tamper(&targets[1], Some("attached"));
            world.faults.plan(world.faults.n_calls() + number, fault);
            world.tick();
            fired += world.faults.fired().len();
            world.faults.clear();
            world.clock.advance(5);
            for _ in 0..3 {
                world.tick();
                world.clock.advance(TICK_S);
            }
            assert!(!targets.iter().any(|target| stands(&world, target)), "call {number}, {fault:?}");
            assert_recorded_first(&world, &format!("call {number}, {fault:?}"));
        }
    }
    assert!(fired > 100, "{fired}");
}

fn assert_recorded_first(world: &World, context: &str) {
    for write in world.principals.landed() {
        let (Some(number), None) = (write.number, &write.put) else { continue };
        let of_target = findings(world).into_iter().filter(|finding| finding.target == write.target);
        let recorded = of_target.filter(|finding| finding.action == FindingAction::RemovalRecorded);
        let first = recorded.filter_map(|finding| world.store.written_at(finding.id));
        assert!(
            first.min().is_some_and(|at| at < number),
            "{context}: {:?} was removed before its finding was stored",
            write.target
        );
    }
}

#[test]
fn sweep_continues_where_the_previous_one_ran_out_of_time() {
    let world = world();
    world.principals.add(OTHER, None);
    let target = stray(&world);
    let AttachmentTarget::Inline { policy_name, .. } = target.clone() else { panic!() };
    let far = AttachmentTarget::Inline { principal_arn: OTHER.to_owned(), policy_name };
    world.principals.tamper(&far, Some(ALLOW));
    let slow = |faults: &Faults| {
        for number in faults.n_calls() + 1..faults.n_calls() + 100 {
            let clock = world.clock.clone();
            faults.meanwhile(number, move || clock.advance(1));
        }
    };
    slow(&world.faults);
    let report = world.tick().unwrap().unwrap();
    assert!(
        !report.swept && stands(&world, &far) != stands(&world, &target),
        "exactly one target was swept: {report:?}"
    );
    // A policy that is put back again and again does not keep the sweep from the others.
    let (swept, next) = if stands(&world, &far) { (&target, &far) } else { (&far, &target) };
    world.principals.tamper(swept, Some(ALLOW));
    world.faults.clear();
    slow(&world.faults);
    let report = world.tick().unwrap().unwrap();
    assert!(!report.swept && stands(&world, swept) && !stands(&world, next), "{report:?}");
}

#[test]
fn sweep_that_cannot_list_is_reported_as_not_swept() {
    let world = world();
    for call in ["roles", "standing"] {
        world.faults.plan_next(call, Fault::Throttled);
        let report = world.tick().unwrap().unwrap();
        assert_eq!((report.swept, report.n_failed), (false, 1), "{call}: {report:?}");
        assert!(report.good, "due grants are still processed");
        assert!(world.tick().unwrap().unwrap().swept);
    }
}
