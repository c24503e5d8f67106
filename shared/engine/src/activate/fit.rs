//! Whether a principal is fit to have something attached: boundary, no inline Deny, its holder, nothing unexplained,
//! quota.

use brevet_domain::count::{Count, CountError};
use brevet_domain::deny::MAX_ROLE_INLINE;
use brevet_domain::grant::{Grant, State};
use brevet_domain::plan::{AttachmentPlan, PlanTemplate};
use brevet_domain::time::Timestamp;

use crate::port::{Also, Place, Principal};

/// Why a principal is not attached to.
pub(super) enum Unfit {
    /// Nor later.
    Ever(String),
    /// For now.
    Yet(String),
}

impl From<String> for Unfit {
    fn from(problem: String) -> Self {
        Self::Ever(problem)
    }
}

/// A grant and the principal as it was read.
pub(super) struct Fit<'a> {
    pub(super) grant: &'a Grant,
    pub(super) principal: &'a Principal,
    /// The permissions boundary that it must carry.
    pub(super) boundary: &'a str,
    /// When.
    pub(super) now: Timestamp,
}

impl Fit<'_> {
    /// Checks it for `plan`, whose policy is held by those of `count`. Answers what a first attempt stores with it.
    pub(super) fn check(
        &self,
        template: &PlanTemplate,
        place: &Place,
        plan: &AttachmentPlan,
        count: Option<&Count>,
    ) -> Result<Option<Also>, Unfit> {
        let principal = self.principal;
        let holder = match template {
            PlanTemplate::Inline(inline) => &inline.holder,
            PlanTemplate::Managed(managed) => &managed.holder,
            PlanTemplate::Session(_) => return Err("the decision is for a session".to_owned().into()),
        };
        if Place::of(self.grant).as_ref() != Some(place) || *place != place_of(plan) {
            return Err("the grant names another place than its decision".to_owned().into());
        }
        if !holder.admits(&self.grant.identity) {
            return Err(format!("the principal is held by somebody else than `{}`", self.grant.identity).into());
        }
        if principal.boundary_arn.as_deref() != Some(self.boundary) {
            let boundary = self.boundary;
            return Err(format!("the principal does not carry the permissions boundary `{boundary}`").into());
        }
        if let Some((name, _)) = principal.inline.iter().find(|(_, document)| may_deny(document)) {
            return Err(format!("its inline policy `{name}` holds a Deny, which a put could overwrite").into());
        }
        match (plan, count) {
            (AttachmentPlan::Inline { policy_name, document, .. }, _) => {
                self.room_for(policy_name, document)?;
                Ok(None)
            }
            (AttachmentPlan::Managed { policy_arn, .. }, Some(count)) => self.joined(policy_arn, count).map(Some),
            (AttachmentPlan::Managed { .. }, None) => Err("its holders were not read".to_owned().into()),
        }
    }

    fn is_first(&self) -> bool {
        matches!(self.grant.state, State::Approved { .. })
    }

    fn room_for(&self, policy_name: &str, document: &str) -> Result<(), Unfit> {
        let inline = &self.principal.inline;
        if inline.contains_key(policy_name) && self.is_first() {
            return Err(format!("an inline policy `{policy_name}` stands that nothing explains").into());
        }
        let others = inline.iter().filter(|(name, _)| *name != policy_name);
        let used = others.map(|(_, document)| size(document)).fold(size(document), usize::saturating_add);
        if used > MAX_ROLE_INLINE {
            let problem = format!("its inline policies would have {used} characters; IAM takes {MAX_ROLE_INLINE}");
            return Err(problem.into());
        }
        Ok(())
    }

    fn joined(&self, policy_arn: &str, count: &Count) -> Result<Also, Unfit> {
        let attached = &self.principal.attached;
        let stands = attached.contains(policy_arn);
        if stands && count.holders.is_empty() {
            return Err(format!("`{policy_arn}` is attached already, and no grant explains it").into());
        }
        if !stands && attached.len() >= self.principal.attached_quota {
            let n = attached.len();
            return Err(format!("{n} managed policies are attached to the principal, and IAM takes no more").into());
        }
        if !self.is_first() && !count.holders.contains(&self.grant.id) {
            return Err("it is not counted among the holders of its policy".to_owned().into());
        }
        match count.join(self.grant.id, self.now) {
            Ok(joined) => Ok(Also::Count(joined)),
            Err(error @ (CountError::Detaching | CountError::Full | CountError::Held(_))) => {
                Err(Unfit::Yet(error.to_string()))
            }
        }
    }
}

fn place_of(plan: &AttachmentPlan) -> Place {
    match plan.clone() {
        AttachmentPlan::Inline { principal_arn, policy_name, .. } => Place::Inline { principal_arn, policy_name },
        AttachmentPlan::Managed { principal_arn, policy_arn } => Place::Managed { principal_arn, policy_arn },
    }
}

/// Characters as IAM counts them: white space left out.
fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// Whether a document holds anything but Allows. One that cannot be read may.
fn may_deny(document: &str) -> bool {
    let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let statements = match parsed.get("Statement") {
        Some(serde_json::Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => return true,
    };
    statements.iter().any(|one| one.get("Effect").and_then(|effect| effect.as_str()) != Some("Allow"))
}
