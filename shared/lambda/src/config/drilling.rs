//! Settings of the drill.

use std::collections::BTreeMap;

use brevet_domain::drill::Drilled;
use brevet_domain::id::EntitlementId;
use brevet_domain::time::Term;

use super::{ConfigError, Environment};

/// The drilled deliveries and their schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drilling {
    /// The deliveries to drill; empty if drills are off.
    pub drilled: Vec<Drilled>,
    /// The term of each canary grant.
    pub term: Term,
    /// The seconds from the start of one run to the start of the next.
    pub period_s: u32,
    /// The maximum age of each delivery's last passed drill, in seconds.
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
        let expected = "any of `session`, `inline` and `managed`, each at most once, separated by commas, or empty";
        let named = |text: &str| Drilled::ALL.into_iter().find(|drilled| drilled.name() == text.trim());
        let parse_all =
            |text: &str| text.split(',').filter(|part| !part.is_empty()).map(named).collect::<Option<Vec<_>>>();
        let is_once = |list: &Vec<Drilled>| {
            (1..).zip(list).all(|(n, drilled)| !list.iter().skip(n).any(|other| other == drilled))
        };
        let text = env.checked("BREVET_DRILLS", expected, |text| parse_all(text).is_some_and(|list| is_once(&list)))?;
        let term_s = env.seconds("BREVET_DRILL_TERM_S", "60 to 43200 seconds", Term::MIN..=Term::MAX)?;
        Ok(Self {
            drilled: parse_all(&text).unwrap_or_default(),
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

/// The targets of the canary's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryTargets {
    /// The URL of the API.
    pub api_url: String,
    /// The canary table; the canary reads one item of it.
    pub table: String,
    /// The ARNs of the canary attachment principals.
    pub principals: BTreeMap<Drilled, String>,
}

impl CanaryTargets {
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
    fn drilling_accepts_only_distinct_deliveries_or_nothing() {
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
