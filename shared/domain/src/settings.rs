//! The settings of an installation: its names in AWS and its time bounds.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, DeploymentId, GrantId, PolicyName, TargetName};
use crate::time::Timestamp;

/// One installation of Brevet in one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The short name.
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
    /// The name contains the deployment too, because IAM policy names must be unique in an account, whatever their
    /// path.
    #[must_use]
    pub fn managed_policy_arn(&self, name: &PolicyName) -> String {
        let Self { id, account, partition, .. } = self;
        format!("arn:{partition}:iam::{account}:policy/brevet/{id}/managed/brevet-{id}-{name}")
    }

    /// Whether `policy_arn` is a managed policy that only this installation attaches.
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

    /// The grant of this installation whose inline policy has exactly the name `policy_name`.
    #[must_use]
    pub fn grant_of_own_policy(&self, policy_name: &str) -> Option<GrantId> {
        self.grant_of_policy(policy_name).filter(|id| self.inline_policy_name(*id) == policy_name)
    }

    /// The grant whose STS session has exactly the name `session_name`.
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

    /// The grant whose inline policy is named at the end of `source`, as an effective-permission check returns it.
    #[must_use]
    pub fn grant_of_policy(&self, source: &str) -> Option<GrantId> {
        let (_, ulid) = source.rsplit_once(&format!("brevet-{}-", self.id))?;
        format!("grt_{ulid}").parse().ok()
    }

    /// The STS session name of a grant: `<dep>.<ULID>`. Short, because each entry of the reserved deny contains it.
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

/// The time bounds of a grant, stored with it so that an auditor needs no other data to check them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The maximum difference between two clocks, in seconds. Default 60.
    pub skew_s: u32,
    /// The time that an absence must last before a second reading counts, in seconds. The skew is added, because
    /// another clock may have made the first reading. Default 10: AWS enforces about 4 s late.
    pub quiet_s: u32,
    /// The maximum time of one AWS call with all its attempts, in seconds.
    pub call_s: u32,
}

impl Bounds {
    /// The fence of a call that is recorded at `now`: the time of one call before it starts, then the time to take
    /// effect.
    #[must_use]
    pub fn fence(&self, now: Timestamp) -> Timestamp {
        now.plus(self.call_s).plus(self.landing_s())
    }

    /// The time that an absence must last between two readings, in seconds. Whatever clocks made the readings, AWS had
    /// the quiet period to enforce the state that the first one showed.
    #[must_use]
    pub fn quiet_for_s(&self) -> u32 {
        self.quiet_s.saturating_add(self.skew_s)
    }

    /// The time after its start in which a call may still take effect, by any clock, in seconds.
    #[must_use]
    pub fn landing_s(&self) -> u32 {
        self.call_s.saturating_add(self.skew_s)
    }
}
