//! What was vended against a session grant: times and key ids, never a credential.

use serde::{Deserialize, Serialize};

use super::NewVend;
use crate::canonical::Digest;
use crate::time::Timestamp;

/// How many vends a grant remembers one by one.
const REMEMBERED: usize = 8;

/// The vends of a grant: the last few, a count, and how long any of them can live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vends {
    /// How many were recorded.
    pub count: u32,
    /// The last of them, oldest first.
    pub last: Vec<Vend>,
    /// The instant by which every credential that was or may have been vended has expired.
    pub gone_by: Option<Timestamp>,
}

/// One vend: recorded before the call, completed with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vend {
    /// Its number, from 1.
    pub seq: u32,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The instant before which its call may still land.
    pub fence: Timestamp,
    /// Digest of its session policy.
    pub policy_digest: Digest,
    /// How long its credential lives, in seconds.
    pub duration_s: u32,
    /// What became of it.
    pub answer: VendAnswer,
}

/// What became of a vend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VendAnswer {
    /// No answer was recorded: the call may or may not have happened.
    Awaited,
    /// STS answered.
    Issued {
        /// The access key id.
        access_key_id: String,
        /// When the credential expires.
        expires_at: Timestamp,
        /// `PackedPolicySize`, in percent of what STS allows; absent where STS did not say.
        packed_percent: Option<u32>,
    },
    /// STS refused: nothing was issued.
    Failed {
        /// Why.
        problem: super::Problem,
    },
}

impl Vends {
    /// Records a vend before its call.
    #[must_use]
    pub(crate) fn record(&self, new: &NewVend, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.count = next.count.saturating_add(1);
        next.last.push(Vend {
            seq: next.count,
            recorded_at: now,
            fence: new.fence,
            policy_digest: new.policy_digest,
            duration_s: new.duration_s,
            answer: VendAnswer::Awaited,
        });
        let surplus = next.last.len().saturating_sub(REMEMBERED);
        next.last.drain(..surplus);
        // A call that lands just before its fence yields a credential that lives from then.
        next.gone_by = next.gone_by.max(Some(new.fence.plus(new.duration_s)));
        next
    }

    /// Whether vend `seq` is remembered with exactly this answer.
    #[must_use]
    pub(crate) fn knows(&self, seq: u32, answer: &VendAnswer) -> bool {
        self.last.iter().any(|vend| vend.seq == seq && vend.answer == *answer)
    }

    /// Completes vend `seq` with its answer; nothing if it is not remembered or has another answer already.
    #[must_use]
    pub(crate) fn answer(&self, seq: u32, answer: &VendAnswer) -> Option<Self> {
        let mut next = self.clone();
        let vend = next.last.iter_mut().find(|vend| vend.seq == seq)?;
        if vend.answer != VendAnswer::Awaited {
            return None;
        }
        vend.answer = answer.clone();
        Some(next)
    }
}
