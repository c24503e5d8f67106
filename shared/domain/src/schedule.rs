//! Schedules: recurring windows in which the catalogue itself requests a grant, once per window.
//!
//! A schedule needs no proof: the declaration fixes the access, its holder and its time. An event only triggers the
//! check. The open window follows from the declaration and `now`, and the grant's id follows from the window. So any
//! number of events, from any source, give one grant per window.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Digest};
use crate::id::{GrantId, IdentityId, ScheduleId};
use crate::identity::ProofSummary;
use crate::request::{Ask, Request};
use crate::settings::Deployment;
use crate::time::Timestamp;

/// A recurring window, as the catalogue declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    pub id: ScheduleId,
    /// The human who is accountable for it.
    pub owner: IdentityId,
    /// The purpose, in one line.
    pub description: String,
    /// The identity that gets the grant.
    pub identity: IdentityId,
    /// The request of each window. The schedule grants nothing else.
    pub ask: Ask,
    /// The instants at which windows open.
    pub cron: Cron,
    /// The time for the start after a window opened, in seconds.
    pub window_s: u32,
}

/// One window of a schedule: open from `opens_at` until just before `closes_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The instant from the cron expression.
    pub opens_at: Timestamp,
    /// The instant from which nothing is granted or started for the window.
    pub closes_at: Timestamp,
}

impl Window {
    /// The whole seconds that the window is still open at `now`; 0 outside.
    #[must_use]
    pub fn left_s(&self, now: Timestamp) -> u32 {
        if now < self.opens_at { 0 } else { u32::try_from(self.closes_at.seconds_since(now)).unwrap_or(u32::MAX) }
    }
}

impl Schedule {
    /// The window that is open at `now`. The catalogue compiler ensures that windows never overlap.
    #[must_use]
    pub fn window_at(&self, now: Timestamp) -> Option<Window> {
        let opens_at = self.cron.next_after(now.minus(self.window_s))?;
        let window = Window { opens_at, closes_at: opens_at.plus(self.window_s) };
        (window.left_s(now) > 0).then_some(window)
    }

    /// The id of the one grant of `window`. It is the same for every caller and every call.
    #[must_use]
    pub fn grant_id(&self, window: Window, deployment: &Deployment) -> GrantId {
        let (Deployment { id: at, account, .. }, Self { id, .. }) = (deployment, self);
        let name = format!("schedule\n{at}\n{account}\n{id}\n{}", window.opens_at);
        let digest = Digest::of_bytes(name.as_bytes()).to_string();
        // A ULID's random part has 80 bits.
        let random = digest.get(..20).and_then(|hex| u128::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let millis = u64::try_from(window.opens_at.as_millis()).unwrap_or(0);
        GrantId::from_ulid(ulid::Ulid::from_parts(millis, random))
    }

    /// The request of `window`. It is not stored: a reader with the declaration can rebuild it and check the digest
    /// that a decision names.
    #[must_use]
    pub fn request(&self, window: Window, id: GrantId) -> Request {
        Request { id, ask: self.ask.clone(), asked_at: window.opens_at, decide_by: window.closes_at }
    }

    /// The proof of a grant of `window`.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] if the declaration has no JSON form.
    pub fn proof(&self, window: Window) -> Result<ProofSummary, CanonicalError> {
        let Window { opens_at, closes_at } = window;
        let (schedule, declared) = (self.id.clone(), Digest::of(self)?);
        Ok(ProofSummary::Schedule { schedule, declared, opens_at, closes_at })
    }
}

/// A cron expression in UTC with five fields: minute, hour, day of the month, month, day of the week.
///
/// As in Vixie cron, a day matches if either of its two fields names it, when both are given. Months and days may be
/// names. `L`, `W` and `#` have their usual meaning. Seconds, years and nicknames are refused.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    parsed: croner::Cron,
}

/// The text is not a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a cron expression: it must be five fields, minute, hour, day of the month, month and day of the \
     week, like `30 2 * * MON-FRI`"
)]
pub struct CronError {
    text: String,
}

impl Cron {
    /// The maximum length, in characters.
    pub const MAX: usize = 128;

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first matching instant after `at`; `None` if the calendar has none.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.parsed.find_next_occurrence(&at.to_chrono(), false).ok()?;
        Some(Timestamp::from_millis(next.timestamp_millis())).filter(|next| *next > at)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        use croner::parser::{CronParser, Seconds, Year};

        let refused = || CronError { text: text.chars().take(80).collect() };
        if text.len() > Self::MAX || text.starts_with('@') || text.split(' ').count() != 5 {
            return Err(refused());
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(text).map_err(|_| refused())?;
        Ok(Self { text: text.to_owned(), parsed })
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({})", self.text)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, CronError> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

#[cfg(test)]
mod tests;
