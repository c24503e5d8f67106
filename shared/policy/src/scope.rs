//! Whom and what a policy is about, by its scope alone.

use brevet_domain::id::EntitlementId;
use brevet_domain::identity::Identity;
use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

use crate::bundle::Bundle;

impl Bundle {
    /// Whether some permit is about `identity` requesting `entitlement`. Conditions are not looked at: a yes says only
    /// that it might.
    pub(crate) fn might_request(&self, identity: &Identity, entitlement: &EntitlementId) -> bool {
        self.policies(entitlement).policies().any(|policy| {
            policy.effect() == Effect::Permit
                && about_request(policy)
                && about_identity(policy, identity)
                && about_entitlement(policy, entitlement)
        })
    }
}

fn is(uid: &EntityUid, kind: &str, id: &str) -> bool {
    is_type(uid.type_name(), kind) && uid.id().unescaped() == id
}

fn is_type(name: &EntityTypeName, kind: &str) -> bool {
    name.to_string() == format!("Brevet::{kind}")
}

fn about_request(policy: &Policy) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.iter().any(|action| is(action, "Action", "request")),
        ActionConstraint::Eq(action) => is(&action, "Action", "request"),
    }
}

fn about_identity(policy: &Policy, identity: &Identity) -> bool {
    let within = |uid: &EntityUid| {
        is(uid, "Identity", identity.id.as_str()) || identity.teams.iter().any(|team| is(uid, "Team", team.as_str()))
    };
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(uid) => is(&uid, "Identity", identity.id.as_str()),
        PrincipalConstraint::In(uid) => within(&uid),
        PrincipalConstraint::Is(kind) => is_type(&kind, "Identity"),
        PrincipalConstraint::IsIn(kind, uid) => is_type(&kind, "Identity") && within(&uid),
    }
}

fn about_entitlement(policy: &Policy, entitlement: &EntitlementId) -> bool {
    let this = |uid: &EntityUid| is(uid, "Entitlement", entitlement.as_str());
    match policy.resource_constraint() {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => this(&uid),
        ResourceConstraint::Is(kind) => is_type(&kind, "Entitlement"),
        ResourceConstraint::IsIn(kind, uid) => is_type(&kind, "Entitlement") && this(&uid),
    }
}
