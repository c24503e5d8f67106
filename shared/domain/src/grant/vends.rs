//! The vends of a session grant: times and key ids, never a credential.

use serde::{Deserialize, Serialize};

use super::NewVend;
use crate::canonical::Digest;
use crate::time::Timestamp;

/// The number of vends that a grant keeps in detail.
const REMEMBERED: usize = 8;

/// The vends of a grant: the last few, a count, and the latest expiry of any credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vends {
    /// The number of vends recorded.
    pub count: u32,
    /// The last vends, oldest first.
    pub last: Vec<Vend>,
    /// The instant by which every credential that was, or may have been, vended has expired.
    pub gone_by: Option<Timestamp>,
}

/// One vend: recorded before the call, completed with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vend {
    /// The number of the vend, from 1.
    pub seq: u32,
    pub recorded_at: Timestamp,
    /// The instant until which the call may still take effect.
    pub fence: Timestamp,
    /// The digest of the session policy.
    pub policy_digest: Digest,
    /// The lifetime of the credential, in seconds.
    pub duration_s: u32,
    pub answer: VendAnswer,
}

/// The outcome of a vend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VendAnswer {
    /// No answer is recorded: the call may or may not have happened.
    Awaited,
    /// STS returned a credential.
    Issued {
        access_key_id: String,
        expires_at: Timestamp,
        /// `PackedPolicySize`, in percent of the STS limit; absent if STS did not return it.
        packed_percent: Option<u32>,
    },
    /// STS refused and issued nothing.
    Failed { problem: super::Problem },
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
        // The lifetime of a credential may start as late as the fence of its call.
        next.gone_by = next.gone_by.max(Some(new.fence.plus(new.duration_s)));
        next
    }

    /// Whether vend `seq` is kept with exactly this answer.
    #[must_use]
    pub(crate) fn knows(&self, seq: u32, answer: &VendAnswer) -> bool {
        self.last.iter().any(|vend| vend.seq == seq && vend.answer == *answer)
    }

    /// Completes vend `seq` with its answer; `None` if it is not kept or already has another answer.
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
