//! Configuration from the environment variables that the template sets, parsed once at the start.

mod drilling;

use brevet_domain::reaper_health::IssuancePolicy;
use brevet_domain::settings::{Bounds, Deployment};
use brevet_identity::Audiences;

pub use drilling::{CanaryTargets, Drilling};

/// A variable is missing or wrong, so the function does not start.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set.
    #[error("environment variable `{name}` is not set; it must be {expected}")]
    Missing {
        name: &'static str,
        /// The required value, in words.
        expected: &'static str,
    },
    /// The variable has a value that is not allowed.
    #[error("environment variable `{name}` is `{found}`; it must be {expected}")]
    Wrong {
        name: &'static str,
        /// The actual value.
        found: String,
        /// The required value, in words.
        expected: &'static str,
    },
}

impl std::fmt::Debug for ConfigError {
    /// Shows the message, because `main` prints the `Debug` form when a function cannot start.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The settings of every function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub deployment: Deployment,
    pub bounds: Bounds,
    /// The limits beyond which issuing stops.
    pub issuance_policy: IssuancePolicy,
    /// How long the previous bundle is used if the bundle in force cannot be, in seconds.
    pub bundle_max_age_s: u32,
    /// The three audiences of tokens.
    pub audiences: Audiences,
    /// The name of the DynamoDB table.
    pub table: String,
}

impl Settings {
    /// Reads the environment. `call_s` is the maximum duration of one AWS call, which the adapter fixes.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found.
    pub fn from_env(call_s: u32) -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok(), call_s)
    }

    /// Reads variables through `lookup`.
    ///
    /// # Errors
    ///
    /// As [`Self::from_env`].
    pub fn read(lookup: impl Fn(&'static str) -> Option<String>, call_s: u32) -> Result<Self, ConfigError> {
        let env = Environment { lookup };
        let deployment = Deployment {
            id: env.parsed("BREVET_DEPLOYMENT", "a deployment id (2 to 10 of `a-z`, `0-9`, `-`)")?,
            account: env.parsed("BREVET_ACCOUNT", "an AWS account number of 12 digits")?,
            partition: env.checked("BREVET_PARTITION", "`aws`, `aws-cn` or `aws-us-gov`", |text| {
                ["aws", "aws-cn", "aws-us-gov"].contains(&text)
            })?,
            region: env.checked("AWS_REGION", "a Region, which Lambda sets", |text| text.contains('-'))?,
        };
        let bounds = Bounds {
            skew_s: env.seconds("BREVET_SKEW_S", "1 to 300 seconds", 1..=300)?,
            quiet_s: env.seconds("BREVET_QUIET_S", "1 to 300 seconds", 1..=300)?,
            call_s,
        };
        Ok(Self {
            deployment,
            bounds,
            issuance_policy: IssuancePolicy {
                max_age_s: env.seconds("BREVET_HEARTBEAT_MAX_AGE_S", "5 to 3600 seconds", 5..=3600)?,
                overdue_s: env.seconds("BREVET_OVERDUE_S", "15 to 3600 seconds", 15..=3600)?,
                max_overdue: env.number("BREVET_MAX_OVERDUE", "0 to 40 grants", 0..=40)?,
                while_overdue: false,
                is_canary: false,
            },
            bundle_max_age_s: env.seconds("BREVET_BUNDLE_MAX_AGE_S", "0 to 3600 seconds", 0..=3600)?,
            audiences: env.audiences()?,
            table: env.checked("BREVET_TABLE", "the name of the table", |text| !text.is_empty())?,
        })
    }
}

/// Returns the name of the evaluate function.
///
/// # Errors
///
/// [`ConfigError`] if `BREVET_EVALUATE_FUNCTION` is not set.
pub fn evaluate_function_from_env() -> Result<String, ConfigError> {
    let env = Environment { lookup: |name| std::env::var(name).ok() };
    env.checked("BREVET_EVALUATE_FUNCTION", "the name of the evaluate function", |text| !text.is_empty())
}

/// Returns the ARNs of attachment principals outside the installation's own path, from `BREVET_ATTACHMENT_PRINCIPALS`.
/// Commas separate them; an empty value means that there are none.
///
/// # Errors
///
/// [`ConfigError`] if the variable is not set or contains anything but role ARNs.
pub fn other_principals_from_env() -> Result<Vec<String>, ConfigError> {
    other_principals(&Environment { lookup: |name| std::env::var(name).ok() })
}

fn other_principals<L>(env: &Environment<L>) -> Result<Vec<String>, ConfigError>
where
    L: Fn(&'static str) -> Option<String>,
{
    let arns = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|arn| !arn.is_empty()).map(str::to_owned).collect()
    };
    let is_role = |arn: &String| arn.starts_with("arn:") && arn.contains(":role/");
    let expected = "role ARNs separated by commas, or empty";
    env.checked("BREVET_ATTACHMENT_PRINCIPALS", expected, |text| arns(text).iter().all(is_role)).map(|text| arns(&text))
}

/// Settings of the standby tick, the reaper's second clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbySettings {
    /// The table that holds the standby tick.
    pub table: String,
    /// The standby tick starts a pass if the last pass began at least this many seconds ago.
    pub after_s: u32,
}

impl StandbySettings {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found.
    pub fn from_env() -> Result<Self, ConfigError> {
        let env = Environment { lookup: |name| std::env::var(name).ok() };
        Ok(Self {
            table: env.checked("BREVET_STANDBY_TABLE", "the name of the standby table", |text| !text.is_empty())?,
            after_s: env.seconds("BREVET_STANDBY_AFTER_S", "1 to 90 seconds", 1..=90)?,
        })
    }
}

struct Environment<L> {
    lookup: L,
}

