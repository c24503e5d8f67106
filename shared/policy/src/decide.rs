//! The decision on a request: allow, deny, or allow after approval.

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::decision::{MissingApprovers, Outcome, Step, Traits, Verdict, check_approver, missing_approvers};
use brevet_domain::duties::Duties;
use brevet_domain::entitlement::{Delivery, Entitlement, Holder, InvalidRequest};
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Caller, Identity, IdentityClass};
use brevet_domain::plan::{PlanError, PlanTemplate, rotations};
use brevet_domain::request::Request;
use brevet_domain::rule;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;

use crate::ask::{Action, Answer, Facts, Fault, GrantFacts, Question};
use crate::bundle::Bundle;
use crate::steps::{where_short, with_people};

/// The reason why there is no decision: the request is invalid for every caller.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The catalogue has no such entitlement.
    #[error("there is no entitlement `{0}`")]
    UnknownEntitlement(EntitlementId),
    /// The request does not fit its entitlement.
    #[error(transparent)]
    InvalidRequest(#[from] InvalidRequest),
    /// No plan can be rendered for the request.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// The result of the policies, before it becomes an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// Allowed without approval, by these policies.
    Yes(Vec<String>),
    /// Allowed once enough people approve each step.
    People { steps: Vec<Step>, determining: Vec<String> },
    /// Approval is needed, but too few people may approve.
    TooFew(MissingApprovers),
    /// Another identity is the single holder of the attachment principal.
    NotHolder(IdentityId),
    /// Forbidden by these policies. The list is empty if no policy permits it.
    No(Vec<String>),
}

impl Bundle {
    /// Decides a request of a verified caller at `now`.
    ///
    /// Pure: the same bundle, caller, request and `now` give the same verdict. A request that cannot be evaluated is
    /// denied.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the request is invalid for every caller. That is the caller's mistake, not a denial.
    pub fn decide(
        &self,
        caller: &Caller,
        request: &Request,
        deployment: &Deployment,
        now: Timestamp,
    ) -> Result<Verdict, DecideError> {
        let ask = &request.ask;
        let entitlement = self
            .entitlement(&ask.entitlement)
            .ok_or_else(|| DecideError::UnknownEntitlement(ask.entitlement.clone()))?;
        entitlement.check(caller.identity.class, ask)?;
        if ask.on_behalf_of.is_some() {
            entitlement.check(IdentityClass::Human, ask)?;
        }
        let facts = Facts {
            term_s: ask.term_s.as_seconds(),
            has_ticket: ask.ticket.is_some(),
            task: caller.task.as_ref().map(|task| task.as_str().to_owned()),
            schedule: caller.proof.schedule().map(ToString::to_string),
            on_behalf_of: ask.on_behalf_of.clone(),
            is_renewal: ask.renews.is_some(),
            now,
        };
        let (mut outcome, determining) = self.outcome(&caller.identity, entitlement, &facts);
        let nearest = self.advise(&caller.identity, entitlement, &facts, &mut outcome);
        let template = match outcome {
            Outcome::Deny { .. } => None,
            Outcome::Allow | Outcome::NeedsApproval { .. } => {
                let (who, task) = (&caller.identity.id, caller.task.as_ref());
                let template =
                    PlanTemplate::for_grant(deployment, entitlement, &ask.parameters, who, task, request.id)?;
                let template = template.on_behalf_of(ask.on_behalf_of.as_ref());
                // An error in rendering should show now, not when credentials are fetched.
                template.check(now, ask.term_s)?;
                Some(template)
            }
        };
        let rotate = match outcome {
            Outcome::Deny { .. } => Vec::new(),
            Outcome::Allow | Outcome::NeedsApproval { .. } => rotations(deployment, entitlement, &ask.parameters)?,
        };
        let environment = entitlement.environment.clone();
        let class_limits = self.class_limits_for(&caller.identity, ask.on_behalf_of.as_ref());
        Ok(Verdict {
            bundle_digest: self.digest(),
            traits: Traits {
                risk: Some(entitlement.risk),
                environment,
                break_glass: entitlement.break_glass_use(),
                canary: entitlement.canary,
                rotate,
                outlives: entitlement.outlives.clone(),
            },
            outcome,
            determining,
            nearest,
            template,
            term: ask.term_s,
            start_within_s: entitlement.start_within_s,
            max_renewals: class_limits.max_renewals,
            duties: duties(entitlement, class_limits),
        })
    }

