//! Reproducible random numbers: every draw of a run follows from the seed and the run's number. Test equipment.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "test equipment: a panic here is a test failure"
)]

/// The environment variable with the seed of randomized tests.
const SEED_VARIABLE: &str = "BREVET_SEED";

/// The seed of a randomized test: the number in environment variable `BREVET_SEED`, or `usual` if it is not set. The
/// test runner derives it from the commit. It is printed, so that a failure can be reproduced.
///
/// # Panics
///
/// If the variable holds something other than a whole number.
#[expect(clippy::print_stdout, reason = "a failed test shows what it printed")]
#[must_use]
pub fn seed_or(usual: u64) -> u64 {
    let seed = std::env::var(SEED_VARIABLE).map_or(usual, |text| parsed(&text));
    println!("seed {seed}; `{SEED_VARIABLE}={seed}` before the same command repeats this run");
    seed
}

#[expect(clippy::panic, reason = "a seed that cannot be read fails the test")]
fn parsed(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("`{SEED_VARIABLE}` must be a whole number; it is `{text}`"))
}

/// A pseudo-random generator (`SplitMix64`). Source: <https://prng.di.unimi.it/splitmix64.c>
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The generator of run `run` under `seed`.
    #[must_use]
    pub fn new(seed: u64, run: u64) -> Self {
        let mut mixed = Self(seed);
        mixed.0 = mixed.number() ^ run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.number();
        mixed
    }

    /// The generator of run `run` for `name`. Different names draw independently.
    #[must_use]
    pub fn named(seed: u64, name: &str, run: u64) -> Self {
        // FNV-1a. Source: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>
        let named = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self::new(seed ^ named, run)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() >> 16) as usize % bound.max(1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `these`, which must not be empty.
    pub fn pick<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }

    /// A text of at most `longest` characters of `alphabet`.
    pub fn text(&mut self, alphabet: &[char], longest: usize) -> String {
        (0..self.below(longest + 1)).map(|_| *self.pick(alphabet)).collect()
    }
}
