//! The contract of the reserved deny on session roles.

use std::sync::Arc;

use brevet_domain::deny;

use crate::port::SessionRoles;

/// The port and a role to test it on.
#[derive(Clone)]
pub struct Fixture {
    pub roles: Arc<dyn SessionRoles>,
    /// A session role without inline policies.
    pub role_arn: String,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

const POLICY: &str = "brevet-dev-ended";

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! roles_contract {
    ($made:expr) => {
        $crate::contract_tests! { roles, $made, missing_policy_reads_as_none_with_an_id_and_a_date put_document_reads_back_exactly put_replaces_the_previous_document deleted_policy_reads_as_none_and_delete_can_be_repeated policies_with_other_names_are_left_alone every_read_has_its_own_id_and_dates_do_not_run_back }
    };
}

fn document(names: &[&str]) -> String {
    deny::document(names.iter().copied()).unwrap().unwrap()
}

/// Absence is an answer of AWS like any other.
pub async fn missing_policy_reads_as_none_with_an_id_and_a_date(fixture: &Fixture) {
    let reading = fixture.roles.read_deny(&fixture.role_arn, POLICY).await.unwrap();
    assert_eq!(reading.document, None);
    assert!(!reading.request_id.is_empty());
    assert!(reading.aws_date.as_seconds() > 1_700_000_000, "{}", reading.aws_date);
}

/// A document is read back as it was put, not URL-encoded.
pub async fn put_document_reads_back_exactly(fixture: &Fixture) {
    let text = document(&["dev.01A", "dev.01B"]);
    fixture.roles.put_deny(&fixture.role_arn, POLICY, &text).await.unwrap();
    let reading = fixture.roles.read_deny(&fixture.role_arn, POLICY).await.unwrap();
    assert_eq!(reading.document, Some(text));
    assert!(!reading.request_id.is_empty());
    assert!(reading.aws_date.as_seconds() > 1_700_000_000, "{}", reading.aws_date);
}

/// A put replaces the whole document.
pub async fn put_replaces_the_previous_document(fixture: &Fixture) {
    fixture.roles.put_deny(&fixture.role_arn, POLICY, &document(&["dev.01A"])).await.unwrap();
    fixture.roles.put_deny(&fixture.role_arn, POLICY, &document(&["dev.01B"])).await.unwrap();
    let reading = fixture.roles.read_deny(&fixture.role_arn, POLICY).await.unwrap();
    assert_eq!(reading.document, Some(document(&["dev.01B"])));
}

/// A delete can be repeated.
pub async fn deleted_policy_reads_as_none_and_delete_can_be_repeated(fixture: &Fixture) {
    fixture.roles.put_deny(&fixture.role_arn, POLICY, &document(&["dev.01A"])).await.unwrap();
    fixture.roles.delete_deny(&fixture.role_arn, POLICY).await.unwrap();
    assert_eq!(fixture.roles.read_deny(&fixture.role_arn, POLICY).await.unwrap().document, None);
    fixture.roles.delete_deny(&fixture.role_arn, POLICY).await.unwrap();
}

/// Two installations do not touch each other's policies.
pub async fn policies_with_other_names_are_left_alone(fixture: &Fixture) {
    let other = "brevet-other-ended";
    fixture.roles.put_deny(&fixture.role_arn, other, &document(&["other.01A"])).await.unwrap();
    fixture.roles.put_deny(&fixture.role_arn, POLICY, &document(&["dev.01A"])).await.unwrap();
    fixture.roles.delete_deny(&fixture.role_arn, POLICY).await.unwrap();
    let reading = fixture.roles.read_deny(&fixture.role_arn, other).await.unwrap();
    assert_eq!(reading.document, Some(document(&["other.01A"])));
}

/// Two reads have different request ids.
pub async fn every_read_has_its_own_id_and_dates_do_not_run_back(fixture: &Fixture) {
    let first = fixture.roles.read_deny(&fixture.role_arn, POLICY).await.unwrap();
    let second = fixture.roles.read_deny(&fixture.role_arn, POLICY).await.unwrap();
    assert_ne!(first.request_id, second.request_id);
    assert!(first.aws_date <= second.aws_date);
    assert_eq!(second.aws_date, second.aws_date.floor());
}
