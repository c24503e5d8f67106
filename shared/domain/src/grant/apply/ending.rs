//! The end of a grant: the events that start its removal, the readings during it, and the proof that closes it.

use super::Next;
use super::TransitionError::TooEarly;
use crate::grant::state::{Acknowledged, EndCause, EndedBy, Proof, Reading, Revoking, State};
use crate::grant::vends::Vends;
use crate::grant::{Delivery, Event, Grant};
use crate::id::IdentityId;
use crate::review::Review;
use crate::time::Timestamp;

#[expect(clippy::wildcard_enum_match_arm, reason = "each catch-all arm refuses; the golden table shows what it caught")]
impl Grant {
    /// Starts the removal after a deadline, block or drift. It keeps everything that is already known.
    pub(super) fn revoke(
        &self,
        event: &Event,
        now: Timestamp,
        deadline: Timestamp,
        fence: Timestamp,
        vends: &Vends,
    ) -> Next {
        // The end of a session may be read from the reserved deny. Until `landed`, a write that began before this
        // grant's entry was stored may still replace the deny with a document that lacks the entry.
        let session = matches!(self.delivery, Delivery::Session { .. });
        let landed = if session { now.plus(self.bounds.landing_s()) } else { fence };
        let (cause, by, later) = match event {
            Event::DeadlinePassed if now < deadline => {
                return Err(TooEarly { event: event.name(), not_before: deadline });
            }
            Event::DeadlinePassed => (EndCause::Deadline, None, landed),
            Event::Stopped { cause, by, fence } => (*cause, by.clone(), if session { *fence } else { landed }),
            Event::DriftObserved(_) => (EndCause::Drift, None, landed),
            _ => return Err(self.refuse(event)),
        };
        Ok(Some(revoking(cause, by, now, deadline, fence.max(later), vends.clone())))
    }

    // INVARIANT: only a proof of ending leads out of `Revoking`, however many attempts fail.
    pub(super) fn while_revoking(&self, event: &Event, now: Timestamp, at: &Revoking) -> Next {
        let changed = |next: Revoking| Ok(Some(State::Revoking(Box::new(next))));
        match event {
            Event::Stopped { .. } | Event::DeadlinePassed => Ok(None),
            Event::VendAnswered { seq, answer } if at.vends.knows(*seq, answer) => Ok(None),
            Event::VendAnswered { seq, answer } => {
                let vends = at.vends.answer(*seq, answer).ok_or_else(|| self.refuse(event))?;
                changed(Revoking { vends, ..at.clone() })
            }
            Event::RemovalRecorded { next_at, .. } => {
                // A late detach would remove the attachment of a later grant, so the fence of this call counts too.
                let managed = matches!(self.delivery, Delivery::Managed { .. });
                let fence = if managed { at.fence.max(self.bounds.fence(now)) } else { at.fence };
                let attempts = at.attempts.saturating_add(1);
                // The policy was present, or no removal would be needed: an absence read earlier no longer counts.
                let (first_absence, effective) = (None, None);
                changed(Revoking { attempts, fence, first_absence, effective, next_at: *next_at, ..at.clone() })
            }
            Event::RemovalTroubled { problem, next_at } => {
                changed(Revoking { last_problem: Some(problem.clone()), next_at: *next_at, ..at.clone() })
            }
            // An acknowledgement lets other grants be issued, so the holder and the sponsor may not give it.
            Event::OverdueAcknowledged { by } if self.belongs_to(by) => Err(self.refuse(event)),
            Event::OverdueAcknowledged { .. } if at.acknowledged.is_some() => Ok(None),
            Event::OverdueAcknowledged { by } => {
                let acknowledged = Some(Acknowledged { by: by.clone(), at: now });
                changed(Revoking { acknowledged, ..at.clone() })
            }
            Event::PresenceObserved(_) | Event::DriftObserved(_) if at.first_absence.is_none() => Ok(None),
            Event::PresenceObserved(_) | Event::DriftObserved(_) => {
                changed(Revoking { first_absence: None, effective: None, ..at.clone() })
            }
            // While other grants hold the same managed policy, no absence will come.
            Event::EffectiveAccessChecked(found)
                if at.first_absence.is_some() || matches!(self.delivery, Delivery::Managed { .. }) =>
            {
                changed(Revoking { effective: Some(found.clone()), ..at.clone() })
            }
            Event::AbsenceObserved(reading) => self.absent(event, now, at, reading),
            Event::DeadlineProved { aws_date, request_id } => self.past_deadline(event, now, at, *aws_date, request_id),
            Event::HandedOver { holders, reading } => {
                let managed = matches!(self.delivery, Delivery::Managed { .. });
                if !managed || holders.is_empty() || holders.contains(&self.id) {
                    return Err(self.refuse(event));
                }
                // A call of this grant could take effect after the other holders left: then nobody would detach the
                // policy.
                if reading.at < at.fence {
                    return Err(TooEarly { event: event.name(), not_before: at.fence });
                }
                let proof = Proof::HandedOver { holders: holders.clone(), reading: reading.clone() };
                Ok(Some(ended(at, proof, now, EndedBy::HandOver)))
            }
            _ => Err(self.refuse(event)),
        }
    }

