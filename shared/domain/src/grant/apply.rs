//! The one function that moves a grant: pure and total over state and event.

use self::ending::revoking;
use super::state::{DeniedBy, EndCause, LapseCause, State};
use super::vends::Vends;
use super::{Delivery, Event, Grant, NewVend, SecretRotation};
use crate::decision::Tally;
use crate::review::Review;
use crate::time::Timestamp;

mod ending;

/// The effect of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The changed grant. Write it together with its evidence.
    Changed(Box<Grant>),
    /// The event is already known: nothing changed and nothing is written.
    NoOp,
}

/// The reason why an event does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    #[error("`{event}` cannot follow `{state}`")]
    NotAllowed { event: &'static str, state: &'static str },
    #[error("`{event}` is too early: it is possible from {not_before} on")]
    TooEarly {
        event: &'static str,
        /// The earliest instant at which the event can happen.
        not_before: Timestamp,
    },
    #[error("`{event}` is too late: it was possible until {over_at}")]
    TooLate {
        event: &'static str,
        /// The instant from which the event can no longer happen.
        over_at: Timestamp,
    },
    /// A vend carries another deadline than its grant: the credential would outlive the grant.
    #[error("the vend's deadline is {vend}, but its grant ends at {grant}: use the grant's deadline")]
    OtherDeadline { vend: Timestamp, grant: Timestamp },
}

use TransitionError::{NotAllowed, OtherDeadline, TooEarly, TooLate};

/// The next state; `None` if the event changes nothing.
type Next = Result<Option<State>, TransitionError>;

