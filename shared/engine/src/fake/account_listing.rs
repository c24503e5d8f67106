//! The fake of the account listing: it lists the roles of two other fakes.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::faults::{CallKind, Faults};
use super::principals::MemoryPrincipals;
use super::roles::MemoryRoles;
use crate::port::{AccountListing, PortResult, Roles, Standing};

/// Lists the principals and session roles in memory.
#[derive(Debug)]
pub struct MemoryAccountListing {
    session_roles: Vec<String>,
    principals: Arc<MemoryPrincipals>,
    roles: Arc<MemoryRoles>,
    faults: Arc<Faults>,
}

impl MemoryAccountListing {
    /// Lists the roles in `principals` and `roles`. A role without a reserved deny is listed only if `session_roles`
    /// names it.
    #[must_use]
    pub fn new(
        principals: Arc<MemoryPrincipals>,
        (roles, session_roles): (Arc<MemoryRoles>, Vec<String>),
        faults: Arc<Faults>,
    ) -> Self {
        Self { session_roles, principals, roles, faults }
    }
}

#[async_trait]
impl AccountListing for MemoryAccountListing {
    async fn roles(&self) -> PortResult<Roles> {
        let act = |_| {
            let session: BTreeSet<_> = self.roles.denying().into_iter().chain(self.session_roles.clone()).collect();
            Ok(Roles { attachment: self.principals.arns(), session: session.into_iter().collect() })
        };
        self.faults.call("roles", CallKind::Read, act).await
    }

    async fn standing(&self, principal_arn: &str) -> PortResult<Standing> {
        let act = |_| {
            let whole = self.principals.whole(principal_arn);
            Ok(whole.map_or_else(Standing::default, |whole| Standing {
                inline: whole.inline.into_keys().collect(),
                attached: whole.attached.into_iter().collect(),
            }))
        };
        self.faults.call("standing", CallKind::Read, act).await
    }
}
