//! Item keys. A key is a function of the record's identity, so no record is stored twice.

use aws_sdk_dynamodb::types::AttributeValue;
use brevet_domain::block::BlockScope;
use brevet_domain::canonical::Digest;
use brevet_domain::drill::Drilled;
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::revocation::WideScope;

use super::item::text;

/// The partition of the latest version of each block. No scope has this key.
pub(super) const LATEST: &str = "REVOCATION#latest";

/// The partition of all findings of the sweep.
pub(super) const FINDINGS: &str = "FINDING#sweep";

/// The sort key of a role's lease. Deny entries have a grant id as their sort key.
pub(super) const LEASE: &str = "LEASE";

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn single(pk: String) -> Self {
        Self { pk, sk: "-".to_owned() }
    }

    pub(super) fn request(id: GrantId) -> Self {
        Self::single(format!("REQUEST#{id}"))
    }

    pub(super) fn claim(caller: &IdentityId, key: &str) -> Self {
        // No identity id contains a `#`.
        Self::single(format!("IDEM#{caller}#{key}"))
    }

    pub(super) fn decision(id: GrantId) -> Self {
        Self::single(format!("DECISION#{id}"))
    }

    pub(super) fn grant(id: GrantId) -> Self {
        Self { pk: format!("GRANT#{id}"), sk: "META".to_owned() }
    }

    pub(super) fn evidence(id: GrantId, seq: u64) -> Self {
        Self { pk: format!("GRANT#{id}"), sk: format!("EVD#{seq:06}") }
    }

    pub(super) fn activation(id: GrantId) -> Self {
        Self::single(format!("ACT#{id}"))
    }

    pub(super) fn block(scope: &BlockScope) -> Self {
        Self::single(format!("BLOCK#{}", scope.key()))
    }

    pub(super) fn mark(id: GrantId) -> Self {
        Self::block(&BlockScope::Grant(id))
    }

    pub(super) fn deny(role_arn: &str, sk: impl Into<String>) -> Self {
        Self { pk: format!("DENY#{role_arn}"), sk: sk.into() }
    }

    pub(super) fn holders(principal_arn: &str, policy_arn: &str) -> Self {
        // No IAM ARN contains a `#`.
        Self::single(format!("HOLDERS#{principal_arn}#{policy_arn}"))
    }

    pub(super) fn holdings(sponsor: &IdentityId) -> Self {
        Self { pk: format!("SPONSOR#{sponsor}"), sk: "HOLDINGS".to_owned() }
    }

    /// One version of a block. Versions sort by number.
    pub(super) fn revocation(scope: &WideScope, version: u64) -> Self {
        Self { pk: format!("REVOCATION#{}", scope.as_block().key()), sk: format!("{version:09}") }
    }

    /// The latest version of a block, on the list of all blocks that ever existed.
    pub(super) fn latest(scope: &WideScope) -> Self {
        Self { pk: LATEST.to_owned(), sk: scope.to_string() }
    }

    pub(super) fn progress(scope: &WideScope) -> Self {
        Self::single(format!("PROGRESS#{}", scope.as_block().key()))
    }

    /// One version of a delegation. Versions sort by number.
    pub(super) fn delegation(by: &IdentityId, to: &IdentityId, version: u64) -> Self {
        // No identity id contains a `#`.
        Self { pk: format!("DELEGATION#{by}"), sk: format!("{to}#{version:09}") }
    }

    pub(super) fn review(identity: &IdentityId, grant: impl Into<String>) -> Self {
        Self { pk: format!("REVIEW#{identity}"), sk: grant.into() }
    }

    pub(super) fn backstop(id: GrantId) -> Self {
        Self::single(format!("BACKSTOP#{id}"))
    }

    pub(super) fn reaper_health() -> Self {
        Self::single("HEARTBEAT#reap".to_owned())
    }

    /// One finding of the sweep. Findings sort by number.
    pub(super) fn finding(seq: u64) -> Self {
        Self { pk: FINDINGS.to_owned(), sk: format!("{seq:09}") }
    }

    /// One record of a drill. Records sort by number.
    pub(super) fn drill(drilled: Drilled, seq: u64) -> Self {
        Self { pk: format!("DRILL#{drilled}"), sk: format!("{seq:09}") }
    }

    /// The confirmation of the table in service. Only the deploying role writes it.
    pub(super) fn confirmation() -> Self {
        Self::single("TABLE#confirmed".to_owned())
    }

    pub(super) fn current_bundle() -> Self {
        Self::single("BUNDLE#current".to_owned())
    }

    pub(super) fn bundle(digest: Digest, part: &str) -> Self {
        Self { pk: format!("BUNDLE#{digest}"), sk: part.to_owned() }
    }

    pub(super) fn attributes(self) -> [(String, AttributeValue); 2] {
        [("pk".to_owned(), text(self.pk)), ("sk".to_owned(), text(self.sk))]
    }
}
