//! Schedules. The checks ensure that their windows do not overlap, and that policy allows them without approval.

use std::iter::successors;

use brevet_domain::bundle::Schedules;
use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::{Delivery, InvalidRequest};
use brevet_domain::identity::Caller;
use brevet_domain::request::Ask;
use brevet_domain::schedule::{Schedule, Window};
use brevet_domain::time::Timestamp;
use serde_saphyr::Location;

use super::finding::Findings;
use super::form::ScheduleForm;
use super::forms::{Forms, InFile};
use super::longest::RenderSample;
use crate::bundle::Bundle;
use crate::decide::DecideError;

/// The most schedules, since each tick evaluates all of them.
const MAX_SCHEDULES: usize = 200;

/// The bounds of a window, in seconds: two ticks, so that none is missed, and half a day.
const WINDOW_S: (u32, u32) = (120, 43_200);

/// The shortest time between two windows, in seconds.
const APART_S: u32 = 300;

/// The first instant of the checks: 2026-01-01T00:00:00Z. It is fixed, so that the same files give the same bundle.
const FROM: i64 = 1_767_225_600;

/// The number of windows that are checked for overlap: a year of nights, or two weeks of hours.
const N_APART: usize = 400;

/// The number of consecutive windows that are decided: a week of nights. As many more are sampled over the year.
const N_SAMPLES: usize = 8;

/// The distance of the windows sampled over the year, in seconds: 46 days, so that they fall on different weekdays.
const SAMPLE_APART_S: u32 = 46 * 86_400;

/// Compiles each schedule, and checks its windows and the names that it refers to.
pub(super) fn compile(forms: &Forms, findings: &mut Findings) -> Schedules {
    if forms.schedules.len() > MAX_SCHEDULES {
        let n = forms.schedules.len();
        findings.whole("schedules", format!("there are {n} schedules; there may be at most {MAX_SCHEDULES}"));
    }
    let mut schedules = Schedules::new();
    for InFile { file, form } in &forms.schedules {
        check_names(file, form, forms, findings);
        let schedule = schedule(form);
        check_windows(file, form, &schedule, findings);
        schedules.insert(schedule.id.clone(), schedule);
    }
    schedules
}

fn schedule(form: &ScheduleForm) -> Schedule {
    Schedule {
        id: form.id.value.clone(),
        owner: form.owner.value.clone(),
        description: form.description.value.clone(),
        identity: form.identity.value.clone(),
        ask: Ask {
            entitlement: form.entitlement.value.clone(),
            parameters: form.parameters.as_ref().map(|given| given.value.clone()).unwrap_or_default(),
            term_s: form.term_s.value,
            ticket: form.ticket.as_ref().map(|ticket| ticket.value.clone()),
            justification: form.justification.as_ref().map(|why| why.value.clone()),
            on_behalf_of: None,
            renews: None,
        },
        cron: form.cron.value.clone(),
        window_s: form.window_s.value,
    }
}

fn check_names(file: &str, form: &ScheduleForm, forms: &Forms, findings: &mut Findings) {
    if form.description.value.trim().is_empty() {
        findings.at(file, &form.description, "`description` is empty; say in one line what this is for");
    }
    if !forms.is_human(&form.owner.value) {
        let message =
            format!("owner `{}` is not a registered human; name the person who answers for it", form.owner.value);
        findings.at(file, &form.owner, message);
    }
    if forms.identity(&form.identity.value).is_none() {
        findings.at(file, &form.identity, format!("identity `{}` is not in `identities`", form.identity.value));
    }
    if !forms.entitlements.iter().any(|known| known.form.id.value == form.entitlement.value) {
        let message = format!("entitlement `{}` is not in `entitlements`", form.entitlement.value);
        findings.at(file, &form.entitlement, message);
    }
}

fn check_windows(file: &str, form: &ScheduleForm, schedule: &Schedule, findings: &mut Findings) {
    let (least, most) = WINDOW_S;
    let (cron, window_s, term_s) = (&schedule.cron, schedule.window_s, schedule.ask.term_s.as_seconds());
    if !(least..=most).contains(&window_s) {
        let message = format!(
            "`window_s` is {window_s}; it must be {least} to {most} seconds, so that the tick of each minute cannot miss it"
        );
        return findings.at(file, &form.window_s, message);
    }
    let instants: Vec<_> = opening(schedule).take(N_APART).collect();
    if instants.is_empty() {
        return findings.at(file, &form.cron, format!("`{cron}` never matches; name a day that exists"));
    }
    // Access that starts again before it has ended is standing access.
    let apart_s = window_s.saturating_add(term_s).max(APART_S);
    let mut pairs = instants.iter().zip(instants.iter().skip(1));
    let tight = pairs.find(|(one, next)| **next < one.plus(apart_s));
    if let Some((one, next)) = tight {
        let (gap_s, one, next) = (next.seconds_since(*one), one.policy_form(), next.policy_form());
        let message = format!(
            "`{cron}` opens windows only {gap_s} s apart, at {one} and {next}; with `window_s` {window_s} and `term_s` {term_s} \
             there must be {apart_s} s, so that one grant ends before the next can start; otherwise it is standing access"
        );
        findings.at(file, &form.cron, message);
    }
}

