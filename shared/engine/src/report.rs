//! What is known of one grant, for whoever may see it.

use std::sync::Arc;

use brevet_domain::decision::Decision;
use brevet_domain::grant::Grant;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::request::Request;

use crate::port::{GrantReader, PortResult};
use crate::refusal::Refusal;

/// The stored records of one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was asked. Shown only where the decision's digest of it still fits.
    pub request: Option<Request>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// The grant.
    pub grant: Option<Grant>,
}

impl Report {
    /// Reads everything there is about `id`.
    ///
    /// # Errors
    ///
    /// [`crate::port::PortError`] if the store does not answer.
    pub async fn read(reader: &Arc<dyn GrantReader>, id: GrantId) -> PortResult<Self> {
        Ok(Self {
            request: reader.request(id).await?,
            decision: reader.decision(id).await?,
            grant: reader.grant(id).await?,
        })
    }

    /// The grant, if `viewer` holds it, answers for its holder, has it held on their behalf, or may approve it.
    ///
    /// # Errors
    ///
    /// The same "no such grant" for one that is not there and one that the viewer may not see.
    pub fn seen_by(&self, id: GrantId, viewer: &IdentityId) -> Result<&Grant, Refusal> {
        let grant = self.grant.as_ref().ok_or_else(|| Refusal::no_such_grant(id))?;
        if grant.belongs_to(viewer) || self.may_be_approved_by(viewer) {
            Ok(grant)
        } else {
            Err(Refusal::no_such_grant(id))
        }
    }

    fn may_be_approved_by(&self, viewer: &IdentityId) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.approvers().contains(viewer))
    }
}
