//! What changes grants: each change with its evidence, in one transaction.

use async_trait::async_trait;
use brevet_domain::count::Count;
use brevet_domain::decision::Decision;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::Grant;
use brevet_domain::id::IdentityId;
use brevet_engine::port::{Also, Commit, Counts, GrantStore, HoldingsReader, PortResult};

use super::DynamoStore;
use super::item::{Stored, number};
use super::key::Key;
use super::table::{Expression, PutIf, Write, if_absent};

const WRITE: &str = "dynamodb:TransactWriteItems";

fn put(thing: &impl Stored, condition: Option<Expression>) -> PortResult<Write> {
    Ok(Write::Put(PutIf { item: thing.item(WRITE)?, condition }))
}

fn absent(thing: &impl Stored) -> PortResult<Write> {
    put(thing, Some(if_absent()))
}

/// Put only over the version before; the first only where nothing is.
pub(super) fn next(thing: &impl Stored, version: u64) -> PortResult<Write> {
    match version {
        0 | 1 => absent(thing),
        later => {
            let before = number(later.saturating_sub(1));
            put(thing, Some(Expression::new("#version = :before").with(":before", before)))
        }
    }
}

fn with(also: &Also) -> PortResult<Write> {
    match also {
        Also::Activation(activation) => absent(activation),
        Also::Decision { decision, votes_before } => {
            let before = Expression::new("#n_votes = :before").with(":before", number(votes_before));
            put(&**decision, Some(before))
        }
        Also::Deny(entry) => put(entry, None),
        Also::Count(count) => next(count, count.version),
        Also::Holdings(holdings) => next(holdings, holdings.version),
        Also::StillDelegated { by, to, version } => {
            Ok(Write::Check(Key::delegation(by, to, version.saturating_add(1)), if_absent()))
        }
        Also::ReviewAwaited(review) => absent(review),
        Also::ReviewOver { identity, grant } => Ok(Write::Delete(Key::review(identity, grant.to_string()))),
        Also::Fuse(fuse) => put(fuse, None),
        Also::PutOut(id) => Ok(Write::Delete(Key::fuse(*id))),
    }
}

#[async_trait]
impl Counts for DynamoStore {
    async fn count(&self, principal_arn: &str, policy_arn: &str) -> PortResult<Count> {
        let stored = self.read(Key::count(principal_arn, policy_arn)).await?;
        Ok(stored.unwrap_or_else(|| Count::nobody(principal_arn, policy_arn)))
    }
}

#[async_trait]
impl HoldingsReader for DynamoStore {
    async fn holdings(&self, sponsor: &IdentityId) -> PortResult<Holdings> {
        let stored = self.read(Key::holdings(sponsor)).await?;
        Ok(stored.unwrap_or_else(|| Holdings::none(sponsor)))
    }
}

#[async_trait]
impl GrantStore for DynamoStore {
    async fn create(&self, decision: &Decision, grant: &Grant, entry: &Entry, also: &[Also]) -> PortResult<()> {
        let mut writes = vec![absent(decision)?, absent(grant)?, absent(entry)?];
        for also in also {
            writes.push(with(also)?);
        }
        let answer = self.write_all(writes).await;
        self.unless_own(answer, Key::evidence(grant.id, entry.body.seq), entry).await
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        let version = Expression::new("#version = :version").with(":version", number(commit.expected_version));
        let change = put(&commit.after, Some(version))?;
        // INVARIANT: state and evidence move together. No evidence, no change.
        let mut writes = vec![change, absent(&commit.entry)?];
        for also in &commit.also {
            writes.push(with(also)?);
        }
        let answer = self.write_all(writes).await;
        self.unless_own(answer, Key::evidence(commit.after.id, commit.entry.body.seq), &commit.entry).await
    }
}
