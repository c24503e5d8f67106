//! The contract of attachment principals: read, attach, remove, and check the effective access.

use std::sync::Arc;

use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_domain::time::Timestamp;
use serde_json::json;

use crate::port::{AttachmentStatus, AttachmentTarget, Deprovisioner, PortError, Principal, Principals, Provisioner};

/// The ports and the principals to test them on.
#[derive(Clone)]
pub struct Fixture {
    pub principals: Arc<dyn Principals>,
    pub provisioner: Arc<dyn Provisioner>,
    pub deprovisioner: Arc<dyn Deprovisioner>,
    /// A role with `boundary_arn` and no policies.
    pub role_arn: String,
    /// The permissions boundary of `role_arn`.
    pub boundary_arn: String,
    /// A role without a boundary or policies.
    pub bare_arn: String,
    /// A role that does not exist.
    pub gone_arn: String,
    /// Two managed policies that exist.
    pub policy_arns: [String; 2],
    /// AWS's current time, to within five seconds.
    pub now: Timestamp,
    /// Whether the simulator evaluates conditions and names the policies that allow. LocalStack's matches actions and
    /// resources literally, ignores conditions, and names no policy.
    pub has_full_simulator: bool,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! principals_contract {
    ($made:expr) => {
        $crate::contract_tests! { principals, $made, fresh_principal_shows_its_boundary_and_no_policies attached_policy_reads_back_as_present repeated_attach_leaves_one_policy other_document_under_the_same_name_reads_as_altered removed_policy_reads_as_absent_and_removal_can_be_repeated removal_leaves_other_policies every_reading_has_its_own_id missing_principal_reads_as_absent_and_refuses_an_attach arn_with_another_path_is_refused attached_policy_allows_until_it_is_removed }
    };
}

const NAME: &str = "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV";
const OTHER_NAME: &str = "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAW";

fn probe() -> Probe {
    Probe { action: "s3:GetObject".to_owned(), resource: "arn:aws:s3:::shop/orders.csv".to_owned() }
}

impl Fixture {
    fn inline(&self, name: &str, resource: &str) -> AttachmentPlan {
        let statement = json!({
            "Action": [probe().action],
            "Condition": {"DateLessThan": {"aws:CurrentTime": [self.now.plus(60).policy_form()]}},
            "Effect": "Allow",
            "Resource": [resource],
        });
        AttachmentPlan::Inline {
            principal_arn: self.role_arn.clone(),
            policy_name: name.to_owned(),
            document: json!({"Statement": [statement], "Version": "2012-10-17"}).to_string(),
        }
    }

    fn managed(&self, n: usize) -> AttachmentPlan {
        let policy_arn = self.policy_arns[n].clone();
        AttachmentPlan::Managed { principal_arn: self.role_arn.clone(), policy_arn }
    }

    /// An inline and a managed plan.
    fn both(&self) -> [AttachmentPlan; 2] {
        [self.inline(NAME, &probe().resource), self.managed(0)]
    }

    async fn attach(&self, plan: &AttachmentPlan) {
        self.provisioner.attach(plan).await.unwrap();
    }

    async fn remove(&self, plan: &AttachmentPlan) {
        self.deprovisioner.remove(&target(plan)).await.unwrap();
    }

    async fn status(&self, plan: &AttachmentPlan) -> AttachmentStatus {
        let reading = self.principals.read(&target(plan)).await.unwrap();
        assert!(!reading.request_id.is_empty());
        reading.against(plan.digest())
    }

    async fn principal(&self) -> Principal {
        self.principals.principal(&self.role_arn).await.unwrap()
    }

