//! Live early ends, by session role.

use std::collections::BTreeSet;

use async_trait::async_trait;
use brevet_domain::deny::DenyEntry;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{DenyStore, PortResult};

use super::DynamoStore;
use super::item::{DENY_LIST, Item, Key, LEASE, text};
use super::table::{Expression, PutIf, Query};
use crate::error::unreadable;

const QUERY: &str = "dynamodb:Query";

#[async_trait]
impl DenyStore for DynamoStore {
    async fn denied_roles(&self) -> PortResult<Vec<String>> {
        let query = Query {
            index: Some("due"),
            keys: Expression::new("#due_pk = :list").with(":list", text(DENY_LIST)),
            is_descending: false,
            limit: None,
            after: None,
        };
        let lines = self.query_all(query).await?;
        let role = |item: &Item| {
            let pk = item.text("pk").unwrap_or_default();
            pk.strip_prefix("DENY#")
                .map(str::to_owned)
                .ok_or_else(|| unreadable(QUERY, format!("`{pk}` is no early end")))
        };
        let roles: BTreeSet<String> = lines.iter().map(role).collect::<PortResult<_>>()?;
        Ok(roles.into_iter().collect())
    }

    async fn entries(&self, role_arn: &str) -> PortResult<Vec<DenyEntry>> {
        let query = Query {
            index: None,
            keys: Expression::new("#pk = :pk AND begins_with(#sk, :grant)")
                .with(":pk", text(Key::deny(role_arn, "").pk))
                .with(":grant", text("grt_")),
            is_descending: false,
            limit: None,
            after: None,
        };
        let items = self.query_all(query).await?;
        items.iter().map(|item| item.body(QUERY)).collect()
    }

    async fn lease(&self, role_arn: &str, holder: &str, now: Timestamp, until: Timestamp) -> PortResult<bool> {
        let item: Item = Key::deny(role_arn, LEASE).attributes().into_iter().collect();
        let item = item.with("holder", text(holder)).with("until", text(until.to_string()));
        let free = Expression::new("attribute_not_exists(#pk) OR #holder = :me OR #until <= :now")
            .with(":me", text(holder))
            .with(":now", text(now.to_string()));
        let put = PutIf { item, condition: Some(free) };
        super::table::held(self.put(put).await)
    }

    async fn end_lease(&self, role_arn: &str, holder: &str) -> PortResult<()> {
        let mine = Expression::new("#holder = :me").with(":me", text(holder));
        self.delete_if(Key::deny(role_arn, LEASE), mine).await.map(drop)
    }

    async fn drop_entry(&self, entry: &DenyEntry) -> PortResult<()> {
        // Not one that was stored anew since it was read.
        let same = Expression::new("#next_at = :stored_at").with(":stored_at", text(entry.stored_at.to_string()));
        let key = Key::deny(&entry.role_arn, entry.grant.to_string());
        self.delete_if(key, same).await.map(drop)
    }
}
