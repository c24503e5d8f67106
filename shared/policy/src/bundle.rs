//! A bundle in use: verified, parsed, and ready to decide, as a whole or for one entitlement at a time.

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
use crate::entities::{Ground, entitlement_entity, mentioned, named};

const SCHEMA: &str = include_str!("schema.cedarschema");

/// A bundle that cannot be used. Nothing is decided under it.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A part is missing, altered or unreadable.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A part is not Cedar.
    #[error("part `{part}` of the bundle is not Cedar")]
    Syntax {
        /// The part; for the policies of one entitlement, its id.
        part: String,
        /// Why.
        #[source]
        source: Box<ParseErrors>,
    },
    /// A policy has no `@id` to give as a reason, or it is a template.
    #[error("part `{part}` of the bundle holds a policy without `@id`, or a template")]
    Unnamed {
        /// The part; for the policies of one entitlement, its id.
        part: String,
    },
    /// Two policies have one `@id`.
    #[error("two policies of the bundle have the `@id` `{0}`")]
    Duplicate(String),
    /// The built-in schema cannot be read.
    #[error("the policy schema cannot be read: {0}")]
    Schema(String),
    /// Identities and entitlements do not fit the schema.
    #[error("the bundle's identities and entitlements cannot be put to policy")]
    Entities(#[source] Fault),
}

/// A verified bundle, or as much of it as was loaded. Cheap to decide with and to clone: load it once and keep it.
///
/// Policies are known by their `@id` from here on. They are not validated: the compiler did that, and a policy that
/// errors denies.
#[derive(Clone)]
pub struct Bundle {
    digest: Digest,
    index: Arc<Index>,
    schema: &'static Schema,
    general: Arc<General>,
    slices: BTreeMap<EntitlementId, Arc<Slice>>,
    schedules: Arc<Schedules>,
}

/// Policies that concern more than one entitlement, and what they name.
struct General {
    policies: PolicySet,
    identities: BTreeSet<IdentityId>,
    mentions: Vec<Entity>,
}

