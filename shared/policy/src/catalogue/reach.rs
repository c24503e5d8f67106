//! Whether every approval that could be asked for could also be given, and each holder could ask.

use brevet_domain::entitlement::{Delivery, Entitlement, Holder};
use brevet_domain::identity::Identity;
use brevet_domain::time::Timestamp;

use super::finding::Findings;
use super::form::{EntitlementForm, Forms, InFile};
use crate::ask::Facts;
use crate::bundle::Bundle;
use crate::decide::Weighed;

/// Instants that stand for all: a Wednesday and a Sunday, by day and by night (UTC). A policy about one date
/// is not seen through, nor one about renewals or what is asked on a human's behalf; a request that nobody could approve
/// then is denied when it comes.
const SAMPLES: [i64; 4] = [1_767_787_200, 1_767_830_400, 1_768_132_800, 1_768_176_000];

/// Finds entitlements that some identity may request, with approval, while too few people may approve it.
pub(super) fn check(bundle: &Bundle, forms: &Forms, findings: &mut Findings) {
    for in_file in &forms.entitlements {
        let Some(entitlement) = bundle.entitlement(&in_file.form.id.value) else { continue };
        check_holder(bundle, in_file, entitlement, findings);
        check_critical(bundle, in_file, entitlement, findings);
        // One example is enough.
        let Some((who, n)) =
            bundle.index().identities.values().find_map(|identity| stuck(bundle, identity, entitlement))
        else {
            continue;
        };
        let (id, count) = (&entitlement.id, entitlement.approval.count);
        let apart = if who.owner == who.id { format!("`{}`", who.id) } else { format!("its owner `{}`", who.owner) };
        let message = format!(
            "`{}` may request `{id}` with approval by {count}, but policy lets only {n} registered people approve it; allow `approve` to more people, apart from {apart}",
            who.id
        );
        match &in_file.form.approval {
            Some(approval) => findings.at(&in_file.file, approval, message),
            None => findings.at(&in_file.file, &in_file.form.id, message),
        }
    }
}

/// What is critical and not for emergencies, while a policy would waive people: the evaluator asks them all the same, so
/// one of the two is a slip.
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
        let mut all = circumstances(identity, entitlement).into_iter();
        // What cannot be evaluated is denied.
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

/// A single holder whom no policy lets ask: nobody could ever have it.
///
/// Only what policies say of whom and what they are about is seen through, not their conditions: so no holder is found
/// who might be allowed one day.
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

/// The identity and the number of its possible approvers, if it can end up with too few.
fn stuck<'a>(bundle: &Bundle, identity: &'a Identity, entitlement: &Entitlement) -> Option<(&'a Identity, usize)> {
    circumstances(identity, entitlement).into_iter().find_map(|facts| {
        match bundle.weigh(identity, entitlement, &facts) {
            Ok(Weighed::TooFew { approvers }) => Some((identity, approvers.len())),
            Ok(Weighed::Yes(_) | Weighed::People { .. } | Weighed::NotHolder(_) | Weighed::No(_)) | Err(_) => None,
        }
    })
}

fn circumstances(identity: &Identity, entitlement: &Entitlement) -> Vec<Facts> {
    let longest = entitlement.longest_term(identity.class).as_seconds();
    let mut all = Vec::new();
    for seconds in SAMPLES {
        for term_s in [60, 600, longest] {
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
