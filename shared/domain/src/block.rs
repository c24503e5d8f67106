//! Blocks, which stop vends and end grants. A block on one grant is the mark of a release or withdrawal.

use serde::{Deserialize, Serialize};

use crate::grant::{EndCause, Grant};
use crate::id::{AccountId, EntitlementId, GrantId, IdentityId};
use crate::identity::IdentityClass;
use crate::time::Timestamp;

/// The grants that a block covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope", content = "of", rename_all = "snake_case")]
pub enum BlockScope {
    /// One grant.
    Grant(GrantId),
    /// Every grant of one identity.
    Identity(IdentityId),
    /// Every grant of the identities that one human sponsors.
    Sponsor(IdentityId),
    /// Every grant of one class of identities.
    Class(IdentityClass),
    /// Every grant on one entitlement.
    Entitlement(EntitlementId),
    /// Every grant in one account.
    Account(AccountId),
    /// Every grant.
    All,
}

impl BlockScope {
    /// The scopes that cover `grant`, narrowest first.
    #[must_use]
    pub fn covering(grant: &Grant) -> Vec<Self> {
        let mut scopes = vec![Self::Grant(grant.id)];
        scopes.extend(Self::covering_request(
            (&grant.identity, &grant.sponsor, grant.class),
            grant.on_behalf_of.as_ref(),
            &grant.entitlement,
            &grant.account,
        ));
        scopes
    }

    /// The scopes that cover a grant of this identity on this entitlement, for itself or on behalf of a human. A block
    /// on that human also stops grants on their behalf.
    #[must_use]
    pub fn covering_request(
        (identity, sponsor, class): (&IdentityId, &IdentityId, IdentityClass),
        on_behalf_of: Option<&IdentityId>,
        entitlement: &EntitlementId,
        account: &AccountId,
    ) -> Vec<Self> {
        let mut scopes = vec![Self::Identity(identity.clone()), Self::Sponsor(sponsor.clone()), Self::Class(class)];
        if let Some(human) = on_behalf_of {
            let human = human.clone();
            scopes.extend([Self::Identity(human.clone()), Self::Sponsor(human), Self::Class(IdentityClass::Human)]);
        }
        scopes.extend([Self::Entitlement(entitlement.clone()), Self::Account(account.clone()), Self::All]);
        scopes
    }

    /// The scope's part of its key: `grant/grt_…`, `identity/…`, `class/agent`, `all`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Grant(id) => format!("grant/{id}"),
            Self::Identity(id) => format!("identity/{id}"),
            Self::Sponsor(id) => format!("sponsor/{id}"),
            Self::Class(class) => format!("class/{}", class.as_str()),
            Self::Entitlement(id) => format!("entitlement/{id}"),
            Self::Account(id) => format!("account/{id}"),
            Self::All => "all".to_owned(),
        }
    }
}

/// A block in force. It stops vends under the grants that it covers, and ends those grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub scope: BlockScope,
    /// The cause with which covered grants end.
    pub cause: EndCause,
    /// The identity that placed the block.
    pub by: IdentityId,
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_a_human_cover_grants_on_their_behalf() {
        let (agent, rui, ana) = ("fix-agent".parse().unwrap(), "rui".parse().unwrap(), "ana".parse().unwrap());
        let keys = |human| -> Vec<String> {
            let (entitlement, account) = ("read-logs".parse().unwrap(), "000000000000".parse().unwrap());
            let scopes =
                BlockScope::covering_request((&agent, &rui, IdentityClass::Agent), human, &entitlement, &account);
            scopes.iter().map(BlockScope::key).collect()
        };
        let own = keys(None);
        assert_eq!(
            own.join(" "),
            "identity/fix-agent sponsor/rui class/agent entitlement/read-logs account/000000000000 all"
        );
        let more: Vec<_> = keys(Some(&ana)).into_iter().filter(|key| !own.contains(key)).collect();
        assert_eq!(more, ["identity/ana", "sponsor/ana", "class/human"]);
    }
}