    async fn effective(&self, now: Timestamp) -> EffectiveAccess {
        self.deprovisioner.effective(&self.role_arn, &[probe()], now).await.unwrap()
    }
}

fn target(plan: &AttachmentPlan) -> AttachmentTarget {
    match plan.clone() {
        AttachmentPlan::Inline { principal_arn, policy_name, .. } => {
            AttachmentTarget::Inline { principal_arn, policy_name }
        }
        AttachmentPlan::Managed { principal_arn, policy_arn } => {
            AttachmentTarget::Managed { principal_arn, policy_arn }
        }
    }
}

fn on(principal_arn: &str, plan: AttachmentPlan) -> AttachmentPlan {
    let principal_arn = principal_arn.to_owned();
    match plan {
        AttachmentPlan::Inline { policy_name, document, .. } => {
            AttachmentPlan::Inline { principal_arn, policy_name, document }
        }
        AttachmentPlan::Managed { policy_arn, .. } => AttachmentPlan::Managed { principal_arn, policy_arn },
    }
}

fn names(principal: &Principal) -> (Vec<&str>, Vec<&str>) {
    let inline = principal.inline.keys().map(String::as_str).collect();
    (inline, principal.attached.iter().map(String::as_str).collect())
}

/// A boundary is read if there is one. Absence is an answer of AWS like any other.
pub async fn fresh_principal_shows_its_boundary_and_no_policies(fixture: &Fixture) {
    let principal = fixture.principal().await;
    assert_eq!(principal.boundary_arn.as_deref(), Some(fixture.boundary_arn.as_str()));
    assert_eq!(names(&principal), (vec![], vec![]));
    assert!((1..=100).contains(&principal.attached_quota), "{}", principal.attached_quota);
    assert_eq!(fixture.principals.principal(&fixture.bare_arn).await.unwrap().boundary_arn, None);
    for plan in fixture.both() {
        assert_eq!(fixture.status(&plan).await, AttachmentStatus::Absent, "{plan:?}");
    }
}

/// Documents are read back as they were put, not URL-encoded.
pub async fn attached_policy_reads_back_as_present(fixture: &Fixture) {
    let plans = fixture.both();
    for plan in &plans {
        fixture.attach(plan).await;
        assert_eq!(fixture.status(plan).await, AttachmentStatus::Present, "{plan:?}");
    }
    let principal = fixture.principal().await;
    assert_eq!(names(&principal), (vec![NAME], vec![fixture.policy_arns[0].as_str()]));
    assert!(matches!(&plans[0], AttachmentPlan::Inline { document, .. } if *document == principal.inline[NAME]));
    // Another policy than the requested one is not present.
    assert_eq!(fixture.status(&fixture.managed(1)).await, AttachmentStatus::Absent);
}

/// A repeated call leaves one policy.
pub async fn repeated_attach_leaves_one_policy(fixture: &Fixture) {
    for plan in fixture.both() {
        fixture.attach(&plan).await;
        fixture.attach(&plan).await;
        assert_eq!(fixture.status(&plan).await, AttachmentStatus::Present, "{plan:?}");
    }
    assert_eq!(names(&fixture.principal().await), (vec![NAME], vec![fixture.policy_arns[0].as_str()]));
}

/// A put replaces the whole document, and any document but the planned one reads as altered.
pub async fn other_document_under_the_same_name_reads_as_altered(fixture: &Fixture) {
    let (plan, other) = (fixture.inline(NAME, &probe().resource), fixture.inline(NAME, "arn:aws:s3:::shop/other.csv"));
    fixture.attach(&plan).await;
    fixture.attach(&other).await;
    assert_eq!(fixture.status(&plan).await, AttachmentStatus::Altered);
    assert_eq!(fixture.status(&other).await, AttachmentStatus::Present);
}

/// A removal can be repeated.
pub async fn removed_policy_reads_as_absent_and_removal_can_be_repeated(fixture: &Fixture) {
    for plan in fixture.both() {
        fixture.remove(&plan).await;
        fixture.attach(&plan).await;
        fixture.remove(&plan).await;
        assert_eq!(fixture.status(&plan).await, AttachmentStatus::Absent, "{plan:?}");
        fixture.remove(&plan).await;
    }
    assert_eq!(names(&fixture.principal().await), (vec![], vec![]));
}

/// Policies of other grants on the same principal stay.
pub async fn removal_leaves_other_policies(fixture: &Fixture) {
    let others = [fixture.inline(OTHER_NAME, &probe().resource), fixture.managed(1)];
    for plan in fixture.both().iter().chain(&others) {
        fixture.attach(plan).await;
    }
    for plan in fixture.both() {
        fixture.remove(&plan).await;
    }
    for plan in &others {
        assert_eq!(fixture.status(plan).await, AttachmentStatus::Present, "{plan:?}");
    }
    assert_eq!(names(&fixture.principal().await), (vec![OTHER_NAME], vec![fixture.policy_arns[1].as_str()]));
}

/// Two reads have different request ids.
pub async fn every_reading_has_its_own_id(fixture: &Fixture) {
    for plan in fixture.both() {
        let first = fixture.principals.read(&target(&plan)).await.unwrap();
        let second = fixture.principals.read(&target(&plan)).await.unwrap();
        assert_ne!(first.request_id, second.request_id);
    }
}

/// A grant on a deleted role can end, and no grant can begin there.
pub async fn missing_principal_reads_as_absent_and_refuses_an_attach(fixture: &Fixture) {
    for plan in fixture.both() {
        let plan = on(&fixture.gone_arn, plan);
        assert_eq!(fixture.status(&plan).await, AttachmentStatus::Absent, "{plan:?}");
        fixture.remove(&plan).await;
        let answer = fixture.provisioner.attach(&plan).await;
        assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    }
    let error = fixture.principals.principal(&fixture.gone_arn).await.unwrap_err();
    assert!(matches!(error, PortError::Refused { .. }), "{error:?}");
    assert!(error.chain().ends_with(&format!("there is no role `{}`", fixture.gone_arn)), "{}", error.chain());
    let answer = fixture.deprovisioner.effective(&fixture.gone_arn, &[probe()], fixture.now).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

/// IAM itself names roles without their paths, but rights and rules are about paths.
pub async fn arn_with_another_path_is_refused(fixture: &Fixture) {
    let (account, name) =
        (fixture.role_arn.split(":role/").next().unwrap(), fixture.role_arn.rsplit('/').next().unwrap());
    let answer = fixture.principals.principal(&format!("{account}:role/elsewhere/{name}")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

/// The simulator names the remaining policies.
pub async fn attached_policy_allows_until_it_is_removed(fixture: &Fixture) {
    assert_eq!(remaining(fixture.effective(fixture.now).await), None);
    let plan = fixture.inline(NAME, &probe().resource);
    fixture.attach(&plan).await;
    let policies = remaining(fixture.effective(fixture.now).await).unwrap();
    if fixture.has_full_simulator {
        assert_eq!(policies, [NAME]);
        assert_eq!(remaining(fixture.effective(fixture.now.plus(60)).await), None);
    }
    fixture.remove(&plan).await;
    assert_eq!(remaining(fixture.effective(fixture.now).await), None);
}

/// The policies that still allow something. `None` if nothing is allowed.
fn remaining(found: EffectiveAccess) -> Option<Vec<String>> {
    assert!(!matches!(found, EffectiveAccess::Undetermined { .. }), "{found:?}");
    if let EffectiveAccess::Residual { policies } = found { Some(policies) } else { None }
}
