//! Whether a principal may receive an attachment: boundary, no inline Deny, its holder, nothing unexplained, quota.

use brevet_domain::deny::MAX_ROLE_INLINE;
use brevet_domain::grant::{Grant, State};
use brevet_domain::holders::{AttachmentHolders, HoldersError};
use brevet_domain::plan::{AttachmentPlan, PlanTemplate};
use brevet_domain::time::Timestamp;

use crate::port::{AttachmentTarget, Principal, TransactionItem};

/// Why the preflight failed.
pub(super) enum PreflightFailure {
    /// A retry fails as well.
    Permanent(String),
    /// A retry may succeed.
    Retryable(String),
}

impl From<String> for PreflightFailure {
    fn from(problem: String) -> Self {
        Self::Permanent(problem)
    }
}

/// A grant and its principal as read.
pub(super) struct Preflight<'a> {
    pub(super) grant: &'a Grant,
    pub(super) principal: &'a Principal,
    /// The permissions boundary that the principal must carry.
    pub(super) boundary: &'a str,
    pub(super) now: Timestamp,
}

impl Preflight<'_> {
    /// Checks the principal for `plan`, whose policy `holders` hold. Returns what the first attempt stores with it.
    pub(super) fn check(
        &self,
        template: &PlanTemplate,
        target: &AttachmentTarget,
        plan: &AttachmentPlan,
        holders: Option<&AttachmentHolders>,
    ) -> Result<Option<TransactionItem>, PreflightFailure> {
        let principal = self.principal;
        let holder = match template {
            PlanTemplate::Inline(inline) => &inline.holder,
            PlanTemplate::Managed(managed) => &managed.holder,
            PlanTemplate::Session(_) => return Err("the decision is for a session".to_owned().into()),
        };
        if AttachmentTarget::of(self.grant).as_ref() != Some(target) || *target != target_of(plan) {
            return Err("the grant names another attachment target than its decision".to_owned().into());
        }
        if !holder.admits(&self.grant.identity) {
            return Err(
                format!("the catalogue names another holder of the principal than `{}`", self.grant.identity).into()
            );
        }
        if principal.boundary_arn.as_deref() != Some(self.boundary) {
            let boundary = self.boundary;
            return Err(format!("the principal does not carry the permissions boundary `{boundary}`").into());
        }
        if let Some((name, _)) = principal.inline.iter().find(|(_, document)| may_deny(document)) {
            return Err(format!(
                "the principal's inline policy `{name}` contains a Deny, which a put could \
                                overwrite"
            )
            .into());
        }
        match (plan, holders) {
            (AttachmentPlan::Inline { policy_name, document, .. }, _) => {
                self.room_for(policy_name, document)?;
                Ok(None)
            }
            (AttachmentPlan::Managed { policy_arn, .. }, Some(holders)) => self.joined(policy_arn, holders).map(Some),
            (AttachmentPlan::Managed { .. }, None) => Err("the holders of the policy were not read".to_owned().into()),
        }
    }

    fn is_first(&self) -> bool {
        matches!(self.grant.state, State::Approved { .. })
    }

    fn room_for(&self, policy_name: &str, document: &str) -> Result<(), PreflightFailure> {
        let inline = &self.principal.inline;
        if inline.contains_key(policy_name) && self.is_first() {
            return Err(format!("the principal has an inline policy `{policy_name}` that no record explains").into());
        }
        let others = inline.iter().filter(|(name, _)| *name != policy_name);
        let used = others.map(|(_, document)| size(document)).fold(size(document), usize::saturating_add);
        if used > MAX_ROLE_INLINE {
            let problem = format!(
                "the principal's inline policies would have {used} characters; IAM allows \
                                   {MAX_ROLE_INLINE}"
            );
            return Err(problem.into());
        }
        Ok(())
    }

    fn joined(&self, policy_arn: &str, holders: &AttachmentHolders) -> Result<TransactionItem, PreflightFailure> {
        let attached = &self.principal.attached;
        let stands = attached.contains(policy_arn);
        if stands && holders.holders.is_empty() {
            return Err(format!("`{policy_arn}` is already attached, and no grant explains it").into());
        }
        if !stands && attached.len() >= self.principal.attached_quota {
            let n = attached.len();
            return Err(format!("the principal has {n} managed policies, and its quota allows no more").into());
        }
        if !self.is_first() && !holders.holders.contains(&self.grant.id) {
            return Err("the grant is not among the recorded holders of its policy".to_owned().into());
        }
        match holders.join(self.grant.id, self.now) {
            Ok(joined) => Ok(TransactionItem::Holders(joined)),
            Err(error @ (HoldersError::Detaching | HoldersError::Full | HoldersError::Held(_))) => {
                Err(PreflightFailure::Retryable(error.to_string()))
            }
        }
    }
}

fn target_of(plan: &AttachmentPlan) -> AttachmentTarget {
    match plan.clone() {
        AttachmentPlan::Inline { principal_arn, policy_name, .. } => {
            AttachmentTarget::Inline { principal_arn, policy_name }
        }
        AttachmentPlan::Managed { principal_arn, policy_arn } => {
            AttachmentTarget::Managed { principal_arn, policy_arn }
        }
    }
}

/// The size as IAM counts it: without white space.
fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// Whether a document contains anything but Allows. An unreadable document may.
fn may_deny(document: &str) -> bool {
    let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let statements = match parsed.get("Statement") {
        Some(serde_json::Value::Array(all)) => all.clone(),
        Some(single) => vec![single.clone()],
        None => return true,
    };
    statements.iter().any(|statement| statement.get("Effect").and_then(|effect| effect.as_str()) != Some("Allow"))
}
