//! The one function that moves a grant: pure and total over state and event.

use super::state::{Acknowledged, DeniedBy, EndCause, EndedBy, LapseCause, Proof, Revoking, Sighting, State};
use super::vends::Vends;
use super::{AskedRotation, Delivery, Event, Grant, NewVend, SecretRotation, WATCH_S};
use crate::decision::Tally;
use crate::id::IdentityId;
use crate::review::Review;
use crate::time::Timestamp;

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The grant is now this. Write it, with its evidence.
    Changed(Box<Grant>),
    /// Nothing changed and nothing is to be written: the event tells what is already known.
    NoOp,
}

/// Why an event does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The event cannot follow this state.
    #[error("`{event}` cannot follow `{state}`")]
    NotAllowed {
        /// The event.
        event: &'static str,
        /// The state.
        state: &'static str,
    },
    /// The event's time has not come.
    #[error("`{event}` comes too early: it cannot happen before {not_before}")]
    TooEarly {
        /// The event.
        event: &'static str,
        /// From when it can happen.
        not_before: Timestamp,
    },
    /// The event's time is over.
    #[error("`{event}` comes too late: its time was over at {over_at}")]
    TooLate {
        /// The event.
        event: &'static str,
        /// When it was over.
        over_at: Timestamp,
    },
    /// A vend carries another deadline than the grant: its credential would outlive it.
    #[error("a vend carries the deadline {vend}, but the grant ends at {grant}")]
    OtherDeadline {
        /// The vend's.
        vend: Timestamp,
        /// The grant's.
        grant: Timestamp,
    },
}

use TransitionError::{NotAllowed, OtherDeadline, TooEarly, TooLate};

/// The next state, or nothing where the event changes nothing.
type Next = Result<Option<State>, TransitionError>;

#[expect(clippy::wildcard_enum_match_arm, reason = "each catch-all arm refuses; the golden table shows what it caught")]
impl Grant {
    /// Returns the grant after `event`, or the reason the event does not apply.
    ///
    /// Pure: same grant, event and `now` give the same answer. A grant that changed has the next version; its
    /// chain head is still the old one until the evidence for the change is sealed.
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