/// What is asked about one entitlement: its own policies and the general ones.
struct Slice {
    entitlement: Entitlement,
    policies: PolicySet,
    ground: Ground,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Bundle {
    /// Verifies every part that the index names and loads all of it. Parts that it does not name are not read.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if any part cannot be used.
    pub fn load(text: &BundleText) -> Result<Self, PolicyError> {
        let index = Arc::new(text.index()?);
        let mut bundle = Self::open(text.digest, Arc::clone(&index), &text.rules(&index)?)?;
        bundle.schedules = Arc::new(text.schedules(&index)?);
        let mut names: BTreeSet<String> = bundle.general.policies.policies().map(|p| p.id().to_string()).collect();
        // A person whom nobody could ask about is seen to fit, too.
        Ground::lay(&index, bundle.schema, Vec::new(), index.identities.keys().cloned().collect())
            .map_err(PolicyError::Entities)?;
        for (id, listing) in text.listings(&index)? {
            let slice = bundle.cut(listing)?;
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

    /// The verified bundle `digest` with its general policies alone: no entitlement is there yet.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if these cannot be used.
    pub fn open(digest: Digest, index: Arc<Index>, rules: &Rules) -> Result<Self, PolicyError> {
        let schema = schema()?;
        let policies = named_policies(RULES_PART, &rules.policies)?;
        let (_, identities) = named(policies.policies());
        let mentions = mentioned(&rules.mentions, schema).map_err(PolicyError::Entities)?;
        let general = Arc::new(General { policies, identities, mentions });
        Ok(Self { digest, index, schema, general, slices: BTreeMap::new(), schedules: Arc::default() })
    }

    /// The same bundle, where one more entitlement is there: what is needed to decide about it, and no more.
    ///
    /// That no two policies of the whole bundle have one `@id` is for the compiler to see; here it is seen of those that
    /// are asked together.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if its policies cannot be used.
    pub fn with(&self, listing: Listing) -> Result<Self, PolicyError> {
        let slice = self.cut(listing)?;
        let mut bundle = self.clone();
        bundle.slices.insert(slice.entitlement.id.clone(), Arc::new(slice));
        Ok(bundle)
    }

    fn cut(&self, listing: Listing) -> Result<Slice, PolicyError> {
        let Listing { entitlement, rules } = listing;
        let mut policies = named_policies(entitlement.id.as_str(), &rules.policies)?;
        let (_, mut identities) = named(policies.policies());
        identities.extend(self.general.identities.iter().cloned());
        for policy in self.general.policies.policies() {
            policies.add(policy.clone()).map_err(|_| PolicyError::Duplicate(policy.id().to_string()))?;
        }
        let ground = || {
            let own = Entity::from_json_value(entitlement_entity(&entitlement), Some(self.schema))
                .map_err(Fault::question)?;
            let mut entities = vec![own];
            for entity in self.general.mentions.iter().cloned().chain(mentioned(&rules.mentions, self.schema)?) {
                // The same may be named on both sides, and the general policies may name this one.
                if !entities.iter().any(|known| known.uid() == entity.uid()) {
                    entities.push(entity);
                }
            }
            Ground::lay(&self.index, self.schema, entities, identities)
        };
        let ground = ground().map_err(PolicyError::Entities)?;
        Ok(Slice { entitlement, policies, ground })
    }

    /// The bundle's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who is registered, and whose tokens count.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What may be asked for, as far as it is loaded.
    pub fn entitlements(&self) -> impl Iterator<Item = &Entitlement> {
        self.slices.values().map(|slice| &slice.entitlement)
    }

    /// One of [`Self::entitlements`].
    #[must_use]
    pub fn entitlement(&self, id: &EntitlementId) -> Option<&Entitlement> {
        self.slices.get(id).map(|slice| &slice.entitlement)
    }

    /// What the catalogue itself asks for, and when; none where the bundle was not loaded as a whole.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// The policies that are asked about `entitlement`.
    pub(crate) fn policies(&self, entitlement: &EntitlementId) -> &PolicySet {
        self.slices.get(entitlement).map_or(&self.general.policies, |slice| &slice.policies)
    }

    /// What to ask `people` about `entitlement`, or about a grant on it.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the entitlement is not there, or the question cannot be put.
    pub(crate) fn world<'a>(
        &self,
        entitlement: &EntitlementId,
        people: impl Iterator<Item = &'a IdentityId>,
        grant: Option<&GrantFacts<'a>>,
    ) -> Result<World<'_>, Fault> {
        let slice = self.slices.get(entitlement);
        let slice = slice.ok_or_else(|| Fault::Question(format!("there is no entitlement `{entitlement}`")))?;
        let beside = grant.into_iter().flat_map(|grant| [grant.requester, grant.sponsor]);
        let entity = grant.map(GrantFacts::entity).transpose()?;
        let entities = slice.ground.with(&self.index, people.chain(beside), entity)?;
        Ok(World { schema: self.schema, entities, policies: &slice.policies })
    }

    /// What to ask `people` about what is no entitlement and no grant: the general policies alone.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the question cannot be put.
    pub(crate) fn wide_world<'a>(
        &self,
        people: impl Iterator<Item = &'a IdentityId>,
        about: Entity,
    ) -> Result<World<'_>, Fault> {
        let General { policies, identities, mentions } = &*self.general;
        let ground = Ground::lay(&self.index, self.schema, mentions.clone(), identities.clone())?;
        let entities = ground.with(&self.index, people, Some(about))?;
        Ok(World { schema: self.schema, entities, policies })
    }

    /// The same bundle as if `identity` were registered so, for questions about `entitlement` alone.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the entitlement is not there, or the identity does not fit.
    pub(crate) fn as_if(&self, entitlement: &EntitlementId, identity: &Identity) -> Result<Self, Fault> {
        let slice = self.slices.get(entitlement);
        let slice = slice.ok_or_else(|| Fault::Question(format!("there is no entitlement `{entitlement}`")))?;
        let ground = slice.ground.as_if(&self.index, identity)?;
        let slice = Slice { entitlement: slice.entitlement.clone(), policies: slice.policies.clone(), ground };
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

    /// Whether `identity` is registered here just as it is, with a registered human to answer for it.
    pub(crate) fn knows(&self, identity: &Identity) -> bool {
        let owner = self.index.identities.get(&identity.owner);
        self.index.identities.get(&identity.id) == Some(identity)
            && owner.is_some_and(|owner| owner.class == IdentityClass::Human)
    }
}

/// The schema that policies are written against.
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
