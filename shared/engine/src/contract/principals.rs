//! What every implementation of attachment principals keeps: reading, attaching, removing, and trying what remains.

use std::sync::Arc;

use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_domain::time::Timestamp;
use serde_json::json;

use crate::port::{Deprovisioner, Place, PortError, Principal, Principals, Provisioner, Seen};

/// The ports, and what they are tried on.
#[derive(Clone)]
pub struct Tried {
    /// Reads.
    pub principals: Arc<dyn Principals>,
    /// Attaches.
    pub provisioner: Arc<dyn Provisioner>,
    /// Removes.
    pub deprovisioner: Arc<dyn Deprovisioner>,
    /// A role with `boundary_arn` and no policies.
    pub role_arn: String,
    /// Its permissions boundary.
    pub boundary_arn: String,
    /// A role without a boundary or policies.
    pub bare_arn: String,
    /// A role that does not exist.
    pub gone_arn: String,
    /// Two managed policies that exist.
    pub policy_arns: [String; 2],
    /// AWS's present time, to within five seconds.
    pub now: Timestamp,
    /// Whether the simulator heeds conditions and says which policies allow. LocalStack's matches actions and resources
    /// literally, knows no conditions, and names no policy.
    pub has_full_simulator: bool,
}

impl std::fmt::Debug for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tried").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! principals_contract {
    ($made:expr) => {
        $crate::contract_tests! { principals, $made, a_fresh_principal_shows_its_boundary_and_no_policies what_is_attached_reads_back_as_present attaching_twice_is_attaching_once another_document_under_the_same_name_is_altered there_is_nothing_after_a_removal_and_removing_nothing_is_fine only_the_named_place_is_removed every_reading_has_its_own_id a_principal_that_is_gone_has_nothing_and_takes_nothing an_arn_that_names_another_path_is_another_principal what_is_attached_is_allowed_until_it_is_removed }
    };
}

const NAME: &str = "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAV";
const OTHER_NAME: &str = "brevet-dev-01ARZ3NDEKTSV4RRFFQ69G5FAW";

fn probe() -> Probe {
    Probe { action: "s3:GetObject".to_owned(), resource: "arn:aws:s3:::shop/orders.csv".to_owned() }
}

impl Tried {
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

    /// One of each kind.
    fn both(&self) -> [AttachmentPlan; 2] {
        [self.inline(NAME, &probe().resource), self.managed(0)]
    }

    async fn attach(&self, plan: &AttachmentPlan) {
        self.provisioner.attach(plan).await.unwrap();
    }

    async fn remove(&self, plan: &AttachmentPlan) {
        self.deprovisioner.remove(&place(plan)).await.unwrap();
    }

