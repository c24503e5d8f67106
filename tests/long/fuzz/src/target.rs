//! The targets, and their properties.

pub(crate) mod catalogue;
pub(crate) mod chains;
mod oracle;
pub(crate) mod rendering;
pub(crate) mod requests;
pub(crate) mod stored;
pub(crate) mod tokens;

use crate::harness::Target;

/// Every target. At full length they make more than ten million runs together.
pub const TARGETS: [Target; 7] = [
    catalogue::FILES,
    catalogue::CATALOGUES,
    tokens::TARGET,
    rendering::TARGET,
    requests::TARGET,
    stored::TARGET,
    chains::TARGET,
];

/// The text of an error.
pub(crate) fn error_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An error unless `holds`.
pub(crate) fn must(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
