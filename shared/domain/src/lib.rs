//! Types and rules of a grant: pure, no clock, no randomness, no I/O.
//!
//! Read `grant` first: its states, its events and the one function that moves between them. `plan` renders
//! what AWS will be asked, `evidence` chains what was decided, done and seen.

pub mod block;
pub mod bundle;
pub mod canonical;
pub mod confirmation;
pub mod count;
pub mod decision;
pub mod delegation;
pub mod deny;
pub mod drill;
pub mod duties;
pub mod entitlement;
pub mod evidence;
pub mod finding;
pub mod grant;
pub mod heart;
pub mod id;
pub mod identity;
pub mod lane;
pub mod nearest;
pub mod offer;
pub mod place;
pub mod plan;
pub mod renewal;
pub mod request;
pub mod review;
pub mod revocation;
pub mod rule;
pub mod schedule;
pub mod settings;
pub mod time;
