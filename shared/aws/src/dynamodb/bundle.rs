//! The bundle in force. Only the deploying role writes its items. Their digests are verified when they are used.

use std::collections::BTreeMap;

use async_trait::async_trait;
use brevet_domain::bundle::BundleText;
use brevet_domain::canonical::Digest;
use brevet_engine::port::{BundleSource, PortResult};

use super::DynamoStore;
use super::item::{Item, text};
use super::key::Key;
use super::table::{Expression, Query};
use crate::error::unreadable;

const GET: &str = "dynamodb:GetItem";
const QUERY: &str = "dynamodb:Query";

fn part(operation: &'static str, item: &Item) -> PortResult<(String, String)> {
    let name = item.text("sk").unwrap_or_default().to_owned();
    match item.text("body") {
        Some(body) => Ok((name, body.to_owned())),
        None => Err(unreadable(operation, format!("part `{name}` of the bundle has no body"))),
    }
}

#[async_trait]
impl BundleSource for DynamoStore {
    async fn current(&self) -> PortResult<Option<Digest>> {
        let Some(item) = self.get(Key::current_bundle()).await? else {
            return Ok(None);
        };
        let digest = item.text("digest").unwrap_or_default();
        let digest = digest.parse().map_err(|error| unreadable(GET, error))?;
        Ok(Some(digest))
    }

    async fn bundle(&self, digest: Digest, parts: Option<&[&str]>) -> PortResult<BundleText> {
        let mut found = BTreeMap::new();
        match parts {
            None => {
                let query = Query {
                    index: None,
                    keys: Expression::new("#pk = :pk").with(":pk", text(Key::bundle(digest, "").pk)),
                    is_descending: false,
                    limit: None,
                    after: None,
                };
                for item in self.query_all(query).await? {
                    let (name, body) = part(QUERY, &item)?;
                    found.insert(name, body);
                }
            }
            Some(names) => {
                for name in names {
                    if let Some(item) = self.get(Key::bundle(digest, name)).await? {
                        let (name, body) = part(GET, &item)?;
                        found.insert(name, body);
                    }
                }
            }
        }
        Ok(BundleText { digest, parts: found })
    }
}
