//! Identities and entitlements as Cedar entities, and the subset that a question can reach.
//!
//! Cedar follows attributes and parents only. It starts at the entities of the question and at those that policies
//! name. So the entities reachable from there give the same answers as all entities together. Teams have neither
//! attributes nor parents: membership is a parent of the member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use brevet_domain::bundle::Index;
use brevet_domain::entitlement::{Delivery, Entitlement};
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Identity, IdentityClass};
use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, EvalResult, Policy, RestrictedExpression, Schema,
};
use serde_json::{Value, json};

use crate::ask::Fault;

/// The UID of entity `id` of type `kind` in the schema.
///
/// # Errors
///
/// [`Fault::Question`] if the schema has no such type.
pub(crate) fn uid(kind: &'static str, id: &str) -> Result<EntityUid, Fault> {
    static KINDS: OnceLock<BTreeMap<&'static str, EntityTypeName>> = OnceLock::new();
    let parsed = |kind: &'static str| Some((kind, format!("Brevet::{kind}").parse().ok()?));
    let all = ["Action", "Entitlement", "Grant", "Identity", "Scope", "Team"];
    let name = KINDS.get_or_init(|| all.into_iter().filter_map(parsed).collect()).get(kind);
    let name = name.ok_or_else(|| Fault::Question(format!("the schema has no entity type `{kind}`")))?;
    Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id)))
}

/// The entity of an identity, with its teams and, for a non-human, its sponsor.
fn identity_entity(identity: &Identity) -> Result<Entity, Fault> {
    let mut attrs = vec![("class".to_owned(), RestrictedExpression::new_string(identity.class.as_str().to_owned()))];
    if identity.class != IdentityClass::Human {
        let sponsor = uid("Identity", identity.owner.as_str())?;
        attrs.push(("sponsor".to_owned(), RestrictedExpression::new_entity_uid(sponsor)));
    }
    let teams = identity.teams.iter().map(|team| uid("Team", team.as_str())).collect::<Result<Vec<_>, _>>()?;
    Entity::new_with_tags(uid("Identity", identity.id.as_str())?, attrs, teams, []).map_err(Fault::question)
}

/// The entity of an entitlement, in Cedar's JSON form.
///
/// Source: <https://docs.cedarpolicy.com/auth/entities-syntax.html>
pub(crate) fn entitlement_entity(entitlement: &Entitlement) -> Value {
    let reference = |kind: &str, id: &str| json!({ "type": format!("Brevet::{kind}"), "id": id });
    // `target` is the name of a session role, or the ARN of an attachment principal.
    let (delivery, target) = match &entitlement.delivery {
        Delivery::Session { target, .. } => ("session", target.as_str()),
        Delivery::Inline { principal_arn, .. } => ("inline", principal_arn.as_str()),
        Delivery::Managed { principal_arn, .. } => ("managed", principal_arn.as_str()),
    };
    let mut attrs = json!({
        "owner": reference("Identity", entitlement.owner.as_str()),
        "delivery": delivery,
        "target": target,
        "risk": entitlement.risk.as_str(),
        "breakGlass": entitlement.break_glass.is_some(),
    });
    if let (Some(environment), Some(attrs)) = (&entitlement.environment, attrs.as_object_mut()) {
        attrs.insert("environment".to_owned(), json!(environment.as_str()));
    }
    json!({ "uid": reference("Entitlement", entitlement.id.as_str()), "attrs": attrs, "parents": [] })
}

/// Reads the entitlements that policies name, as the compiler wrote them.
///
/// # Errors
///
/// [`Fault::Question`] if one does not fit the schema, or if its key is not its id.
pub(crate) fn mentioned(mentions: &BTreeMap<EntitlementId, Value>, schema: &Schema) -> Result<Vec<Entity>, Fault> {
    let read = |(id, value): (&EntitlementId, &Value)| {
        let entity = Entity::from_json_value(value.clone(), Some(schema)).map_err(Fault::question)?;
        if entity.uid() == uid("Entitlement", id.as_str())? {
            Ok(entity)
        } else {
            Err(Fault::Question(format!("the mention of `{id}` holds another entity")))
        }
    };
    mentions.iter().map(read).collect()
}

