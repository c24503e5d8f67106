//! The contract of every store.

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
    Activation, AttachmentHoldersReader, BundleSource, Commit, Delegations, DenyStore, DrillStore, Due, DueList,
    Findings, GrantReader, GrantStore, HoldingsReader, IdSource, InService, KeyClaim, PortError, PortResult,
    ProgressStore, ReaperHealthStore, RequestStore, ReviewReader, RevocationReader, RevocationStore, TransactionItem,
    shard_of,
};

/// Publishes a bundle and puts it in force, as the deploying role does. No port offers that.
pub type Publish = Arc<dyn Fn(BundleText) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Stores a confirmation that a table is in service, as the deploying role does. No port offers that.
pub type Confirm = Arc<dyn Fn(Confirmation) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The ports of one empty store.
#[derive(Clone)]
pub struct Ports {
    pub requests: Arc<dyn RequestStore>,
    pub reader: Arc<dyn GrantReader>,
    pub grants: Arc<dyn GrantStore>,
    /// The reaper's due list.
    pub due: Arc<dyn DueList>,
    pub holdings: Arc<dyn HoldingsReader>,
    pub delegations: Arc<dyn Delegations>,
    /// The holders of managed attachments.
    pub holders: Arc<dyn AttachmentHoldersReader>,
    /// Break-glass uses that await their review.
    pub reviews: Arc<dyn ReviewReader>,
    /// Reads of the kill switch.
    pub revocations: Arc<dyn RevocationReader>,
    /// Acts on the kill switch.
    pub revocation_store: Arc<dyn RevocationStore>,
    /// The progress of the kill switch, as the reaper records it.
    pub progress: Arc<dyn ProgressStore>,
    /// The sweep's findings.
    pub findings: Arc<dyn Findings>,
    pub drills: Arc<dyn DrillStore>,
    pub denies: Arc<dyn DenyStore>,
    pub reaper_health: Arc<dyn ReaperHealthStore>,
    pub bundles: Arc<dyn BundleSource>,
    pub publish: Publish,
    /// The table's identity and confirmation.
    pub service: Arc<dyn InService>,
    /// Stores a confirmation.
    pub confirm: Confirm,
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
        S: RequestStore
            + GrantReader
            + GrantStore
            + DueList
            + AttachmentHoldersReader
            + HoldingsReader
            + Delegations
            + ReviewReader,
        S: InService
            + DenyStore
            + Findings
            + DrillStore
            + ReaperHealthStore
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
            holders: store.clone(),
            reviews: store.clone(),
            revocations: store.clone(),
            revocation_store: store.clone(),
            progress: store.clone(),
            findings: store.clone(),
            drills: store.clone(),
            denies: store.clone(),
            reaper_health: store.clone(),
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
            created_grant_reads_back_with_decision_and_evidence
            creation_over_an_existing_decision_is_refused
            repeated_creation_succeeds_and_changes_nothing
            change_stores_state_and_evidence_together
            change_of_another_version_is_refused
            repeated_change_succeeds_and_changes_nothing
            one_of_two_hundred_concurrent_changes_wins
            decision_is_activated_once
            votes_are_added_only_to_the_votes_that_were_read
            evidence_reads_in_order_after_a_number
            idempotency_key_names_one_request_for_a_day
            idempotency_key_belongs_to_its_caller
            request_is_never_overwritten
        }
        $crate::contract_tests! { lists, $made,
            mark_is_due_at_once_and_its_block_outlives_it
            grant_is_due_from_its_next_instant_until_it_is_terminal
            due_list_comes_in_pages_oldest_first
            grants_are_listed_by_identity_newest_first_in_pages
            invalid_grant_cursor_is_refused
        }
        $crate::contract_tests! { early_ends, $made,
            early_ends_are_listed_by_role_until_they_are_dropped
            newer_early_end_is_not_dropped_for_an_older_one
            lease_has_one_holder_at_a_time
        }
        $crate::contract_tests! { service, $made,
            reaper_health_is_the_last_heartbeat
            heartbeat_over_another_than_the_last_is_a_conflict
            table_identity_is_stable_and_its_confirmation_reads_back
            bundle_in_force_reads_back_by_its_parts
            bundle_of_many_and_long_parts_reads_back
        }
        $crate::contract_tests! { holders, $made,
            managed_attachment_without_a_record_has_no_holders
            holders_change_with_a_grant_or_not_at_all
            concurrent_joins_are_all_recorded
            missing_backstop_can_be_removed
        }
        $crate::contract_tests! { reviews, $made,
            use_awaits_its_review_from_its_decision_until_it_is_reviewed
            use_is_stored_once_and_its_removal_can_be_repeated
            invalid_review_cursor_is_refused
        }
        $crate::contract_tests! { duties, $made,
            holdings_change_with_a_decision_or_not_at_all
            one_of_each_of_two_hundred_concurrent_conflicting_pairs_is_granted
        }
        $crate::contract_tests! { delegations, $made,
            latest_version_of_each_delegation_is_read
            every_delegation_of_a_human_is_listed
            delegation_version_is_never_overwritten
            delegation_version_ends_grants_only_if_none_was_taken_meanwhile
            delegation_version_ends_more_grants_than_one_transaction_takes
            decision_on_behalf_is_stored_only_while_its_delegation_is_the_latest
        }
        $crate::contract_tests! { drills, $made,
            drill_chain_is_never_overwritten
        }
        $crate::contract_tests! { findings, $made,
            finding_chain_is_never_overwritten
            finding_and_holders_are_written_together_or_not_at_all
        }
        $crate::contract_tests! { revocations, $made,
            block_exists_from_its_placing_to_its_lifting
            kill_switch_act_is_never_overwritten
            every_block_is_listed_once_in_pages
            earlier_progress_does_not_overwrite_a_later_one
        }
    };
}

