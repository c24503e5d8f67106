//! What is fuzzed, and what must hold there.

pub(crate) mod catalogue;
pub(crate) mod chains;
mod oracle;
pub(crate) mod rendering;
pub(crate) mod requests;
pub(crate) mod stored;
pub(crate) mod tokens;

use crate::harness::Target;

/// Every target. At full length they come to more than ten million runs.
pub const TARGETS: [Target; 7] = [
    catalogue::FILES,
    catalogue::CATALOGUES,
    tokens::TARGET,
    rendering::TARGET,
    requests::TARGET,
    stored::TARGET,
    chains::TARGET,
];

/// An error as a target tells it.
pub(crate) fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Refuses, unless it `holds`.
pub(crate) fn must(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
