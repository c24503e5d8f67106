//! What every store keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_domain::confirmation::Confirmation;
use brevet_domain::evidence;
use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::id::GrantId;
use brevet_domain::request::{Ask, Request};
use brevet_domain::time::{Term, Timestamp};
use tokio::task::JoinSet;

use super::samples::{approved, at, change, decided, vote, withdrawn};
use crate::port::{
    Activation, Also, BundleSource, Commit, Counts, Delegations, DenyStore, DrillStore, Due, DueList, Findings,
    GrantReader, GrantStore, HeartStore, HoldingsReader, IdSource, InService, KeyClaim, PortError, PortResult,
    ProgressStore, RequestStore, ReviewReader, RevocationReader, RevocationStore, shard_of,
};

/// Publishes a bundle and puts it in force, as the deploying role does: no port offers that.
pub type Publish = Arc<dyn Fn(BundleText) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Puts the word that a table is in service, as the deploying role does: no port offers that.
pub type Confirm = Arc<dyn Fn(Confirmation) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The ports of one empty store.
#[derive(Clone)]
pub struct Ports {
    /// What intake writes.
    pub requests: Arc<dyn RequestStore>,
    /// What everybody reads.
    pub reader: Arc<dyn GrantReader>,
    /// What changes grants.
    pub grants: Arc<dyn GrantStore>,
    /// The reaper's to-do list.
    pub due: Arc<dyn DueList>,
    /// What sponsors' identities hold.
    pub holdings: Arc<dyn HoldingsReader>,
    /// What is delegated.
    pub delegations: Arc<dyn Delegations>,
    /// Who holds managed policies.
    pub counts: Arc<dyn Counts>,
    /// Uses of break-glass that await their review.
    pub reviews: Arc<dyn ReviewReader>,
    /// What is read of the kill switch.
    pub revocations: Arc<dyn RevocationReader>,
    /// Acts on it.
    pub revocation_store: Arc<dyn RevocationStore>,
    /// What the reaper tells of it.
    pub progress: Arc<dyn ProgressStore>,
    /// What the sweep found.
    pub findings: Arc<dyn Findings>,
    /// What drills showed.
    pub drills: Arc<dyn DrillStore>,
    /// Early ends.
    pub denies: Arc<dyn DenyStore>,
    /// The heart.
    pub heart: Arc<dyn HeartStore>,
    /// The bundle.
    pub bundles: Arc<dyn BundleSource>,
    /// Publishes a bundle.
    pub publish: Publish,
    /// Which table this is.
    pub service: Arc<dyn InService>,
    /// Puts the word that it is in service.
    pub confirm: Confirm,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

impl Ports {
    /// All ports of `store`.
    pub fn of<S>(store: Arc<S>, (publish, confirm): (Publish, Confirm), ids: Arc<dyn IdSource>) -> Self
    where
        S: RequestStore + GrantReader + GrantStore + DueList + Counts + HoldingsReader + Delegations + ReviewReader,
        S: InService
            + DenyStore
            + Findings
            + DrillStore
            + HeartStore
            + BundleSource
            + RevocationReader
            + RevocationStore
            + ProgressStore
            + 'static,
    {
        Self {
            requests: store.clone(),
            reader: store.clone(),
            grants: store.clone(),
            due: store.clone(),
            holdings: store.clone(),
            delegations: store.clone(),
            counts: store.clone(),
            reviews: store.clone(),
            revocations: store.clone(),
            revocation_store: store.clone(),
            progress: store.clone(),
            findings: store.clone(),
            drills: store.clone(),
            denies: store.clone(),
            heart: store.clone(),
            service: store.clone(),
            bundles: store,
            publish,
            confirm,
            ids,
        }
    }

    pub(super) async fn created(&self, identity: &str, now: Timestamp) -> Grant {
        let (decision, grant, entry) = decided(&*self.ids, identity, now);
        self.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
        grant
    }

