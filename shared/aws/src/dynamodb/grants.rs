//! Writes grants. Each change and its evidence are one transaction.

use async_trait::async_trait;
use brevet_domain::decision::Decision;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::Grant;
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::id::IdentityId;
use brevet_engine::port::{AttachmentHoldersReader, Commit, GrantStore, HoldingsReader, PortResult, TransactionItem};

use super::DynamoStore;
use super::item::{Stored, number};
use super::key::Key;
use super::table::{Expression, PutIf, Write, if_absent};

const WRITE: &str = "dynamodb:TransactWriteItems";

fn put(record: &impl Stored, condition: Option<Expression>) -> PortResult<Write> {
    Ok(Write::Put(PutIf { item: record.item(WRITE)?, condition }))
}

fn put_new(record: &impl Stored) -> PortResult<Write> {
    put(record, Some(if_absent()))
}

/// Puts a version of `record` only over the previous version. The first version is put only if no item exists.
pub(super) fn put_version(record: &impl Stored, version: u64) -> PortResult<Write> {
    match version {
        0 | 1 => put_new(record),
        later => {
            let before = number(later.saturating_sub(1));
            put(record, Some(Expression::new("#version = :before").with(":before", before)))
        }
    }
}

fn write_of(item: &TransactionItem) -> PortResult<Write> {
    match item {
        TransactionItem::Activation(activation) => put_new(activation),
        TransactionItem::Decision { decision, votes_before } => {
            let before = Expression::new("#n_votes = :before").with(":before", number(votes_before));
            put(&**decision, Some(before))
        }
        TransactionItem::Deny(entry) => put(entry, None),
        TransactionItem::Holders(holders) => put_version(holders, holders.version),
        TransactionItem::Holdings(holdings) => put_version(holdings, holdings.version),
        TransactionItem::StillDelegated { by, to, version } => {
            Ok(Write::Check(Key::delegation(by, to, version.saturating_add(1)), if_absent()))
        }
        TransactionItem::ReviewAwaited(review) => put_new(review),
        TransactionItem::ReviewOver { identity, grant } => Ok(Write::Delete(Key::review(identity, grant.to_string()))),
        TransactionItem::Backstop(backstop) => put(backstop, None),
        TransactionItem::RemoveBackstop(id) => Ok(Write::Delete(Key::backstop(*id))),
    }
}

#[async_trait]
impl AttachmentHoldersReader for DynamoStore {
    async fn holders_of(&self, principal_arn: &str, policy_arn: &str) -> PortResult<AttachmentHolders> {
        let stored = self.read(Key::holders(principal_arn, policy_arn)).await?;
        Ok(stored.unwrap_or_else(|| AttachmentHolders::nobody(principal_arn, policy_arn)))
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
    async fn create(
        &self,
        decision: &Decision,
        grant: &Grant,
        entry: &Entry,
        items: &[TransactionItem],
    ) -> PortResult<()> {
        let mut writes = vec![put_new(decision)?, put_new(grant)?, put_new(entry)?];
        for item in items {
            writes.push(write_of(item)?);
        }
        let answer = self.write_all(writes).await;
        self.success_if_stored(answer, Key::evidence(grant.id, entry.body.seq), entry).await
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        let version = Expression::new("#version = :version").with(":version", number(commit.expected_version));
        let change = put(&commit.after, Some(version))?;
        // INVARIANT: state and evidence change together, in one transaction. Without evidence there is no change.
        let mut writes = vec![change, put_new(&commit.entry)?];
        for item in &commit.items {
            writes.push(write_of(item)?);
        }
        let answer = self.write_all(writes).await;
        self.success_if_stored(answer, Key::evidence(commit.after.id, commit.entry.body.seq), &commit.entry).await
    }
}
