//! Delegations. Each version is its own item, put if absent.

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

/// The most marks of one transaction. It takes 100 items, and also holds the version and the check of the holdings.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const MAX_MARKS: usize = 90;

/// A text that sorts after every version number.
const AFTER_VERSIONS: &str = "$";

impl DynamoStore {
    /// The last delegation of `by` before `end`. The items sort by delegate, and for each delegate by version.
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
        // Only digits follow `#`, and `$` sorts right after `#`: no other identity's items are in between.
        self.last_before(by, format!("{to}#"), format!("{to}{AFTER_VERSIONS}")).await
    }

    async fn delegations_of(&self, by: &IdentityId) -> PortResult<Vec<Delegation>> {
        // From the last delegate to the first: read its last version, then skip its other versions.
        let mut all = Vec::new();
        let mut end = "~".to_owned();
        // More delegates than allowed would be a defect. The bound keeps the loop finite even then.
        while all.len() <= MAX_DELEGATES {
            let Some(last) = self.last_before(by, AFTER_VERSIONS.to_owned(), end).await? else { break };
            end = format!("{}#", last.to);
            all.push(last);
        }
        all.reverse();
        Ok(all)
    }

    async fn delegate(&self, new: &Delegation, ends: &[Mark], held: u64) -> PortResult<()> {
        let put_new = |item: Item| Write::Put(PutIf { item, condition: Some(if_absent()) });
        let marks = ends.iter().map(|mark| Ok(put_new(mark.item(WRITE)?))).collect::<PortResult<Vec<_>>>()?;
        let (first, rest) = marks.split_at(marks.len().min(MAX_MARKS));
        for chunk in rest.chunks(MAX_MARKS) {
            self.write_all(chunk.to_vec()).await?;
        }
        let unchanged = match held {
            0 => if_absent(),
            version => Expression::new("#version = :held").with(":held", number(version)),
        };
        let mut writes = vec![put_new(new.item(WRITE)?), Write::Check(Key::holdings(&new.by), unchanged)];
        writes.extend_from_slice(first);
        match self.write_all(writes).await {
            // An earlier attempt of this call may have put it, and its answer may be lost. Then this version is stored.
            Err(error @ PortError::Conflict { .. }) => match self.delegation(&new.by, &new.to).await {
                Ok(Some(stored)) if stored == *new => Ok(()),
                Ok(_) => Err(error),
                Err(unread) => Err(PortError::Unknown { operation: WRITE, source: unread.into() }),
            },
            answer => answer,
        }
    }
}