    pub(super) async fn due_of(&self, id: GrantId, now: Timestamp) -> Vec<Due> {
        let page = self.due.due(DueRole::Reap, shard_of(id), now, None, 100).await.unwrap();
        page.lines.into_iter().filter(|line| line.id == id).collect()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! store_contract {
    ($made:expr) => {
        $crate::contract_tests! { store, $made,
            what_is_created_reads_back_whole
            nothing_is_created_over_a_decision_that_stands
            the_same_creation_again_is_the_same_creation
            a_change_moves_state_and_evidence_together
            a_change_of_another_version_changes_nothing
            the_same_change_again_is_the_same_change
            of_two_hundred_concurrent_changes_one_wins
            a_decision_is_used_once
            votes_are_added_only_to_the_votes_that_were_read
            evidence_reads_in_order_after_a_number
            a_key_names_one_request_for_a_day
            a_key_belongs_to_its_caller
            a_request_is_never_overwritten
        }
        $crate::contract_tests! { lists, $made,
            a_mark_is_due_at_once_and_its_block_outlives_it
            a_grant_is_due_when_its_next_instant_comes_and_never_again_once_terminal
            the_to_do_list_comes_in_pages_oldest_first
            grants_are_listed_by_identity_newest_first_in_pages
            a_cursor_that_was_not_handed_out_is_refused
        }
        $crate::contract_tests! { early_ends, $made,
            early_ends_are_listed_by_role_until_they_are_dropped
            an_early_end_stored_anew_is_not_dropped_for_the_old_one
            a_lease_has_one_holder_at_a_time
        }
        $crate::contract_tests! { service, $made,
            the_heart_is_the_last_that_beat
            a_beat_over_another_than_the_last_is_a_conflict
            the_table_tells_which_it_is_and_which_was_confirmed
            the_bundle_in_force_reads_back_by_its_parts
            a_bundle_of_many_and_long_parts_reads_back
        }
        $crate::contract_tests! { counts, $made,
            nobody_holds_what_was_never_counted
            holders_change_with_a_grant_or_not_at_all
            of_many_who_join_at_once_each_is_counted
            a_fuse_that_is_gone_can_be_put_out
        }
        $crate::contract_tests! { reviews, $made,
            a_use_awaits_its_review_from_its_decision_until_it_is_reviewed
            a_use_is_stored_once_and_taken_away_as_often_as_one_likes
            a_made_up_cursor_of_reviews_is_refused
        }
        $crate::contract_tests! { duties, $made,
            what_sponsors_hold_moves_with_a_decision_or_not_at_all
            of_two_hundred_conflicting_pairs_at_once_never_both_are_granted
        }
        $crate::contract_tests! { delegations, $made,
            the_latest_version_of_each_delegation_is_read
            every_delegation_of_a_human_is_listed
            a_version_of_a_delegation_is_never_written_over
            a_version_ends_grants_only_if_nothing_was_taken_meanwhile
            a_version_ends_more_grants_than_one_transaction_takes
            what_rests_on_a_delegation_is_decided_only_while_that_stands
        }
        $crate::contract_tests! { drills, $made,
            a_drill_is_a_chain_that_is_never_written_over
        }
        $crate::contract_tests! { findings, $made,
            findings_are_a_chain_that_is_never_written_over
            a_finding_and_its_count_are_written_together_or_not_at_all
        }
        $crate::contract_tests! { revocations, $made,
            a_block_stands_from_its_placing_to_its_lifting
            an_act_on_the_kill_switch_is_never_written_over
            every_block_is_listed_once_in_pages
            a_walk_that_began_earlier_does_not_hide_a_later_one
        }
    };
}

/// Tries again for a second, since indexes may lag.
pub(super) async fn eventually<T, F>(mut read: impl FnMut() -> F, is_right: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = PortResult<T>>,
{
    let mut seen = read().await.unwrap();
    for _ in 0..20 {
        if is_right(&seen) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen = read().await.unwrap();
    }
    seen
}

pub(super) fn is_conflict<T: fmt::Debug>(answer: PortResult<T>) {
    assert!(matches!(answer, Err(PortError::Conflict { .. })), "a conflict was expected: {answer:?}");
}

/// Decision, grant and evidence come back as they were, and the chain holds.
pub async fn what_is_created_reads_back_whole(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), None);
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), None);
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(grant.clone()));
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), Some(decision));
    assert_eq!(ports.reader.activation(grant.id).await.unwrap(), None);
    let entries = ports.reader.evidence(grant.id, 0, 10).await.unwrap();
    assert_eq!(entries, [entry]);
    evidence::verify(grant.id, grant.evidence, &entries).unwrap();
}

/// A second decision of the same request loses, and nothing of it stays.
pub async fn nothing_is_created_over_a_decision_that_stands(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    let other = change(&grant, approved(at(1)), &*ports.ids, at(1));
    is_conflict(ports.grants.create(&vote(&decision, "ada"), &other.after, &other.entry, &[]).await);
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(grant.clone()));
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), Some(decision));
    assert_eq!(ports.reader.evidence(grant.id, 0, 10).await.unwrap(), [entry]);
}

/// A creation whose answer got lost may be repeated.
pub async fn the_same_creation_again_is_the_same_creation(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    assert_eq!(ports.reader.evidence(grant.id, 0, 10).await.unwrap(), [entry]);
}