#[expect(clippy::wildcard_enum_match_arm, reason = "each catch-all arm refuses; the golden table shows what it caught")]
impl Grant {
    /// Returns the grant after `event`, or the reason the event does not apply.
    ///
    /// Pure: same grant, event and `now` give the same answer. A changed grant has the next version. Its chain head is
    /// the old one until the evidence of the change is sealed.
    ///
    /// # Errors
    ///
    /// [`TransitionError::NotAllowed`] if `event` cannot follow the current state;
    /// [`TransitionError::TooEarly`] or [`TransitionError::TooLate`] if its time has not come or is over;
    /// [`TransitionError::OtherDeadline`] if a vend would outlive the grant.
    pub fn apply(&self, event: &Event, now: Timestamp) -> Result<Applied, TransitionError> {
        let next = match &self.state {
            State::ApprovalAwaited { deadline, steps, start_within_s } => {
                self.while_awaited(event, now, *deadline, steps, *start_within_s)
            }
            State::Approved { starts_at, start_by } => self.while_approved(event, now, *starts_at, *start_by),
            State::Activating { .. } => self.while_activating(event, now),
            State::Active { .. } => self.while_active(event, now),
            State::Revoking(revoking) => self.while_revoking(event, now, revoking),
            State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } => self.when_over(event),
            State::Ended { .. } => self.when_ended(event),
        }?;
        let Some(state) = next else { return Ok(Applied::NoOp) };
        let mut after = Self { state, version: self.version.saturating_add(1), ..self.clone() };
        if let Event::PlanChanged { decision_digest, delivery, rotate, .. } = event {
            after.decision_digest = *decision_digest;
            after.delivery = delivery.clone();
            after.rotations = rotate.iter().map(SecretRotation::of).collect();
        }
        if let Some(rotated) = self.rotated(event, now)? {
            after.rotations = rotated;
        }
        if let Event::Reviewed { by, outcome } = event {
            after.review = Some(Review::Done { by: by.clone(), at: now, outcome: *outcome });
        }
        Ok(Applied::Changed(Box::new(after)))
    }

    pub(super) fn refuse(&self, event: &Event) -> TransitionError {
        NotAllowed { event: event.name(), state: self.state.name() }
    }

    fn while_awaited(
        &self,
        event: &Event,
        now: Timestamp,
        deadline: Timestamp,
        steps: &[Tally],
        start_within_s: u32,
    ) -> Next {
        match event {
            Event::ApprovalGiven { .. } | Event::ApprovalRefused { .. } if now >= deadline => {
                Err(TooLate { event: event.name(), over_at: deadline })
            }
            Event::ApprovalGiven { by, .. } if steps.iter().any(|step| step.approved_by.contains(by)) => Ok(None),
            Event::ApprovalGiven { by, step } => {
                let mut steps = steps.to_vec();
                // INVARIANT: the steps are approved one after the other.
                let open = steps.iter_mut().find(|tally| !tally.is_met()).filter(|open| open.step == *step);
                open.ok_or_else(|| self.refuse(event))?.approved_by.push(by.clone());
                Ok(Some(if steps.iter().all(Tally::is_met) {
                    State::approved(now, start_within_s)
                } else {
                    State::ApprovalAwaited { deadline, steps, start_within_s }
                }))
            }
            Event::ApprovalRefused { by } => Ok(Some(State::Denied {
                by: DeniedBy::Approver(by.clone()),
                reason: "an approver refused it".to_owned(),
            })),
            Event::DecidedAgainst { reason } => {
                Ok(Some(State::Denied { by: DeniedBy::Policy, reason: reason.clone() }))
            }
            // Votes on the old plan are void; the approval deadline stays.
            Event::PlanChanged { steps, start_within_s, .. } if now < deadline => {
                let steps = steps.iter().map(|tally| Tally { approved_by: Vec::new(), ..tally.clone() }).collect();
                Ok(Some(State::ApprovalAwaited { deadline, steps, start_within_s: *start_within_s }))
            }
            Event::ApprovalDeadlinePassed if now < deadline => {
                Err(TooEarly { event: event.name(), not_before: deadline })
            }
            Event::ApprovalDeadlinePassed => Ok(Some(State::Lapsed { cause: LapseCause::Approval, at: now })),
            Event::Stopped { cause, by, .. } => Ok(Some(State::Withdrawn { cause: *cause, by: by.clone(), at: now })),
            _ => Err(self.refuse(event)),
        }
    }

    fn while_approved(&self, event: &Event, now: Timestamp, starts_at: Timestamp, start_by: Timestamp) -> Next {
        let session = matches!(self.delivery, Delivery::Session { .. });
        match event {
            Event::VendRecorded(_) | Event::ActivationRecorded { .. } if now < starts_at => {
                Err(TooEarly { event: event.name(), not_before: starts_at })
            }
            Event::VendRecorded(_) | Event::ActivationRecorded { .. } if now >= start_by => {
                Err(TooLate { event: event.name(), over_at: start_by })
            }
            Event::VendRecorded(vend) if session => {
                let deadline = self.deadline_if_activated(now);
                active_after(vend, now, deadline, now, vend.fence, &Vends::default())
            }
            Event::ActivationRecorded { fence, plan_digest, before } if !session => Ok(Some(State::Activating {
                deadline: self.deadline_if_activated(now),
                start_by,
                fence: *fence,
                attempt: 1,
                plan_digest: *plan_digest,
                before: *before,
                retry_at: None,
            })),
            // Nothing was touched. The grant lapses now, so the requester need not wait until `start_by`.
            Event::PreflightRefused { .. } if !session => {
                Ok(Some(State::Lapsed { cause: LapseCause::PreflightFailed, at: now }))
            }
            Event::StartByPassed if now < start_by => Err(TooEarly { event: event.name(), not_before: start_by }),
            Event::StartByPassed => Ok(Some(State::Lapsed { cause: LapseCause::Start, at: now })),
            Event::Stopped { cause, by, .. } => Ok(Some(State::Withdrawn { cause: *cause, by: by.clone(), at: now })),
            _ => Err(self.refuse(event)),
        }
    }

    fn while_activating(&self, event: &Event, now: Timestamp) -> Next {
        let State::Activating { deadline, start_by, fence, attempt, plan_digest, before, retry_at } = &self.state
        else {
            return Err(self.refuse(event));
        };
        match event {
            Event::ActivationRecorded { .. } if now >= *start_by || now >= *deadline => {
                Err(TooLate { event: event.name(), over_at: *start_by.min(deadline) })
            }
            Event::ActivationRecorded { .. } if retry_at.is_some_and(|at| now < at) => {
                Err(TooEarly { event: event.name(), not_before: retry_at.unwrap_or(now) })
            }
            // A new attempt is made only if the last was certainly not made: an unknown outcome must be read first.
            Event::ActivationRecorded { fence: later, plan_digest: same, .. }
                if same == plan_digest && retry_at.is_some() =>
            {
                Ok(Some(State::Activating {
                    deadline: *deadline,
                    start_by: *start_by,
                    fence: (*later).max(*fence),
                    attempt: attempt.saturating_add(1),
                    plan_digest: *plan_digest,
                    before: *before,
                    retry_at: None,
                }))
            }
            Event::AttemptNotDone { .. } if retry_at.is_some() => Ok(None),
            Event::AttemptNotDone { next_at, .. } => Ok(Some(State::Activating {
                deadline: *deadline,
                start_by: *start_by,
                fence: *fence,
                attempt: *attempt,
                plan_digest: *plan_digest,
                before: *before,
                retry_at: Some(*next_at),
            })),
            Event::PresenceObserved(_) => Ok(Some(State::Active {
                activated_at: now,
                deadline: *deadline,
                fence: *fence,
                vends: Vends::default(),
                plan_digest: Some(*plan_digest),
                next_check_at: Some(self.next_reading_at(now)),
            })),
            Event::ActivationFailed { .. } => {
                Ok(Some(revoking(EndCause::ActivationFailed, None, now, *deadline, *fence, Vends::default())))
            }
            Event::DeadlinePassed | Event::Stopped { .. } | Event::DriftObserved(_) => {
                self.revoke(event, now, *deadline, *fence, &Vends::default())
            }
            _ => Err(self.refuse(event)),
        }
    }

    fn while_active(&self, event: &Event, now: Timestamp) -> Next {
        let State::Active { activated_at, deadline, fence, vends, plan_digest, next_check_at } = &self.state else {
            return Err(self.refuse(event));
        };
        let session = matches!(self.delivery, Delivery::Session { .. });
        match event {
            Event::VendRecorded(_) if now >= *deadline => Err(TooLate { event: event.name(), over_at: *deadline }),
            Event::VendRecorded(vend) if session => active_after(vend, now, *deadline, *activated_at, *fence, vends),
            Event::VendAnswered { seq, answer } if vends.knows(*seq, answer) => Ok(None),
            Event::VendAnswered { seq, answer } => {
                let vends = vends.answer(*seq, answer).ok_or_else(|| self.refuse(event))?;
                let (activated_at, deadline, fence) = (*activated_at, *deadline, *fence);
                Ok(Some(State::Active { activated_at, deadline, fence, vends, plan_digest: None, next_check_at: None }))
            }
            Event::PresenceObserved(_) if !session && next_check_at.is_some_and(|at| now < at) => Ok(None),
            Event::PresenceObserved(_) if !session => Ok(Some(State::Active {
                activated_at: *activated_at,
                deadline: *deadline,
                fence: *fence,
                vends: vends.clone(),
                plan_digest: *plan_digest,
                next_check_at: Some(self.next_reading_at(now)),
            })),
            Event::DeadlinePassed | Event::Stopped { .. } | Event::DriftObserved(_) => {
                self.revoke(event, now, *deadline, *fence, vends)
            }
            _ => Err(self.refuse(event)),
        }
    }

    fn when_over(&self, event: &Event) -> Next {
        match event {
            Event::Stopped { .. } | Event::ApprovalDeadlinePassed | Event::StartByPassed => Ok(None),
            _ => Err(self.refuse(event)),
        }
    }
}

fn active_after(
    vend: &NewVend,
    now: Timestamp,
    deadline: Timestamp,
    activated_at: Timestamp,
    fence: Timestamp,
    vends: &Vends,
) -> Next {
    if vend.deadline != deadline {
        return Err(OtherDeadline { vend: vend.deadline, grant: deadline });
    }
    let (fence, vends) = (fence.max(vend.fence), vends.record(vend, now));
    Ok(Some(State::Active { activated_at, deadline, fence, vends, plan_digest: None, next_check_at: None }))
}
