//! Keys: where each item is. A function of what it is about, so that the same thing never stands twice.

use aws_sdk_dynamodb::types::AttributeValue;
use brevet_domain::block::BlockScope;
use brevet_domain::canonical::Digest;
use brevet_domain::drill::Drilled;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::revocation::WideScope;

use super::item::text;

/// The key under which the latest version of each block is; no scope has it.
pub(super) const LATEST: &str = "REVOCATION#latest";

/// The key of all findings of the sweep.
pub(super) const FINDINGS: &str = "FINDING#sweep";

/// The sort key of a role's lease; entries have a grant id there.
pub(super) const LEASE: &str = "LEASE";

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn alone(pk: String) -> Self {
        Self { pk, sk: "-".to_owned() }
    }

    pub(super) fn request(id: GrantId) -> Self {
        Self::alone(format!("REQUEST#{id}"))
    }

    pub(super) fn claim(caller: &IdentityId, key: &str) -> Self {
        // No identity id holds a `#`.
        Self::alone(format!("IDEM#{caller}#{key}"))
    }

    pub(super) fn decision(id: GrantId) -> Self {
        Self::alone(format!("DECISION#{id}"))
    }

    pub(super) fn grant(id: GrantId) -> Self {
        Self { pk: format!("GRANT#{id}"), sk: "META".to_owned() }
    }

    pub(super) fn evidence(id: GrantId, seq: u64) -> Self {
        Self { pk: format!("GRANT#{id}"), sk: format!("EVD#{seq:06}") }
    }

    pub(super) fn activation(id: GrantId) -> Self {
        Self::alone(format!("ACT#{id}"))
    }

    pub(super) fn block(scope: &BlockScope) -> Self {
        Self::alone(format!("BLOCK#{}", scope.key()))
    }

    pub(super) fn mark(id: GrantId) -> Self {
        Self::block(&BlockScope::Grant(id))
    }

    pub(super) fn deny(role_arn: &str, sk: impl Into<String>) -> Self {
        Self { pk: format!("DENY#{role_arn}"), sk: sk.into() }
    }

    pub(super) fn count(principal_arn: &str, policy_arn: &str) -> Self {
        // No ARN of IAM holds a `#`.
        Self::alone(format!("COUNT#{principal_arn}#{policy_arn}"))
    }

    pub(super) fn holdings(sponsor: &IdentityId) -> Self {
        Self { pk: format!("SPONSOR#{sponsor}"), sk: "HOLDINGS".to_owned() }
    }

    /// One version of a block; versions sort as their numbers do.
    pub(super) fn revocation(scope: &WideScope, version: u64) -> Self {
        Self { pk: format!("REVOCATION#{}", scope.as_block().key()), sk: format!("{version:09}") }
    }

    /// The latest version of a block, on the list of all that there ever were.
    pub(super) fn latest(scope: &WideScope) -> Self {
        Self { pk: LATEST.to_owned(), sk: scope.to_string() }
    }

    pub(super) fn progress(scope: &WideScope) -> Self {
        Self::alone(format!("PROGRESS#{}", scope.as_block().key()))
    }

    /// One version of a delegation; versions sort as their numbers do.
    pub(super) fn delegation(by: &IdentityId, to: &IdentityId, version: u64) -> Self {
        // No identity id holds a `#`.
        Self { pk: format!("DELEGATION#{by}"), sk: format!("{to}#{version:09}") }
    }

    pub(super) fn review(identity: &IdentityId, grant: impl Into<String>) -> Self {
        Self { pk: format!("REVIEW#{identity}"), sk: grant.into() }
    }

    pub(super) fn fuse(id: GrantId) -> Self {
        Self::alone(format!("FUSE#{id}"))
    }

    pub(super) fn heart() -> Self {
        Self::alone("HEART#reap".to_owned())
    }

    /// One finding of the sweep; they sort as their numbers do.
    pub(super) fn finding(seq: u64) -> Self {
        Self { pk: FINDINGS.to_owned(), sk: format!("{seq:09}") }
    }

    /// One record of a drill; they sort as their numbers do.
    pub(super) fn drill(drilled: Drilled, seq: u64) -> Self {
        Self { pk: format!("DRILL#{drilled}"), sk: format!("{seq:09}") }
    }

    /// Which table is in service; written by the deploying role alone.
    pub(super) fn confirmation() -> Self {
        Self::alone("TABLE#confirmed".to_owned())
    }

    pub(super) fn current_bundle() -> Self {
        Self::alone("BUNDLE#current".to_owned())
    }

    pub(super) fn bundle(digest: Digest, part: &str) -> Self {
        Self { pk: format!("BUNDLE#{digest}"), sk: part.to_owned() }
    }

    /// The attributes of the key.
    pub(super) fn attributes(self) -> [(String, AttributeValue); 2] {
        [("pk".to_owned(), text(self.pk)), ("sk".to_owned(), text(self.sk))]
    }
}
