//! What changes grants: each change with its evidence, in one transaction.

use async_trait::async_trait;
use brevet_domain::decision::Decision;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use brevet_engine::port::{Also, Commit, GrantStore, PortError, PortResult};

use super::DynamoStore;
use super::item::{Key, Stored, number};
use super::table::{Expression, PutIf, if_absent};

const WRITE: &str = "dynamodb:TransactWriteItems";

fn absent(thing: &impl Stored) -> PortResult<PutIf> {
    Ok(PutIf { item: thing.item(WRITE)?, condition: Some(if_absent()) })
}

fn with(also: &Also) -> PortResult<PutIf> {
    match also {
        Also::Activation(activation) => absent(activation),
        Also::Decision { decision, votes_before } => Ok(PutIf {
            item: decision.item(WRITE)?,
            condition: Some(Expression::new("#n_votes = :before").with(":before", number(votes_before))),
        }),
        Also::Deny(entry) => Ok(PutIf { item: entry.item(WRITE)?, condition: None }),
    }
}

impl DynamoStore {
    /// A condition that did not hold may have been broken by an own attempt whose answer got lost: then the very entry
    /// stands in its place.
    async fn unless_done(&self, id: GrantId, entry: &Entry, error: PortError) -> PortResult<()> {
        if !matches!(error, PortError::Conflict { .. }) {
            return Err(error);
        }
        let standing = self.get(Key::evidence(id, entry.body.seq)).await;
        match standing.and_then(|item| item.map(|i| i.body::<Entry>(WRITE)).transpose()) {
            Ok(Some(standing)) if standing == *entry => Ok(()),
            Ok(_) => Err(error),
            Err(unread) => Err(PortError::Unknown { operation: WRITE, source: unread.into() }),
        }
    }
}

#[async_trait]
impl GrantStore for DynamoStore {
    async fn create(&self, decision: &Decision, grant: &Grant, entry: &Entry) -> PortResult<()> {
        let puts = vec![absent(decision)?, absent(grant)?, absent(entry)?];
        match self.put_all(puts).await {
            Ok(()) => Ok(()),
            Err(error) => self.unless_done(grant.id, entry, error).await,
        }
    }

    async fn commit(&self, commit: &Commit) -> PortResult<()> {
        let version = Expression::new("#version = :version").with(":version", number(commit.expected_version));
        let change = PutIf { item: commit.after.item(WRITE)?, condition: Some(version) };
        // INVARIANT: state and evidence move together. No evidence, no change.
        let mut puts = vec![change, absent(&commit.entry)?];
        for also in &commit.also {
            puts.push(with(also)?);
        }
        match self.put_all(puts).await {
            Ok(()) => Ok(()),
            Err(error) => self.unless_done(commit.after.id, &commit.entry, error).await,
        }
    }
}
