//! The principals and resources that a policy covers, by its scope alone.

use brevet_domain::id::EntitlementId;
use brevet_domain::identity::Identity;
use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

use crate::bundle::Bundle;

impl Bundle {
    /// Whether the scope of some permit covers `identity` requesting `entitlement`. This ignores conditions, so a
    /// permit found here may still not apply.
    pub(crate) fn might_request(&self, identity: &Identity, entitlement: &EntitlementId) -> bool {
        self.policies(entitlement).policies().any(|policy| {
            policy.effect() == Effect::Permit
                && covers_request(policy)
                && covers_identity(policy, identity)
                && covers_entitlement(policy, entitlement)
        })
    }
}

fn is(uid: &EntityUid, kind: &str, id: &str) -> bool {
    is_type(uid.type_name(), kind) && uid.id().unescaped() == id
}

fn is_type(name: &EntityTypeName, kind: &str) -> bool {
    name.to_string() == format!("Brevet::{kind}")
}

fn covers_request(policy: &Policy) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.iter().any(|action| is(action, "Action", "request")),
        ActionConstraint::Eq(action) => is(&action, "Action", "request"),
    }
}

fn covers_identity(policy: &Policy, identity: &Identity) -> bool {
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

fn covers_entitlement(policy: &Policy, entitlement: &EntitlementId) -> bool {
    let this = |uid: &EntityUid| is(uid, "Entitlement", entitlement.as_str());
    match policy.resource_constraint() {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => this(&uid),
        ResourceConstraint::Is(kind) => is_type(&kind, "Entitlement"),
        ResourceConstraint::IsIn(kind, uid) => is_type(&kind, "Entitlement") && this(&uid),
    }
}