    fn outcome(&self, identity: &Identity, entitlement: &Entitlement, facts: &Facts) -> (Outcome, Vec<String>) {
        if self.knows(identity) {
            return self.judge_for(identity, entitlement, facts);
        }
        let reason = format!("`{}` is not registered in the catalogue in force", identity.id);
        (Outcome::Deny { reason }, vec![rule::REGISTERED.to_owned()])
    }

    /// Decides a request of a registered identity for itself. Returns the outcome with its determining policies and
    /// rules.
    pub(crate) fn judge(
        &self,
        identity: &Identity,
        entitlement: &Entitlement,
        facts: &Facts,
    ) -> (Outcome, Vec<String>) {
        let deny = |reason: String, rule: &str| (Outcome::Deny { reason }, vec![rule.to_owned()]);
        let (class, longest_s) =
            (identity.class.as_str(), self.index().class_limits(identity.class).max_term.as_seconds());
        if facts.term_s > longest_s {
            let reason = format!("a term of {} s is too long for class `{class}`: at most {longest_s} s", facts.term_s);
            return deny(reason, rule::CLASS_TERM);
        }
        let (who, what) = (&identity.id, &entitlement.id);
        match self.weigh(identity, entitlement, facts) {
            Ok(Weighed::Yes(determining)) => (Outcome::Allow, determining),
            Ok(Weighed::People { steps, determining }) => {
                let deadline = facts.now.plus(entitlement.approval.within_s);
                (Outcome::NeedsApproval { steps, deadline }, determining)
            }
            Ok(Weighed::TooFew(short)) => {
                let reason = format!(
                    "`{what}` needs approval by {}{}, but only {} registered people may approve this request",
                    short.needed,
                    where_short(&short),
                    short.n_people
                );
                deny(reason, rule::APPROVERS)
            }
            Ok(Weighed::NotHolder(holder)) => {
                let reason = format!(
                    "`{what}` is attached to a principal that only `{holder}` holds; only `{holder}` may request it"
                );
                deny(reason, rule::HOLDER)
            }
            Ok(Weighed::No(policies)) => {
                let reason = if policies.is_empty() {
                    format!("no policy allows `{who}` to request `{what}` like this")
                } else {
                    format!("forbidden by policy `{}`", policies.join("`, `"))
                };
                (Outcome::Deny { reason }, policies)
            }
            Err(fault) => (Outcome::Deny { reason: fault.to_string() }, fault.policies()),
        }
    }

    /// Evaluates the policies, without the class limits and the checks on the request.
    ///
    /// # Errors
    ///
    /// [`Fault`] if a policy could not be evaluated: a denial.
    pub(crate) fn weigh(
        &self,
        identity: &Identity,
        entitlement: &Entitlement,
        facts: &Facts,
    ) -> Result<Weighed, Fault> {
        // No policy can loosen this rule.
        if let Some(holder) = other_holder(&entitlement.delivery, &identity.id) {
            return Ok(Weighed::NotHolder(holder.clone()));
        }
        let world = self.world(&entitlement.id, std::iter::once(&identity.id).chain(&facts.on_behalf_of), None)?;
        let question = Question::new(&identity.id, &entitlement.id, facts)?;
        let ask = |action| world.ask(&question, action);
        let mut determining = match ask(Action::Request)? {
            Answer::Yes(policies) => policies,
            Answer::No(policies) => return Ok(Weighed::No(policies)),
        };
        // No policy can loosen these rules, either.
        let mut unwaivable = self.unwaivable(identity, entitlement).peekable();
        if let (true, Answer::Yes(policies)) = (unwaivable.peek().is_none(), ask(Action::AutoApprove)?) {
            determining.extend(policies);
            return Ok(Weighed::Yes(sorted(determining)));
        }
        determining.extend(unwaivable.map(str::to_owned));
        let grant = GrantFacts {
            id: None,
            entitlement: &entitlement.id,
            requester: &identity.id,
            sponsor: &identity.owner,
            class: identity.class,
        };
        let (approvers, policies) = self.approvers(&grant, facts)?;
        let asked = entitlement.steps(&self.index().steps, identity.class, facts.term_s);
        let steps: Vec<_> = asked.into_iter().map(|asked| with_people(asked, &approvers)).collect();
        if let Some(short) = missing_approvers(&steps) {
            return Ok(Weighed::TooFew(short));
        }
        determining.extend(policies);
        Ok(Weighed::People { steps, determining: sorted(determining) })
    }