    fn refuse(&self, event: &Event) -> TransitionError {
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
            Event::ApprovalGiven { by, .. } if steps.iter().any(|one| one.approved_by.contains(by)) => Ok(None),
            Event::ApprovalGiven { by, step } => {
                let mut steps = steps.to_vec();
                // INVARIANT: one step after the other.
                let open = steps.iter_mut().find(|one| !one.is_met()).filter(|open| open.step == *step);
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
            // Votes on what was another plan count for nothing; when they had to come by stays.
            Event::PlanChanged { steps, start_within_s, .. } if now < deadline => {
                let steps = steps.iter().map(|one| Tally { approved_by: Vec::new(), ..one.clone() }).collect();
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
            // Nothing was touched, and whoever asked is told at once rather than at the start-by.
            Event::PreflightRefused { .. } if !session => Ok(Some(State::Lapsed { cause: LapseCause::Unfit, at: now })),
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
            // A new attempt only where the last was surely not made: what is unknown must be read first.
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
                look_at: Some(now.plus(WATCH_S)),
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
        let State::Active { activated_at, deadline, fence, vends, plan_digest, look_at } = &self.state else {
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
                Ok(Some(State::Active { activated_at, deadline, fence, vends, plan_digest: None, look_at: None }))
            }
            Event::PresenceObserved(_) if !session && look_at.is_some_and(|at| now < at) => Ok(None),
            Event::PresenceObserved(_) if !session => Ok(Some(State::Active {
                activated_at: *activated_at,
                deadline: *deadline,
                fence: *fence,
                vends: vends.clone(),
                plan_digest: *plan_digest,
                look_at: Some(now.plus(WATCH_S)),
            })),
            Event::DeadlinePassed | Event::Stopped { .. } | Event::DriftObserved(_) => {
                self.revoke(event, now, *deadline, *fence, vends)
            }
            _ => Err(self.refuse(event)),
        }
    }

    /// Deadline, block or drift: removal begins. Whatever the cause, it never takes back what is already known.
    fn revoke(&self, event: &Event, now: Timestamp, deadline: Timestamp, fence: Timestamp, vends: &Vends) -> Next {
        // Where a session's end is read from the reserved deny, a write of it without this grant's entry, begun
        // before the entry was stored, may still land until then.
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

    // INVARIANT: no way leads out of `Revoking` but a proof of ending, however many attempts fail.
    fn while_revoking(&self, event: &Event, now: Timestamp, at: &Revoking) -> Next {
        let changed = |next: Revoking| Ok(Some(State::Revoking(Box::new(next))));
        match event {
            Event::Stopped { .. } | Event::DeadlinePassed => Ok(None),
            Event::VendAnswered { seq, answer } if at.vends.knows(*seq, answer) => Ok(None),
            Event::VendAnswered { seq, answer } => {
                let vends = at.vends.answer(*seq, answer).ok_or_else(|| self.refuse(event))?;
                changed(Revoking { vends, ..at.clone() })
            }
            Event::RemovalRecorded { next_at, .. } => {
                // A detaching that lands late would take away what a later grant attached: its own fence holds as well.
                let managed = matches!(self.delivery, Delivery::Managed { .. });
                let fence = if managed { at.fence.max(self.bounds.fence(now)) } else { at.fence };
                let attempts = at.attempts.saturating_add(1);
                // What has to be removed was there: an absence that was seen before counts no more.
                let (first_absence, effective) = (None, None);
                changed(Revoking { attempts, fence, first_absence, effective, next_at: *next_at, ..at.clone() })
            }
            Event::RemovalTroubled { problem, next_at } => {
                changed(Revoking { last_problem: Some(problem.clone()), next_at: *next_at, ..at.clone() })
            }
            // It lets others be issued: not for its holder to say.
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
            // Where others hold the same policy there will be no absence to wait for.
            Event::EffectiveAccessChecked(found)
                if at.first_absence.is_some() || matches!(self.delivery, Delivery::Managed { .. }) =>
            {
                changed(Revoking { effective: Some(found.clone()), ..at.clone() })
            }
            Event::AbsenceObserved(seen) => self.absent(event, now, at, seen),
            Event::DeadlineProved { aws_date, request_id } => self.past_deadline(event, now, at, *aws_date, request_id),
            Event::HandedOver { holders, seen } => {
                let managed = matches!(self.delivery, Delivery::Managed { .. });
                if !managed || holders.is_empty() || holders.contains(&self.id) {
                    return Err(self.refuse(event));
                }
                // What this grant called could land after the others are gone: then nobody would be left to detach it.
                if seen.at < at.fence {
                    return Err(TooEarly { event: event.name(), not_before: at.fence });
                }
                let proof = Proof::HandedOver { holders: holders.clone(), seen: seen.clone() };
                Ok(Some(ended(at, proof, now, EndedBy::HandOver)))
            }
            _ => Err(self.refuse(event)),
        }
    }

    /// INVARIANT: two absences, the second after the fence and a quiet period after the first.
    fn absent(&self, event: &Event, now: Timestamp, at: &Revoking, seen: &Sighting) -> Next {
        if seen.at > now {
            return Err(TooEarly { event: event.name(), not_before: seen.at });
        }
        let quiet = self.bounds.quiet_for_s();
        let Some(first) = &at.first_absence else {
            let next_at = at.fence.max(seen.at.plus(quiet));
            // A check made while others still held it says nothing of what is left once it is gone.
            return Ok(Some(State::Revoking(Box::new(Revoking {
                first_absence: Some(seen.clone()),
                effective: None,
                next_at,
                ..at.clone()
            }))));
        };
        if seen.at < at.fence || seen.at < first.at.plus(quiet) {
            return Ok(None);
        }
        // A managed policy carries no time limit.
        let managed = matches!(self.delivery, Delivery::Managed { .. });
        let ended_by = if first.at < at.deadline || managed { EndedBy::Removal } else { EndedBy::TimeLimit };
        let proof = Proof::Observed { first: first.clone(), second: seen.clone() };
        Ok(Some(ended(at, proof, now, ended_by)))
    }

    /// INVARIANT: by construction only where nothing issued can outlive the deadline, and by AWS's own clock.
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

    fn when_over(&self, event: &Event) -> Next {
        match event {
            Event::Stopped { .. } | Event::ApprovalDeadlinePassed | Event::StartByPassed => Ok(None),
            _ => Err(self.refuse(event)),
        }
    }

    fn when_ended(&self, event: &Event) -> Next {
        match (event, &self.state) {
            (Event::Stopped { .. } | Event::DeadlinePassed | Event::DeadlineProved { .. }, _) => Ok(None),
            // INVARIANT: a use is reviewed once, when all of it is known, and by nobody whose use it was.
            (Event::Reviewed { by, .. }, ended)
                if self.review == Some(Review::Awaited) && *by != self.identity && *by != self.sponsor =>
            {
                Ok(Some(ended.clone()))
            }
            (Event::Reviewed { by, outcome }, _) => match &self.review {
                Some(Review::Done { by: who, outcome: what, .. }) if who == by && what == outcome => Ok(None),
                Some(Review::Awaited | Review::Done { .. }) | None => Err(self.refuse(event)),
            },
            // A removed entry leaves the reserved deny, or the document is put again: told, but nothing of the end changes.
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

    /// Its rotations after `event`, where it is one of theirs.
    fn rotated(&self, event: &Event, now: Timestamp) -> Result<Option<Vec<SecretRotation>>, TransitionError> {
        let (Event::RotationRecorded { secret, .. }
        | Event::RotationObserved { secret, .. }
        | Event::RotationTroubled { secret, .. }) = event
        else {
            return Ok(None);
        };
        let mut rotations = self.rotations.clone();
        // INVARIANT: only what the decision named, no more often, and only after the end is proved.
        let named = rotations.iter_mut().find(|one| one.secret == *secret && one.is_pending());
        let one = named.ok_or_else(|| self.refuse(event))?;
        match event {
            // What may still land must be read first, and only once it has landed.
            Event::RotationRecorded { .. } if one.asked.is_some_and(|asked| now < asked.fence) => {
                return Err(TooEarly { event: event.name(), not_before: one.asked.map_or(now, |asked| asked.fence) });
            }
            // A call that is made again, or a new one.
            Event::RotationRecorded { token, fence, next_at, again, .. }
                if one.asked.is_some_and(|asked| asked.token == *token) || self.next_token(one) == *token =>
            {
                one.attempts = one.attempts.saturating_add(1);
                one.asked = Some(AskedRotation { token: *token, fence: *fence });
                one.next_at = Some(*next_at.max(fence));
                if let Some(problem) = again {
                    one.troubles = one.troubles.saturating_add(1);
                    one.last_problem = Some(problem.clone());
                }
            }
            Event::RotationObserved { seen, .. } if seen.at > now => {
                return Err(TooEarly { event: event.name(), not_before: seen.at });
            }
            Event::RotationObserved { token, .. } if one.asked.is_some_and(|asked| asked.token == *token) => {
                one.done = one.done.saturating_add(1);
                (one.asked, one.troubles, one.last_problem) = (None, 0, None);
                one.next_at = one.is_pending().then_some(now);
            }
            Event::RotationTroubled { problem, next_at, .. } => {
                one.troubles = one.troubles.saturating_add(1);
                one.last_problem = Some(problem.clone());
                one.next_at = Some(one.asked.map_or(*next_at, |asked| asked.fence.max(*next_at)));
            }
            _ => return Err(self.refuse(event)),
        }
        Ok(Some(rotations))
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
    Ok(Some(State::Active { activated_at, deadline, fence, vends, plan_digest: None, look_at: None }))
}

fn revoking(
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
