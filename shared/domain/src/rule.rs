//! The names of the built-in rules, as decisions cite them. A policy's `@id` cannot contain a colon, so no policy can
//! carry one of these names.

/// The requester must be registered in the catalogue in force, as its proof was matched.
pub const REGISTERED: &str = "brevet:registered";

/// The class limits must allow the term.
pub const CLASS_TERM: &str = "brevet:class-term";

/// The class limits require a person's approval of everything but break-glass.
pub const PEOPLE_ALWAYS: &str = "brevet:people-always";

/// A critical entitlement requires a person's approval, except for break-glass.
pub const CRITICAL: &str = "brevet:critical-needs-people";

/// The requester must be the single holder of the attachment principal, if it has one.
pub const HOLDER: &str = "brevet:single-holder";

/// Enough people must be able to approve.
pub const APPROVERS: &str = "brevet:enough-approvers";

/// A request that policy cannot evaluate is denied.
pub const UNEVALUATED: &str = "brevet:unevaluated";

/// No block may cover the request.
pub const BLOCK: &str = "brevet:block";

/// The requester may have no break-glass use that awaits its review.
pub const REVIEW: &str = "brevet:review-awaited";

/// The grant must not conflict with other holdings or exceed the maximum number of live grants.
pub const DUTIES: &str = "brevet:separation-of-duties";

/// A schedule gets only what policy allows without approval, because no person is asked.
pub const NOBODY_WAITS: &str = "brevet:nobody-waits";

/// Only a non-human identity may ask on behalf of somebody else, and only on behalf of a human.
pub const ON_BEHALF_OF: &str = "brevet:on-behalf-of";

/// A request on a human's behalf needs a delegation that this human stored beforehand.
pub const DELEGATION: &str = "brevet:delegation";

/// A renewal must be for the same access as a grant in use, and the number of renewals is limited.
pub const RENEWAL: &str = "brevet:renewal";
