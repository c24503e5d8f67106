//! What a caller is told while issuing is stopped: what is stopped, since when, and what to do.

use brevet_domain::drill::Lack;
use brevet_domain::heart::{Stop, Tolerance};
use brevet_domain::id::GrantId;

use crate::refusal::{Refusal, RefusalKind};

/// After how many seconds asking again makes sense: a pass later.
const AGAIN_S: u32 = 60;

/// The refusal for `stop`. The grant behind it is named where it is the caller's `own`: of others nothing is told.
pub(crate) fn refusal(stop: Stop, tolerance: Tolerance, own: Option<GrantId>) -> Refusal {
    let (code, detail) = match stop {
        Stop::Silent { age_s } => {
            let age = age_s.map_or_else(|| "there was none yet".to_owned(), |age| format!("it is {age} s old"));
            let detail = format!(
                "nothing is issued while ending is not known to work: the reaper's last good pass may be at most {} s old, \
                 and {age}",
                tolerance.max_age_s
            );
            ("heart_stopped", detail)
        }
        Stop::TooManyOverdue { since, .. } => {
            let detail = format!(
                "nothing is issued since {since}: more than {} grants are overdue, and nobody in charge has acknowledged \
                 them; it goes on by itself once enough of them have ended or were acknowledged: ask again then",
                tolerance.max_overdue
            );
            ("too_many_overdue", detail)
        }
        Stop::NotDrilled { drilled, why, since } => {
            let what = match why {
                Lack::Failed => "failed",
                Lack::Late => "has not passed for too long, or never",
            };
            let detail = format!(
                "nothing is issued since {since}: the expiry drill of `{drilled}` {what}, so it is not known that access ends; \
                 it goes on by itself once the drill passes: ask again then"
            );
            ("drill_failed", detail)
        }
        Stop::PrincipalOverdue { since, .. } => {
            let which = own.map_or_else(|| "a grant".to_owned(), |id| format!("your grant `{id}`"));
            let detail = format!(
                "nothing is issued on this principal since {since}: {which} on it should have ended, and that is not proved; \
                 it goes on by itself once it is: ask again then, or for access on another principal"
            );
            ("principal_overdue", detail)
        }
    };
    Refusal::new(RefusalKind::Stopped, code, detail).retry_after(AGAIN_S)
}