/// The entitlements and identities that `policies` name.
pub(crate) fn named<'a>(policies: impl Iterator<Item = &'a Policy>) -> (BTreeSet<EntitlementId>, BTreeSet<IdentityId>) {
    let (mut entitlements, mut identities) = (BTreeSet::new(), BTreeSet::new());
    for literal in policies.flat_map(Policy::entity_literals) {
        match literal.type_name().to_string().as_str() {
            "Brevet::Entitlement" => entitlements.extend(literal.id().unescaped().parse::<EntitlementId>()),
            "Brevet::Identity" => identities.extend(literal.id().unescaped().parse::<IdentityId>()),
            _ => {}
        }
    }
    (entitlements, identities)
}

/// The entitlements that `policies` name besides `about`, in the form that [`Rules`] stores.
///
/// [`Rules`]: brevet_domain::bundle::Rules
pub(crate) fn mentions<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    about: Option<&EntitlementId>,
    entitlements: &BTreeMap<EntitlementId, Entitlement>,
) -> BTreeMap<EntitlementId, Value> {
    let others = named(policies).0.into_iter().filter(|id| about != Some(id));
    // The compiler refuses names that are not in the catalogue elsewhere.
    let found = others.filter_map(|id| Some((entitlement_entity(entitlements.get(&id)?), id)));
    found.map(|(entity, id)| (id, entity)).collect()
}

/// The entities that every question about one entitlement can reach, for any requester.
#[derive(Debug)]
pub(crate) struct QuestionEntities {
    entities: Entities,
    identities: BTreeSet<IdentityId>,
}

impl QuestionEntities {
    /// Builds the entities of `entitlements` and of the `identities` that policies name, checked against `schema`.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if an entity does not fit the schema.
    pub(crate) fn build(
        index: &Index,
        schema: &Schema,
        entitlements: Vec<Entity>,
        identities: BTreeSet<IdentityId>,
    ) -> Result<Self, Fault> {
        let mut named = identities;
        for value in entitlements.iter().flat_map(Entity::attrs).filter_map(|(_, value)| value.ok()) {
            if let EvalResult::EntityUid(uid) = value {
                named.extend(uid.id().unescaped().parse::<IdentityId>());
            }
        }
        let identities = reachable(index, named.iter());
        let mut all = entitlements;
        for id in &identities {
            all.extend(index.identities.get(id).map(identity_entity).transpose()?);
        }
        let entities = Entities::from_entities(all, Some(schema)).map_err(Fault::question)?;
        Ok(Self { entities, identities })
    }

    /// These entities, and those that a question of `people` about `grant` can reach.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if the entities do not fit together.
    pub(crate) fn with<'a>(
        &self,
        index: &Index,
        people: impl Iterator<Item = &'a IdentityId>,
        grant: Option<Entity>,
    ) -> Result<Entities, Fault> {
        let mut more: Vec<Entity> = grant.into_iter().collect();
        for id in reachable(index, people).difference(&self.identities) {
            more.extend(index.identities.get(id).map(identity_entity).transpose()?);
        }
        if more.is_empty() {
            return Ok(self.entities.clone());
        }
        self.entities.clone().add_entities(more, None).map_err(Fault::question)
    }
}

impl QuestionEntities {
    /// These entities, as if `identity` were registered with these attributes.
    ///
    /// # Errors
    ///
    /// [`Fault::Question`] if the identity does not fit the other entities.
    pub(crate) fn as_if(&self, index: &Index, identity: &Identity) -> Result<Self, Fault> {
        let mut identities = self.identities.clone();
        let mut more = vec![identity_entity(identity)?];
        for id in reachable(index, std::iter::once(&identity.owner)) {
            if id != identity.id && identities.insert(id.clone()) {
                more.extend(index.identities.get(&id).map(identity_entity).transpose()?);
            }
        }
        identities.insert(identity.id.clone());
        let entities = self.entities.clone().upsert_entities(more, None).map_err(Fault::question)?;
        Ok(Self { entities, identities })
    }
}

/// The registered identities among `ids`, and their owners.
fn reachable<'a>(index: &Index, ids: impl Iterator<Item = &'a IdentityId>) -> BTreeSet<IdentityId> {
    let mut reached = BTreeSet::new();
    for id in ids {
        let mut next = Some(id.clone());
        while let Some(identity) = next.and_then(|id| index.identities.get(&id)) {
            next = reached.insert(identity.id.clone()).then(|| identity.owner.clone());
        }
    }
    reached
}
