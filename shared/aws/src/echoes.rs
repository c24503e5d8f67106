//! The table of echoes: one item, written over each time. Its stream gives every write back.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Echoes, PortResult};

use crate::error::Watch;

const PUT: &str = "dynamodb:PutItem";

/// The key of the reaper's item, as its stream names it.
const KEY: &str = "ECHO#reap";

/// Leaves echoes in DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoEchoes {
    client: Client,
    table: String,
}

impl DynamoEchoes {
    /// Leaves them in `table`, with a client as `config` says.
    #[must_use]
    pub fn connect(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into() }
    }
}

#[async_trait]
impl Echoes for DynamoEchoes {
    /// Not conditional: of two at once either will do.
    async fn leave_echo(&self, at: Timestamp) -> PortResult<()> {
        let text = |value: String| AttributeValue::S(value);
        let put = self.client.put_item().table_name(&self.table);
        // The stream tells of a write that changes the item, and of no other.
        let put = put.item("pk", text(KEY.to_owned())).item("at", text(at.to_string()));
        let watch = Watch::new();
        let sent = put.customize().interceptor(watch.clone()).send().await;
        sent.map(drop).map_err(|error| watch.classify(PUT, error))
    }
}
