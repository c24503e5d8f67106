//! A bundle: the compiled, immutable catalogue. It has an index and parts, each named by its hash.
//!
//! | part | holds | read by |
//! |---|---|---|
//! | [`INDEX_PART`] | issuers, identities, the digests of the other parts | every function, once per bundle |
//! | [`RULES_PART`] | policies on more than one entitlement | evaluate, once per bundle |
//! | [`SCHEDULES_PART`] | schedules, if there are any | evaluate, on its schedule |
//! | `entitlements/<bucket>` | a line per entitlement whose id hashes there, with the policies on it alone | a decision on one of these entitlements |
//!
//! So the text that a decision reads and parses does not grow with the catalogue. The evaluator finds the bucket from
//! the entitlement's id, verifies the whole bucket by its hash, and parses only the line of the requested entitlement.
//!
//! **Storage**: the parts lie in the one table, not in S3 or the function's package. So there is no further store to
//! secure, back up and emulate, and no further client in the binaries and their cold start. Each part is one consistent
//! read of some 20 KB. A new catalogue needs no build and no deployment. The write that puts a bundle in force goes to
//! the table that holds its parts. The price is DynamoDB's limit of 400 KB per item; buckets stay far below it.

mod build;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::class_limits::ClassLimits;
use crate::entitlement::{Entitlement, StepRule};
use crate::id::{EntitlementId, IdentityId, ScheduleId};
use crate::identity::{Identity, IdentityClass, Issuer};
use crate::schedule::Schedule;

/// The supported version of the index.
pub const INDEX_VERSION: u32 = 4;

/// The name of the index part, which names all others.
pub const INDEX_PART: &str = "index";

/// The name of the part with the policies on more than one entitlement.
pub const RULES_PART: &str = "rules";

pub const SCHEDULES_PART: &str = "schedules";

/// Schedules by id.
pub type Schedules = BTreeMap<ScheduleId, Schedule>;

/// The index of a bundle: registered identities, accepted issuers, and the digests of the other parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The version of this index; [`INDEX_VERSION`].
    pub version: u32,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<Issuer>,
    pub identities: BTreeMap<IdentityId, Identity>,
    /// The limits per class. A class without an entry has the built-in limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_limits: BTreeMap<IdentityClass, ClassLimits>,
    /// The approval steps of all entitlements, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRule>,
    /// The number of buckets of entitlements. An empty bucket has no part.
    pub n_buckets: u32,
    /// The names of the other parts, with the digests of their texts.
    pub parts: BTreeMap<String, Digest>,
}

/// Policies, with the entities that their evaluation needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The policies in Cedar.
    pub policies: String,
    /// Other entitlements that these policies name, in the form that policies see. The evaluator does not read their
    /// own parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mentions: BTreeMap<EntitlementId, serde_json::Value>,
}

/// An entitlement with the policies on it alone: one line of its bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    pub entitlement: Entitlement,
    /// The policies that apply only to this entitlement.
    pub rules: Rules,
}

/// A bundle as text, as the compiler prints it and the stores hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleText {
    /// The SHA-256 of the index part, which names the bundle.
    pub digest: Digest,
    /// The parts by name, including [`INDEX_PART`].
    pub parts: BTreeMap<String, String>,
}

/// The reason why a bundle cannot be used. Nothing is decided under it.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("bundle `{digest}` has no part `{part}`")]
    Missing { digest: Digest, part: String },
    /// A part's text does not have the digest that names it.
    #[error("part `{part}` of bundle `{digest}` does not match its digest")]
    Altered { digest: Digest, part: String },
    #[error("part `{part}` of bundle `{digest}` cannot be read")]
    Unreadable {
        digest: Digest,
        part: String,
        #[source]
        source: serde_json::Error,
    },
    /// Another version of the compiler built the bundle.
    #[error(
        "the index of bundle `{digest}` has version {version}, but only version {INDEX_VERSION} is supported: compile the \
         catalogue again"
    )]
    Version { digest: Digest, version: u32 },
    /// A name in the bundle differs from its content, or it stands there twice, or in the wrong part.
    #[error("bundle `{digest}` names `{name}`, but the content there has another name or belongs elsewhere")]
    Misnamed { digest: Digest, name: String },
}

