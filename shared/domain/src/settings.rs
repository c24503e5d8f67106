//! What an installation fixes: its names in AWS and its bounds on time.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, DeploymentId, GrantId, PolicyName, TargetName};
use crate::time::Timestamp;

/// One installation of Brevet in one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its short name.
    pub id: DeploymentId,
    /// The account that holds its roles.
    pub account: AccountId,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The Region that the functions run in.
    pub region: String,
}

impl Deployment {
    /// The ARN of session role `target`: `arn:aws:iam::<account>:role/brevet/<dep>/session/brevet-<dep>-<target>`.
    #[must_use]
    pub fn session_role_arn(&self, target: &TargetName) -> String {
        let Self { id, account, partition, .. } = self;
        format!("arn:{partition}:iam::{account}:role/brevet/{id}/session/brevet-{id}-{target}")
    }

    /// The ARN of managed policy `name`: `arn:aws:iam::<account>:policy/brevet/<dep>/managed/brevet-<dep>-<name>`.
    ///
    /// The name carries the deployment too: IAM wants policy names to differ in an account, whatever their path.
    #[must_use]
    pub fn managed_policy_arn(&self, name: &PolicyName) -> String {
        let Self { id, account, partition, .. } = self;
        format!("arn:{partition}:iam::{account}:policy/brevet/{id}/managed/brevet-{id}-{name}")
    }

    /// Whether `policy_arn` is one that this installation alone attaches.
    #[must_use]
    pub fn is_managed(&self, policy_arn: &str) -> bool {
        let Self { id, account, partition, .. } = self;
        policy_arn.starts_with(&format!("arn:{partition}:iam::{account}:policy/brevet/{id}/managed/"))
    }

    /// The ARN of the permissions boundary that every attachment principal carries.
    #[must_use]
    pub fn boundary_arn(&self) -> String {
        let Self { id, account, partition, .. } = self;
        format!("arn:{partition}:iam::{account}:policy/brevet/{id}/brevet-{id}-boundary")
    }

    /// The name of a grant's inline policy on its principal: `brevet-<dep>-<ULID>`.
    #[must_use]
    pub fn inline_policy_name(&self, grant: GrantId) -> String {
        format!("brevet-{}-{}", self.id, grant.ulid())
    }

    /// The grant whose inline policy is called exactly `policy_name`: no other installation's, and nobody else's.
    #[must_use]
    pub fn grant_of_own_policy(&self, policy_name: &str) -> Option<GrantId> {
        self.grant_of_policy(policy_name).filter(|id| self.inline_policy_name(*id) == policy_name)
    }

    /// The grant whose STS session is called exactly `session_name`.
    #[must_use]
    pub fn grant_of_session(&self, session_name: &str) -> Option<GrantId> {
        let ulid = session_name.strip_prefix(self.id.as_str())?.strip_prefix('.')?;
        let id = format!("grt_{ulid}").parse().ok()?;
        (self.session_name(id) == session_name).then_some(id)
    }

    /// The path of everything of this installation in IAM: `/brevet/<dep>/`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/brevet/{}/", self.id)
    }

    /// The grant whose inline policy is named at the end of `source`, as a check of effective permissions tells it.
    #[must_use]
    pub fn grant_of_policy(&self, source: &str) -> Option<GrantId> {
        let (_, ulid) = source.rsplit_once(&format!("brevet-{}-", self.id))?;
        format!("grt_{ulid}").parse().ok()
    }

    /// The STS session name of a grant: `<dep>.<ULID>`. Short, since the reserved deny spends its characters per entry.
    #[must_use]
    pub fn session_name(&self, grant: GrantId) -> String {
        format!("{}.{}", self.id, grant.ulid())
    }

    /// The name of the reserved inline policy that ends single sessions of a session role early.
    #[must_use]
    pub fn deny_policy_name(&self) -> String {
        format!("brevet-{}-ended", self.id)
    }
}

/// Bounds on time that hold for a grant; stored with it, so that an auditor can check them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// How far two clocks may be apart, in seconds. Default 60.
    pub skew_s: u32,
    /// How long an absence must last before a second read counts, in seconds, and the skew on top: another clock may
    /// have made the first. Default 10: AWS enforces about 4 s late.
    pub quiet_s: u32,
    /// The longest that one AWS call may take with all its attempts, in seconds.
    pub call_s: u32,
}

impl Bounds {
    /// The fence of a call that is recorded at `now`: one call's time to get to it, then all that it may take to land.
    #[must_use]
    pub fn fence(&self, now: Timestamp) -> Timestamp {
        now.plus(self.call_s).plus(self.landing_s())
    }

    /// How long an absence must last between two readings, in seconds: by whatever clocks they were made, AWS had as long
    /// as the quiet period to enforce what the first one showed.
    #[must_use]
    pub fn quiet_for_s(&self) -> u32 {
        self.quiet_s.saturating_add(self.skew_s)
    }

    /// How long after its start a call may still land, by any clock, in seconds.
    #[must_use]
    pub fn landing_s(&self) -> u32 {
        self.call_s.saturating_add(self.skew_s)
    }
}