impl<L: Fn(&'static str) -> Option<String>> Environment<L> {
    fn checked(
        &self,
        name: &'static str,
        expected: &'static str,
        is_valid: impl Fn(&str) -> bool,
    ) -> Result<String, ConfigError> {
        let found = (self.lookup)(name).ok_or(ConfigError::Missing { name, expected })?;
        if is_valid(&found) { Ok(found) } else { Err(ConfigError::Wrong { name, found, expected }) }
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str, expected: &'static str) -> Result<T, ConfigError> {
        let found = self.checked(name, expected, |_| true)?;
        found.parse().map_err(|_| ConfigError::Wrong { name, found, expected })
    }

    fn seconds(
        &self,
        name: &'static str,
        expected: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, ConfigError> {
        self.number(name, expected, range)
    }

    fn number(
        &self,
        name: &'static str,
        expected: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, ConfigError> {
        let number: u32 = self.parsed(name, expected)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(ConfigError::Wrong { name, found: number.to_string(), expected })
        }
    }

    /// Reads the three audiences. They must differ, so that a token sent to one function is useless at another.
    fn audiences(&self) -> Result<Audiences, ConfigError> {
        let expected = "an audience, not empty and different from the two others";
        let ask = self.checked("BREVET_ASK_AUDIENCE", expected, |text| !text.is_empty())?;
        let approvals = self.checked("BREVET_APPROVALS_AUDIENCE", expected, |text| !text.is_empty() && text != ask)?;
        let credentials = self.checked("BREVET_CREDENTIALS_AUDIENCE", expected, |text| {
            !text.is_empty() && text != ask && text != approvals
        })?;
        Ok(Audiences { ask, approvals, credentials })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const GOOD: [(&str, &str); 14] = [
        ("BREVET_DEPLOYMENT", "dev"),
        ("BREVET_ACCOUNT", "000000000000"),
        ("BREVET_PARTITION", "aws"),
        ("AWS_REGION", "us-east-1"),
        ("BREVET_SKEW_S", "2"),
        ("BREVET_QUIET_S", "10"),
        ("BREVET_HEARTBEAT_MAX_AGE_S", "180"),
        ("BREVET_OVERDUE_S", "150"),
        ("BREVET_MAX_OVERDUE", "7"),
        ("BREVET_BUNDLE_MAX_AGE_S", "900"),
        ("BREVET_ASK_AUDIENCE", "brevet"),
        ("BREVET_APPROVALS_AUDIENCE", "brevet/approvals"),
        ("BREVET_CREDENTIALS_AUDIENCE", "brevet/credentials"),
        ("BREVET_TABLE", "brevet-dev"),
    ];

    fn read(change: Option<(&'static str, Option<&'static str>)>) -> Result<Settings, ConfigError> {
        let mut set: BTreeMap<_, _> = GOOD.into_iter().collect();
        match change {
            Some((name, Some(value))) => drop(set.insert(name, value)),
            Some((name, None)) => drop(set.remove(name)),
            None => {}
        }
        Settings::read(|name| set.get(name).map(|value| (*value).to_owned()), 8)
    }

    #[test]
    fn settings_read_a_complete_environment() {
        let settings = read(None).unwrap();
        assert_eq!(settings.deployment.deny_policy_name(), "brevet-dev-ended");
        assert_eq!(settings.bounds, Bounds { skew_s: 2, quiet_s: 10, call_s: 8 });
        let issuance_policy =
            IssuancePolicy { max_age_s: 180, overdue_s: 150, max_overdue: 7, while_overdue: false, is_canary: false };
        assert_eq!((settings.issuance_policy, settings.bundle_max_age_s), (issuance_policy, 900));
        assert_eq!(settings.table, "brevet-dev");
    }

    #[test]
    fn missing_variable_is_named_with_its_required_value() {
        for (name, _) in GOOD {
            let error = read(Some((name, None))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("environment variable `{name}` is not set; it must be ")), "{error}");
        }
    }

    #[test]
    fn other_principals_accept_only_role_arns_or_nothing() {
        let read = |text: &'static str| other_principals(&Environment { lookup: move |_| Some(text.to_owned()) });
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        let two = read("arn:aws:iam::000000000000:role/a, arn:aws:iam::000000000000:role/x/b").unwrap();
        assert_eq!(two, ["arn:aws:iam::000000000000:role/a", "arn:aws:iam::000000000000:role/x/b"]);
        let error = read("arn:aws:iam::000000000000:user/a").unwrap_err().to_string();
        assert!(error.starts_with("environment variable `BREVET_ATTACHMENT_PRINCIPALS` is `arn:"), "{error}");
    }

    #[test]
    fn wrong_variable_is_named_with_its_actual_value() {
        for (name, value) in [
            ("BREVET_DEPLOYMENT", "Dev"),
            ("BREVET_ACCOUNT", "12"),
            ("BREVET_PARTITION", "azure"),
            ("AWS_REGION", "moon"),
            ("BREVET_SKEW_S", "0"),
            ("BREVET_QUIET_S", "ten"),
            ("BREVET_HEARTBEAT_MAX_AGE_S", "-5"),
            ("BREVET_OVERDUE_S", "14"),
            ("BREVET_MAX_OVERDUE", "41"),
            ("BREVET_BUNDLE_MAX_AGE_S", "3601"),
            ("BREVET_ASK_AUDIENCE", ""),
            ("BREVET_APPROVALS_AUDIENCE", "brevet"),
            ("BREVET_CREDENTIALS_AUDIENCE", "brevet"),
            ("BREVET_CREDENTIALS_AUDIENCE", "brevet/approvals"),
            ("BREVET_TABLE", ""),
        ] {
            let error = read(Some((name, Some(value)))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("environment variable `{name}` is `{value}`; it must be ")), "{error}");
        }
    }
}