impl Index {
    /// The part that lists `entitlement`, with its digest. `None` if the bundle has no such bucket.
    #[must_use]
    pub fn bucket(&self, entitlement: &EntitlementId) -> Option<(&str, Digest)> {
        let name = build::bucket_name(entitlement, self.n_buckets)?;
        self.parts.get_key_value(&name).map(|(name, digest)| (name.as_str(), *digest))
    }
}

impl Index {
    /// The parts that list entitlements, in order.
    pub fn buckets(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str).filter(|part| part.starts_with(build::BUCKET_PREFIX))
    }

    /// The limits of `class`.
    #[must_use]
    pub fn class_limits(&self, class: IdentityClass) -> ClassLimits {
        let built_in = ClassLimits::built_in(class);
        self.class_limits.get(&class).map_or(built_in, |class_limits| built_in.tightened(*class_limits))
    }
}

impl BundleText {
    /// Verifies the index against the bundle's name and reads it.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the index is missing, altered or unreadable.
    pub fn index(&self) -> Result<Index, BundleError> {
        /// The part of the index that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }

        let digest = self.digest;
        let text = self.part(INDEX_PART, digest)?;
        let unreadable = |source| BundleError::Unreadable { digest, part: INDEX_PART.to_owned(), source };
        let index: Index = serde_json::from_str(text).map_err(|error| {
            match serde_json::from_str(text) {
                // A version error is clearer than an error about a missing key.
                Ok(Versioned { version }) if version != INDEX_VERSION => BundleError::Version { digest, version },
                Ok(_) | Err(_) => unreadable(error),
            }
        })?;
        if index.version != INDEX_VERSION {
            return Err(BundleError::Version { digest, version: index.version });
        }
        match index.identities.iter().find(|(id, identity)| identity.id != **id) {
            Some((id, _)) => Err(BundleError::Misnamed { digest, name: id.to_string() }),
            None => Ok(index),
        }
    }

    /// The text of `part`, verified against `expected`.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the part is missing or altered.
    pub fn part(&self, part: &str, expected: Digest) -> Result<&str, BundleError> {
        let digest = self.digest;
        let text = self.parts.get(part).ok_or_else(|| BundleError::Missing { digest, part: part.to_owned() })?;
        if Digest::of_bytes(text.as_bytes()) == expected {
            Ok(text)
        } else {
            Err(BundleError::Altered { digest, part: part.to_owned() })
        }
    }

    /// Every listing, from verified parts.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if a part is missing, altered or unreadable, or lists an entitlement that belongs elsewhere.
    pub fn listings(&self, index: &Index) -> Result<BTreeMap<EntitlementId, Listing>, BundleError> {
        let mut all = BTreeMap::new();
        let bucket = |part: &str| part != RULES_PART && part != SCHEDULES_PART;
        for (part, expected) in index.parts.iter().filter(|(part, _)| bucket(part)) {
            for line in self.part(part, *expected)?.lines() {
                let name = line.split('\t').next().unwrap_or_default();
                let misnamed = || BundleError::Misnamed { digest: self.digest, name: name.to_owned() };
                let id: EntitlementId = name.parse().map_err(|_| misnamed())?;
                let listing = read_line(self.digest, part, &id, line)?;
                let belongs = index.bucket(&id).is_some_and(|(bucket, _)| bucket == part);
                if !belongs || all.insert(id.clone(), listing).is_some() {
                    return Err(misnamed());
                }
            }
        }
        Ok(all)
    }

