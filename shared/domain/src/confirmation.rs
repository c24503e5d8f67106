//! Whether the table at hand is the one that this installation went on with, or one that was put in its place.
//!
//! A restored table is another table: it has forgotten what was blocked, used and ended since its backup was made. The
//! deploying role says which table is in service, once at first and again after a restore; nothing is issued over any
//! other one. What was decided before it said so is void: by an older table it might be used a second time.

use serde::{Deserialize, Serialize};

use crate::deny::CUT_S;
use crate::grant::Grant;
use crate::time::Timestamp;

/// The deploying role's word that a table is in service. No function may write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// What tells the table from every other one: see [`table_identity`].
    pub table: String,
    /// From when on it counts.
    pub at: Timestamp,
    /// Who says so, for people.
    pub by: String,
    /// Whether the installation is new: nothing was issued before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_first: bool,
}

/// What tells a table from every other one, also from one that had its name before: its ARN, and when it was created in whole
/// seconds since 1970. (AWS gives each table a `TableId` too; emulators do not. Whole, since its tools round fractions
/// differently; no table is deleted and created anew within a second.)
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html>
#[must_use]
pub fn table_identity(table_arn: &str, created_s: i64) -> String {
    format!("{table_arn}@{created_s}")
}

/// Why nothing is issued over a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// Nobody said that any table is in service: it is new, or was emptied.
    #[error("nobody has confirmed that the table `{table}` is in service")]
    Nothing {
        /// The table.
        table: String,
    },
    /// Another table was in service: this one was restored, or stands in for it by mistake.
    #[error("the table is `{table}`, but the one that was confirmed to be in service is `{confirmed}`")]
    Other {
        /// The table.
        table: String,
        /// The one that was confirmed.
        confirmed: String,
    },
}

impl Confirmation {
    /// Holds `standing` against the table at hand.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`] if it is not the one in service.
    pub fn check(standing: Option<Self>, table: &str) -> Result<Self, Unconfirmed> {
        match standing {
            None => Err(Unconfirmed::Nothing { table: table.to_owned() }),
            Some(one) if one.table != table => {
                Err(Unconfirmed::Other { table: table.to_owned(), confirmed: one.table })
            }
            Some(one) => Ok(one),
        }
    }

    /// Whether `grant` was decided before it, by whatever clocks: then nothing of it is believed.
    #[must_use]
    pub fn voids(&self, grant: &Grant) -> bool {
        !self.is_first && grant.created_at < self.at.plus(grant.bounds.skew_s)
    }

    /// Every session that was issued before this is void, by whatever clocks: a restored table may not know of it. Nothing
    /// once none of them can live any more.
    #[must_use]
    pub fn cut(&self, skew_s: u32, now: Timestamp) -> Option<Timestamp> {
        let cut = self.at.plus(skew_s).plus(1).floor();
        (!self.is_first && now < cut.plus(CUT_S)).then_some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_that_was_confirmed_is_in_service() {
        let now = Timestamp::from_seconds(1_795_348_800);
        let table = table_identity("arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev", 1_795_000_000);
        assert!(table.ends_with("table/brevet-dev@1795000000"));
        let standing = Confirmation { table: table.clone(), at: now, by: "ana".to_owned(), is_first: false };
        assert_eq!(Confirmation::check(Some(standing.clone()), &table), Ok(standing.clone()));
        let restored = table_identity("arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev", 1_795_348_000);
        let error = Confirmation::check(Some(standing), &restored).unwrap_err().to_string();
        assert!(error.contains(&table) && error.contains(&restored), "{error}");
        let error = Confirmation::check(None, &table).unwrap_err().to_string();
        assert!(error.starts_with("nobody has confirmed"), "{error}");
    }

    #[test]
    fn what_was_issued_before_a_table_was_confirmed_is_void_for_as_long_as_it_can_live() {
        let at = Timestamp::from_millis(1_795_348_800_500);
        let word = Confirmation { table: "t".to_owned(), at, by: "ana".to_owned(), is_first: false };
        let cut = Timestamp::from_seconds(1_795_348_811);
        assert_eq!(word.cut(10, at), Some(cut));
        assert_eq!(word.cut(10, cut.plus(CUT_S - 1)), Some(cut));
        assert_eq!(word.cut(10, cut.plus(CUT_S)), None);
        assert_eq!(Confirmation { is_first: true, ..word }.cut(10, at), None);
    }
}