    /// INVARIANT: the proof needs two absences: the second after the fence, and a quiet period after the first.
    fn absent(&self, event: &Event, now: Timestamp, at: &Revoking, reading: &Reading) -> Next {
        if reading.at > now {
            return Err(TooEarly { event: event.name(), not_before: reading.at });
        }
        let quiet = self.bounds.quiet_for_s();
        let Some(first) = &at.first_absence else {
            let next_at = at.fence.max(reading.at.plus(quiet));
            // A check that was made while other grants held the policy says nothing about access after its removal.
            return Ok(Some(State::Revoking(Box::new(Revoking {
                first_absence: Some(reading.clone()),
                effective: None,
                next_at,
                ..at.clone()
            }))));
        };
        if reading.at < at.fence || reading.at < first.at.plus(quiet) {
            return Ok(None);
        }
        // A managed policy carries no time limit.
        let managed = matches!(self.delivery, Delivery::Managed { .. });
        let ended_by = if first.at < at.deadline || managed { EndedBy::Removal } else { EndedBy::TimeLimit };
        let proof = Proof::Observed { first: first.clone(), second: reading.clone() };
        Ok(Some(ended(at, proof, now, ended_by)))
    }

    /// INVARIANT: proof by construction needs that no credential can outlive the deadline, and AWS's own clock past it.
    fn past_deadline(
        &self,
        event: &Event,
        now: Timestamp,
        at: &Revoking,
        aws_date: Timestamp,
        request_id: &str,
    ) -> Next {
        if !matches!(self.delivery, Delivery::Session { iam_allowed: false, .. }) {
            return Err(self.refuse(event));
        }
        let not_before = at.deadline.plus(self.bounds.skew_s);
        if now < not_before || aws_date <= at.deadline {
            return Err(TooEarly { event: event.name(), not_before });
        }
        let proof = Proof::ByConstruction { deadline: at.deadline, aws_date, request_id: request_id.to_owned() };
        Ok(Some(ended(at, proof, now, EndedBy::TimeLimit)))
    }

    pub(super) fn when_ended(&self, event: &Event) -> Next {
        match (event, &self.state) {
            (Event::Stopped { .. } | Event::DeadlinePassed | Event::DeadlineProved { .. }, _) => Ok(None),
            // INVARIANT: a use is reviewed once, after the end, and neither by its holder nor by the sponsor.
            (Event::Reviewed { by, .. }, ended)
                if self.review == Some(Review::Awaited) && *by != self.identity && *by != self.sponsor =>
            {
                Ok(Some(ended.clone()))
            }
            (Event::Reviewed { by, outcome }, _) => match &self.review {
                Some(Review::Done { by: reviewer, outcome: given, .. }) if reviewer == by && given == outcome => {
                    Ok(None)
                }
                Some(Review::Awaited | Review::Done { .. }) | None => Err(self.refuse(event)),
            },
            // An entry left the reserved deny, or the document was put again: recorded, but the end does not change.
            (Event::RemovalRecorded { .. }, ended) => Ok(Some(ended.clone())),
            (Event::EffectiveAccessChecked(found), State::Ended { cause, proof, verified_at, ended_by, .. }) => {
                Ok(Some(State::Ended {
                    cause: *cause,
                    proof: proof.clone(),
                    verified_at: *verified_at,
                    ended_by: *ended_by,
                    effective: Some(found.clone()),
                }))
            }
            (
                Event::RotationRecorded { .. } | Event::RotationObserved { .. } | Event::RotationTroubled { .. },
                ended,
            ) => Ok(Some(ended.clone())),
            _ => Err(self.refuse(event)),
        }
    }
}

pub(super) fn revoking(
    cause: EndCause,
    by: Option<IdentityId>,
    now: Timestamp,
    deadline: Timestamp,
    fence: Timestamp,
    vends: Vends,
) -> State {
    State::Revoking(Box::new(Revoking {
        cause,
        by,
        since: now,
        deadline,
        fence,
        attempts: 0,
        last_problem: None,
        first_absence: None,
        next_at: now,
        vends,
        effective: None,
        acknowledged: None,
    }))
}

fn ended(at: &Revoking, proof: Proof, now: Timestamp, ended_by: EndedBy) -> State {
    State::Ended { cause: at.cause, proof, verified_at: now, ended_by, effective: at.effective.clone() }
}
