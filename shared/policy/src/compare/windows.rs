//! Compares the schedules of two versions of a catalogue.

use std::collections::BTreeSet;

use brevet_domain::schedule::Schedule;

use super::{Change, Kind};
use crate::bundle::Bundle;

/// Windows that were added, removed or changed.
pub(super) fn changes(old: &Bundle, new: &Bundle) -> Vec<Change> {
    let ids: BTreeSet<_> = old.schedules().keys().chain(new.schedules().keys()).collect();
    let pairs = ids.into_iter().map(|id| (old.schedules().get(id), new.schedules().get(id)));
    pairs.flat_map(|(was, is)| one(was, is)).collect()
}

fn one(was: Option<&Schedule>, is: Option<&Schedule>) -> Vec<Change> {
    let whose = |schedule: &Schedule| (schedule.identity.clone(), schedule.ask.entitlement.clone());
    let gone = |was: &Schedule| entry(Kind::WindowGone, was, format!("was {}", words(was)));
    let added = |is: &Schedule| entry(Kind::NewWindow, is, words(is));
    match (was, is) {
        (Some(was), Some(is)) if whose(was) != whose(is) => vec![added(is), gone(was)],
        (Some(was), Some(is)) if was == is => Vec::new(),
        (Some(was), Some(is)) if words(was) == words(is) => vec![entry(Kind::OtherWindow, is, reasons(was, is))],
        (Some(was), Some(is)) => vec![entry(Kind::OtherWindow, is, format!("{}, was {}", words(is), words(was)))],
        (Some(was), None) => vec![gone(was)],
        (None, Some(is)) => vec![added(is)],
        (None, None) => Vec::new(),
    }
}

fn entry(kind: Kind, schedule: &Schedule, detail: String) -> Change {
    let (identity, entitlement) = (schedule.identity.clone(), schedule.ask.entitlement.clone());
    Change { kind, identity, entitlement, detail, when: Vec::new() }
}

/// The request and windows of a schedule, in words.
fn words(schedule: &Schedule) -> String {
    let Schedule { id, ask, cron, window_s, .. } = schedule;
    let given: Vec<_> = ask.parameters.iter().map(|(name, value)| format!("{name} = {}", value.as_str())).collect();
    let given = if given.is_empty() { String::new() } else { format!(" with {}", given.join(", ")) };
    let term_s = ask.term_s.as_seconds();
    format!("`{id}` at `{cron}` (UTC), to be started within {window_s} s, for {term_s} s{given}")
}

/// The changed parts of a schedule that do not affect its request or windows.
fn reasons(was: &Schedule, is: &Schedule) -> String {
    let parts = [
        ("owner", was.owner != is.owner),
        ("description", was.description != is.description),
        ("ticket", was.ask.ticket != is.ask.ticket),
        ("justification", was.ask.justification != is.ask.justification),
    ];
    let parts: Vec<_> = parts.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect();
    format!("`{}`: its {} changed", is.id, parts.join(" and its "))
}
