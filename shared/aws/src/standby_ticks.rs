//! The table of standby ticks: one item, overwritten by each tick. Its stream delivers every write.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{PortResult, StandbyTicks};

use crate::error::Watch;

const PUT: &str = "dynamodb:PutItem";

/// The key of the reaper's item. The stream's records name it.
const KEY: &str = "STANDBY#reap";

/// Writes standby ticks to DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoStandbyTicks {
    client: Client,
    table: String,
}

impl DynamoStandbyTicks {
    /// Writes to `table` with its own client from `config`.
    #[must_use]
    pub fn connect(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into() }
    }
}

#[async_trait]
impl StandbyTicks for DynamoStandbyTicks {
    /// The put has no condition: of two concurrent ticks, either one suffices.
    async fn put_standby_tick(&self, at: Timestamp) -> PortResult<()> {
        let text = |value: String| AttributeValue::S(value);
        let put = self.client.put_item().table_name(&self.table);
        // The stream delivers only a write that changes the item.
        let put = put.item("pk", text(KEY.to_owned())).item("at", text(at.to_string()));
        let watch = Watch::new();
        let sent = put.customize().interceptor(watch.clone()).send().await;
        sent.map(drop).map_err(|error| watch.classify(PUT, error))
    }
}
