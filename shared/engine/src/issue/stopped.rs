//! The refusals while issuing is stopped: what is stopped, since when, and what the caller can do.

use brevet_domain::drill::DrillFailure;
use brevet_domain::id::GrantId;
use brevet_domain::reaper_health::{IssuancePolicy, Stop};

use crate::refusal::{Refusal, RefusalKind};

/// When to retry, in seconds: after the next reaper pass.
const RETRY_AFTER_S: u32 = 60;

/// The refusal for `stop`. It names the overdue grant only if that is the caller's `own`.
pub(crate) fn refusal(stop: Stop, issuance_policy: IssuancePolicy, own: Option<GrantId>) -> Refusal {
    let (code, detail) = match stop {
        Stop::NoHeartbeat { age_s } => {
            let age = age_s.map_or_else(|| "there has been none".to_owned(), |age| format!("it is {age} s old"));
            let detail = format!(
                "issuing is stopped because the reaper is not known to work: its last good pass may be at most {} s old, \
                 and {age}; try again later",
                issuance_policy.max_age_s
            );
            ("heartbeat_missing", detail)
        }
        Stop::TooManyOverdue { since, .. } => {
            let detail = format!(
                "issuing is stopped since {since}: more than {} grants are overdue and unacknowledged; it resumes once \
                 enough of them have ended or are acknowledged: try again then",
                issuance_policy.max_overdue
            );
            ("too_many_overdue", detail)
        }
        Stop::NotDrilled { drilled, why, since } => {
            let what = match why {
                DrillFailure::Failed => "failed",
                DrillFailure::Late => "has not passed recently enough",
            };
            let detail = format!(
                "issuing is stopped since {since}: the expiry drill of `{drilled}` {what}, so access is not known to \
                 end; it resumes once the drill passes: try again then",
            );
            ("drill_failed", detail)
        }
        Stop::PrincipalOverdue { since, .. } => {
            let which = own.map_or_else(|| "a grant".to_owned(), |id| format!("your grant `{id}`"));
            let detail = format!(
                "issuing on this principal is stopped since {since}: {which} on it should have ended, and its end is \
                 not proved; it resumes once it is: try again then, or request access on another principal",
            );
            ("principal_overdue", detail)
        }
    };
    Refusal::new(RefusalKind::Stopped, code, detail).retry_after(RETRY_AFTER_S)
}
