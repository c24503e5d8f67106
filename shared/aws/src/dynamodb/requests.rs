//! Writes of intake: idempotency keys, requests and marks.

use async_trait::async_trait;
use brevet_domain::request::Request;
use brevet_engine::port::{KeyClaim, Mark, PortError, PortResult, RequestStore};

use super::DynamoStore;
use super::item::{Stored, text};
use super::key::Key;
use super::table::{Expression, PutIf, if_absent};

const PUT: &str = "dynamodb:PutItem";
const GET: &str = "dynamodb:GetItem";

#[async_trait]
impl RequestStore for DynamoStore {
    async fn claim_key(&self, claim: &KeyClaim) -> PortResult<KeyClaim> {
        // DynamoDB may delete an item days after its TTL. A claim that has expired counts as absent.
        let absent_or_expired = Expression::new("attribute_not_exists(#pk) OR #forgotten_at <= :now")
            .with(":now", text(claim.at.to_string()));
        let put = PutIf { item: claim.item(PUT)?, condition: Some(absent_or_expired) };
        match self.put(put).await {
            Ok(()) => Ok(claim.clone()),
            Err(PortError::Conflict { .. }) => {
                let stored = self.get(Key::claim(&claim.caller, &claim.key)).await?;
                stored.ok_or_else(expired)?.body(GET)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_request(&self, request: &Request) -> PortResult<Request> {
        let put = PutIf { item: request.item(PUT)?, condition: Some(if_absent()) };
        match self.put(put).await {
            Ok(()) => Ok(request.clone()),
            Err(PortError::Conflict { .. }) => {
                let stored = self.get(Key::request(request.id)).await?;
                stored.ok_or_else(expired)?.body(GET)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_mark(&self, mark: &Mark) -> PortResult<()> {
        let put = PutIf { item: mark.item(PUT)?, condition: Some(if_absent()) };
        match self.put(put).await {
            Ok(()) | Err(PortError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The conflicting item expired between the put and the read.
fn expired() -> PortError {
    PortError::NotDone { operation: PUT, source: "the conflicting item has just expired; try again".into() }
}
