//! The fake of what IAM lists: the roles of the other two fakes.

use std::sync::Arc;

use async_trait::async_trait;

use super::faults::{Faults, Nature};
use super::principals::MemoryPrincipals;
use super::roles::MemoryRoles;
use crate::port::{Estate, PortResult, Roles, Standing};

/// Lists the principals and session roles in memory. A session role without a reserved deny has nothing to sweep, and is
/// not listed.
#[derive(Debug)]
pub struct MemoryEstate {
    principals: Arc<MemoryPrincipals>,
    roles: Arc<MemoryRoles>,
    faults: Arc<Faults>,
}

impl MemoryEstate {
    /// What `principals` and `roles` hold.
    #[must_use]
    pub fn new(principals: Arc<MemoryPrincipals>, roles: Arc<MemoryRoles>, faults: Arc<Faults>) -> Self {
        Self { principals, roles, faults }
    }
}

#[async_trait]
impl Estate for MemoryEstate {
    async fn roles(&self) -> PortResult<Roles> {
        let act = |_| Ok(Roles { attachment: self.principals.arns(), session: self.roles.denying() });
        self.faults.call("roles", Nature::Read, act).await
    }

    async fn standing(&self, principal_arn: &str) -> PortResult<Standing> {
        let act = |_| {
            let whole = self.principals.whole(principal_arn);
            Ok(whole.map_or_else(Standing::default, |whole| Standing {
                inline: whole.inline.into_keys().collect(),
                attached: whole.attached.into_iter().collect(),
            }))
        };
        self.faults.call("standing", Nature::Read, act).await
    }
}
