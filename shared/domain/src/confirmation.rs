//! Checks that the current table is the one in service, and not a restored one.
//!
//! A restored table is another table: it lacks the blocks, uses and ends since its backup. The deploying role confirms
//! which table is in service, first at the installation and again after each restore. Nothing is issued from any other
//! table. Decisions from before the confirmation are void, because an older table could allow a second use.

use serde::{Deserialize, Serialize};

use crate::deny::CUT_S;
use crate::grant::Grant;
use crate::time::Timestamp;

/// The deploying role's confirmation that a table is in service. No function may write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The identity of the table: see [`table_identity`].
    pub table: String,
    /// The instant from which the confirmation counts.
    pub at: Timestamp,
    /// The person who confirms, for the record.
    pub by: String,
    /// Whether the installation is new, so that nothing was issued before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_first: bool,
}

/// The identity of a table, which differs even from an earlier table of the same name. It consists of the ARN and the
/// instant of creation in whole seconds since 1970.
///
/// AWS also gives each table a `TableId`, but emulators do not. The seconds are whole because AWS's tools round
/// fractions differently; no table is deleted and created again within a second.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html>
#[must_use]
pub fn table_identity(table_arn: &str, created_s: i64) -> String {
    format!("{table_arn}@{created_s}")
}

/// The reason why nothing is issued from a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// The table holds no confirmation: it is new, or was emptied.
    #[error("nobody has confirmed that the table `{table}` is in service")]
    Nothing { table: String },
    /// Another table was confirmed: this one was restored, or is used by mistake.
    #[error("the table is `{table}`, but the confirmed table in service is `{confirmed}`")]
    Other {
        table: String,
        /// The confirmed table.
        confirmed: String,
    },
}

impl Confirmation {
    /// Checks the stored confirmation `standing` against the current table.
    ///
    /// # Errors
    ///
    /// [`Unconfirmed`] if the current table is not the one in service.
    pub fn check(standing: Option<Self>, table: &str) -> Result<Self, Unconfirmed> {
        match standing {
            None => Err(Unconfirmed::Nothing { table: table.to_owned() }),
            Some(confirmation) if confirmation.table != table => {
                Err(Unconfirmed::Other { table: table.to_owned(), confirmed: confirmation.table })
            }
            Some(confirmation) => Ok(confirmation),
        }
    }

    /// Whether `grant` may have been decided before the confirmation, allowing for clock skew. Such a grant is void.
    #[must_use]
    pub fn voids(&self, grant: &Grant) -> bool {
        !self.is_first && grant.created_at < self.at.plus(grant.bounds.skew_s)
    }

    /// The instant before which every issued session is void, allowing for clock skew: a restored table may not know
    /// the session. `None` once no such session can be live any more.
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
    fn confirmation_accepts_only_the_confirmed_table() {
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
    fn sessions_issued_before_a_confirmation_are_void_while_they_can_be_live() {
        let at = Timestamp::from_millis(1_795_348_800_500);
        let confirmation = Confirmation { table: "t".to_owned(), at, by: "ana".to_owned(), is_first: false };
        let cut = Timestamp::from_seconds(1_795_348_811);
        assert_eq!(confirmation.cut(10, at), Some(cut));
        assert_eq!(confirmation.cut(10, cut.plus(CUT_S - 1)), Some(cut));
        assert_eq!(confirmation.cut(10, cut.plus(CUT_S)), None);
        assert_eq!(Confirmation { is_first: true, ..confirmation }.cut(10, at), None);
    }
}
