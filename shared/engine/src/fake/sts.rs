//! The fake of STS. It keeps the vended sessions and tells which of them could still act.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::plan::SessionPlan;
use brevet_domain::time::Timestamp;
use serde_json::Value;

use super::faults::{CallKind, CallMode, Faults};
use super::locked;
use super::roles::MemoryRoles;
use super::time::ManualClock;
use crate::port::{Clock, Credentials, PortResult, Vended, Vendor};

/// A vended session, whether or not its answer arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The number of port calls begun before the vend.
    pub number: u64,
    pub access_key_id: String,
    pub plan: SessionPlan,
    pub vended_at: Timestamp,
    pub expires_at: Timestamp,
}

/// STS in memory.
#[derive(Debug)]
pub struct MemorySts {
    vended: Mutex<Vec<Session>>,
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
}

impl MemorySts {
    /// Starts without sessions. AWS's clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        Self { vended: Mutex::default(), clock, faults }
    }

    /// Every session vended up to now, in the order of the calls. No port call.
    #[must_use]
    pub fn vended(&self) -> Vec<Session> {
        let now = self.clock.now();
        let all = locked(&self.vended);
        all.iter().filter(|session| session.vended_at <= now).cloned().collect()
    }

    /// The sessions that could act now: not expired, and denied neither by their own time limit nor by the reserved
    /// policy `policy_name` of their role.
    ///
    /// Reads the policies itself and shares no code with the rendering. No port call.
    #[must_use]
    pub fn live(&self, roles: &MemoryRoles, policy_name: &str) -> Vec<Session> {
        self.maybe_live(roles, policy_name, 0)
    }

    /// Like [`Self::live`], if enforcement lags configuration by an unknown time up to `lag_s` seconds: the sessions
    /// that at least one possibly enforced policy does not deny.
    #[must_use]
    pub fn maybe_live(&self, roles: &MemoryRoles, policy_name: &str, lag_s: u32) -> Vec<Session> {
        let now = self.clock.now();
        let denied = |session: &Session| {
            let denies = |text: &str| is_denied(text, &session.plan.session_name, session.vended_at);
            denies_from(&session.plan.policy, now)
                || roles
                    .maybe_enforced(&session.plan.role_arn, policy_name, lag_s)
                    .iter()
                    .all(|reserved| reserved.as_deref().is_some_and(denies))
        };
        let all = self.vended().into_iter();
        all.filter(|session| now < session.expires_at && !denied(session)).collect()
    }
}

/// Whether the reserved policy `document` denies the session called `session_name`, issued at `issued_at`.
#[must_use]
pub fn is_denied(document: &str, session_name: &str, issued_at: Timestamp) -> bool {
    denies_user(document, &format!(":{session_name}")) || denies_issued(document, issued_at)
}

fn denials(policy: &str) -> Vec<Value> {
    let parsed: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = parsed.get("Statement").and_then(Value::as_array);
    let all = statements.into_iter().flatten();
    all.filter(|statement| {
        statement.get("Effect") == Some(&"Deny".into()) && statement.get("Action") == Some(&"*".into())
    })
    .cloned()
    .collect()
}

fn denies_from(policy: &str, now: Timestamp) -> bool {
    let limit = |statement: &Value| {
        let text = statement.pointer("/Condition/DateGreaterThanEquals/aws:CurrentTime")?;
        text.as_str()?.parse::<Timestamp>().ok()
    };
    denials(policy).iter().filter_map(limit).any(|limit| now >= limit)
}

fn denies_user(policy: &str, user: &str) -> bool {
    denials(policy).iter().any(|statement| {
        let users = statement.pointer("/Condition/StringLike/aws:userid");
        let users = users.and_then(Value::as_array).into_iter().flatten();
        users.filter_map(Value::as_str).any(|pattern| pattern.strip_prefix('*') == Some(user))
    })
}

/// `aws:TokenIssueTime` has whole seconds.
fn denies_issued(policy: &str, at: Timestamp) -> bool {
    let limit = |statement: &Value| {
        let text = statement.pointer("/Condition/DateLessThan/aws:TokenIssueTime")?;
        text.as_str()?.parse::<Timestamp>().ok()
    };
    denials(policy).iter().filter_map(limit).any(|limit| at.floor() < limit)
}

#[async_trait]
impl Vendor for MemorySts {
    async fn vend(&self, plan: &SessionPlan) -> PortResult<Vended> {
        let act = |mode: CallMode| {
            let now = match mode {
                CallMode::Late(seconds) => self.clock.now().plus(seconds),
                CallMode::Now | CallMode::Stale => self.clock.now(),
            };
            let expires_at = now.plus(plan.duration_s).floor();
            let mut vended = locked(&self.vended);
            let access_key_id = format!("ASIAMEMORY{:010}", vended.len().saturating_add(1));
            vended.push(Session {
                number: self.faults.n_calls(),
                access_key_id: access_key_id.clone(),
                plan: plan.clone(),
                vended_at: now,
                expires_at,
            });
            Ok(Vended {
                credentials: Credentials {
                    secret_access_key: format!("secret of {access_key_id}"),
                    session_token: format!("token of {access_key_id}"),
                    access_key_id,
                },
                expires_at,
                packed_percent: Some(10),
            })
        };
        self.faults.call("vend", CallKind::RoleWrite, act).await
    }
}
