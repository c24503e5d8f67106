//! Reads that every function needs.

use async_trait::async_trait;
use brevet_domain::block::{Block, BlockScope};
use brevet_domain::decision::Decision;
use brevet_domain::evidence::Entry;
use brevet_domain::grant::{EndCause, Grant};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::request::Request;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Activation, GrantPage, GrantReader, GrantSummary, PortError, PortResult};
use serde::de::DeserializeOwned;

use super::DynamoStore;
use super::item::{Item, text};
use super::key::Key;
use super::table::{Expression, Query};
use crate::error::unreadable;

const GET: &str = "dynamodb:GetItem";
const QUERY: &str = "dynamodb:Query";
const WRITE: &str = "dynamodb:TransactWriteItems";

/// The highest sequence number of an evidence entry. Its key has six digits.
const MAX_SEQ: u64 = 999_999;

/// The most items of one transaction.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactGetItems.html>
const MAX_TRANSACTION: usize = 100;

impl DynamoStore {
    /// Reads the record at `key`, consistently.
    pub(super) async fn read<T: DeserializeOwned>(&self, key: Key) -> PortResult<Option<T>> {
        let item = self.get(key).await?;
        item.map(|item| item.body(GET)).transpose()
    }

    /// Corrects the `answer` of a transaction that puts `record` at `key` if absent.
    ///
    /// If a condition did not hold, an earlier attempt of this call may have broken it and its answer may be lost.
    /// Then the stored record equals `record`, and the answer is success.
    pub(super) async fn success_if_stored<T>(&self, answer: PortResult<()>, key: Key, record: &T) -> PortResult<()>
    where
        T: DeserializeOwned + PartialEq + Sync,
    {
        match answer {
            Err(error @ PortError::Conflict { .. }) => match self.read::<T>(key).await {
                Ok(Some(stored)) if stored == *record => Ok(()),
                Ok(_) => Err(error),
                Err(unread) => Err(PortError::Unknown { operation: WRITE, source: unread.into() }),
            },
            answer => answer,
        }
    }
}

#[async_trait]
impl GrantReader for DynamoStore {
    async fn request(&self, id: GrantId) -> PortResult<Option<Request>> {
        self.read(Key::request(id)).await
    }

    async fn decision(&self, id: GrantId) -> PortResult<Option<Decision>> {
        self.read(Key::decision(id)).await
    }

    async fn grant(&self, id: GrantId) -> PortResult<Option<Grant>> {
        let item = self.get(Key::grant(id)).await?;
        item.map(|item| item.grant(GET)).transpose()
    }

    async fn activation(&self, id: GrantId) -> PortResult<Option<Activation>> {
        self.read(Key::activation(id)).await
    }

    async fn evidence(&self, id: GrantId, after: u64, limit: u32) -> PortResult<Vec<Entry>> {
        if after >= MAX_SEQ || limit == 0 {
            return Ok(Vec::new());
        }
        let first = Key::evidence(id, after.saturating_add(1));
        let keys = Expression::new("#pk = :pk AND #sk BETWEEN :first AND :last")
            .with(":pk", text(first.pk))
            .with(":first", text(first.sk))
            .with(":last", text(Key::evidence(id, MAX_SEQ).sk));
        let mut query = Query { index: None, keys, is_descending: false, limit: Some(limit), after: None };
        let max_entries = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        loop {
            let page = self.query(query.clone()).await?;
            for item in page.items {
                entries.push(item.body(QUERY)?);
            }
            entries.truncate(max_entries);
            match page.last {
                Some(last) if entries.len() < max_entries => query.after = Some(last),
                _ => return Ok(entries),
            }
        }
    }

    async fn blocks(&self, scopes: &[BlockScope]) -> PortResult<Vec<Block>> {
        let mut keys: Vec<Key> = Vec::new();
        for key in scopes.iter().map(Key::block) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut blocks = Vec::new();
        for chunk in keys.chunks(MAX_TRANSACTION) {
            for item in self.get_all(chunk).await? {
                blocks.push(block(&item, scopes)?);
            }
        }
        Ok(blocks)
    }

    async fn reaper_health(&self) -> PortResult<Option<ReaperHealth>> {
        self.read(Key::reaper_health()).await
    }

    async fn grants_of(&self, identity: &IdentityId, cursor: Option<&str>, limit: u32) -> PortResult<GrantPage> {
        let keys = Expression::new("#identity_id = :identity").with(":identity", text(identity.as_str()));
        let query = Query {
            index: Some("by_identity"),
            keys,
            is_descending: true,
            limit: Some(limit),
            after: cursor.map(|text| start(identity, text)).transpose()?,
        };
        let page = self.query(query).await?;
        let last = page.last.as_ref().map(summary_key).transpose()?;
        Ok(GrantPage {
            grants: page.items.iter().map(summary).collect::<PortResult<_>>()?,
            next: last.map(|(id, created_at)| format!("{}.{id}", created_at.as_millis())),
        })
    }
}

/// Reads a block. An unreadable block counts as a revocation: a garbled item must not keep a grant from ending.
fn block(item: &Item, scopes: &[BlockScope]) -> PortResult<Block> {
    let operation = "dynamodb:TransactGetItems";
    item.body(operation).or_else(|error| {
        let pk = item.text("pk").unwrap_or_default();
        let scope = scopes.iter().find(|scope| Key::block(scope).pk == pk).ok_or(error)?;
        tracing::error!(block = pk, "the block cannot be read and counts as a revocation");
        let by = "unreadable".parse().map_err(|_| unreadable(operation, pk))?;
        Ok(Block { scope: scope.clone(), cause: EndCause::Revoked, by, at: Timestamp::EPOCH })
    })
}

/// The index key that a cursor names. The identity comes from the caller, never from the cursor.
fn start(identity: &IdentityId, cursor: &str) -> PortResult<Item> {
    let parsed = cursor.split_once('.').and_then(|(millis, id)| {
        let created_at = Timestamp::from_millis(millis.parse().ok()?);
        Some((created_at, id.parse::<GrantId>().ok()?))
    });
    let (created_at, id) = parsed.ok_or_else(|| PortError::Refused {
        operation: QUERY,
        source: "invalid cursor: pass `next` unchanged, or omit it".into(),
    })?;
    let item: Item = Key::grant(id).attributes().into_iter().collect();
    Ok(item.with("identity_id", text(identity.as_str())).with("created_at", text(created_at.to_string())))
}

fn summary_key(item: &Item) -> PortResult<(GrantId, Timestamp)> {
    let pk = item.text("pk").unwrap_or_default();
    let id = pk.strip_prefix("GRANT#").and_then(|id| id.parse().ok());
    id.zip(item.instant("created_at"))
        .ok_or_else(|| unreadable(QUERY, format!("item `{pk}` has no grant id or no `created_at`")))
}

fn summary(item: &Item) -> PortResult<GrantSummary> {
    let (id, created_at) = summary_key(item)?;
    let state = item.text("state").ok_or_else(|| unreadable(QUERY, format!("the item of `{id}` has no `state`")))?;
    Ok(GrantSummary { id, state: state.to_owned(), created_at })
}
