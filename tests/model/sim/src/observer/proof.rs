//! Whether AWS confirms a proof of ending: by what it shows, and remembers of its readings.

use brevet_domain::grant::{Grant, Proof};
use brevet_domain::time::Timestamp;
use brevet_engine::fake::is_denied;
use brevet_engine::port::Place;

use crate::world::World;

/// What is wrong with a proof, by what AWS shows and remembers of its readings.
pub(super) fn confirm(world: &World, grant: &Grant, proof: &Proof, acts: bool) -> Option<String> {
    if acts {
        return Some("its session may still act".to_owned());
    }
    let place = Place::of(grant);
    match (proof, &place) {
        (Proof::ByConstruction { deadline, aws_date, .. }, None) => {
            (*aws_date <= *deadline || world.now() < *deadline).then(|| "its deadline has not come".to_owned())
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
        (Proof::Observed { first, second }, Some(place)) => {
            let reads = world.principals.reads();
            let shown = |id: &str| {
                let read = reads.iter().find(|read| read.request_id == id && read.place == *place)?;
                read.standing.is_none().then_some(read.at)
            };
            let (first, second) = (shown(&first.request_id), shown(&second.request_id));
            let since = world.principals.landed().iter().any(|write| {
                write.place == *place && write.put.is_some() && second.is_some_and(|second| write.at >= second)
            });
            // Another grant may have the same managed policy attached again by now.
            let shared = since && matches!(place, Place::Managed { .. });
            if !shared && world.principals.may_allow(place, world.model.enforcement_lag_s) {
                return Some("what it got may still be enforced".to_owned());
            }
            apart(world, first, second)
        }
        (Proof::HandedOver { holders, seen }, Some(place @ Place::Managed { .. })) => {
            let read = world.principals.reads().into_iter().find(|read| read.request_id == seen.request_id);
            let present = read.is_some_and(|read| read.place == *place && read.standing.is_some());
            (holders.is_empty() || !present).then(|| "nobody holds it, or it was not there".to_owned())
        }
        (Proof::HandedOver { .. }, _) => Some("only a managed policy is handed over".to_owned()),
    }
}

/// Two readings, and between them longer than AWS may take to enforce what is configured.
fn apart(world: &World, first: Option<Timestamp>, second: Option<Timestamp>) -> Option<String> {
    let (Some(first), Some(second)) = (first, second) else {
        return Some("AWS knows of no such readings".to_owned());
    };
    let enforced = first.plus(world.model.enforcement_lag_s);
    (second < enforced).then(|| format!("it was read at {first} and {second}: AWS may enforce later than that"))
}
