//! The chains of drill records: one chain per delivery, each record put if absent.

use async_trait::async_trait;
use brevet_domain::drill::{Drill, Drilled};
use brevet_engine::port::{DrillReader, DrillStore, PortResult};

use super::DynamoStore;
use super::item::{Stored, text};
use super::key::Key;
use super::table::{Expression, PutIf, Query, Write, if_absent};

const QUERY: &str = "dynamodb:Query";
const WRITE: &str = "dynamodb:TransactWriteItems";

#[async_trait]
impl DrillReader for DynamoStore {
    async fn last_drill(&self, drilled: Drilled) -> PortResult<Option<Drill>> {
        let query = Query {
            index: None,
            keys: Expression::new("#pk = :pk").with(":pk", text(Key::drill(drilled, 0).pk)),
            is_descending: true,
            limit: Some(1),
            after: None,
        };
        let page = self.query(query).await?;
        page.items.first().map(|item| item.body(QUERY)).transpose()
    }
}

#[async_trait]
impl DrillStore for DynamoStore {
    async fn add_drill(&self, drill: &Drill) -> PortResult<()> {
        let writes = vec![Write::Put(PutIf { item: drill.item(WRITE)?, condition: Some(if_absent()) })];
        let answer = self.write_all(writes).await;
        self.success_if_stored(answer, Key::drill(drill.drilled, drill.seq), drill).await
    }
}
