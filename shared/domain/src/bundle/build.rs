//! From entitlements and policies to the parts of a bundle.

use std::collections::BTreeMap;

use crate::bundle::{BundleText, INDEX_PART, Index, Listing, RULES_PART, Rules, SCHEDULES_PART, Schedules};
use crate::canonical::{CanonicalError, Digest, canonical};
use crate::id::EntitlementId;

/// How long a bucket should be at most, in bytes. More buckets are made until it is so, up to [`MAX_BUCKETS`].
const BUCKET_BYTES: usize = 16 * 1024;

/// The most buckets: the index names each in about 80 bytes.
///
/// With 10,000 entitlements of 1.5 KB a bucket then has about 30 KB, and so has the index beside the identities.
const MAX_BUCKETS: u32 = 512;

impl BundleText {
    /// Puts a bundle together. Pure: the same things give the same bundle, byte for byte.
    ///
    /// `index` gives what is not derived: its `n_buckets` and `parts` are filled in here.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if something has no JSON form.
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

/// The fewest buckets, a power of two, with which none is too long.
fn n_buckets(lines: &[(&EntitlementId, String)]) -> u32 {
    let placed: Vec<(u32, usize)> = lines.iter().map(|(id, line)| (place(id), line.len())).collect();
    let longest = |n: u32| {
        let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
        for (place, len) in &placed {
            let size = sizes.entry(place.checked_rem(n).unwrap_or(0)).or_default();
            *size = size.saturating_add(*len);
        }
        sizes.into_values().max().unwrap_or(0)
    };
    let mut n: u32 = 1;
    // One long line is not made shorter by more buckets.
    while n < MAX_BUCKETS && usize::try_from(n).is_ok_and(|n| n < lines.len()) && longest(n) > BUCKET_BYTES {
        n = n.saturating_mul(2);
    }
    n
}

/// A number that spreads ids evenly, and is the same everywhere.
fn place(id: &EntitlementId) -> u32 {
    let hex = Digest::of_bytes(id.as_str().as_bytes()).to_string();
    hex.get(..8).and_then(|first| u32::from_str_radix(first, 16).ok()).unwrap_or(0)
}

/// How the names of the parts that list entitlements begin. No other part is named so.
pub(super) const BUCKET_PREFIX: &str = "entitlements/";

/// The part that lists `id`, where entitlements are spread over `n` buckets.
pub(super) fn bucket_name(id: &EntitlementId, n: u32) -> Option<String> {
    place(id).checked_rem(n).map(|number| format!("{BUCKET_PREFIX}{number:03x}"))
}
