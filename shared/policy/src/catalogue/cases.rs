//! Cases: decisions that the authors of a catalogue expect. A case with another result is a finding.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::entitlement::ParameterValue;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId, StepName};
use brevet_domain::identity::{AuthContext, Caller, Identity, ProofSummary, Task};
use brevet_domain::request::{Ask, Justification, Request, Ticket};
use brevet_domain::time::{Term, Timestamp};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::finding::Findings;
use super::forms::{Forms, InFile};
use super::longest::RenderSample;
use crate::bundle::Bundle;
use crate::decide::DecideError;

/// The instant of a case without `at`: a Wednesday at noon (UTC).
const WHEN: i64 = 1_767_787_200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CasesForm {
    pub(super) cases: Vec<CaseForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseForm {
    pub(super) name: Spanned<String>,
    identity: Spanned<IdentityId>,
    entitlement: Spanned<EntitlementId>,
    #[serde(default)]
    parameters: BTreeMap<String, ParameterValue>,
    term_s: Spanned<Term>,
    ticket: Option<Ticket>,
    justification: Option<Justification>,
    task: Option<Task>,
    on_behalf_of: Option<Spanned<IdentityId>>,
    #[serde(default)]
    renewal: bool,
    at: Option<Timestamp>,
    expect: Spanned<Expected>,
    approvers: Option<Spanned<BTreeSet<IdentityId>>>,
    steps: Option<Spanned<Vec<StepName>>>,
    determining: Option<Spanned<BTreeSet<String>>>,
    says: Option<Spanned<String>>,
}

/// The expected outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Allow,
    /// Allowed after approval.
    Approval,
    Deny,
    /// The request is invalid for every caller.
    InvalidRequest,
}

impl Expected {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Approval => "approval",
            Self::Deny => "deny",
            Self::InvalidRequest => "invalid_request",
        }
    }
}

/// Decides every case under `bundle`, and reports those with another result.
pub(super) fn check(bundle: &Bundle, forms: &Forms, findings: &mut Findings) {
    for InFile { file, form } in &forms.cases {
        for case in &form.cases {
            check_one(bundle, file, case, findings);
        }
    }
}

fn check_one(bundle: &Bundle, file: &str, case: &CaseForm, findings: &mut Findings) {
    let name = &case.name.value;
    let who = &case.identity;
    let Some(identity) = bundle.index().identities.get(&who.value) else {
        let message = format!("case `{name}`: identity `{}` is not in `identities`", who.value);
        return findings.at(file, who, message);
    };
    let what = &case.entitlement;
    if bundle.entitlement(&what.value).is_none() {
        let message = format!("case `{name}`: entitlement `{}` is not in `entitlements`", what.value);
        return findings.at(file, what, message);
    }
    if let Some(human) =
        case.on_behalf_of.as_ref().filter(|human| !bundle.index().identities.contains_key(&human.value))
    {
        let message = format!("case `{name}`: identity `{}` is not in `identities`", human.value);
        return findings.at(file, human, message);
    }
    let Some((sample, request)) = RenderSample::longest().zip(request(case)) else {
        return findings.at(file, &case.name, format!("case `{name}` cannot be decided"));
    };
    let now = request.asked_at;
    // The compiler has checked that there is a proof.
    let Some(caller) = caller(identity, case.task.clone(), now) else { return };
    let result = CaseResult::of(bundle.decide(&caller, &request, &sample.deployment, now));
    let mut mismatch = |place, what: &str, expected: String, found: String| {
        let message = format!(
            "case `{name}`: {what} should be {expected}, but is {found}; change the policies or the expectation"
        );
        findings.place(file, place, message);
    };
    let expected = case.expect.value;
    if expected != result.outcome {
        let found = format!("`{}` ({})", result.outcome.as_str(), result.words());
        return mismatch(case.expect.referenced, "the outcome", format!("`{}`", expected.as_str()), found);
    }
    if let Some(approvers) = case.approvers.as_ref().filter(|approvers| approvers.value != result.approvers) {
        let names = |set: &BTreeSet<IdentityId>| list(set.iter().map(IdentityId::as_str));
        mismatch(approvers.referenced, "approvers", names(&approvers.value), names(&result.approvers));
    }
    if let Some(steps) = case.steps.as_ref().filter(|steps| steps.value != result.steps) {
        let names = |steps: &[StepName]| list(steps.iter().map(StepName::as_str));
        mismatch(steps.referenced, "steps", names(&steps.value), names(&result.steps));
    }
    if let Some(by) = case.determining.as_ref().filter(|by| by.value != result.determining) {
        let names = |set: &BTreeSet<String>| list(set.iter().map(String::as_str));
        mismatch(by.referenced, "determining policies", names(&by.value), names(&result.determining));
    }
    if let Some(says) = case.says.as_ref().filter(|says| !result.reason.contains(&says.value)) {
        let expected = format!("a text with `{}`", says.value);
        mismatch(says.referenced, "the reason", expected, format!("`{}`", result.reason));
    }
}

