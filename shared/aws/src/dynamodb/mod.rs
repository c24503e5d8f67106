//! The store ports over the one DynamoDB table.
//!
//! `item` defines the stored form of each record, and `table` makes the calls. Each other file implements one port.

mod bundle;
mod delegations;
mod denies;
mod drills;
mod due;
mod findings;
mod grants;
mod item;
mod key;
mod reader;
mod requests;
mod reviews;
mod revocations;
mod service;
mod table;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;

/// The store in one DynamoDB table.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// Reads and writes `table` through `client`.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Builds its own client from `config`.
    #[must_use]
    pub fn connect(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self::new(Client::new(config), table)
    }
}
