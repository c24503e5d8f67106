//! Builds the parts of a bundle from entitlements and policies.

use std::collections::BTreeMap;

use crate::bundle::{BundleText, INDEX_PART, Index, Listing, RULES_PART, Rules, SCHEDULES_PART, Schedules};
use crate::canonical::{CanonicalError, Digest, canonical};
use crate::id::EntitlementId;

/// The target size of a bucket, in bytes. The number of buckets grows until all are smaller, up to [`MAX_BUCKETS`].
const BUCKET_BYTES: usize = 16 * 1024;

/// The maximum number of buckets. The index names each in about 80 bytes.
///
/// With 10,000 entitlements of 1.5 KB a bucket then has about 30 KB, and so has the index beside the identities.
const MAX_BUCKETS: u32 = 512;

impl BundleText {
    /// Builds a bundle. Pure: the same input gives the same bundle, byte for byte.
    ///
    /// `index` gives the data that is not derived. This function sets its `n_buckets` and `parts`.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if a value has no JSON form.
    pub fn build(
        mut index: Index,
        listings: &BTreeMap<EntitlementId, Listing>,
        rules: &Rules,
        schedules: &Schedules,
    ) -> Result<Self, CanonicalError> {
        let mut lines = Vec::new();
        for (id, listing) in listings {
            lines.push((id, format!("{id}\t{}\n", canonical(listing)?)));
        }
        index.n_buckets = n_buckets(&lines);
        let mut parts = BTreeMap::from([(RULES_PART.to_owned(), canonical(rules)?)]);
        if !schedules.is_empty() {
            parts.insert(SCHEDULES_PART.to_owned(), canonical(schedules)?);
        }
        for (id, line) in lines {
            if let Some(name) = bucket_name(id, index.n_buckets) {
                parts.entry(name).or_insert_with(String::new).push_str(&line);
            }
        }
        index.parts = parts.iter().map(|(name, text)| (name.clone(), Digest::of_bytes(text.as_bytes()))).collect();
        let text = canonical(&index)?;
        let digest = Digest::of_bytes(text.as_bytes());
        parts.insert(INDEX_PART.to_owned(), text);
        Ok(Self { digest, parts })
    }
}

/// The smallest power of two of buckets with which none is too long.
fn n_buckets(lines: &[(&EntitlementId, String)]) -> u32 {
    let hashed: Vec<(u32, usize)> = lines.iter().map(|(id, line)| (id_hash(id), line.len())).collect();
    let longest = |n: u32| {
        let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
        for (id_hash, len) in &hashed {
            let size = sizes.entry(id_hash.checked_rem(n).unwrap_or(0)).or_default();
            *size = size.saturating_add(*len);
        }
        sizes.into_values().max().unwrap_or(0)
    };
    let mut n: u32 = 1;
    // More buckets do not shorten one long line.
    while n < MAX_BUCKETS && usize::try_from(n).is_ok_and(|n| n < lines.len()) && longest(n) > BUCKET_BYTES {
        n = n.saturating_mul(2);
    }
    n
}

/// A stable number that spreads ids evenly.
fn id_hash(id: &EntitlementId) -> u32 {
    let hex = Digest::of_bytes(id.as_str().as_bytes()).to_string();
    hex.get(..8).and_then(|first| u32::from_str_radix(first, 16).ok()).unwrap_or(0)
}

/// The prefix of the names of the parts that list entitlements. No other part has it.
pub(super) const BUCKET_PREFIX: &str = "entitlements/";

/// The part that lists `id` if there are `n` buckets.
pub(super) fn bucket_name(id: &EntitlementId, n: u32) -> Option<String> {
    id_hash(id).checked_rem(n).map(|number| format!("{BUCKET_PREFIX}{number:03x}"))
}
