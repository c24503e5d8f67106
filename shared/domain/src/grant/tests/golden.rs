//! The state × event table, kept as text in `tests/golden/transitions.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::super::*;
use super::samples::{events, starts};

const HEAD: &str = "\
# Every state and every event

The results of `Grant::apply`. Its test writes this file; do not edit it. After an intended change:

    UPDATE_GOLDEN=1 cargo test -p brevet-domain

Instants are seconds after noon; `82-` is one millisecond before +82; `now` is when the event is applied. The term is 60 s, the skew 2 s, the quiet
period 10 s, and a call that begins now takes effect within 10 s. Approvals and starts are due at +600, deadlines at +80.
";

/// An instant, marked so that [`OutcomeText`] finds it.
fn rel(at: Timestamp) -> String {
    format!("\u{1}{}\u{1}", at.as_millis())
}

/// An outcome in which each instant may still be written in two forms: `+82`, `now+10`.
struct OutcomeText {
    words: Vec<String>,
    instants: Vec<Vec<String>>,
}

impl OutcomeText {
    fn new(marked: &str, now: Timestamp) -> Self {
        let seconds = |millis: i64| match (millis / 1000, millis % 1000) {
            (seconds, 0) => format!("+{seconds}"),
            (seconds, millis) => format!("+{seconds}.{:03}", millis.abs()),
        };
        let parts: Vec<_> = marked.split('\u{1}').collect();
        let forms = |text: &&str| {
            let at: i64 = text.parse().unwrap();
            let noon = super::samples::at(0).as_millis();
            let since = at - now.as_millis();
            let relative = if since == 0 { String::new() } else { seconds(since) };
            vec![seconds(at - noon), format!("now{relative}")]
        };
        Self {
            words: parts.iter().step_by(2).map(ToString::to_string).collect(),
            instants: parts.iter().skip(1).step_by(2).map(forms).collect(),
        }
    }

    /// The text that holds for both outcomes, if they differ only in the forms of their instants.
    fn both(&self, other: &Self) -> Option<Self> {
        let common = |(mine, others): (&Vec<String>, &Vec<String>)| {
            let forms: Vec<_> = mine.iter().filter(|form| others.contains(form)).cloned().collect();
            (!forms.is_empty()).then_some(forms)
        };
        let same = self.words == other.words && self.instants.len() == other.instants.len();
        let instants = self.instants.iter().zip(&other.instants).map(common).collect::<Option<_>>()?;
        same.then(|| Self { words: self.words.clone(), instants })
    }

    fn text(&self) -> String {
        let mut instants =
            self.instants.iter().map(|forms| forms.iter().find(|form| *form == "now").unwrap_or(&forms[0]).as_str());
        self.words.iter().flat_map(|word| [word.as_str(), instants.next().unwrap_or("")]).collect()
    }
}

fn vends(vends: &Vends) -> String {
    let answers: Vec<_> = vends
        .last
        .iter()
        .map(|vend| match vend.answer {
            VendAnswer::Awaited => "awaited",
            VendAnswer::Issued { .. } => "issued",
            VendAnswer::Failed { .. } => "failed",
        })
        .collect();
    if answers.is_empty() { "no vends".to_owned() } else { format!("vends {}", answers.join(" ")) }
}

