//! Checks that every approval can be given, and that each holder can request its entitlement.

use brevet_domain::decision::{MissingApprovers, check_approver};
use brevet_domain::entitlement::{Delivery, Entitlement, Holder};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::Identity;
use brevet_domain::time::Timestamp;
use serde_saphyr::{Location, Spanned};

use super::finding::Findings;
use super::form::{EntitlementForm, StepForm};
use super::forms::{Forms, InFile};
use super::sources::APPROVALS;
use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::decide::Weighed;
use crate::steps::where_short;

/// The sampled instants: a Wednesday and a Sunday, by day and by night (UTC). The check does not cover policies about
/// one date, renewals, or requests on a human's behalf. Such a request is denied when it comes, if nobody could approve
/// it.
const SAMPLES: [i64; 4] = [1_767_787_200, 1_767_830_400, 1_768_132_800, 1_768_176_000];

/// Reports entitlements that some identity may request with approval, although too few people may approve.
pub(super) fn check(bundle: &Bundle, forms: &Forms, findings: &mut Findings) {
    for in_file in &forms.entitlements {
        let Some(entitlement) = bundle.entitlement(&in_file.form.id.value) else { continue };
        check_holder(bundle, in_file, entitlement, findings);
        check_critical(bundle, in_file, entitlement, findings);
        check_reviewer(bundle, in_file, entitlement, findings);
        // One example is enough.
        let Some((who, short)) =
            bundle.index().identities.values().find_map(|identity| stuck(bundle, identity, entitlement))
        else {
            continue;
        };
        let (id, count, n) = (&entitlement.id, short.needed, short.n_people);
        let excluded = if who.owner == who.id { format!("`{}`", who.id) } else { format!("its owner `{}`", who.owner) };
        let message = format!(
            "`{}` may request `{id}` with approval by {count}{}, but policy lets only {n} registered people approve it; allow `approve` to more people, apart from {excluded}",
            who.id,
            where_short(&short)
        );
        let (file, place) = place(in_file, forms, &short);
        findings.place(file, place, message);
    }
}

/// The place of the step that lacks people: the last such step of the entitlement, else of the general steps, else the
/// whole `approval`.
fn place<'a>(in_file: &'a InFile<EntitlementForm>, forms: &Forms, short: &MissingApprovers) -> (&'a str, Location) {
    let is_short = |step: &&Spanned<StepForm>| short.steps.contains(&step.value.name.value);
    let approval = in_file.form.approval.as_ref();
    let own = approval.and_then(|approval| approval.value.steps.as_ref());
    let own =
        own.and_then(|steps| steps.value.iter().rfind(is_short)).map(|step| (in_file.file.as_str(), step.referenced));
    let general = || forms.steps.iter().rfind(is_short).map(|step| (APPROVALS, step.referenced));
    let whole = || (in_file.file.as_str(), approval.map_or(in_file.form.id.referenced, |approval| approval.referenced));
    own.or_else(general).unwrap_or_else(whole)
}

/// Reports a policy that waives approval of a critical entitlement that is not break-glass. The evaluator asks for
/// approval all the same, so the policy or the risk is a mistake.
fn check_critical(
    bundle: &Bundle,
    in_file: &InFile<EntitlementForm>,
    entitlement: &Entitlement,
    findings: &mut Findings,
) {
    if !entitlement.needs_people() {
        return;
    }
    let waived = bundle.index().identities.values().find_map(|identity| {
        let mut all = circumstances(identity, entitlement, &[]).into_iter();
        // A request that cannot be evaluated is denied.
        let policies = all.find_map(|facts| bundle.waived_by(identity, entitlement, &facts).ok().flatten())?;
        Some((identity, policies))
    });
    let Some((who, policies)) = waived else { return };
    let message = format!(
        "`{}` is `critical`, but policy `{}` would let `{}` have it without a person; take it out of `autoApprove`, mark it `break_glass`, or lower its `risk`",
        entitlement.id,
        policies.join("`, `"),
        who.id
    );
    match &in_file.form.risk {
        Some(risk) => findings.at(&in_file.file, risk, message),
        None => findings.at(&in_file.file, &in_file.form.id, message),
    }
}