    /// The rules that require approval even if a policy waives it. Empty if a policy may waive approval.
    pub(crate) fn unwaivable(
        &self,
        identity: &Identity,
        entitlement: &Entitlement,
    ) -> impl Iterator<Item = &'static str> {
        let always = self.index().class_limits(identity.class).people_always && entitlement.break_glass.is_none();
        let rules = [(always, rule::PEOPLE_ALWAYS), (entitlement.needs_people(), rule::CRITICAL)];
        rules.into_iter().filter(|(holds, _)| *holds).map(|(_, rule)| rule)
    }

    /// The policies that would waive approval for `identity`, whether or not approval can be waived. `None` if no
    /// policy waives it, or if the identity may not have the entitlement at all.
    ///
    /// # Errors
    ///
    /// [`Fault`] if a policy could not be evaluated.
    pub(crate) fn waived_by(
        &self,
        identity: &Identity,
        entitlement: &Entitlement,
        facts: &Facts,
    ) -> Result<Option<Vec<String>>, Fault> {
        let world = self.world(&entitlement.id, std::iter::once(&identity.id).chain(&facts.on_behalf_of), None)?;
        let question = Question::new(&identity.id, &entitlement.id, facts)?;
        let answers = (world.ask(&question, Action::Request)?, world.ask(&question, Action::AutoApprove)?);
        Ok(match answers {
            (Answer::Yes(_), Answer::Yes(policies)) => Some(policies),
            (Answer::Yes(_) | Answer::No(_), Answer::Yes(_) | Answer::No(_)) => None,
        })
    }

    /// The people who may approve `grant`, and the policies that permit it.
    pub(crate) fn approvers(
        &self,
        grant: &GrantFacts<'_>,
        facts: &Facts,
    ) -> Result<(Vec<&Identity>, Vec<String>), Fault> {
        let people = self.index().identities.values();
        let people = people.filter(|person| check_approver(person, grant.requester, grant.sponsor).is_ok());
        let world = self.world(grant.entitlement, people.clone().map(|person| &person.id), Some(grant))?;
        let (mut approvers, mut determining) = (Vec::new(), Vec::new());
        for person in people {
            if let Answer::Yes(policies) = world.on_grant(&person.id, grant, facts)? {
                approvers.push(person);
                determining.extend(policies);
            }
        }
        Ok((approvers, determining))
    }
}

/// The separation of duties and the class limits of a grant on `entitlement`.
fn duties(entitlement: &Entitlement, class_limits: ClassLimits) -> Duties {
    Duties {
        conflicts: entitlement.conflicts.clone(),
        remember_s: entitlement.conflicts.values().copied().max().unwrap_or(0),
        max_live: Some(class_limits.max_live.get()),
    }
}

/// The single holder of the attachment principal, if that is not `identity`.
fn other_holder<'a>(delivery: &'a Delivery, identity: &IdentityId) -> Option<&'a IdentityId> {
    match delivery {
        Delivery::Session { .. } => None,
        Delivery::Inline { holder, .. } | Delivery::Managed { holder, .. } => match holder {
            Holder::Single(single) if !holder.admits(identity) => Some(single),
            Holder::Single(_) | Holder::Shared => None,
        },
    }
}

pub(crate) fn sorted(mut policies: Vec<String>) -> Vec<String> {
    policies.sort();
    policies.dedup();
    policies
}