/// Reads again for up to a second, because indexes may lag.
pub(super) async fn eventually<T, F>(mut read: impl FnMut() -> F, is_right: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = PortResult<T>>,
{
    let mut found = read().await.unwrap();
    for _ in 0..20 {
        if is_right(&found) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = read().await.unwrap();
    }
    found
}

pub(super) fn is_conflict<T: fmt::Debug>(answer: PortResult<T>) {
    assert!(matches!(answer, Err(PortError::Conflict { .. })), "expected a conflict, got {answer:?}");
}

/// Decision, grant and evidence are read back as they were written, and the chain is valid.
pub async fn created_grant_reads_back_with_decision_and_evidence(ports: &Ports) {
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

/// A second decision of the same request is refused, and nothing of it is stored.
pub async fn creation_over_an_existing_decision_is_refused(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    let other = change(&grant, approved(at(1)), &*ports.ids, at(1));
    is_conflict(ports.grants.create(&vote(&decision, "ada"), &other.after, &other.entry, &[]).await);
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(grant.clone()));
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), Some(decision));
    assert_eq!(ports.reader.evidence(grant.id, 0, 10).await.unwrap(), [entry]);
}

/// A creation can be repeated after a lost answer.
pub async fn repeated_creation_succeeds_and_changes_nothing(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    assert_eq!(ports.reader.evidence(grant.id, 0, 10).await.unwrap(), [entry]);
}

/// After a change, both the grant and its evidence show it.
pub async fn change_stores_state_and_evidence_together(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let commit = change(&grant, approved(at(1)), &*ports.ids, at(1));
    ports.grants.commit(&commit).await.unwrap();
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(commit.after.clone()));
    let entries = ports.reader.evidence(grant.id, 0, 10).await.unwrap();
    evidence::verify(grant.id, commit.after.evidence, &entries).unwrap();
    assert_eq!(entries.len(), 2);
}

/// A change based on an older version changes nothing and leaves no evidence.
pub async fn change_of_another_version_is_refused(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let first = change(&grant, approved(at(1)), &*ports.ids, at(1));
    let late = change(&grant, withdrawn(at(2)), &*ports.ids, at(2));
    let uncreated = change(&decided(&*ports.ids, "olga", at(0)).1, approved(at(1)), &*ports.ids, at(1));
    ports.grants.commit(&first).await.unwrap();
    is_conflict(ports.grants.commit(&late).await);
    is_conflict(ports.grants.commit(&uncreated).await);
    // Each condition alone: matching evidence with the wrong version, and the reverse.
    let next = change(&first.after, withdrawn(at(2)), &*ports.ids, at(2));
    is_conflict(ports.grants.commit(&Commit { expected_version: grant.version, ..next.clone() }).await);
    is_conflict(ports.grants.commit(&Commit { entry: late.entry, ..next }).await);
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(first.after));
    assert_eq!(ports.reader.grant(uncreated.after.id).await.unwrap(), None);
    assert_eq!(ports.reader.evidence(grant.id, 1, 10).await.unwrap(), [first.entry]);
    assert_eq!(ports.reader.evidence(uncreated.after.id, 0, 10).await.unwrap(), []);
}

