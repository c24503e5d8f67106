//! A bundle: the compiled catalogue, immutable, an index and parts, each named by its hash.
//!
//! | part | holds | read by |
//! |---|---|---|
//! | [`INDEX_PART`] | issuers, identities, the digests of the other parts | everybody, once a bundle |
//! | [`RULES_PART`] | policies that concern more than one entitlement | evaluate, once a bundle |
//! | [`SCHEDULES_PART`] | schedules, if there are any | evaluate, when its own tick comes |
//! | `entitlements/<bucket>` | a line for each entitlement whose id hashes there, with the policies about it alone | whoever decides on one of these |
//!
//! So what a decision reads and parses does not grow with the catalogue: the bucket is found from the entitlement's id,
//! verified by its hash as a whole, and of its lines only the one that is asked for is parsed.
//!
//! **Where the parts lie**: in the one table, not in S3 or the function's own package. No further store to secure, back up
//! and emulate, and no further client in the binaries and their cold start; one consistent read each, of some 20 KB; a
//! new catalogue needs no build and no deployment; and the write that puts a bundle in force is a write to the table that
//! holds its parts. The price is DynamoDB's 400 KB an item, which buckets never come near.

mod build;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::entitlement::{Entitlement, StepRule};
use crate::id::{EntitlementId, IdentityId, ScheduleId};
use crate::identity::{Identity, IdentityClass, Issuer};
use crate::lane::Lane;
use crate::schedule::Schedule;

/// The form of index that is understood.
pub const INDEX_VERSION: u32 = 4;

/// The name of the part that names all others.
pub const INDEX_PART: &str = "index";

/// The name of the part with the policies that concern more than one entitlement.
pub const RULES_PART: &str = "rules";

/// The name of the part with the schedules.
pub const SCHEDULES_PART: &str = "schedules";

/// Schedules by their names.
pub type Schedules = BTreeMap<ScheduleId, Schedule>;

/// The index of a bundle: who is registered, whose tokens count, and the digests of the other parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The form of this index; [`INDEX_VERSION`].
    pub version: u32,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<Issuer>,
    /// Registered identities.
    pub identities: BTreeMap<IdentityId, Identity>,
    /// The limits of each class; one that is not here has those that are built in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lanes: BTreeMap<IdentityClass, Lane>,
    /// Steps that approvals of all entitlements have, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRule>,
    /// Over how many buckets the entitlements are spread. A bucket that would be empty is no part.
    pub n_buckets: u32,
    /// The other parts: name to the digest of the text.
    pub parts: BTreeMap<String, Digest>,
}

/// Policies, and what they cannot be judged without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Cedar.
    pub policies: String,
    /// Entitlements that these policies name, other than the one they are about, in the form that policies see: their
    /// own parts are not read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mentions: BTreeMap<EntitlementId, serde_json::Value>,
}

/// An entitlement with the policies about it alone: a line of its bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// What may be asked for.
    pub entitlement: Entitlement,
    /// The policies that can only concern it.
    pub rules: Rules,
}

/// A bundle as text: what the compiler prints and the stores hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleText {
    /// SHA-256 of the index part: the bundle's name.
    pub digest: Digest,
    /// Part name to text; [`INDEX_PART`] among them.
    pub parts: BTreeMap<String, String>,
}

/// A bundle that cannot be used. Nothing is decided under it.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A part is missing.
    #[error("bundle `{digest}` has no part `{part}`")]
    Missing {
        /// The bundle.
        digest: Digest,
        /// The part.
        part: String,
    },
    /// A part's text does not have the digest that names it.
    #[error("part `{part}` of bundle `{digest}` does not match its digest")]
    Altered {
        /// The bundle.
        digest: Digest,
        /// The part.
        part: String,
    },
    /// A part cannot be read.
    #[error("part `{part}` of bundle `{digest}` cannot be read")]
    Unreadable {
        /// The bundle.
        digest: Digest,
        /// The part.
        part: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It was compiled by another generation of the compiler.
    #[error("the index of bundle `{digest}` has version {version}, but version {INDEX_VERSION} is understood")]
    Version {
        /// The bundle.
        digest: Digest,
        /// The version found.
        version: u32,
    },
    /// A name in the bundle and the thing it names differ, or it stands there twice, or in the wrong part.
    #[error("bundle `{digest}` names `{name}`, but what it holds there has another name or place")]
    Misnamed {
        /// The bundle.
        digest: Digest,
        /// The name.
        name: String,
    },
}

impl Index {
    /// The part that lists `entitlement`, and its digest. None if nobody can be asked for it.
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
    pub fn lane(&self, class: IdentityClass) -> Lane {
        let built_in = Lane::built_in(class);
        self.lanes.get(&class).map_or(built_in, |lane| built_in.tightened(*lane))
    }
}

impl BundleText {
    /// Verifies the index against the bundle's name and reads it.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if it is missing, altered or unreadable.
    pub fn index(&self) -> Result<Index, BundleError> {
        /// What every generation has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }

        let digest = self.digest;
        let text = self.part(INDEX_PART, digest)?;
        let unreadable = |source| BundleError::Unreadable { digest, part: INDEX_PART.to_owned(), source };
        let index: Index = serde_json::from_str(text).map_err(|error| {
            match serde_json::from_str(text) {
                // Better said so than as a key that is missing.
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
    /// [`BundleError`] if it is missing or altered.
    pub fn part(&self, part: &str, expected: Digest) -> Result<&str, BundleError> {
        let digest = self.digest;
        let text = self.parts.get(part).ok_or_else(|| BundleError::Missing { digest, part: part.to_owned() })?;
        if Digest::of_bytes(text.as_bytes()) == expected {
            Ok(text)
        } else {
            Err(BundleError::Altered { digest, part: part.to_owned() })
        }
    }

    /// Every listing, from parts that are verified.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if a part is missing, altered or unreadable, or lists what does not belong there.
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

    /// The policies that concern more than one entitlement, from a part that is verified.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the part is missing, altered or unreadable.
    pub fn rules(&self, index: &Index) -> Result<Rules, BundleError> {
        let (digest, part) = (self.digest, RULES_PART);
        let expected = index.parts.get(part).ok_or_else(|| BundleError::Missing { digest, part: part.to_owned() })?;
        read_rules(digest, self.part(part, *expected)?)
    }

    /// The schedules, from a part that is verified; none if there is no such part.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the part is missing, altered or unreadable, or one has another name than its own.
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
/// [`BundleError`] if it cannot be read, or a schedule has another name than its own.
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
/// [`BundleError`] if its line cannot be read, or holds another entitlement, or there are two.
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
/// [`BundleError::Misnamed`] if a line names none.
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
