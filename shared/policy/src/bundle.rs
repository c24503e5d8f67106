//! A bundle in use: verified, parsed, and ready to decide.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use brevet_domain::bundle::{BundleError, BundleText, Index};
use brevet_domain::canonical::Digest;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::{Identity, IdentityClass};
use cedar_policy::{Entities, ParseErrors, PolicyId, PolicySet, Schema};

use crate::ask::{Fault, World, catalogue_entities};

/// The form of index that is understood.
pub(crate) const INDEX_VERSION: u32 = 1;

/// The part with policies that concern more than one entitlement.
pub(crate) const COMMON_PART: &str = "policies/common";

const SCHEMA: &str = include_str!("schema.cedarschema");

/// A bundle that cannot be used. Nothing is decided under it.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A part is missing, altered or unreadable.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It was compiled by another generation of the compiler.
    #[error("the bundle's index has version {0}, but version {INDEX_VERSION} is understood")]
    Version(u32),
    /// A name in the index and the thing it names differ.
    #[error("the bundle's index names `{0}`, but what it holds there has another name")]
    Misnamed(String),
    /// A part is not Cedar.
    #[error("part `{part}` of the bundle is not Cedar")]
    Syntax {
        /// The part.
        part: String,
        /// Why.
        #[source]
        source: Box<ParseErrors>,
    },
    /// A policy has no `@id` to give as a reason, or it is a template.
    #[error("part `{part}` of the bundle holds a policy without `@id`, or a template")]
    Unnamed {
        /// The part.
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

/// A verified bundle. Cheap to decide with; parse it once and keep it.
pub struct Bundle {
    digest: Digest,
    index: Index,
    schema: &'static Schema,
    entities: Entities,
    common: PolicySet,
    /// For each entitlement with policies of its own: those and the common ones.
    partitions: BTreeMap<EntitlementId, PolicySet>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Bundle {
    /// Verifies every part that the index names and parses it. Parts that it does not name are not read.
    ///
    /// Policies are known by their `@id` from here on. They are not validated: the compiler did that, and a
    /// policy that errors denies.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if any part cannot be used.
    pub fn load(text: &BundleText) -> Result<Self, PolicyError> {
        let index = text.index()?;
        if index.version != INDEX_VERSION {
            return Err(PolicyError::Version(index.version));
        }
        check_names(&index)?;
        let mut common = PolicySet::new();
        let mut own = BTreeMap::new();
        let mut names = std::collections::BTreeSet::new();
        for (part, digest) in &index.parts {
            let policies = named_policies(part, text.part(part, *digest)?)?;
            for policy in policies.policies() {
                if !names.insert(policy.id().to_string()) {
                    return Err(PolicyError::Duplicate(policy.id().to_string()));
                }
            }
            match part_of(part) {
                None => common = policies,
                Some(entitlement) => {
                    own.insert(entitlement, policies);
                }
            }
        }
        let schema = schema()?;
        let entities = catalogue_entities(&index, schema).map_err(PolicyError::Entities)?;
        let mut partitions = BTreeMap::new();
        for (entitlement, mut policies) in own {
            for policy in common.policies() {
                policies.add(policy.clone()).map_err(|_| PolicyError::Duplicate(policy.id().to_string()))?;
            }
            partitions.insert(entitlement, policies);
        }
        Ok(Self { digest: text.digest, index, schema, entities, common, partitions })
    }

    /// The bundle's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who is registered, what may be asked for, and whose tokens count.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What to ask about `entitlement`.
    pub(crate) fn world(&self, entitlement: &EntitlementId) -> World<'_> {
        World {
            schema: self.schema,
            entities: &self.entities,
            policies: self.partitions.get(entitlement).unwrap_or(&self.common),
        }
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

/// The part that holds the policies of one entitlement alone.
pub(crate) fn part_name(entitlement: &EntitlementId) -> String {
    format!("policies/{entitlement}")
}

fn part_of(part: &str) -> Option<EntitlementId> {
    // No entitlement is called `common`: the compiler refuses it.
    let id = part.strip_prefix("policies/").filter(|_| part != COMMON_PART)?;
    id.parse().ok()
}

fn check_names(index: &Index) -> Result<(), PolicyError> {
    let identities = index.identities.iter().map(|(id, i)| (id.as_str(), i.id.as_str()));
    let entitlements = index.entitlements.iter().map(|(id, e)| (id.as_str(), e.id.as_str()));
    match identities.chain(entitlements).find(|(key, id)| key != id) {
        None => Ok(()),
        Some((key, _)) => Err(PolicyError::Misnamed(key.to_owned())),
    }
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
