//! Types and rules of a grant: pure, no clock, no randomness, no I/O.
//!
//! Read `grant` first: its states, its events and the one function that moves between them. `plan` renders the
//! requests to AWS. `evidence` chains the records of decisions, calls and readings.

pub mod attachment_target;
pub mod block;
pub mod bundle;
pub mod canonical;
pub mod class_limits;
pub mod confirmation;
pub mod decision;
pub mod delegation;
pub mod deny;
pub mod drill;
pub mod duties;
pub mod entitlement;
pub mod evidence;
pub mod finding;
pub mod grant;
pub mod holders;
pub mod id;
pub mod identity;
pub mod nearest;
pub mod offer;
pub mod plan;
pub mod reaper_health;
pub mod renewal;
pub mod request;
pub mod review;
pub mod revocation;
pub mod rule;
pub mod schedule;
pub mod settings;
pub mod time;