    /// The policies on more than one entitlement, from a verified part.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the part is missing, altered or unreadable.
    pub fn rules(&self, index: &Index) -> Result<Rules, BundleError> {
        let (digest, part) = (self.digest, RULES_PART);
        let expected = index.parts.get(part).ok_or_else(|| BundleError::Missing { digest, part: part.to_owned() })?;
        read_rules(digest, self.part(part, *expected)?)
    }

    /// The schedules, from a verified part; empty if there is no such part.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the part is missing, altered or unreadable, or lists a schedule under another id.
    pub fn schedules(&self, index: &Index) -> Result<Schedules, BundleError> {
        let Some(expected) = index.parts.get(SCHEDULES_PART) else { return Ok(BTreeMap::new()) };
        read_schedules(self.digest, self.part(SCHEDULES_PART, *expected)?)
    }
}

/// Reads the verified text of part [`RULES_PART`] of bundle `digest`.
///
/// # Errors
///
/// [`BundleError::Unreadable`].
pub fn read_rules(digest: Digest, text: &str) -> Result<Rules, BundleError> {
    serde_json::from_str(text).map_err(|source| BundleError::Unreadable { digest, part: RULES_PART.to_owned(), source })
}

/// Reads the verified text of part [`SCHEDULES_PART`] of bundle `digest`.
///
/// # Errors
///
/// [`BundleError`] if the text cannot be read, or lists a schedule under another id.
pub fn read_schedules(digest: Digest, text: &str) -> Result<Schedules, BundleError> {
    let unreadable = |source| BundleError::Unreadable { digest, part: SCHEDULES_PART.to_owned(), source };
    let schedules: Schedules = serde_json::from_str(text).map_err(unreadable)?;
    match schedules.iter().find(|(id, schedule)| schedule.id != **id) {
        Some((id, _)) => Err(BundleError::Misnamed { digest, name: id.to_string() }),
        None => Ok(schedules),
    }
}

/// Reads the line of `entitlement`, if there is one, from the verified text of `part` of bundle `digest`.
///
/// # Errors
///
/// [`BundleError`] if the line cannot be read or holds another entitlement, or if there are two lines.
pub fn read_listing(
    digest: Digest,
    part: &str,
    text: &str,
    entitlement: &EntitlementId,
) -> Result<Option<Listing>, BundleError> {
    let own = |line: &&str| line.strip_prefix(entitlement.as_str()).is_some_and(|rest| rest.starts_with('\t'));
    let mut lines = text.lines().filter(own);
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => read_line(digest, part, entitlement, line).map(Some),
        (Some(_), Some(_)) => Err(BundleError::Misnamed { digest, name: entitlement.to_string() }),
    }
}

/// The entitlements that the verified text of a bucket lists, in the order of their ids.
///
/// # Errors
///
/// [`BundleError::Misnamed`] if a line names no entitlement.
pub fn listed(digest: Digest, text: &str) -> Result<Vec<EntitlementId>, BundleError> {
    let id = |line: &str| {
        let name = line.split('\t').next().unwrap_or_default();
        name.parse().map_err(|_| BundleError::Misnamed { digest, name: name.to_owned() })
    };
    let mut ids = text.lines().map(id).collect::<Result<Vec<_>, _>>()?;
    ids.sort();
    Ok(ids)
}

/// Whether the verified text of a bucket lists `entitlement`.
#[must_use]
pub fn is_listed(text: &str, entitlement: &EntitlementId) -> bool {
    text.lines().any(|line| line.split('\t').next() == Some(entitlement.as_str()))
}

fn read_line(digest: Digest, part: &str, id: &EntitlementId, line: &str) -> Result<Listing, BundleError> {
    let json = line.split_once('\t').map_or("", |(_, json)| json);
    let listing: Listing = serde_json::from_str(json).map_err(|source| BundleError::Unreadable {
        digest,
        part: part.to_owned(),
        source,
    })?;
    if listing.entitlement.id == *id {
        Ok(listing)
    } else {
        Err(BundleError::Misnamed { digest, name: id.to_string() })
    }
}

#[cfg(test)]
mod tests;
