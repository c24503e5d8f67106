//! The system clock and the random generator; no other code reads either.

use brevet_domain::id::{EvidenceId, GrantId};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Clock, IdSource};
use ulid::Ulid;

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
    }
}

/// ULIDs whose 80 random bits come from the thread's cryptographic generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl RandomIds {
    /// Returns a unique name for this process.
    #[must_use]
    pub fn process_name(&self, now: Timestamp) -> String {
        Self::ulid(now).to_string()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that draws random ids")]
    fn ulid(now: Timestamp) -> Ulid {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Ulid::from_parts(millis, Ulid::generate().random())
    }
}

impl IdSource for RandomIds {
    fn grant_id(&self, now: Timestamp) -> GrantId {
        GrantId::from_ulid(Self::ulid(now))
    }

    fn evidence_id(&self, now: Timestamp) -> EvidenceId {
        EvidenceId::from_ulid(Self::ulid(now))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn random_ids_carry_the_time_and_never_repeat() {
        let now = Timestamp::from_seconds(1_795_348_800);
        let ids: BTreeSet<_> = (0..1000).map(|_| RandomIds.grant_id(now)).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.ulid().timestamp_ms() == 1_795_348_800_000));
    }

    #[test]
    fn system_clock_shows_this_century() {
        assert!(SystemClock.now() > Timestamp::from_seconds(1_700_000_000));
    }
}