/// After a change, both the grant and its evidence tell it.
pub async fn a_change_moves_state_and_evidence_together(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let commit = change(&grant, approved(at(1)), &*ports.ids, at(1));
    ports.grants.commit(&commit).await.unwrap();
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(commit.after.clone()));
    let entries = ports.reader.evidence(grant.id, 0, 10).await.unwrap();
    evidence::verify(grant.id, commit.after.evidence, &entries).unwrap();
    assert_eq!(entries.len(), 2);
}

/// Whoever read an older version changes nothing, and leaves no evidence.
pub async fn a_change_of_another_version_changes_nothing(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let first = change(&grant, approved(at(1)), &*ports.ids, at(1));
    let late = change(&grant, withdrawn(at(2)), &*ports.ids, at(2));
    let unborn = change(&decided(&*ports.ids, "olga", at(0)).1, approved(at(1)), &*ports.ids, at(1));
    ports.grants.commit(&first).await.unwrap();
    is_conflict(ports.grants.commit(&late).await);
    is_conflict(ports.grants.commit(&unborn).await);
    // Each condition alone: evidence that would fit, but the version does not; and the other way round.
    let next = change(&first.after, withdrawn(at(2)), &*ports.ids, at(2));
    is_conflict(ports.grants.commit(&Commit { expected_version: grant.version, ..next.clone() }).await);
    is_conflict(ports.grants.commit(&Commit { entry: late.entry, ..next }).await);
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(first.after));
    assert_eq!(ports.reader.grant(unborn.after.id).await.unwrap(), None);
    assert_eq!(ports.reader.evidence(grant.id, 1, 10).await.unwrap(), [first.entry]);
    assert_eq!(ports.reader.evidence(unborn.after.id, 0, 10).await.unwrap(), []);
}

/// A change whose answer got lost may be repeated, even after the next change.
pub async fn the_same_change_again_is_the_same_change(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let first = change(&grant, approved(at(1)), &*ports.ids, at(1));
    ports.grants.commit(&first).await.unwrap();
    ports.grants.commit(&first).await.unwrap();
    let second = change(&first.after, withdrawn(at(2)), &*ports.ids, at(2));
    ports.grants.commit(&second).await.unwrap();
    ports.grants.commit(&first).await.unwrap();
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(second.after));
    assert_eq!(ports.reader.evidence(grant.id, 0, 10).await.unwrap().len(), 3);
}

/// How often in a row a change may be answered so that its outcome is unknown.
const MOST_UNKNOWN: usize = 20;

/// INVARIANT: every change is conditional on the version. Of many at once, exactly one is made.
pub async fn of_two_hundred_concurrent_changes_one_wins(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let commit = change(&grant, approved(at(1)), &*ports.ids, at(1));
        let grants = ports.grants.clone();
        tasks.spawn(async move {
            let mut outcome = grants.commit(&commit).await;
            // An emulator on a busy machine gives up waiting for its lock. What is unknown is asked again: that is the
            // same change, made or not.
            for _ in 0..MOST_UNKNOWN {
                if outcome.as_ref().is_ok() || outcome.as_ref().is_err_and(PortError::is_surely_without_effect) {
                    break;
                }
                outcome = grants.commit(&commit).await;
            }
            (commit, outcome)
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.len(), 200);
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(_, outcome)| outcome.is_ok());
    assert_eq!(won.len(), 1);
    for (_, outcome) in lost {
        // Contended: surely not done, though somebody else may not have won either.
        let surely = outcome.as_ref().is_err_and(PortError::is_surely_without_effect);
        assert!(surely, "{outcome:?}");
    }
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(won[0].0.after.clone()));
    assert_eq!(ports.reader.evidence(grant.id, 1, 10).await.unwrap(), [won[0].0.entry.clone()]);
}

/// INVARIANT: one decision, one activation, even if the grant was put back to before it.
pub async fn a_decision_is_used_once(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let activation = Activation { id: grant.id, deadline: at(61) };
    let using = |grant: &Grant, activation| Commit {
        also: vec![Also::Activation(activation)],
        ..change(grant, approved(at(1)), &*ports.ids, at(1))
    };
    let first = using(&grant, activation);
    ports.grants.commit(&first).await.unwrap();
    assert_eq!(ports.reader.activation(grant.id).await.unwrap(), Some(activation));
    // The version is right and the evidence is new: only the activation stands in the way, and stops all of it.
    let second = using(&first.after, Activation { id: grant.id, deadline: at(99) });
    is_conflict(ports.grants.commit(&second).await);
    assert_eq!(ports.reader.activation(grant.id).await.unwrap(), Some(activation));
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(first.after.clone()));
    assert_eq!(ports.reader.evidence(grant.id, first.entry.body.seq, 10).await.unwrap(), []);
}

