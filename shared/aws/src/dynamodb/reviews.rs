//! Break-glass uses that await their review, by identity.

use async_trait::async_trait;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::review::AwaitedReview;
use brevet_engine::port::{PortError, PortResult, ReviewPage, ReviewReader};

use super::DynamoStore;
use super::item::{Item, REVIEW_LIST, text};
use super::key::Key;
use super::table::{Expression, Query};
use crate::error::unreadable;

const QUERY: &str = "dynamodb:Query";

#[async_trait]
impl ReviewReader for DynamoStore {
    async fn awaited(&self, identity: &IdentityId) -> PortResult<Vec<AwaitedReview>> {
        let query = Query {
            index: None,
            keys: Expression::new("#pk = :pk").with(":pk", text(Key::review(identity, "").pk)),
            is_descending: false,
            limit: None,
            after: None,
        };
        let items = self.query_all(query).await?;
        // An unreadable use is an error: no decision may ignore it.
        items.iter().map(|item| item.body(QUERY)).collect()
    }

    async fn reviews(&self, cursor: Option<&str>, limit: u32) -> PortResult<ReviewPage> {
        let query = Query {
            index: Some("due"),
            keys: Expression::new("#due_pk = :list").with(":list", text(REVIEW_LIST)),
            is_descending: false,
            limit: Some(limit),
            after: cursor.map(start).transpose()?,
        };
        let page = self.query(query).await?;
        let line = |item: &Item| {
            let line = line(item);
            if line.is_none() {
                // Any function that may write items can put one on this list.
                tracing::error!(key = item.text("pk"), "the list of reviews names an item that is not a review");
            }
            line
        };
        let grants = page.items.iter().filter_map(line).collect();
        Ok(ReviewPage { grants, next: page.last.as_ref().map(cursor_of).transpose()? })
    }
}

fn line(item: &Item) -> Option<GrantId> {
    item.text("pk")?.strip_prefix("REVIEW#")?;
    item.text("sk")?.parse().ok()
}

/// The cursor of the next page: instant and keys of the last item, none of which contains a `|`.
fn cursor_of(last: &Item) -> PortResult<String> {
    let parts: Option<Vec<&str>> = ["next_at", "pk", "sk"].into_iter().map(|name| last.text(name)).collect();
    parts.map(|parts| parts.join("|")).ok_or_else(|| unreadable(QUERY, "the last key of the page is incomplete"))
}

fn start(cursor: &str) -> PortResult<Item> {
    let mut parts = cursor.split('|');
    let (Some(next_at), Some(pk), Some(sk), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        let source = "invalid cursor: pass `next` unchanged, or omit it".into();
        return Err(PortError::Refused { operation: QUERY, source });
    };
    let attributes = [("due_pk", REVIEW_LIST), ("next_at", next_at), ("pk", pk), ("sk", sk)];
    Ok(attributes.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect())
}
