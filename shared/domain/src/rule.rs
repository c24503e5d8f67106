//! Rules that are built in, by the names under which decisions give them as reasons. A policy's `@id` holds no colon, so
//! none can pass for one of these.

/// Who asks is not registered in the catalogue in force as its proof was matched.
pub const REGISTERED: &str = "brevet:registered";

/// The lane of the class allows no such term.
pub const CLASS_TERM: &str = "brevet:class-term";

/// The lane of the class wants a person's yes to everything but break-glass.
pub const PEOPLE_ALWAYS: &str = "brevet:people-always";

/// What is critical wants a person's yes, unless it is for emergencies.
pub const CRITICAL: &str = "brevet:critical-needs-people";

/// Somebody else alone holds the principal that it would be attached to.
pub const HOLDER: &str = "brevet:single-holder";

/// Too few people may approve it.
pub const APPROVERS: &str = "brevet:enough-approvers";

/// What cannot be put to policy is denied.
pub const UNEVALUATED: &str = "brevet:unevaluated";

/// A block stands on what it needs.
pub const BLOCK: &str = "brevet:block";

/// What must not be held together, or as many grants as may be held at once, is held.
pub const DUTIES: &str = "brevet:separation-of-duties";

/// A schedule gets no more than policy gives alone: nobody is asked for it.
pub const NOBODY_WAITS: &str = "brevet:nobody-waits";

/// Nothing is asked on the behalf of whom nothing can be asked for: a human's by another human, or anybody else's.
pub const ON_BEHALF_OF: &str = "brevet:on-behalf-of";

/// What is asked on a human's behalf rests on what that human stored beforehand.
pub const DELEGATION: &str = "brevet:delegation";

/// A renewal carries on a grant that is in use, for the same, and no row of them is endless.
pub const RENEWAL: &str = "brevet:renewal";
