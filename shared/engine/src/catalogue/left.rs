//! Leavers: grants whose identity, sponsor, human or entitlement is no longer in the catalogue.

use brevet_domain::grant::Grant;
use brevet_domain::identity::IdentityClass;

use super::InForce;
use crate::port::PortResult;

/// Whether the grant's identity, sponsor, human or entitlement has left the catalogue or changed its class.
///
/// # Errors
///
/// [`PortError`] if the part that would list its entitlement cannot be read.
pub(crate) async fn has_left(grant: &Grant, bundle: &InForce) -> PortResult<bool> {
    let index = bundle.index();
    let same_class = |id| index.identities.get(id).is_some_and(|identity| identity.class == grant.class);
    let is_human = |id| index.identities.get(id).is_some_and(|identity| identity.class == IdentityClass::Human);
    if !grant.on_behalf_of.as_ref().is_none_or(is_human) {
        return Ok(true);
    }
    if !same_class(&grant.identity) || !index.identities.contains_key(&grant.sponsor) {
        return Ok(true);
    }
    bundle.lists(&grant.entitlement).await.map(|listed| !listed)
}
