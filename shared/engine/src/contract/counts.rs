//! What every store keeps of the holders of managed policies, and of fuses.

use brevet_domain::count::Count;
use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use tokio::task::JoinSet;

use super::samples::{approved, at, change};
use super::store::{Ports, is_conflict};
use crate::port::{Also, Commit, Fuse};

const POLICY: &str = "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-sync";

/// A principal of its own for each check: stores may be shared.
fn principal(ports: &Ports) -> String {
    format!("arn:aws:iam::000000000000:role/vendor/{}", ports.ids.grant_id(at(0)).ulid())
}

fn with(grant: &Grant, also: Also, ports: &Ports) -> Commit {
    Commit { also: vec![also], ..change(grant, approved(at(1)), &*ports.ids, at(1)) }
}

/// What was never counted reads as held by nobody.
pub async fn nobody_holds_what_was_never_counted(ports: &Ports) {
    let principal = principal(ports);
    assert_eq!(ports.counts.count(&principal, POLICY).await.unwrap(), Count::nobody(&principal, POLICY));
}

/// Holders move with the grant that changes them, in one write; whoever read an older count changes nothing.
pub async fn holders_change_with_a_grant_or_not_at_all(ports: &Ports) {
    let principal = principal(ports);
    let (one, other) = (ports.created("olga", at(0)).await, ports.created("olga", at(0)).await);
    let nobody = ports.counts.count(&principal, POLICY).await.unwrap();
    let joined = nobody.join(one.id, at(0)).unwrap();
    let first = with(&one, Also::Count(joined.clone()), ports);
    ports.grants.commit(&first).await.unwrap();
    assert_eq!(ports.counts.count(&principal, POLICY).await.unwrap(), joined);
    // It read the count before the first had joined.
    is_conflict(ports.grants.commit(&with(&other, Also::Count(nobody.join(other.id, at(0)).unwrap()), ports)).await);
    assert_eq!(ports.counts.count(&principal, POLICY).await.unwrap(), joined);
    assert_eq!(ports.reader.grant(other.id).await.unwrap(), Some(other.clone()));
    assert_eq!(ports.reader.evidence(other.id, other.evidence.seq, 10).await.unwrap(), []);
    let both = joined.join(other.id, at(0)).unwrap();
    ports.grants.commit(&with(&other, Also::Count(both.clone()), ports)).await.unwrap();
    let left = both.leave(one.id);
    ports.grants.commit(&with(&first.after, Also::Count(left.clone()), ports)).await.unwrap();
    assert_eq!(ports.counts.count(&principal, POLICY).await.unwrap(), left);
}

/// However many join at once, each is counted.
pub async fn of_many_who_join_at_once_each_is_counted(ports: &Ports) {
    let principal = principal(ports);
    let mut joins = JoinSet::new();
    for _ in 0..12 {
        let (ports, principal) = (ports.clone(), principal.clone());
        joins.spawn(async move {
            let grant = ports.created("olga", at(0)).await;
            // Of those who read the same count one gets through: each try leaves fewer.
            for _ in 0..1_000 {
                let count = ports.counts.count(&principal, POLICY).await.unwrap();
                let joined = Also::Count(count.join(grant.id, at(0)).unwrap());
                if ports.grants.commit(&with(&grant, joined, &ports)).await.is_ok() {
                    break;
                }
            }
            grant.id
        });
    }
    let joined: std::collections::BTreeSet<GrantId> = joins.join_all().await.into_iter().collect();
    let count = ports.counts.count(&principal, POLICY).await.unwrap();
    assert_eq!((count.holders, count.version), (joined, 12));
}

/// A fuse can be lit anew and put out, and putting out one that is gone holds up no end.
pub async fn a_fuse_that_is_gone_can_be_put_out(ports: &Ports) {
    let mut grant = ports.created("olga", at(0)).await;
    let lit = Also::Fuse(Fuse::of(grant.id, at(60)));
    for also in [Also::PutOut(grant.id), lit.clone(), lit, Also::PutOut(grant.id), Also::PutOut(grant.id)] {
        let commit = with(&grant, also, ports);
        ports.grants.commit(&commit).await.unwrap();
        grant = commit.after;
    }
    assert_eq!(ports.reader.grant(grant.id).await.unwrap(), Some(grant));
}
