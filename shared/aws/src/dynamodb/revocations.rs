//! The kill switch. Each revocation is its own item, put if absent. One list holds the latest of each scope.

use async_trait::async_trait;
use brevet_domain::revocation::{Progress, Revocation, WideScope};
use brevet_engine::port::{PortError, PortResult, ProgressStore, RevocationPage, RevocationReader, RevocationStore};

use super::DynamoStore;
use super::item::{Item, Stored, number, text};
use super::key::{Key, LATEST};
use super::table::{Expression, PutIf, Query, Write, condition_held, if_absent};

const QUERY: &str = "dynamodb:Query";
const PUT: &str = "dynamodb:PutItem";
const WRITE: &str = "dynamodb:TransactWriteItems";

#[async_trait]
impl RevocationReader for DynamoStore {
    async fn latest(&self, scope: &WideScope) -> PortResult<Option<Revocation>> {
        self.read(Key::latest(scope)).await
    }

    async fn revocations(&self, cursor: Option<&str>, limit: u32) -> PortResult<RevocationPage> {
        let start = |scope: &str| match scope.parse::<WideScope>() {
            Ok(scope) => Ok(Key::latest(&scope).attributes().into_iter().collect::<Item>()),
            Err(error) => Err(PortError::Refused { operation: QUERY, source: error.into() }),
        };
        let query = Query {
            index: None,
            keys: Expression::new("#pk = :pk").with(":pk", text(LATEST)),
            is_descending: false,
            limit: Some(limit),
            after: cursor.map(start).transpose()?,
        };
        let page = self.query(query).await?;
        Ok(RevocationPage {
            latest: page.items.iter().map(|item| item.body(QUERY)).collect::<PortResult<_>>()?,
            next: page.last.and_then(|last| last.text("sk").map(str::to_owned)),
        })
    }

    async fn history(&self, scope: &WideScope, limit: u32) -> PortResult<Vec<Revocation>> {
        let query = Query {
            index: None,
            keys: Expression::new("#pk = :pk").with(":pk", text(Key::revocation(scope, 0).pk)),
            is_descending: true,
            limit: Some(limit),
            after: None,
        };
        let page = self.query(query).await?;
        page.items.iter().map(|item| item.body(QUERY)).collect()
    }

    async fn progress(&self, scope: &WideScope) -> PortResult<Option<Progress>> {
        self.read(Key::progress(scope)).await
    }
}

#[async_trait]
impl RevocationStore for DynamoStore {
    async fn revoke(&self, new: &Revocation) -> PortResult<()> {
        let before = match new.version {
            0 | 1 => if_absent(),
            later => Expression::new("#version = :before").with(":before", number(later.saturating_sub(1))),
        };
        let latest = Item::of(WRITE, Key::latest(&new.scope), new)?.with("version", number(new.version));
        let block = match new.block() {
            Some(block) => Write::Put(PutIf { item: block.item(WRITE)?, condition: None }),
            None => Write::Delete(Key::block(new.scope.as_block())),
        };
        let writes = vec![
            Write::Put(PutIf { item: new.item(WRITE)?, condition: Some(if_absent()) }),
            Write::Put(PutIf { item: latest, condition: Some(before) }),
            block,
        ];
        let answer = self.write_all(writes).await;
        self.success_if_stored(answer, Key::revocation(&new.scope, new.version), new).await
    }
}

#[async_trait]
impl ProgressStore for DynamoStore {
    async fn put_progress(&self, progress: &Progress) -> PortResult<()> {
        let later = Expression::new("attribute_not_exists(#pk) OR #began_at < :began_at")
            .with(":began_at", text(progress.began_at.to_string()));
        let put = PutIf { item: progress.item(PUT)?, condition: Some(later) };
        condition_held(self.put(put).await).map(drop)
    }
}