/// The data of a state, in one line.
fn facts(state: &State) -> String {
    match state {
        State::Denied { by, .. } => format!("by {by:?}"),
        State::ApprovalAwaited { deadline, steps, .. } => {
            let votes = steps.iter().map(|step| format!("{} of {} {}", step.approved_by.len(), step.needed, step.step));
            format!("{} until {}", votes.collect::<Vec<_>>().join(", "), rel(*deadline))
        }
        State::Lapsed { cause, .. } => format!("{cause:?}"),
        State::Withdrawn { cause, .. } => format!("{cause:?}"),
        State::Approved { starts_at, start_by } => {
            format!("to start within {} s", start_by.seconds_since(*starts_at))
        }
        State::Activating { deadline, fence, attempt, before, retry_at, .. } => {
            let retry = retry_at.map_or_else(String::new, |at| format!(", next attempt from {}", rel(at)));
            format!("attempt {attempt}, before {before:?}, deadline {}, fence {}{retry}", rel(*deadline), rel(*fence))
        }
        State::Active { deadline, fence, vends: v, next_check_at, .. } => {
            let next = next_check_at.map_or_else(String::new, |at| format!(", next at {}", rel(at)));
            format!("deadline {}, fence {}, {}{next}", rel(*deadline), rel(*fence), vends(v))
        }
        State::Revoking(at) => {
            let first = at
                .first_absence
                .as_ref()
                .map_or_else(|| "not read as absent".to_owned(), |s| format!("absent at {}", rel(s.at)));
            let checked = at.effective.as_ref().map_or_else(String::new, |e| format!(", checked {e:?}"));
            let problem = if at.last_problem.is_some() { ", a problem" } else { "" };
            let acknowledged = at
                .acknowledged
                .as_ref()
                .map_or_else(String::new, |acknowledged| format!(", acknowledged at {}", rel(acknowledged.at)));
            format!(
                "{:?}, deadline {}, fence {}, {first}, {} attempts{problem}, next at {}, {}{checked}{acknowledged}",
                at.cause,
                rel(at.deadline),
                rel(at.fence),
                at.attempts,
                rel(at.next_at),
                vends(&at.vends)
            )
        }
        State::Ended { cause, proof, ended_by, effective, .. } => {
            let proof = match proof {
                Proof::Observed { first, second } => {
                    format!("observed {} and {}", rel(first.at), rel(second.at))
                }
                Proof::ByConstruction { aws_date, .. } => {
                    format!("by construction, AWS says {}", rel(*aws_date))
                }
                Proof::HandedOver { holders, .. } => format!("handed over to {}", holders.len()),
            };
            let checked = effective.as_ref().map_or_else(String::new, |e| format!(", checked {e:?}"));
            format!("{cause:?}, {proof}, first ended by {ended_by:?}{checked}")
        }
    }
}

/// The progress of the rotations; empty if the grant names none.
fn rotations(grant: &Grant) -> String {
    let progress = |rotation: &SecretRotation| {
        let asked = rotation.asked.map_or_else(String::new, |asked| format!(", asked until {}", rel(asked.fence)));
        let next = rotation.next_at.map_or_else(String::new, |at| format!(", next at {}", rel(at)));
        let problem = if rotation.last_problem.is_some() { ", a problem" } else { "" };
        format!("; rotated {} of {}, {} calls{asked}{next}{problem}", rotation.done, rotation.times, rotation.attempts)
    };
    grant.rotations.iter().map(progress).collect()
}

fn outcome(before: &Grant, event: &Event, now: Timestamp) -> String {
    match before.apply(event, now) {
        Ok(Applied::Changed(after)) => {
            format!("→ {}: {}{}", after.state.name(), facts(&after.state), rotations(&after))
        }
        Ok(Applied::NoOp) => "no-op".to_owned(),
        Err(error @ TransitionError::NotAllowed { .. }) => {
            assert_eq!(error.to_string(), format!("`{}` cannot follow `{}`", event.name(), before.state.name()));
            "not allowed".to_owned()
        }
        Err(error) => {
            // An instant in the message is written like all others in the table.
            let text: Vec<_> = error
                .to_string()
                .split(' ')
                .map(|word| {
                    let bare = word.trim_end_matches([',', ':']);
                    bare.parse::<Timestamp>().map_or_else(|_| word.to_owned(), |at| word.replace(bare, &rel(at)))
                })
                .collect();
            format!("refused: {}", text.join(" "))
        }
    }
}

/// The instants of a section, each with its name.
fn instants(seconds: &[u32]) -> Vec<(String, Timestamp)> {
    let mut all = Vec::new();
    for (n, second) in seconds.iter().enumerate() {
        let instant = super::samples::at(*second);
        if n > 0 {
            all.push((format!("{second}-"), Timestamp::from_millis(instant.as_millis() - 1)));
        }
        all.push((format!("{second}"), instant));
    }
    all
}

