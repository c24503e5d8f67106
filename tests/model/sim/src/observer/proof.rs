//! Whether AWS confirms a proof of ending, by its present state and its log of readings.

use brevet_domain::grant::{Grant, Proof};
use brevet_domain::time::Timestamp;
use brevet_engine::fake::is_denied;
use brevet_engine::port::AttachmentTarget;

use crate::world::World;

/// The reason why AWS's state or log of readings does not confirm the proof, if any.
pub(super) fn confirm(world: &World, grant: &Grant, proof: &Proof, acts: bool) -> Option<String> {
    if acts {
        return Some("its session may still act".to_owned());
    }
    let target = AttachmentTarget::of(grant);
    match (proof, &target) {
        (Proof::ByConstruction { deadline, aws_date, .. }, None) => {
            (*aws_date <= *deadline || world.now() < *deadline).then(|| "its deadline has not passed".to_owned())
        }
        (Proof::ByConstruction { .. }, Some(_)) => Some("an attachment does not end by construction".to_owned()),
        (Proof::Observed { first, second }, None) => {
            let reads = world.roles.reads();
            let name = world.deployment.session_name(grant.id);
            let issued =
                world.sts.vended().iter().filter(|one| one.plan.session_name == name).map(|one| one.vended_at).max();
            let shown = |id: &str| {
                let read = reads.iter().find(|read| read.request_id == id)?;
                let text = read.document.as_deref()?;
                is_denied(text, &name, issued.unwrap_or(Timestamp::EPOCH)).then_some(read.at)
            };
            apart(world, shown(&first.request_id), shown(&second.request_id))
        }
        (Proof::Observed { first, second }, Some(target)) => {
            let reads = world.principals.reads();
            let shown = |id: &str| {
                let read = reads.iter().find(|read| read.request_id == id && read.target == *target)?;
                read.standing.is_none().then_some(read.at)
            };
            let (first, second) = (shown(&first.request_id), shown(&second.request_id));
            let since = world.principals.landed().iter().any(|write| {
                write.target == *target && write.put.is_some() && second.is_some_and(|second| write.at >= second)
            });
            // Another grant may have had the same managed policy attached again.
            let shared = since && matches!(target, AttachmentTarget::Managed { .. });
            if !shared && world.principals.may_allow(target, world.model.enforcement_lag_s) {
                return Some("its policy may still be enforced".to_owned());
            }
            apart(world, first, second)
        }
        (Proof::HandedOver { holders, reading }, Some(target @ AttachmentTarget::Managed { .. })) => {
            let read = world.principals.reads().into_iter().find(|read| read.request_id == reading.request_id);
            let present = read.is_some_and(|read| read.target == *target && read.standing.is_some());
            (holders.is_empty() || !present)
                .then(|| "it has no other holder, or the reading did not show it".to_owned())
        }
        (Proof::HandedOver { .. }, _) => Some("only a managed policy is handed over".to_owned()),
    }
}

/// Checks two readings that are further apart than AWS's enforcement lag.
fn apart(world: &World, first: Option<Timestamp>, second: Option<Timestamp>) -> Option<String> {
    let (Some(first), Some(second)) = (first, second) else {
        return Some("AWS has no such readings in its log".to_owned());
    };
    let enforced = first.plus(world.model.enforcement_lag_s);
    (second < enforced).then(|| format!("it was read at {first} and {second}, within AWS's enforcement lag"))
}