/// Reports break-glass whose use nobody could review: for some requester, neither its reviewer nor its owner is
/// independent.
fn check_reviewer(
    bundle: &Bundle,
    in_file: &InFile<EntitlementForm>,
    entitlement: &Entitlement,
    findings: &mut Findings,
) {
    let (Some(glass), Some(form)) = (&entitlement.break_glass, &in_file.form.break_glass) else { return };
    let identities = &bundle.index().identities;
    let may_review = |who: &IdentityId, requester: &Identity| {
        identities.get(who).is_some_and(|person| check_approver(person, &requester.id, &requester.owner).is_ok())
    };
    let stuck = identities.values().find(|requester| {
        bundle.might_request(requester, &entitlement.id)
            && !may_review(&glass.reviewer, requester)
            && !may_review(&entitlement.owner, requester)
    });
    if let Some(requester) = stuck {
        let message = format!(
            "`{}` might use `{}`, and neither reviewer `{}` nor owner `{}` may review that; name another reviewer",
            requester.id, entitlement.id, glass.reviewer, entitlement.owner
        );
        findings.at(&in_file.file, &form.reviewer, message);
    }
}

/// Reports a single holder whom no policy lets ask, so that nobody could ever have the entitlement.
///
/// The check reads only the scopes of policies, not their conditions. So it does not report a holder who may be allowed
/// later.
fn check_holder(
    bundle: &Bundle,
    in_file: &InFile<EntitlementForm>,
    entitlement: &Entitlement,
    findings: &mut Findings,
) {
    let (Delivery::Inline { holder, .. } | Delivery::Managed { holder, .. }) = &entitlement.delivery else { return };
    let Holder::Single(holder) = holder else { return };
    let Some(identity) = bundle.index().identities.get(holder) else { return };
    if !bundle.might_request(identity, &entitlement.id) {
        let id = &entitlement.id;
        let message = format!(
            "no policy lets holder `{holder}` request `{id}`, and nobody else can have it; write a `permit` on `request` for `{holder}`, or name another holder"
        );
        findings.at(&in_file.file, in_file.form.holder.as_ref().unwrap_or(&in_file.form.owner), message);
    }
}

/// The identity and the steps that lack people, if some request of it has too few approvers.
fn stuck<'a>(
    bundle: &Bundle,
    identity: &'a Identity,
    entitlement: &Entitlement,
) -> Option<(&'a Identity, MissingApprovers)> {
    let rules = entitlement.approval.steps.iter().chain(&bundle.index().steps);
    // `longer_than_s` matches from the next second on.
    let terms: Vec<_> = rules.filter_map(|rule| rule.when.longer_than_s).map(|s| s.saturating_add(1)).collect();
    circumstances(identity, entitlement, &terms).into_iter().find_map(|facts| {
        match bundle.weigh(identity, entitlement, &facts) {
            Ok(Weighed::TooFew(short)) => Some((identity, short)),
            Ok(Weighed::Yes(_) | Weighed::People { .. } | Weighed::NotHolder(_) | Weighed::No(_)) | Err(_) => None,
        }
    })
}

fn circumstances(identity: &Identity, entitlement: &Entitlement, terms: &[u32]) -> Vec<Facts> {
    let longest = entitlement.longest_term(identity.class).as_seconds();
    let mut all = Vec::new();
    for seconds in SAMPLES {
        for term_s in [60, 600, longest].iter().chain(terms).copied() {
            for has_ticket in [true, false] {
                for task in [None, Some("task".to_owned())] {
                    let now = Timestamp::from_seconds(seconds);
                    let fits = term_s <= longest && (has_ticket || !entitlement.ticket.required);
                    if fits {
                        all.push(Facts {
                            term_s,
                            has_ticket,
                            task,
                            schedule: None,
                            on_behalf_of: None,
                            is_renewal: false,
                            now,
                        });
                    }
                }
            }
        }
    }
    all
}
