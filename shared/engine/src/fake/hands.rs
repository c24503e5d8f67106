//! A revocation policy with the two-person rule.

use async_trait::async_trait;
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Caller;
use brevet_domain::revocation::{Right, WideScope};
use brevet_domain::time::Timestamp;

use crate::port::{EvaluatorError, RevocationPolicy};

/// Each of two people may place blocks, and lift only the blocks of the other.
#[derive(Clone, Copy, Debug)]
pub struct TwoHands(pub [&'static str; 2]);

#[async_trait]
impl RevocationPolicy for TwoHands {
    async fn may(
        &self,
        caller: &Caller,
        right: Right,
        _: &WideScope,
        placed_by: Option<&IdentityId>,
        _: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError> {
        let identity = &caller.identity.id;
        let own = right == Right::Lift && placed_by == Some(identity);
        if !own && self.0.contains(&identity.as_str()) {
            return Ok(vec!["two-hands".to_owned()]);
        }
        Err(EvaluatorError::Refused("no policy allows it".to_owned()))
    }
}
