//! A loaded bundle: verified, parsed, and ready to decide, as a whole or for one entitlement at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use brevet_domain::bundle::{BundleError, BundleText, Index, Listing, RULES_PART, Rules, Schedules};
use brevet_domain::canonical::Digest;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::{EntitlementId, IdentityId};
use brevet_domain::identity::{Identity, IdentityClass};
use cedar_policy::{Entity, ParseErrors, PolicyId, PolicySet, Schema};

use crate::ask::{Fault, GrantFacts, World};
use crate::entities::{QuestionEntities, entitlement_entity, mentioned, named};

const SCHEMA: &str = include_str!("schema.cedarschema");

/// The reason why a bundle cannot be used. Nothing is decided under such a bundle.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A part is missing, altered or unreadable.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A part is not valid Cedar.
    #[error("part `{part}` of the bundle is not valid Cedar")]
    Syntax {
        /// The name of the part. For the policies of one entitlement, the entitlement's id.
        part: String,
        #[source]
        source: Box<ParseErrors>,
    },
    /// A policy has no `@id` that a decision could name, or it is a template.
    #[error("part `{part}` of the bundle holds a policy without `@id`, or a template")]
    Unnamed {
        /// The name of the part. For the policies of one entitlement, the entitlement's id.
        part: String,
    },
    /// Two policies have the same `@id`.
    #[error("two policies of the bundle have the `@id` `{0}`")]
    Duplicate(String),
    /// The built-in schema cannot be read.
    #[error("the policy schema cannot be read: {0}")]
    Schema(String),
    /// Identities and entitlements do not fit the schema.
    #[error("the bundle's identities and entitlements do not fit the policy schema")]
    Entities(#[source] Fault),
}

/// A verified bundle, or the loaded part of it. It is cheap to decide with and to clone: load it once and keep it.
///
/// Each policy is named by its `@id`. Loading does not validate policies: the compiler did, and a policy that errors
/// denies.
#[derive(Clone)]
pub struct Bundle {
    digest: Digest,
    index: Arc<Index>,
    schema: &'static Schema,
    general: Arc<General>,
    slices: BTreeMap<EntitlementId, Arc<Slice>>,
    schedules: Arc<Schedules>,
}

/// Policies that concern more than one entitlement, and the entities that they name.
struct General {
    policies: PolicySet,
    identities: BTreeSet<IdentityId>,
    mentions: Vec<Entity>,
}

