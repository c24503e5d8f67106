//! The to-do lists and the reaper's heartbeat.

use async_trait::async_trait;
use brevet_domain::grant::DueRole;
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::ReaperHealth;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Due, DueList, DuePage, PortError, PortResult, ReaperHealthStore};

use super::DynamoStore;
use super::item::{Item, list_of, number, text};
use super::key::Key;
use super::table::{Expression, PutIf, Query, if_absent};
use crate::error::unreadable;

const QUERY: &str = "dynamodb:Query";

#[async_trait]
impl DueList for DynamoStore {
    async fn due(
        &self,
        role: DueRole,
        shard: u8,
        now: Timestamp,
        cursor: Option<&str>,
        limit: u32,
    ) -> PortResult<DuePage> {
        let keys = Expression::new("#due_pk = :list AND #next_at <= :now")
            .with(":list", text(list_of(role, shard)))
            .with(":now", text(now.to_string()));
        let query = Query {
            index: Some("due"),
            keys,
            is_descending: false,
            limit: Some(limit),
            after: cursor.map(|text| start(role, shard, text)).transpose()?,
        };
        let page = self.query(query).await?;
        let mut lines = Vec::new();
        for item in &page.items {
            match line(item) {
                Some(line) => lines.push(line),
                // One unreadable item must not stop the pass.
                None => tracing::error!(key = item.text("pk"), "an item on the to-do list cannot be read"),
            }
        }
        let next = match &page.last {
            None => None,
            Some(last) => Some(cursor_of(last)?),
        };
        Ok(DuePage { lines, next })
    }

    async fn clear_mark(&self, id: GrantId) -> PortResult<()> {
        self.take_off_list(Key::mark(id)).await.map(drop)
    }
}

/// Reads a grant or a mark under its own key. An item under another key could never be taken off the list.
fn line(item: &Item) -> Option<Due> {
    let (pk, sk) = (item.text("pk")?, item.text("sk")?);
    let (id, is_mark) = match pk.strip_prefix("GRANT#") {
        Some(id) => (id, false),
        None => (pk.strip_prefix("BLOCK#grant/")?, true),
    };
    let id = id.parse().ok()?;
    let own = if is_mark { Key::mark(id) } else { Key::grant(id) };
    (own.pk == pk && own.sk == sk).then_some(())?;
    Some(Due { id, is_mark, next_at: item.instant("next_at")? })
}

/// The cursor of the next page: instant and keys of the last item, none of which contains a `|`.
fn cursor_of(last: &Item) -> PortResult<String> {
    let parts = ["next_at", "pk", "sk"].map(|name| last.text(name));
    let parts: Option<Vec<&str>> = parts.into_iter().collect();
    let parts = parts.ok_or_else(|| unreadable(QUERY, "the last key of the page is incomplete"))?;
    Ok(parts.join("|"))
}

fn start(role: DueRole, shard: u8, cursor: &str) -> PortResult<Item> {
    let mut parts = cursor.split('|');
    let (Some(next_at), Some(pk), Some(sk), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        let source = "invalid cursor: pass `next` unchanged, or omit it".into();
        return Err(PortError::Refused { operation: QUERY, source });
    };
    let attributes = [
        ("due_pk", list_of(role, shard)),
        ("next_at", next_at.to_owned()),
        ("pk", pk.to_owned()),
        ("sk", sk.to_owned()),
    ];
    Ok(attributes.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect())
}

#[async_trait]
impl ReaperHealthStore for DynamoStore {
    async fn record_heartbeat(&self, reaper_health: &ReaperHealth, before: Option<u64>) -> PortResult<()> {
        let item = Item::of("dynamodb:PutItem", Key::reaper_health(), reaper_health)?;
        let item = item.with("heartbeats", number(reaper_health.heartbeats));
        let condition = before.map(|before| match before {
            0 => if_absent(),
            _ => Expression::new("#heartbeats = :before").with(":before", number(before)),
        });
        self.put(PutIf { item, condition }).await
    }
}