/// A change can be repeated after a lost answer, even after the next change.
pub async fn repeated_change_succeeds_and_changes_nothing(ports: &Ports) {
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

/// The maximum number of times in a row that a change may get an unknown outcome.
const MOST_UNKNOWN: usize = 20;

/// INVARIANT: every change is conditional on the version. Of many concurrent changes, exactly one succeeds.
pub async fn one_of_two_hundred_concurrent_changes_wins(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let commit = change(&grant, approved(at(1)), &*ports.ids, at(1));
        let grants = ports.grants.clone();
        tasks.spawn(async move {
            let mut outcome = grants.commit(&commit).await;
            // An emulator on a busy machine gives up waiting for its lock. An unknown outcome is retried with the same
            // change, whether it was made or not.
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
        // A contended change is surely not done, even if no other one has won either.
        let surely = outcome.as_ref().is_err_and(PortError::is_surely_without_effect);
        assert!(surely, "{outcome:?}");
    }
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(won[0].0.after.clone()));
    assert_eq!(ports.reader.evidence(grant.id, 1, 10).await.unwrap(), [won[0].0.entry.clone()]);
}

/// INVARIANT: one decision, one activation, even if the grant was rewound to before it.
pub async fn decision_is_activated_once(ports: &Ports) {
    let grant = ports.created("olga", at(0)).await;
    let activation = Activation { id: grant.id, deadline: at(61) };
    let using = |grant: &Grant, activation| Commit {
        items: vec![TransactionItem::Activation(activation)],
        ..change(grant, approved(at(1)), &*ports.ids, at(1))
    };
    let first = using(&grant, activation);
    ports.grants.commit(&first).await.unwrap();
    assert_eq!(ports.reader.activation(grant.id).await.unwrap(), Some(activation));
    // The version is right and the evidence is new. Only the existing activation prevents the whole transaction.
    let second = using(&first.after, Activation { id: grant.id, deadline: at(99) });
    is_conflict(ports.grants.commit(&second).await);
    assert_eq!(ports.reader.activation(grant.id).await.unwrap(), Some(activation));
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(first.after.clone()));
    assert_eq!(ports.reader.evidence(grant.id, first.entry.body.seq, 10).await.unwrap(), []);
}

/// Of two concurrent votes, the second to be stored is refused, together with its change of the grant.
pub async fn votes_are_added_only_to_the_votes_that_were_read(ports: &Ports) {
    let (decision, grant, entry) = decided(&*ports.ids, "olga", at(0));
    ports.grants.create(&decision, &grant, &entry, &[]).await.unwrap();
    let voting = |grant: &Grant, voted| Commit {
        items: vec![TransactionItem::Decision { decision: Box::new(voted), votes_before: 0 }],
        ..change(grant, approved(at(1)), &*ports.ids, at(1))
    };
    let first = voting(&grant, vote(&decision, "ada"));
    ports.grants.commit(&first).await.unwrap();
    is_conflict(ports.grants.commit(&voting(&first.after, vote(&decision, "bob"))).await);
    assert_eq!(ports.reader.decision(grant.id).await.unwrap(), Some(vote(&decision, "ada")));
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(first.after));
}

/// Evidence is read in the order of its numbers, after any of them, up to a limit. Ten comes after nine.
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

/// The first claim of a key holds for 24 h. After that the key is free, whether or not the old claim is still stored.
pub async fn idempotency_key_names_one_request_for_a_day(ports: &Ports) {
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
pub async fn idempotency_key_belongs_to_its_caller(ports: &Ports) {
    let (hers, his) = (claim(ports, "olga", at(0)), claim(ports, "oleg", at(0)));
    assert_eq!(ports.requests.claim_key(&hers).await.unwrap(), hers);
    assert_eq!(ports.requests.claim_key(&his).await.unwrap(), his);
}

/// The first request under an id stays.
pub async fn request_is_never_overwritten(ports: &Ports) {
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