    async fn seen(&self, plan: &AttachmentPlan) -> Seen {
        let reading = self.principals.read(&place(plan)).await.unwrap();
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

fn place(plan: &AttachmentPlan) -> Place {
    match plan.clone() {
        AttachmentPlan::Inline { principal_arn, policy_name, .. } => Place::Inline { principal_arn, policy_name },
        AttachmentPlan::Managed { principal_arn, policy_arn } => Place::Managed { principal_arn, policy_arn },
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

/// A boundary shows where there is one, and absence is an answer of AWS like any other.
pub async fn a_fresh_principal_shows_its_boundary_and_no_policies(tried: &Tried) {
    let principal = tried.principal().await;
    assert_eq!(principal.boundary_arn.as_deref(), Some(tried.boundary_arn.as_str()));
    assert_eq!(names(&principal), (vec![], vec![]));
    assert!((1..=100).contains(&principal.attached_quota), "{}", principal.attached_quota);
    assert_eq!(tried.principals.principal(&tried.bare_arn).await.unwrap().boundary_arn, None);
    for plan in tried.both() {
        assert_eq!(tried.seen(&plan).await, Seen::Absent, "{plan:?}");
    }
}

/// Documents come back as they were, not encoded.
pub async fn what_is_attached_reads_back_as_present(tried: &Tried) {
    let plans = tried.both();
    for plan in &plans {
        tried.attach(plan).await;
        assert_eq!(tried.seen(plan).await, Seen::Present, "{plan:?}");
    }
    let principal = tried.principal().await;
    assert_eq!(names(&principal), (vec![NAME], vec![tried.policy_arns[0].as_str()]));
    assert!(matches!(&plans[0], AttachmentPlan::Inline { document, .. } if *document == principal.inline[NAME]));
    // A policy that is not the one that was asked for is not present.
    assert_eq!(tried.seen(&tried.managed(1)).await, Seen::Absent);
}

/// The same call again is the same policy.
pub async fn attaching_twice_is_attaching_once(tried: &Tried) {
    for plan in tried.both() {
        tried.attach(&plan).await;
        tried.attach(&plan).await;
        assert_eq!(tried.seen(&plan).await, Seen::Present, "{plan:?}");
    }
    assert_eq!(names(&tried.principal().await), (vec![NAME], vec![tried.policy_arns[0].as_str()]));
}

/// A put is the whole document, and any other than the planned one is told apart.
pub async fn another_document_under_the_same_name_is_altered(tried: &Tried) {
    let (plan, other) = (tried.inline(NAME, &probe().resource), tried.inline(NAME, "arn:aws:s3:::shop/other.csv"));
    tried.attach(&plan).await;
    tried.attach(&other).await;
    assert_eq!(tried.seen(&plan).await, Seen::Altered);
    assert_eq!(tried.seen(&other).await, Seen::Present);
}

/// A removal removes, and may be repeated.
pub async fn there_is_nothing_after_a_removal_and_removing_nothing_is_fine(tried: &Tried) {
    for plan in tried.both() {
        tried.remove(&plan).await;
        tried.attach(&plan).await;
        tried.remove(&plan).await;
        assert_eq!(tried.seen(&plan).await, Seen::Absent, "{plan:?}");
        tried.remove(&plan).await;
    }
    assert_eq!(names(&tried.principal().await), (vec![], vec![]));
}

/// What others hold on the same principal stays.
pub async fn only_the_named_place_is_removed(tried: &Tried) {
    let others = [tried.inline(OTHER_NAME, &probe().resource), tried.managed(1)];
    for plan in tried.both().iter().chain(&others) {
        tried.attach(plan).await;
    }
    for plan in tried.both() {
        tried.remove(&plan).await;
    }
    for plan in &others {
        assert_eq!(tried.seen(plan).await, Seen::Present, "{plan:?}");
    }
    assert_eq!(names(&tried.principal().await), (vec![OTHER_NAME], vec![tried.policy_arns[1].as_str()]));
}

/// Two readings are two answers.
pub async fn every_reading_has_its_own_id(tried: &Tried) {
    for plan in tried.both() {
        let first = tried.principals.read(&place(&plan)).await.unwrap();
        let second = tried.principals.read(&place(&plan)).await.unwrap();
        assert_ne!(first.request_id, second.request_id);
    }
}

/// A grant on a role that was deleted can end, and none can begin.
pub async fn a_principal_that_is_gone_has_nothing_and_takes_nothing(tried: &Tried) {
    for plan in tried.both() {
        let plan = on(&tried.gone_arn, plan);
        assert_eq!(tried.seen(&plan).await, Seen::Absent, "{plan:?}");
        tried.remove(&plan).await;
        let answer = tried.provisioner.attach(&plan).await;
        assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    }
    let error = tried.principals.principal(&tried.gone_arn).await.unwrap_err();
    assert!(matches!(error, PortError::Refused { .. }), "{error:?}");
    assert!(error.chain().ends_with(&format!("there is no role `{}`", tried.gone_arn)), "{}", error.chain());
    let answer = tried.deprovisioner.effective(&tried.gone_arn, &[probe()], tried.now).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

/// IAM itself names roles without their paths; rights and rules are about paths.
pub async fn an_arn_that_names_another_path_is_another_principal(tried: &Tried) {
    let (account, name) = (tried.role_arn.split(":role/").next().unwrap(), tried.role_arn.rsplit('/').next().unwrap());
    let answer = tried.principals.principal(&format!("{account}:role/elsewhere/{name}")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

/// The simulator says what remains, and from where.
pub async fn what_is_attached_is_allowed_until_it_is_removed(tried: &Tried) {
    assert_eq!(remaining(tried.effective(tried.now).await), None);
    let plan = tried.inline(NAME, &probe().resource);
    tried.attach(&plan).await;
    let policies = remaining(tried.effective(tried.now).await).unwrap();
    if tried.has_full_simulator {
        assert_eq!(policies, [NAME]);
        assert_eq!(remaining(tried.effective(tried.now.plus(60)).await), None);
    }
    tried.remove(&plan).await;
    assert_eq!(remaining(tried.effective(tried.now).await), None);
}

/// The policies that still allow something; nothing if nothing is allowed.
fn remaining(found: EffectiveAccess) -> Option<Vec<String>> {
    assert!(!matches!(found, EffectiveAccess::Undetermined { .. }), "{found:?}");
    if let EffectiveAccess::Residual { policies } = found { Some(policies) } else { None }
}
