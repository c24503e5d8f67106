//! Ids of grants, evidence, identities, entitlements and deployments. Parsing validates an id once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

macro_rules! prefixed_ulid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// The id with the number `ulid`.
            #[must_use]
            pub fn from_ulid(ulid: Ulid) -> Self {
                Self(ulid)
            }

            /// The ULID without its prefix.
            #[must_use]
            pub fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the written form is valid: `Ulid` itself also reads lower case and look-alike letters.
                text.strip_prefix($prefix)
                    .and_then(|ulid| Ulid::from_string(ulid).ok())
                    .map(Self)
                    .filter(|id| id.to_string() == text)
                    .ok_or_else(|| IdError::new(text, $expected))
            }
        }

        text_form!($name);
    };
}

prefixed_ulid!(
    /// Names a grant, from the request on: `grt_` and a ULID, 30 characters.
    GrantId, "grt_", "a grant id (`grt_` and 26 characters, as the answer to a request gives it)"
);
impl GrantId {
    /// The id of no grant. Dry runs use it in the names that they show.
    pub const NONE: Self = Self(Ulid::nil());
}

prefixed_ulid!(
    /// Names an evidence entry: `evd_` and a ULID.
    EvidenceId, "evd_", "an evidence id (`evd_` and 26 characters)"
);

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $max:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut chars = text.chars();
                let starts = chars.next().is_some_and(|c| c.is_ascii_lowercase());
                let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
                if starts && rest && (2..=$max).contains(&text.len()) && !text.ends_with('-') {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::new(text, $expected))
                }
            }
        }

        text_form!($name);
    };
}

slug!(
    /// Names a registered identity. It is the STS source identity, hence 2 to 64 characters of STS's own alphabet.
    ///
    /// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    IdentityId, 64, "an identity id (2 to 64 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names a team of identities.
    TeamId, 64, "a team id (2 to 64 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names a step of an approval.
    StepName, 32, "the name of a step (2 to 32 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names an entitlement.
    EntitlementId, 64, "an entitlement id (2 to 64 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names a schedule: a recurring window that the catalogue declares.
    ScheduleId, 64, "a schedule id (2 to 64 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names a configured token issuer.
    IssuerId, 64, "an issuer id (2 to 64 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names a session role of this deployment, without path and prefix.
    TargetName, 32, "a target name (2 to 32 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names a managed policy that this deployment attaches, without path and prefix.
    PolicyName, 64, "a policy name (2 to 64 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names an environment that entitlements reach.
    EnvironmentName, 32, "an environment (2 to 32 of `a-z`, `0-9`, `-`, starting with a letter)"
);
slug!(
    /// Names an installation of Brevet. Every AWS name of the installation contains it, so it is short.
    DeploymentId, 10, "a deployment id (2 to 10 of `a-z`, `0-9`, `-`, starting with a letter)"
);

impl StepName {
    /// The single step of an approval without steps: `approval`.
    #[must_use]
    pub fn single() -> Self {
        Self("approval".to_owned())
    }
}

/// An AWS account number: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::new(text, "an AWS account number of 12 digits"))
        }
    }
}

text_form!(AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_id_parses_only_its_written_form() {
        let id = GrantId::from_ulid(Ulid::from_parts(1 << 40, 0xABCDEF));
        assert_eq!(id.to_string().parse(), Ok(id));
        let lower = id.to_string().to_lowercase();
        for text in ["", "grt_", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "grt_../..", "evd_01ARZ3NDEKTSV4RRFFQ69G5FAV", &lower] {
            assert!(text.parse::<GrantId>().is_err(), "{text}");
        }
    }

    #[test]
    fn slug_rejects_text_that_iam_or_a_key_could_misread() {
        for text in ["", "a", "A-b", "a_b", "a#b", "a*", "-ab", "ab-", "1ab", "aws:x", &"a".repeat(65)] {
            assert!(text.parse::<IdentityId>().is_err(), "{text}");
        }
        assert!("release-pipeline".parse::<IdentityId>().is_ok());
    }
}
