//! Schedules: recurring windows in which the catalogue itself asks for a grant, once a window.
//!
//! Nobody shows a proof here: what may be had is what is declared, for whom it is declared, when it is declared. An event
//! only says that somebody should look. Which window is open follows from the declaration and `now`, and the grant's id
//! from the window: so whoever names a schedule, how often and when, the same window is the same grant.

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
    /// Its name.
    pub id: ScheduleId,
    /// The human who answers for it.
    pub owner: IdentityId,
    /// What it is for, in one line.
    pub description: String,
    /// Who gets the grant.
    pub identity: IdentityId,
    /// What is asked for in each window. Nothing else is ever granted by it.
    pub ask: Ask,
    /// When windows open.
    pub cron: Cron,
    /// How long after a window opened the grant may be started, in seconds.
    pub window_s: u32,
}

/// One window of a schedule: open from `opens_at` until just before `closes_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the schedule says.
    pub opens_at: Timestamp,
    /// From when on nothing is granted, or started, for it.
    pub closes_at: Timestamp,
}

impl Window {
    /// For how many more whole seconds it is open at `now`; 0 outside.
    #[must_use]
    pub fn left_s(&self, now: Timestamp) -> u32 {
        if now < self.opens_at { 0 } else { u32::try_from(self.closes_at.seconds_since(now)).unwrap_or(u32::MAX) }
    }
}

impl Schedule {
    /// The window that is open at `now`. The compiler sees to it that no two ever are.
    #[must_use]
    pub fn window_at(&self, now: Timestamp) -> Option<Window> {
        let opens_at = self.cron.next_after(now.minus(self.window_s))?;
        let window = Window { opens_at, closes_at: opens_at.plus(self.window_s) };
        (window.left_s(now) > 0).then_some(window)
    }

    /// The id of the one grant of `window`: the same whoever asks for it, and however often.
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

    /// The request of `window`. It is stored nowhere: whoever has the declaration can write it down again, and so check
    /// the digest of it that a decision names.
    #[must_use]
    pub fn request(&self, window: Window, id: GrantId) -> Request {
        Request { id, ask: self.ask.clone(), asked_at: window.opens_at, decide_by: window.closes_at }
    }

    /// What a grant of `window` rests on.
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

/// When something recurs: the five fields of cron, in UTC: minute, hour, day of the month, month, day of the week.
///
/// As in Vixie cron a day counts if it is named in either of its two fields, where both are given. Months and days may be
/// written as names, `L`, `W` and `#` mean what they do elsewhere; seconds, years and nicknames are refused.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    parsed: croner::Cron,
}

/// The text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not when something recurs: it must be the five fields of cron, minute, hour, day of the month, month \
     and day of the week, like `30 2 * * MON-FRI`"
)]
pub struct CronError {
    text: String,
}

impl Cron {
    /// The longest expression, in characters.
    pub const MAX: usize = 128;

    /// The expression as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant after `at`. None if there is none in this calendar.
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
