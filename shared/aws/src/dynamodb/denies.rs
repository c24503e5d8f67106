//! The deny entries of sessions that ended early, by session role.

use std::collections::BTreeSet;

use async_trait::async_trait;
use brevet_domain::deny::DenyEntry;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{DenyStore, PortResult};

use super::DynamoStore;
use super::item::{DENY_LIST, Item, text};
use super::key::{Key, LEASE};
use super::table::{Expression, PutIf, Query, condition_held};

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
            let role = pk.strip_prefix("DENY#").map(str::to_owned);
            if role.is_none() {
                // Any function that may write items can put one on this list. It must not block the roles.
                tracing::error!(key = pk, "the list of deny entries names an item that is not a deny entry");
            }
            role
        };
        let roles: BTreeSet<String> = lines.iter().filter_map(role).collect();
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
        let entry = |item: &Item| match item.body(QUERY) {
            Ok(entry) => Some(entry),
            // The role's policy keeps denying that session, as one without an entry. The other entries must not wait.
            Err(error) => {
                tracing::error!(role = role_arn, problem = error.chain(), "a deny entry cannot be read");
                None
            }
        };
        Ok(items.iter().filter_map(entry).collect())
    }

    async fn lease(&self, role_arn: &str, holder: &str, now: Timestamp, until: Timestamp) -> PortResult<bool> {
        let item: Item = Key::deny(role_arn, LEASE).attributes().into_iter().collect();
        let item = item.with("holder", text(holder)).with("until", text(until.to_string()));
        let free = Expression::new("attribute_not_exists(#pk) OR #holder = :me OR #until <= :now")
            .with(":me", text(holder))
            .with(":now", text(now.to_string()));
        let put = PutIf { item, condition: Some(free) };
        condition_held(self.put(put).await)
    }

    async fn end_lease(&self, role_arn: &str, holder: &str) -> PortResult<()> {
        let mine = Expression::new("#holder = :me").with(":me", text(holder));
        self.delete_if(Key::deny(role_arn, LEASE), mine).await.map(drop)
    }

    async fn drop_entry(&self, entry: &DenyEntry) -> PortResult<()> {
        // An entry that was stored again since it was read stays.
        let unchanged = Expression::new("#next_at = :stored_at").with(":stored_at", text(entry.stored_at.to_string()));
        let key = Key::deny(&entry.role_arn, entry.grant.to_string());
        self.delete_if(key, unchanged).await.map(drop)
    }
}
