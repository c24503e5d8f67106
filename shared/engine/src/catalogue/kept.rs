//! A bounded cache for parts of a bundle: the least recently used value is dropped first.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Values by key, up to a fixed total weight.
#[derive(Debug)]
pub struct Kept<K, V> {
    max: usize,
    weight: usize,
    /// Counts uses: a higher number is a later use.
    uses: u64,
    held: BTreeMap<K, Slot<V>>,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Ord + Clone, V: Clone> Kept<K, V> {
    /// A cache for values of total weight `max`, in the unit that callers of [`Self::put`] use.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, weight: 0, uses: 0, held: BTreeMap::new() }
    }

    /// The value of `key`; counts as a use.
    pub fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.uses = self.uses.saturating_add(1);
        let slot = self.held.get_mut(key)?;
        slot.used = self.uses;
        Some(slot.value.clone())
    }

    /// Adds `value` and drops the least recently used values to make room. A value heavier than the cache is not kept.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        self.drop(&key);
        if weight > self.max {
            return;
        }
        while self.weight.saturating_add(weight) > self.max {
            let oldest = self.held.iter().min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => self.drop(&oldest),
                None => break,
            }
        }
        self.uses = self.uses.saturating_add(1);
        self.weight = self.weight.saturating_add(weight);
        self.held.insert(key, Slot { value, weight, used: self.uses });
    }

    fn drop(&mut self, key: &K) {
        if let Some(slot) = self.held.remove(key) {
            self.weight = self.weight.saturating_sub(slot.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_recently_used_value_is_dropped_first_and_the_weight_stays_bounded() {
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
