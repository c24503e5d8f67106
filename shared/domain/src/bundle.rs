//! A bundle: the compiled catalogue, immutable, an index and parts, each named by its hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;
use crate::entitlement::Entitlement;
use crate::id::{EntitlementId, IdentityId};
use crate::identity::{Identity, IdentityClass, Issuer};
use crate::lane::Lane;

/// The name of the part that names all others.
pub const INDEX_PART: &str = "index";

/// The index of a bundle: everything but the Cedar policies, and their digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The form of this index; 1.
    pub version: u32,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<Issuer>,
    /// Registered identities.
    pub identities: BTreeMap<IdentityId, Identity>,
    /// What may be asked for.
    pub entitlements: BTreeMap<EntitlementId, Entitlement>,
    /// The limits of each class; one that is not here has those that are built in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lanes: BTreeMap<IdentityClass, Lane>,
    /// The other parts: name to the digest of the text.
    pub parts: BTreeMap<String, Digest>,
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
    /// The index cannot be read.
    #[error("the index of bundle `{digest}` cannot be read")]
    Unreadable {
        /// The bundle.
        digest: Digest,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Index {
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
        let text = self.part(INDEX_PART, self.digest)?;
        serde_json::from_str(text).map_err(|source| BundleError::Unreadable { digest: self.digest, source })
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
}
