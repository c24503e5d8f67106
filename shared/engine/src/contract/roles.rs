//! What every implementation of the reserved deny keeps.

use std::sync::Arc;

use brevet_domain::deny;

use crate::port::SessionRoles;

/// The port, and the role that it is tried on.
#[derive(Clone)]
pub struct Tried {
    /// The port.
    pub roles: Arc<dyn SessionRoles>,
    /// A session role without inline policies.
    pub role_arn: String,
}

impl std::fmt::Debug for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tried").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

const POLICY: &str = "brevet-dev-ended";

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! roles_contract {
    ($made:expr) => {
        $crate::contract_tests! { roles, $made, no_policy_reads_as_none_with_an_id_and_a_date what_is_put_reads_back_exactly a_put_replaces_what_stood there_is_nothing_after_a_delete_and_deleting_nothing_is_fine policies_of_other_names_are_left_alone every_read_has_its_own_id_and_time_does_not_run_back }
    };
}

fn document(names: &[&str]) -> String {
    deny::document(names.iter().copied()).unwrap().unwrap()
}

/// Absence is an answer of AWS like any other.
pub async fn no_policy_reads_as_none_with_an_id_and_a_date(tried: &Tried) {
    let reading = tried.roles.read_deny(&tried.role_arn, POLICY).await.unwrap();
    assert_eq!(reading.document, None);
    assert!(!reading.request_id.is_empty());
    assert!(reading.aws_date.as_seconds() > 1_700_000_000, "{}", reading.aws_date);
}

/// What is put comes back as it was, not encoded.
pub async fn what_is_put_reads_back_exactly(tried: &Tried) {
    let text = document(&["dev.01A", "dev.01B"]);
    tried.roles.put_deny(&tried.role_arn, POLICY, &text).await.unwrap();
    let reading = tried.roles.read_deny(&tried.role_arn, POLICY).await.unwrap();
    assert_eq!(reading.document, Some(text));
    assert!(!reading.request_id.is_empty());
    assert!(reading.aws_date.as_seconds() > 1_700_000_000, "{}", reading.aws_date);
}

/// A put is the whole document.
pub async fn a_put_replaces_what_stood(tried: &Tried) {
    tried.roles.put_deny(&tried.role_arn, POLICY, &document(&["dev.01A"])).await.unwrap();
    tried.roles.put_deny(&tried.role_arn, POLICY, &document(&["dev.01B"])).await.unwrap();
    let reading = tried.roles.read_deny(&tried.role_arn, POLICY).await.unwrap();
    assert_eq!(reading.document, Some(document(&["dev.01B"])));
}

/// A delete deletes, and may be repeated.
pub async fn there_is_nothing_after_a_delete_and_deleting_nothing_is_fine(tried: &Tried) {
    tried.roles.put_deny(&tried.role_arn, POLICY, &document(&["dev.01A"])).await.unwrap();
    tried.roles.delete_deny(&tried.role_arn, POLICY).await.unwrap();
    assert_eq!(tried.roles.read_deny(&tried.role_arn, POLICY).await.unwrap().document, None);
    tried.roles.delete_deny(&tried.role_arn, POLICY).await.unwrap();
}

/// Two installations do not touch each other's policy.
pub async fn policies_of_other_names_are_left_alone(tried: &Tried) {
    let other = "brevet-other-ended";
    tried.roles.put_deny(&tried.role_arn, other, &document(&["other.01A"])).await.unwrap();
    tried.roles.put_deny(&tried.role_arn, POLICY, &document(&["dev.01A"])).await.unwrap();
    tried.roles.delete_deny(&tried.role_arn, POLICY).await.unwrap();
    let reading = tried.roles.read_deny(&tried.role_arn, other).await.unwrap();
    assert_eq!(reading.document, Some(document(&["other.01A"])));
}

/// Two readings are two answers.
pub async fn every_read_has_its_own_id_and_time_does_not_run_back(tried: &Tried) {
    let first = tried.roles.read_deny(&tried.role_arn, POLICY).await.unwrap();
    let second = tried.roles.read_deny(&tried.role_arn, POLICY).await.unwrap();
    assert_ne!(first.request_id, second.request_id);
    assert!(first.aws_date <= second.aws_date);
    assert_eq!(second.aws_date, second.aws_date.floor());
}