/// Two votes at once: the second to be stored loses, with the change of the grant that came with it.
pub async fn votes_are_added_only_to_the_votes_that_were_read(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    let voting = |grant: &Grant, voted| Commit {
        also: vec![Also::Decision { decision: Box::new(voted), votes_before: 0 }],
        ..change(grant, approved(at(1)), &*ports.ids, at(1))
    };
    let first = voting(&grant, vote(&decision, "ada"));
    ports.grants.commit(&first).await.unwrap();
    is_conflict(ports.grants.commit(&voting(&first.after, vote(&decision, "bob"))).await);
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), Some(vote(&decision, "ada")));
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(first.after));
}

/// Evidence comes in the order of its numbers, from any of them, bounded; ten comes after nine.
pub async fn evidence_reads_in_order_after_a_number(ports: &Ports) {
    let mut grant = ports.created("olga", at(0)).await;
    for n in 1..=11 {
        let commit = change(&grant, approved(at(n)), &*ports.ids, at(n));
        ports.grants.commit(&commit).await.unwrap();
        grant = commit.after;
    }
    let all = ports.reader.evidence(grant.id, 0, 100).await.unwrap();
    evidence::verify(grant.id, grant.evidence, &all).unwrap();
    assert_eq!(all.len(), 12);
    let some = ports.reader.evidence(grant.id, 8, 3).await.unwrap();
    assert_eq!(some.iter().map(|entry| entry.body.seq).collect::<Vec<_>>(), [9, 10, 11]);
    assert_eq!(ports.reader.evidence(grant.id, 12, 10).await.unwrap(), []);
    assert_eq!(ports.reader.evidence(grant.id, u64::MAX, 10).await.unwrap(), []);
}

fn claim(ports: &Ports, caller: &str, at: Timestamp) -> KeyClaim {
    let id = ports.ids.grant_id(at);
    KeyClaim {
        caller: caller.parse().unwrap(),
        key: "run#42/1".to_owned(),
        body_digest: Digest::of_bytes(id.to_string().as_bytes()),
        id,
        at,
    }
}

/// The first claim of a key stands for 24 h; after that the key is free, whether or not the old claim is still there.
pub async fn a_key_names_one_request_for_a_day(ports: &Ports) {
    let first = claim(ports, "olga", at(0));
    assert_eq!(ports.requests.claim_key(&first).await.unwrap(), first);
    assert_eq!(ports.requests.claim_key(&first).await.unwrap(), first);
    let soon = claim(ports, "olga", at(86_399));
    assert_eq!(ports.requests.claim_key(&soon).await.unwrap(), first);
    let next_day = claim(ports, "olga", at(86_400));
    assert_eq!(ports.requests.claim_key(&next_day).await.unwrap(), next_day);
    assert_eq!(ports.requests.claim_key(&claim(ports, "olga", at(86_401))).await.unwrap(), next_day);
}

/// The same key of two callers is two keys.
pub async fn a_key_belongs_to_its_caller(ports: &Ports) {
    let (hers, his) = (claim(ports, "olga", at(0)), claim(ports, "oleg", at(0)));
    assert_eq!(ports.requests.claim_key(&hers).await.unwrap(), hers);
    assert_eq!(ports.requests.claim_key(&his).await.unwrap(), his);
}

/// What was asked first under an id stays.
pub async fn a_request_is_never_overwritten(ports: &Ports) {
    let id = ports.ids.grant_id(at(0));
    let request = |seconds| Request {
        id,
        ask: Ask {
            entitlement: "deploy-shop".parse().unwrap(),
            parameters: BTreeMap::from([("bucket".to_owned(), "acme-1".to_owned().try_into().unwrap())]),
            term_s: Term::from_seconds(seconds).unwrap(),
            ticket: Some("OPS-1".to_owned().try_into().unwrap()),
            justification: Some("because\nof \"this\"".to_owned().try_into().unwrap()),
            on_behalf_of: Some("olga".parse().unwrap()),
            renews: Some(id),
        },
        asked_at: at(0),
        decide_by: at(60),
    };
    assert_eq!(ports.reader.request(id).await.unwrap(), None);
    assert_eq!(ports.requests.put_request(&request(60)).await.unwrap(), request(60));
    assert_eq!(ports.requests.put_request(&request(90)).await.unwrap(), request(60));
    assert_eq!(ports.reader.request(id).await.unwrap(), Some(request(60)));
}
