//! A policy of revocations that keeps two duties apart.

use async_trait::async_trait;
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Caller;
use brevet_domain::revocation::{Right, WideScope};
use brevet_domain::time::Timestamp;

use crate::port::{EvaluatorError, RevocationPolicy};

/// Each of two people places blocks, and lifts what the other one placed.
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
        let who = &caller.identity.id;
        let own = right == Right::Lift && placed_by == Some(who);
        if !own && self.0.contains(&who.as_str()) {
            return Ok(vec!["two-hands".to_owned()]);
        }
        Err(EvaluatorError::Refused("no policy allows it".to_owned()))
    }
}
