//! `pace [--due N] [--ended N]`: ends N grants that are due at once, and counts the calls of a pass beside N ended
//! ones.
//!
//! Exit code 0 only if every bound was met.

#![expect(clippy::print_stdout, reason = "the program prints its figures")]

use std::process::ExitCode;

use brevet_pace::aws::{CALL_MS, WRITES_PER_S};
use brevet_pace::{Heap, calls_beside, end_at_once};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The least used share of IAM's write limit.
const LEAST_SHARE: f64 = 0.9;
/// The most memory of a pass, in bytes.
const MOST_HEAP: usize = 64 * 1024 * 1024;
/// The number of due grants in the two passes that are compared.
const FEW: u64 = 200;

fn number(name: &str, otherwise: u64) -> Result<u64, String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(otherwise),
        (Some(_), value) => {
            let text = value.unwrap_or_default();
            text.parse().map_err(|_| format!("`{name}` needs a whole number; you gave `{text}`"))
        }
    }
}

fn main() -> ExitCode {
    let (n_due, n_gone) = match (number("--due", 10_000), number("--ended", 1_000_000)) {
        (Ok(n_due), Ok(n_gone)) => (n_due, n_gone),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let heap = Heap { now: || HEAP.current_usage(), peak: || HEAP.peak_usage(), reset: || HEAP.reset_peak_usage() };
    println!("{n_due} grants due at once; {CALL_MS} ms a call, {WRITES_PER_S} IAM writes a second");
    let pace = end_at_once(n_due, Some(heap));
    println!("  ended with a proof   {} in {} passes, one a minute", pace.n_ended, pace.n_passes);
    println!("  removed by minute    {:?}", pace.removed_by_minute);
    println!("  proved by minute     {:?}", pace.proved_by_minute);
    println!(
        "  the last removal     {:.1} s after it was due; IAM throttled {} writes",
        pace.removed_after_s, pace.n_throttled
    );
    println!("  the last proof       {:.1} s after it was due", pace.proved_after_s);
    println!("  of IAM's limit       {:.1} % used until the last removal", pace.share * 100.0);
    let heap = pace.heap.unwrap_or(usize::MAX);
    println!("  heap of a pass       {} KiB at most, including the model's records", heap / 1024);
    let (alone, beside) = (calls_beside(0, FEW), calls_beside(n_gone, FEW));
    let n_calls = |calls: &std::collections::BTreeMap<_, usize>| calls.values().sum::<usize>();
    println!("  calls of a pass      {} without ended grants, {} beside {n_gone}", n_calls(&alone), n_calls(&beside));
    let bounds = [
        ("every grant ended", u64::try_from(pace.n_ended) == Ok(n_due)),
        ("at least 90 % of IAM's limit was used", pace.share >= LEAST_SHARE),
        ("a pass kept below 64 MiB", heap < MOST_HEAP),
        ("no grant waited more than two ticks longer than the limit requires", pace.is_fair()),
        ("ended grants add no call", alone == beside),
    ];
    for (bound, _) in bounds.iter().filter(|(_, kept)| !kept) {
        println!("NOT MET: {bound}");
    }
    ExitCode::from(u8::from(bounds.iter().any(|(_, kept)| !kept)))
}