/// The instants at which the windows open, from [`FROM`] on.
fn opening(schedule: &Schedule) -> impl Iterator<Item = Timestamp> {
    let before = Timestamp::from_seconds(FROM).minus(1);
    successors(schedule.cron.next_after(before), |at| schedule.cron.next_after(*at))
}

/// Checks that each scheduled grant can be used, and that policy allows it without approval. It samples windows, as
/// they open and as they close. A request in another window may still be denied.
pub(super) fn check(bundle: &Bundle, forms: &Forms, findings: &mut Findings) {
    let Some(sample) = RenderSample::longest() else { return };
    for InFile { file, form } in &forms.schedules {
        let Some(schedule) = bundle.schedules().get(&form.id.value) else { continue };
        if check_use(bundle, file, form, findings) {
            // One example is enough.
            let found =
                samples(schedule).find_map(|(window, now)| problem(bundle, form, schedule, window, now, &sample));
            if let Some((place, message)) = found {
                findings.place(file, place, message);
            }
        }
    }
}

/// Checks that the identity can use the scheduled grant, and that the entitlement may be scheduled.
fn check_use(bundle: &Bundle, file: &str, form: &ScheduleForm, findings: &mut Findings) -> bool {
    let (who, what) = (&form.identity, &form.entitlement);
    let Some((identity, entitlement)) = bundle.index().identities.get(&who.value).zip(bundle.entitlement(&what.value))
    else {
        return false;
    };
    // A scheduled grant belongs to no task, and credentials are only issued for the grant's own task.
    let is_session = matches!(entitlement.delivery, Delivery::Session { .. });
    if is_session && identity.proofs.iter().all(|proof| proof.task.is_some()) {
        let message = format!(
            "`{}` could not fetch the credentials: a scheduled grant belongs to no task, and each of its proofs names one; \
             give it a proof without `task`, or schedule an attachment",
            who.value
        );
        findings.at(file, who, message);
        return false;
    }
    if entitlement.break_glass.is_some() {
        let message = format!("`{}` is break-glass and cannot be scheduled; schedule another entitlement", what.value);
        findings.at(file, what, message);
        return false;
    }
    let longest_s = bundle.index().class_limits(identity.class).max_term.as_seconds();
    if form.term_s.value.as_seconds() > longest_s {
        let message = format!("`term_s` is too long for class `{}`: at most {longest_s} s", identity.class.as_str());
        findings.at(file, &form.term_s, message);
        return false;
    }
    true
}

/// The sampled windows, each as it opens and as it closes: the first ones, and some over the year.
fn samples(schedule: &Schedule) -> impl Iterator<Item = (Window, Timestamp)> {
    let spread = (1..).take(N_SAMPLES).filter_map(|n: u32| {
        let from = Timestamp::from_seconds(FROM).plus(n.saturating_mul(SAMPLE_APART_S));
        schedule.cron.next_after(from)
    });
    opening(schedule).take(N_SAMPLES).chain(spread).flat_map(|opens_at| {
        let window = Window { opens_at, closes_at: opens_at.plus(schedule.window_s) };
        [opens_at, window.closes_at.minus(1)].map(|now| (window, now))
    })
}

/// The problem with the schedule at `now`, and its place.
fn problem(
    bundle: &Bundle,
    form: &ScheduleForm,
    schedule: &Schedule,
    window: Window,
    now: Timestamp,
    sample: &RenderSample,
) -> Option<(Location, String)> {
    let identity = bundle.index().identities.get(&schedule.identity)?.clone();
    let proof = schedule.proof(window).ok()?;
    let caller = Caller { identity, task: None, proof };
    let request = schedule.request(window, schedule.grant_id(window, &sample.deployment));
    let (id, at) = (&schedule.id, now.policy_form());
    let what = form.entitlement.referenced;
    match bundle.decide(&caller, &request, &sample.deployment, now) {
        Ok(verdict) => match verdict.outcome {
            Outcome::Allow => None,
            Outcome::Deny { reason } => Some((
                what,
                format!(
                    "policy denies schedule `{id}` at {at}: {reason}; change the policies (they see \
                     `context.schedule`) or the schedule"
                ),
            )),
            Outcome::NeedsApproval { .. } => Some((
                what,
                format!(
                    "policy needs approval for schedule `{id}` at {at}, but a schedule cannot wait for people; \
                     permit `autoApprove` for it, or have somebody ask"
                ),
            )),
        },
        Err(DecideError::InvalidRequest(error)) => Some((place_of(&error, form), error.to_string())),
        Err(error) => Some((what, error.to_string())),
    }
}

/// The place of an invalid value in the file. A missing value is reported at the entitlement that requires it.
fn place_of(error: &InvalidRequest, form: &ScheduleForm) -> Location {
    let given = match error {
        InvalidRequest::Missing { .. } | InvalidRequest::Unknown { .. } | InvalidRequest::Parameter { .. } => {
            form.parameters.as_ref().map(|given| given.referenced)
        }
        InvalidRequest::Term { .. } | InvalidRequest::ClassTerm { .. } => Some(form.term_s.referenced),
        InvalidRequest::Ticket { .. } | InvalidRequest::TicketPattern { .. } => {
            form.ticket.as_ref().map(|given| given.referenced)
        }
        InvalidRequest::Justification { .. } | InvalidRequest::TooBrief { .. } | InvalidRequest::NoJustification(_) => {
            form.justification.as_ref().map(|given| given.referenced)
        }
    };
    given.unwrap_or(form.entitlement.referenced)
}