fn section(text: &mut String, title: &str, grant: &Grant, seconds: &[u32]) {
    writeln!(
        text,
        "\n## {}: {title}\n\n{}\n\n| event | at | outcome |\n|---|---|---|",
        grant.state.name(),
        OutcomeText::new(&format!("{}{}", facts(&grant.state), rotations(grant)), grant.created_at).text()
    )
    .unwrap();
    let instants = instants(seconds);
    let mut never = BTreeMap::<&str, Vec<&str>>::new();
    for (n, (variant, sample)) in events(grant, instants[0].1).iter().enumerate() {
        let outcomes: Vec<_> =
            instants.iter().map(|(_, now)| outcome(grant, &events(grant, *now)[n].1, *now)).collect();
        if outcomes.iter().all(|o| o == "not allowed") {
            never.entry(sample.name()).or_default().push(variant);
            continue;
        }
        let name = match *variant {
            "" => format!("`{}`", sample.name()),
            variant => format!("`{}`, {variant}", sample.name()),
        };
        let texts = instants.iter().zip(&outcomes).map(|((at, now), text)| (at, OutcomeText::new(text, *now)));
        let mut texts = texts.peekable();
        while let Some((first, mut merged)) = texts.next() {
            let mut last = first;
            while let Some((at, both)) = texts.peek().and_then(|(at, next)| Some((*at, merged.both(next)?))) {
                (last, merged) = (at, both);
                texts.next();
            }
            let ends = (*first == instants[0].0, *last == instants[instants.len() - 1].0);
            let when = match ends {
                (true, true) => "any".to_owned(),
                _ if first == last => first.clone(),
                _ => format!("{first} … {last}"),
            };
            writeln!(text, "| {name} | {when} | {} |", merged.text()).unwrap();
        }
    }
    let never: Vec<_> = never
        .into_iter()
        .map(|(name, variants)| {
            let of_all = events(grant, instants[0].1).iter().filter(|(_, e)| e.name() == name).count();
            if variants.len() == of_all { format!("`{name}`") } else { format!("`{name}` ({})", variants.join("; ")) }
        })
        .collect();
    writeln!(text, "\nNever allowed: {}.", never.join(", ")).unwrap();
}

#[test]
fn golden_table_of_every_state_and_event() {
    let mut text = HEAD.to_owned();
    for (title, grant, seconds) in starts() {
        section(&mut text, title, &grant, &seconds);
    }
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/golden/transitions.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    for (n, (kept, now)) in kept.lines().zip(text.lines()).enumerate() {
        assert_eq!(
            kept,
            now,
            "line {} of {path:?}; if the change is intended: UPDATE_GOLDEN=1 cargo test -p brevet-domain",
            n + 1
        );
    }
    assert_eq!(kept, text, "if the change is intended: UPDATE_GOLDEN=1 cargo test -p brevet-domain");
}

/// A new state or event does not compile until it has a number here, and the test fails until the table shows it.
#[test]
fn golden_table_contains_every_state_and_event() {
    fn state_number(state: &State) -> usize {
        match state {
            State::Denied { .. } => 0,
            State::ApprovalAwaited { .. } => 1,
            State::Lapsed { .. } => 2,
            State::Withdrawn { .. } => 3,
            State::Approved { .. } => 4,
            State::Activating { .. } => 5,
            State::Active { .. } => 6,
            State::Revoking(_) => 7,
            State::Ended { .. } => 8,
        }
    }
    fn event_number(event: &Event) -> usize {
        match event {
            Event::ApprovalGiven { .. } => 0,
            Event::ApprovalRefused { .. } => 1,
            Event::ApprovalDeadlinePassed => 2,
            Event::StartByPassed => 3,
            Event::Stopped { .. } => 4,
            Event::DeadlinePassed => 5,
            Event::VendRecorded(_) => 6,
            Event::VendAnswered { .. } => 7,
            Event::ActivationRecorded { .. } => 8,
            Event::ActivationFailed { .. } => 9,
            Event::PresenceObserved(_) => 10,
            Event::DriftObserved(_) => 11,
            Event::RemovalRecorded { .. } => 12,
            Event::RemovalTroubled { .. } => 13,
            Event::AbsenceObserved(_) => 14,
            Event::DeadlineProved { .. } => 15,
            Event::HandedOver { .. } => 16,
            Event::EffectiveAccessChecked(_) => 17,
            Event::PreflightRefused { .. } => 18,
            Event::AttemptNotDone { .. } => 19,
            Event::DecidedAgainst { .. } => 20,
            Event::PlanChanged { .. } => 21,
            Event::Reviewed { .. } => 22,
            Event::OverdueAcknowledged { .. } => 23,
            Event::RotationRecorded { .. } => 24,
            Event::RotationObserved { .. } => 25,
            Event::RotationTroubled { .. } => 26,
        }
    }
    let starts = starts();
    let states: BTreeSet<_> = starts.iter().map(|(_, grant, _)| state_number(&grant.state)).collect();
    assert_eq!(states, (0..9).collect());
    for (_, grant, _) in &starts {
        let events: BTreeSet<_> = events(grant, grant.created_at).iter().map(|(_, e)| event_number(e)).collect();
        assert_eq!(events, (0..27).collect());
    }
}
