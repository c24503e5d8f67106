//! Requests on a human's behalf. Policy must allow both the requester and the human: rights are the intersection, and
//! each limit is the tighter of the two.

use brevet_domain::class_limits::ClassLimits;
use brevet_domain::decision::{Outcome, Step, check_approver, missing_approvers};
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Identity, IdentityClass};
use brevet_domain::rule;

use crate::ask::{Facts, GrantFacts};
use crate::bundle::Bundle;
use crate::decide::sorted;
use crate::steps::where_short;

impl Bundle {
    /// The registered human whom `on_behalf_of` names, if `identity` can ask on a human's behalf.
    ///
    /// # Errors
    ///
    /// The reason for the requester, if it cannot or if the name is not a registered human.
    pub(crate) fn principal(&self, identity: &Identity, on_behalf_of: &IdentityId) -> Result<&Identity, String> {
        if identity.class == IdentityClass::Human {
            return Err(format!(
                "`{}` is human and may only ask for themselves; leave `on_behalf_of` out",
                identity.id
            ));
        }
        let human = self.index().identities.get(on_behalf_of).filter(|human| human.class == IdentityClass::Human);
        human.ok_or_else(|| format!("`on_behalf_of` names `{on_behalf_of}`, which is not a registered human"))
    }

    /// The limits of the class of `identity`. On behalf of a human, each limit is the tighter of both classes.
    pub(crate) fn class_limits_for(&self, identity: &Identity, on_behalf_of: Option<&IdentityId>) -> ClassLimits {
        let own = self.index().class_limits(identity.class);
        on_behalf_of.map_or(own, |_| own.tightened(self.index().class_limits(IdentityClass::Human)))
    }

    /// Decides a request of a registered identity, on behalf of the human whom `facts` name, if any. Returns the
    /// outcome with its determining policies and rules.
    ///
    /// INVARIANT: the outcome never gives more than each of the two would get alone, with the same facts.
    pub(crate) fn judge_for(
        &self,
        identity: &Identity,
        entitlement: &Entitlement,
        facts: &Facts,
    ) -> (Outcome, Vec<String>) {
        let Some(on_behalf_of) = &facts.on_behalf_of else { return self.judge(identity, entitlement, facts) };
        let deny = |reason: String, rule: &str| (Outcome::Deny { reason }, vec![rule.to_owned()]);
        let human = match self.principal(identity, on_behalf_of) {
            Ok(human) => human,
            Err(reason) => return deny(reason, rule::ON_BEHALF_OF),
        };
        let own = self.judge(identity, entitlement, facts);
        if matches!(own.0, Outcome::Deny { .. }) {
            return own;
        }
        let longest_s = entitlement.longest_term(human.class).as_seconds();
        if facts.term_s > longest_s {
            let reason = format!("`{on_behalf_of}`, named in `on_behalf_of`, may have it for at most {longest_s} s");
            return deny(reason, rule::CLASS_TERM);
        }
        // The human is judged as if they asked for themselves.
        let (theirs, by) = self.judge(human, entitlement, &Facts { on_behalf_of: None, ..facts.clone() });
        let determining = sorted([own.1, by].concat());
        let (steps, deadline) = match (own.0, theirs) {
            (own @ Outcome::Deny { .. }, _) => return (own, determining),
            (_, Outcome::Deny { reason }) => {
                let reason = format!("`{on_behalf_of}`, named in `on_behalf_of`, may not have it: {reason}");
                return (Outcome::Deny { reason }, determining);
            }
            (Outcome::Allow, Outcome::Allow) => return (Outcome::Allow, determining),
            (Outcome::NeedsApproval { steps, deadline }, Outcome::Allow)
            | (Outcome::Allow, Outcome::NeedsApproval { steps, deadline }) => (steps, deadline),
            (Outcome::NeedsApproval { steps, deadline }, Outcome::NeedsApproval { steps: others, deadline: at }) => {
                (Step::of_both(steps, others), deadline.min(at))
            }
        };
        // An approver must be allowed to approve for both.
        let (approvers, by) = match self.approvers_of_both(identity, human, entitlement, facts) {
            Ok(both) => both,
            Err(fault) => return (Outcome::Deny { reason: fault.to_string() }, fault.policies()),
        };
        let both = |step: Step| Step { approvers: &step.approvers & &approvers, ..step };
        let steps: Vec<_> = steps.into_iter().map(both).collect();
        match missing_approvers(&steps) {
            None => (Outcome::NeedsApproval { steps, deadline }, sorted([determining, by].concat())),
            Some(short) => {
                let reason = format!(
                    "`{}` needs approval by {}{}, but only {} registered people may approve it for both `{}` and \
                     `{on_behalf_of}`",
                    entitlement.id,
                    short.needed,
                    where_short(&short),
                    short.n_people,
                    identity.id
                );
                deny(reason, rule::APPROVERS)
            }
        }
    }

    fn approvers_of_both(
        &self,
        identity: &Identity,
        human: &Identity,
        entitlement: &Entitlement,
        facts: &Facts,
    ) -> Result<(std::collections::BTreeSet<IdentityId>, Vec<String>), crate::ask::Fault> {
        let of = |requester: &Identity| {
            let grant = GrantFacts {
                id: None,
                entitlement: &entitlement.id,
                requester: &requester.id,
                sponsor: &requester.owner,
                class: requester.class,
            };
            self.approvers(&grant, facts)
        };
        let (own, mut determining) = of(identity)?;
        let (theirs, by) = of(human)?;
        determining.extend(by);
        let both = own.into_iter().filter(|person| theirs.iter().any(|other| other.id == person.id));
        let apart = both.filter(|person| check_approver(person, &human.id, &human.id).is_ok());
        Ok((apart.map(|person| person.id.clone()).collect(), determining))
    }
}
