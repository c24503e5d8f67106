//! What is kept in memory of a bundle, bounded: the least recently used goes first.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Values by key, of at most a fixed weight together.
#[derive(Debug)]
pub struct Kept<K, V> {
    max: usize,
    weight: usize,
    /// Counts uses: the higher, the later.
    uses: u64,
    held: BTreeMap<K, One<V>>,
}

#[derive(Debug)]
struct One<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Ord + Clone, V: Clone> Kept<K, V> {
    /// Keeps values of weight `max` together, in whatever unit [`Self::put`] is told.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, weight: 0, uses: 0, held: BTreeMap::new() }
    }

    /// The value of `key`, which counts as used.
    pub fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.uses = self.uses.saturating_add(1);
        let one = self.held.get_mut(key)?;
        one.used = self.uses;
        Some(one.value.clone())
    }

    /// Keeps `value`, and no longer what was used least recently where there is no room. Too heavy by itself, it is
    /// not kept at all.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        self.drop(&key);
        if weight > self.max {
            return;
        }
        while self.weight.saturating_add(weight) > self.max {
            let oldest = self.held.iter().min_by_key(|(_, one)| one.used).map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => self.drop(&oldest),
                None => break,
            }
        }
        self.uses = self.uses.saturating_add(1);
        self.weight = self.weight.saturating_add(weight);
        self.held.insert(key, One { value, weight, used: self.uses });
    }

    fn drop(&mut self, key: &K) {
        if let Some(one) = self.held.remove(key) {
            self.weight = self.weight.saturating_sub(one.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_the_weight_is_bounded() {
        let mut kept = Kept::new(10);
        for key in ["a", "b", "c"] {
            kept.put(key, key, 3);
        }
        assert_eq!(kept.get("a"), Some("a"));
        kept.put("d", "d", 3);
        assert_eq!(["a", "b", "c", "d"].map(|key| kept.get(key).is_some()), [true, false, true, true]);
        kept.put("d", "other", 4);
        assert_eq!((kept.get("d"), kept.weight), (Some("other"), 10));
        kept.put("heavy", "heavy", 11);
        assert_eq!((kept.get("heavy"), kept.held.len()), (None, 3));
        kept.put("all", "all", 10);
        assert_eq!((kept.get("all"), kept.held.len(), kept.weight), (Some("all"), 1, 10));
    }
}