/// One entitlement with its own policies, the general ones, and their entities.
struct Slice {
    entitlement: Entitlement,
    policies: PolicySet,
    entities: QuestionEntities,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Bundle {
    /// Verifies and loads every part that the index names. Other parts are not read.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if any part cannot be used.
    pub fn load(text: &BundleText) -> Result<Self, PolicyError> {
        let index = Arc::new(text.index()?);
        let mut bundle = Self::open(text.digest, Arc::clone(&index), &text.rules(&index)?)?;
        bundle.schedules = Arc::new(text.schedules(&index)?);
        let mut names: BTreeSet<String> = bundle.general.policies.policies().map(|p| p.id().to_string()).collect();
        // This also checks the identities that no question can reach.
        QuestionEntities::build(&index, bundle.schema, Vec::new(), index.identities.keys().cloned().collect())
            .map_err(PolicyError::Entities)?;
        for (id, listing) in text.listings(&index)? {
            let slice = bundle.slice(listing)?;
            let own = slice.policies.policies().filter(|policy| bundle.general.policies.policy(policy.id()).is_none());
            for policy in own {
                if !names.insert(policy.id().to_string()) {
                    return Err(PolicyError::Duplicate(policy.id().to_string()));
                }
            }
            bundle.slices.insert(id, Arc::new(slice));
        }
        Ok(bundle)
    }

    /// Opens the verified bundle `digest` with its general policies, without any entitlement.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if the general policies cannot be used.
    pub fn open(digest: Digest, index: Arc<Index>, rules: &Rules) -> Result<Self, PolicyError> {
        let schema = schema()?;
        let policies = named_policies(RULES_PART, &rules.policies)?;
        let (_, identities) = named(policies.policies());
        let mentions = mentioned(&rules.mentions, schema).map_err(PolicyError::Entities)?;
        let general = Arc::new(General { policies, identities, mentions });
        Ok(Self { digest, index, schema, general, slices: BTreeMap::new(), schedules: Arc::default() })
    }

    /// Returns this bundle with one more entitlement, and only the parts that decisions about it need.
    ///
    /// The compiler checks that each `@id` is unique in the whole bundle. This function checks the policies that are
    /// evaluated together.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if the policies of the entitlement cannot be used.
    pub fn with(&self, listing: Listing) -> Result<Self, PolicyError> {
        let slice = self.slice(listing)?;
        let mut bundle = self.clone();
        bundle.slices.insert(slice.entitlement.id.clone(), Arc::new(slice));
        Ok(bundle)
    }

    fn slice(&self, listing: Listing) -> Result<Slice, PolicyError> {
        let Listing { entitlement, rules } = listing;
        let mut policies = named_policies(entitlement.id.as_str(), &rules.policies)?;
        let (_, mut identities) = named(policies.policies());
        identities.extend(self.general.identities.iter().cloned());
        for policy in self.general.policies.policies() {
            policies.add(policy.clone()).map_err(|_| PolicyError::Duplicate(policy.id().to_string()))?;
        }
        let entities = || {
            let own = Entity::from_json_value(entitlement_entity(&entitlement), Some(self.schema))
                .map_err(Fault::question)?;
            let mut entities = vec![own];
            for entity in self.general.mentions.iter().cloned().chain(mentioned(&rules.mentions, self.schema)?) {
                // Both sides may name the same entity, and the general policies may name this entitlement.
                if !entities.iter().any(|known| known.uid() == entity.uid()) {
                    entities.push(entity);
                }
            }
            QuestionEntities::build(&self.index, self.schema, entities, identities)
        };
        let entities = entities().map_err(PolicyError::Entities)?;
        Ok(Slice { entitlement, policies, entities })
    }

    /// The bundle's digest, by which decisions name it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The index: registered identities, accepted issuers and class limits.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The loaded entitlements.
    pub fn entitlements(&self) -> impl Iterator<Item = &Entitlement> {
        self.slices.values().map(|slice| &slice.entitlement)
    }

    /// One of [`Self::entitlements`].
    #[must_use]
    pub fn entitlement(&self, id: &EntitlementId) -> Option<&Entitlement> {
        self.slices.get(id).map(|slice| &slice.entitlement)
    }

    /// The catalogue's schedules. Empty if the bundle was not loaded as a whole.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// The policies that are evaluated for `entitlement`.
    pub(crate) fn policies(&self, entitlement: &EntitlementId) -> &PolicySet {
        self.slices.get(entitlement).map_or(&self.general.policies, |slice| &slice.policies)
    }

    /// The policies and entities for questions of `people` about `entitlement`, or about a grant on it.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the entitlement is not loaded, or the entities do not fit the schema.
    pub(crate) fn world<'a>(
        &self,
        entitlement: &EntitlementId,
        people: impl Iterator<Item = &'a IdentityId>,
        grant: Option<&GrantFacts<'a>>,
    ) -> Result<World<'_>, Fault> {
        let slice = self.slices.get(entitlement);
        let slice = slice.ok_or_else(|| Fault::Question(format!("there is no entitlement `{entitlement}`")))?;
        let in_grant = grant.into_iter().flat_map(|grant| [grant.requester, grant.sponsor]);
        let entity = grant.map(GrantFacts::entity).transpose()?;
        let entities = slice.entities.with(&self.index, people.chain(in_grant), entity)?;
        Ok(World { schema: self.schema, entities, policies: &slice.policies })
    }

    /// The general policies and the entities for questions of `people` about `about`, which is neither an entitlement
    /// nor a grant.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the entities do not fit the schema.
    pub(crate) fn wide_world<'a>(
        &self,
        people: impl Iterator<Item = &'a IdentityId>,
        about: Entity,
    ) -> Result<World<'_>, Fault> {
        let General { policies, identities, mentions } = &*self.general;
        let shared = QuestionEntities::build(&self.index, self.schema, mentions.clone(), identities.clone())?;
        let entities = shared.with(&self.index, people, Some(about))?;
        Ok(World { schema: self.schema, entities, policies })
    }

    /// Returns this bundle as if `identity` were registered with these attributes, for `entitlement` alone.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the entitlement is not loaded, or the identity does not fit the schema.
    pub(crate) fn as_if(&self, entitlement: &EntitlementId, identity: &Identity) -> Result<Self, Fault> {
        let slice = self.slices.get(entitlement);
        let slice = slice.ok_or_else(|| Fault::Question(format!("there is no entitlement `{entitlement}`")))?;
        let entities = slice.entities.as_if(&self.index, identity)?;
        let slice = Slice { entitlement: slice.entitlement.clone(), policies: slice.policies.clone(), entities };
        let slices = BTreeMap::from([(entitlement.clone(), Arc::new(slice))]);
        let (index, general) = (Arc::clone(&self.index), Arc::clone(&self.general));
        Ok(Self {
            digest: self.digest,
            index,
            schema: self.schema,
            general,
            slices,
            schedules: Arc::clone(&self.schedules),
        })
    }

    /// Whether the index holds exactly this identity, with a registered human as its owner.
    pub(crate) fn knows(&self, identity: &Identity) -> bool {
        let owner = self.index.identities.get(&identity.owner);
        self.index.identities.get(&identity.id) == Some(identity)
            && owner.is_some_and(|owner| owner.class == IdentityClass::Human)
    }
}

/// The schema of all policies.
///
/// # Errors
///
/// [`PolicyError::Schema`] if the built-in text is broken.
pub(crate) fn schema() -> Result<&'static Schema, PolicyError> {
    static PARSED: OnceLock<Schema> = OnceLock::new();
    if let Some(schema) = PARSED.get() {
        return Ok(schema);
    }
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| PolicyError::Schema(error.to_string()))?;
    Ok(PARSED.get_or_init(|| schema))
}

/// Parses a part and names its policies by their `@id`.
fn named_policies(part: &str, text: &str) -> Result<PolicySet, PolicyError> {
    let unnamed = || PolicyError::Unnamed { part: part.to_owned() };
    let parsed: PolicySet =
        text.parse().map_err(|source| PolicyError::Syntax { part: part.to_owned(), source: Box::new(source) })?;
    if parsed.templates().next().is_some() {
        return Err(unnamed());
    }
    let mut named = PolicySet::new();
    for policy in parsed.policies() {
        let id = policy.annotation("id").ok_or_else(unnamed)?;
        named.add(policy.new_id(PolicyId::new(id))).map_err(|_| PolicyError::Duplicate(id.to_owned()))?;
    }
    Ok(named)
}