/// The result of a case.
struct CaseResult {
    outcome: Expected,
    approvers: BTreeSet<IdentityId>,
    steps: Vec<StepName>,
    determining: BTreeSet<String>,
    reason: String,
}

impl CaseResult {
    fn of(answer: Result<Verdict, DecideError>) -> Self {
        let none = BTreeSet::new;
        match answer {
            Err(error) => Self {
                outcome: Expected::InvalidRequest,
                approvers: none(),
                steps: Vec::new(),
                determining: BTreeSet::new(),
                reason: error.to_string(),
            },
            Ok(verdict) => {
                let mut names = Vec::new();
                let (outcome, approvers, reason) = match verdict.outcome {
                    Outcome::Allow => (Expected::Allow, none(), String::new()),
                    Outcome::Deny { reason } => (Expected::Deny, none(), reason),
                    Outcome::NeedsApproval { steps, .. } => {
                        let people = steps.iter().flat_map(|step| &step.approvers).cloned().collect();
                        names = steps.into_iter().map(|step| step.name).collect();
                        (Expected::Approval, people, String::new())
                    }
                };
                Self {
                    outcome,
                    approvers,
                    steps: names,
                    determining: verdict.determining.into_iter().collect(),
                    reason,
                }
            }
        }
    }

    /// The reason or the determining policies, for a message.
    fn words(&self) -> String {
        if self.reason.is_empty() {
            format!("by {}", list(self.determining.iter().map(String::as_str)))
        } else {
            self.reason.clone()
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn request(case: &CaseForm) -> Option<Request> {
    let id: GrantId = "grt_00000000000000000000000000".parse().ok()?;
    let asked_at = case.at.unwrap_or_else(|| Timestamp::from_seconds(WHEN));
    let ask = Ask {
        entitlement: case.entitlement.value.clone(),
        parameters: case.parameters.clone(),
        term_s: case.term_s.value,
        ticket: case.ticket.clone(),
        justification: case.justification.clone(),
        on_behalf_of: case.on_behalf_of.as_ref().map(|human| human.value.clone()),
        // Any grant id will do: the case tests the decision on a renewal, not which grant it renews.
        renews: case.renewal.then_some(id),
    };
    Some(Request { id, ask, asked_at, decide_by: asked_at.plus(60) })
}

/// The caller that a verified proof of `identity` would yield.
fn caller(identity: &Identity, task: Option<Task>, now: Timestamp) -> Option<Caller> {
    let issuer = identity.proofs.first()?.issuer.clone();
    let proof = ProofSummary::Token {
        issuer,
        subject: identity.id.to_string(),
        token_digest: Digest::ZERO,
        issued_at: now,
        expires_at: now.plus(60),
        auth: AuthContext::default(),
    };
    Some(Caller { identity: identity.clone(), task, proof })
}
