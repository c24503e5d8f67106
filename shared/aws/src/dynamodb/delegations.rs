//! Delegations: each version an item of its own, put where none is.

use async_trait::async_trait;
use brevet_domain::delegation::{Delegation, MAX_DELEGATES};
use brevet_domain::id::IdentityId;
use brevet_engine::port::{Delegations, Mark, PortError, PortResult};

use super::DynamoStore;
use super::item::{Item, Stored, number, text};
use super::key::Key;
use super::table::{Expression, PutIf, Query, Write, if_absent};

const WRITE: &str = "dynamodb:TransactWriteItems";
const QUERY: &str = "dynamodb:Query";

/// The most marks of one transaction, which takes 100 items: beside them the version, and the check of what is held.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const MAX_MARKS: usize = 90;

/// What sorts after every number of a version.
const AFTER: &str = "$";

impl DynamoStore {
    /// The last item of a human's before `end`; their order is that of identities and, of each, of versions.
    async fn last_before(&self, by: &IdentityId, start: String, end: String) -> PortResult<Option<Delegation>> {
        let pk = Key::delegation(by, by, 0).pk;
        let keys = Expression::new("#pk = :pk AND #sk BETWEEN :start AND :end")
            .with(":pk", text(pk))
            .with(":start", text(start))
            .with(":end", text(end));
        let query = Query { index: None, keys, is_descending: true, limit: Some(1), after: None };
        let page = self.query(query).await?;
        page.items.first().map(|item: &Item| item.body(QUERY)).transpose()
    }
}

#[async_trait]
impl Delegations for DynamoStore {
    async fn delegation(&self, by: &IdentityId, to: &IdentityId) -> PortResult<Option<Delegation>> {
        // `#` is followed by digits alone, and `$` comes right after it: no other identity's are in between.
        self.last_before(by, format!("{to}#"), format!("{to}{AFTER}")).await
    }

    async fn delegations_of(&self, by: &IdentityId) -> PortResult<Vec<Delegation>> {
        // From the last identity to the first: of each, its last version; then on before all of its versions.
        let mut all = Vec::new();
        let mut end = "~".to_owned();
        // More than may be had would be a slip, and no reason to read on without bound.
        while all.len() <= MAX_DELEGATES {
            let Some(one) = self.last_before(by, AFTER.to_owned(), end).await? else { break };
            end = format!("{}#", one.to);
            all.push(one);
        }
        all.reverse();
        Ok(all)
    }

    async fn delegate(&self, new: &Delegation, ends: &[Mark], held: u64) -> PortResult<()> {
        let absent = |item: Item| Write::Put(PutIf { item, condition: Some(if_absent()) });
        let marks = ends.iter().map(|mark| Ok(absent(mark.item(WRITE)?))).collect::<PortResult<Vec<_>>>()?;
        let (first, rest) = marks.split_at(marks.len().min(MAX_MARKS));
        for some in rest.chunks(MAX_MARKS) {
            self.write_all(some.to_vec()).await?;
        }
        let unchanged = match held {
            0 => if_absent(),
            version => Expression::new("#version = :held").with(":held", number(version)),
        };
        let mut writes = vec![absent(new.item(WRITE)?), Write::Check(Key::holdings(&new.by), unchanged)];
        writes.extend_from_slice(first);
        match self.write_all(writes).await {
            // An own attempt may have put it, and its answer got lost: then this very version stands there.
            Err(error @ PortError::Conflict { .. }) => match self.delegation(&new.by, &new.to).await {
                Ok(Some(standing)) if standing == *new => Ok(()),
                Ok(_) => Err(error),
                Err(unread) => Err(PortError::Unknown { operation: WRITE, source: unread.into() }),
            },
            answer => answer,
        }
    }
}
