//! The stored records of one grant, and who may see them.

use std::sync::Arc;

use brevet_domain::decision::Decision;
use brevet_domain::grant::Grant;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::request::Request;

use crate::port::{GrantReader, PortResult};
use crate::refusal::Refusal;

/// The stored records of one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantRecords {
    /// Shown only if the decision's digest matches it.
    pub request: Option<Request>,
    pub decision: Option<Decision>,
    pub grant: Option<Grant>,
}

impl GrantRecords {
    /// Reads the records of `id`.
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

    /// Returns the grant if `viewer` holds it, answers for its holder, has it held on their behalf, or may approve it.
    ///
    /// # Errors
    ///
    /// The same "no such grant" for a grant that does not exist and for one that the viewer may not see.
    pub fn visible_to(&self, id: GrantId, viewer: &IdentityId) -> Result<&Grant, Refusal> {
        let grant = self.grant.as_ref().ok_or_else(|| Refusal::no_such_grant(id))?;
        if grant.belongs_to(viewer) || self.may_be_approved_by(viewer) || self.is_reviewed_by(viewer) {
            Ok(grant)
        } else {
            Err(Refusal::no_such_grant(id))
        }
    }

    /// Whether the decision named `viewer` as the reviewer of its use or the owner of its entitlement.
    fn is_reviewed_by(&self, viewer: &IdentityId) -> bool {
        let named = self.decision.as_ref().and_then(|decision| decision.terms.traits.break_glass.as_ref());
        named.is_some_and(|named| named.reviewer == *viewer || named.owner == *viewer)
    }

    fn may_be_approved_by(&self, viewer: &IdentityId) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.approvers().contains(viewer))
    }
}
