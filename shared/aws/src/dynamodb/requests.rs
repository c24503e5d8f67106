//! What intake writes.

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
        // DynamoDB may drop an item days after its ttl: one that is over counts as gone.
        let absent_or_over = Expression::new("attribute_not_exists(#pk) OR #forgotten_at <= :now")
            .with(":now", text(claim.at.to_string()));
        let put = PutIf { item: claim.item(PUT)?, condition: Some(absent_or_over) };
        match self.put(put).await {
            Ok(()) => Ok(claim.clone()),
            Err(PortError::Conflict { .. }) => {
                let standing = self.get(Key::claim(&claim.caller, &claim.key)).await?;
                standing.ok_or_else(gone)?.body(GET)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_request(&self, request: &Request) -> PortResult<Request> {
        let put = PutIf { item: request.item(PUT)?, condition: Some(if_absent()) };
        match self.put(put).await {
            Ok(()) => Ok(request.clone()),
            Err(PortError::Conflict { .. }) => {
                let standing = self.get(Key::request(request.id)).await?;
                standing.ok_or_else(gone)?.body(GET)
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

/// What was in the way is there no more: it expired in between.
fn gone() -> PortError {
    PortError::NotDone { operation: PUT, source: "what was in the way has just expired".into() }
}
