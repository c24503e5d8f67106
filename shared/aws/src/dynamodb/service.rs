//! The identity of this table, and the table that the deploying role confirmed.

use async_trait::async_trait;
use brevet_domain::confirmation::{Confirmation, table_identity};
use brevet_engine::port::{InService, PortResult};

use super::DynamoStore;
use super::key::Key;
use crate::error::{Watch, unreadable};

const DESCRIBE: &str = "dynamodb:DescribeTable";

#[async_trait]
impl InService for DynamoStore {
    async fn table(&self) -> PortResult<String> {
        let watch = Watch::new();
        let call = self.client.describe_table().table_name(&self.table).customize().interceptor(watch.clone());
        let answer = call.send().await.map_err(|error| watch.classify(DESCRIBE, error))?;
        let table = answer.table.ok_or_else(|| unreadable(DESCRIBE, "the answer has no table"))?;
        let created = table.creation_date_time.map(|at| at.secs());
        match (table.table_arn, created) {
            (Some(arn), Some(created_s)) => Ok(table_identity(&arn, created_s)),
            (None, _) | (_, None) => Err(unreadable(DESCRIBE, "the answer lacks the table's ARN or its creation time")),
        }
    }

    async fn confirmation(&self) -> PortResult<Option<Confirmation>> {
        self.read(Key::confirmation()).await
    }
}
