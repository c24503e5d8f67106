//! What the drill is told.

use std::collections::BTreeMap;

use brevet_domain::drill::Drilled;
use brevet_domain::id::EntitlementId;
use brevet_domain::time::Term;

use super::{ConfigError, Environment};

/// What is drilled, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drilling {
    /// The deliveries; none where nothing is drilled.
    pub drilled: Vec<Drilled>,
    /// The term that is asked for.
    pub term: Term,
    /// From the begin of one run to that of the next, in seconds.
    pub period_s: u32,
    /// How long ago each must have passed at most, in seconds.
    pub max_age_s: u32,
}

impl Drilling {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&Environment { lookup: |name| std::env::var(name).ok() })
    }

    fn read<L: Fn(&'static str) -> Option<String>>(env: &Environment<L>) -> Result<Self, ConfigError> {
        let wanted = "of `session`, `inline` and `managed` any, each once, with commas between, or empty";
        let named = |text: &str| Drilled::ALL.into_iter().find(|one| one.name() == text.trim());
        let all = |text: &str| text.split(',').filter(|one| !one.is_empty()).map(named).collect::<Option<Vec<_>>>();
        let is_once =
            |list: &Vec<Drilled>| (1..).zip(list).all(|(n, one)| !list.iter().skip(n).any(|other| other == one));
        let text = env.checked("BREVET_DRILLS", wanted, |text| all(text).is_some_and(|list| is_once(&list)))?;
        let term_s = env.seconds("BREVET_DRILL_TERM_S", "60 to 43200 seconds", Term::MIN..=Term::MAX)?;
        Ok(Self {
            drilled: all(&text).unwrap_or_default(),
            term: Term::from_seconds(i64::from(term_s)).unwrap_or(Term::SHORTEST),
            period_s: env.seconds("BREVET_DRILL_PERIOD_S", "1 to 43200 seconds", 1..=43_200)?,
            max_age_s: env.seconds("BREVET_DRILL_MAX_AGE_S", "60 to 604800 seconds", 60..=604_800)?,
        })
    }

    /// The canary entitlement of each delivery: `canary-<delivery>`.
    #[must_use]
    pub fn entitlements(&self) -> BTreeMap<Drilled, EntitlementId> {
        let named = |drilled: &Drilled| Some((*drilled, format!("canary-{drilled}").parse().ok()?));
        self.drilled.iter().filter_map(named).collect()
    }
}

/// Where the canary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryPlaces {
    /// Where the API listens.
    pub api_url: String,
    /// The table of which one item is read.
    pub table: String,
    /// The ARNs of the canary principals that are attached to.
    pub principals: BTreeMap<Drilled, String>,
}

impl CanaryPlaces {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found.
    pub fn from_env() -> Result<Self, ConfigError> {
        let env = Environment { lookup: |name| std::env::var(name).ok() };
        let is_role = |text: &str| text.starts_with("arn:") && text.contains(":role/");
        let role = |name| env.checked(name, "the ARN of a role", is_role);
        let principals =
            [(Drilled::Inline, role("BREVET_CANARY_INLINE")?), (Drilled::Managed, role("BREVET_CANARY_MANAGED")?)];
        Ok(Self {
            api_url: env.checked("BREVET_API_URL", "the URL of the API", |text| text.starts_with("http"))?,
            table: env.checked("BREVET_CANARY_TABLE", "the name of the canary table", |text| !text.is_empty())?,
            principals: principals.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drills_are_none_or_deliveries_each_once() {
        let read = |drills: &'static str, term: &'static str| {
            let lookup = move |name: &'static str| {
                let given = if name == "BREVET_DRILLS" { drills } else { term };
                Some(if name == "BREVET_DRILL_PERIOD_S" { "900" } else { given }.to_owned())
            };
            Drilling::read(&Environment { lookup })
        };
        let none = read("", "300").unwrap();
        assert_eq!((none.drilled.len(), none.term.as_seconds(), none.period_s, none.max_age_s), (0, 300, 900, 300));
        let two = read("managed,session", "300").unwrap();
        assert_eq!(two.drilled, [Drilled::Managed, Drilled::Session]);
        let entitlement = "canary-session".parse().unwrap();
        assert_eq!(two.entitlements().get(&Drilled::Session), Some(&entitlement));
        for (drills, term, name) in
            [("sessions", "300", "DRILLS"), ("inline,inline", "300", "DRILLS"), ("", "59", "DRILL_TERM_S")]
        {
            let error = read(drills, term).unwrap_err().to_string();
            assert!(error.starts_with(&format!("environment variable `BREVET_{name}` is `")), "{error}");
        }
    }
}
