//! The one table: every store port over one client.
//!
//! `item` knows how things are written down, `table` makes the calls; each other file is one port.

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

/// The store, in one DynamoDB table.
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

    /// A client of its own, as `config` says.
    #[must_use]
    pub fn connect(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self::new(Client::new(config), table)
    }
}
