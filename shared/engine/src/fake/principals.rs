//! The fake of attachment principals: their policies, writes that land late, and the access they allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::deny::MAX_ROLE_INLINE;
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_domain::time::Timestamp;
use serde_json::Value;

use super::faults::{CallKind, CallMode, Faults};
use super::locked;
use super::time::ManualClock;
use crate::port::{
    AttachmentTarget, Clock, Deprovisioner, PortError, PortResult, Principal, Principals, Provisioner, TargetReading,
};

/// One write that took effect on a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetWrite {
    /// The number of port calls begun before the write. `None` if a test made it without a port call.
    pub number: Option<u64>,
    /// The instant at which it took effect.
    pub at: Timestamp,
    pub target: AttachmentTarget,
    /// The document or policy that was put. `None` for a removal.
    pub put: Option<String>,
}

/// One reading of an attachment target, as AWS recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRead {
    /// The AWS request id.
    pub request_id: String,
    pub at: Timestamp,
    pub target: AttachmentTarget,
    /// The document or policy that was read, if any.
    pub standing: Option<String>,
}

#[derive(Debug, Default)]
struct Held {
    principals: BTreeMap<String, Principal>,
    underway: Vec<TargetWrite>,
    landed: Vec<TargetWrite>,
    reads: Vec<TargetRead>,
    refuses_removals: bool,
}

impl Held {
    /// Applies the writes that are due at `now`, in the order of landing.
    fn settle(&mut self, now: Timestamp) {
        let (mut due, later): (Vec<_>, Vec<_>) = self.underway.drain(..).partition(|write| write.at <= now);
        self.underway = later;
        due.sort_by_key(|write| write.at);
        for write in due {
            self.land(write);
        }
    }

    fn land(&mut self, write: TargetWrite) {
        let (AttachmentTarget::Inline { principal_arn, .. } | AttachmentTarget::Managed { principal_arn, .. }) =
            &write.target;
        if let Some(principal) = self.principals.get_mut(principal_arn) {
            match (&write.target, &write.put) {
                (AttachmentTarget::Inline { policy_name, .. }, Some(document)) => {
                    principal.inline.insert(policy_name.clone(), document.clone());
                }
                (AttachmentTarget::Inline { policy_name, .. }, None) => {
                    principal.inline.remove(policy_name);
                }
                (AttachmentTarget::Managed { policy_arn, .. }, Some(_)) => {
                    principal.attached.insert(policy_arn.clone());
                }
                (AttachmentTarget::Managed { policy_arn, .. }, None) => {
                    principal.attached.remove(policy_arn);
                }
            }
        }
        self.landed.push(write);
    }

    /// Whether IAM's quotas leave no room for the policy that is put.
    fn is_full(&self, target: &AttachmentTarget, put: Option<&str>) -> bool {
        match target {
            AttachmentTarget::Inline { principal_arn, policy_name } => {
                let inline = self.principals.get(principal_arn).map(|principal| &principal.inline);
                let others = inline.into_iter().flatten().filter(|(name, _)| *name != policy_name);
                let sizes = others.map(|(_, text)| text.as_str()).chain(put).map(size);
                sizes.fold(0, usize::saturating_add) > MAX_ROLE_INLINE
            }
            AttachmentTarget::Managed { principal_arn, policy_arn } => {
                self.principals.get(principal_arn).is_some_and(|principal| {
                    !principal.attached.contains(policy_arn) && principal.attached.len() >= principal.attached_quota
                })
            }
        }
    }

    fn standing(&self, target: &AttachmentTarget) -> Option<String> {
        match target {
            AttachmentTarget::Inline { principal_arn, policy_name } => {
                self.principals.get(principal_arn)?.inline.get(policy_name).cloned()
            }
            AttachmentTarget::Managed { principal_arn, policy_arn } => {
                self.principals.get(principal_arn)?.attached.get(policy_arn).cloned()
            }
        }
    }
}

/// Attachment principals in memory.
#[derive(Debug)]
pub struct MemoryPrincipals {
    held: Mutex<Held>,
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
}

impl MemoryPrincipals {
    /// Starts without principals. AWS's clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        Self { held: Mutex::default(), clock, faults }
    }

    /// Adds a principal with `boundary_arn` and no policies, as its owner would. No port call.
    pub fn add(&self, principal_arn: &str, boundary_arn: Option<&str>) {
        let principal = Principal {
            boundary_arn: boundary_arn.map(str::to_owned),
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
            attached_quota: 10,
        };
        locked(&self.held).principals.insert(principal_arn.to_owned(), principal);
    }

    /// The document or policy at `target` now. No port call.
    #[must_use]
    pub fn standing(&self, target: &AttachmentTarget) -> Option<String> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.standing(target)
    }

    /// Changes `target` outside Brevet. No port call.
    pub fn tamper(&self, target: &AttachmentTarget, put: Option<&str>) {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        held.land(TargetWrite { number: None, at: now, target: target.clone(), put: put.map(str::to_owned) });
    }

    /// Sets or removes a principal's permissions boundary outside Brevet. No port call.
    pub fn set_boundary(&self, principal_arn: &str, boundary_arn: Option<&str>) {
        if let Some(principal) = locked(&self.held).principals.get_mut(principal_arn) {
            principal.boundary_arn = boundary_arn.map(str::to_owned);
        }
    }

    /// Makes AWS refuse every removal from now on, or accept them again. No port call.
    pub fn refuse_removals(&self, refuses: bool) {
        locked(&self.held).refuses_removals = refuses;
    }

    /// Whether AWS refuses removals. No port call.
    #[must_use]
    pub fn refuses_removals(&self) -> bool {
        locked(&self.held).refuses_removals
    }

    /// The boundary and all policies of a principal now. No port call.
    #[must_use]
    pub fn whole(&self, principal_arn: &str) -> Option<Principal> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.principals.get(principal_arn).cloned()
    }

    /// Every principal, by ARN. No port call.
    #[must_use]
    pub fn arns(&self) -> Vec<String> {
        locked(&self.held).principals.keys().cloned().collect()
    }

    /// Every reading of an attachment target, in order. No port call.
    #[must_use]
    pub fn reads(&self) -> Vec<TargetRead> {
        locked(&self.held).reads.clone()
    }

    /// Every write that took effect, in the order of landing. No port call.
    #[must_use]
    pub fn landed(&self) -> Vec<TargetWrite> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.landed.clone()
    }

    /// Whether the policy at `target` allows anything now. A managed policy always does; an inline one has its own
    /// limits.
    ///
    /// Reads the policy itself and shares no code with the rendering. No port call.
    #[must_use]
    pub fn allows(&self, target: &AttachmentTarget) -> bool {
        let now = self.clock.now();
        match (target, self.standing(target)) {
            (_, None) => false,
            (AttachmentTarget::Managed { .. }, Some(_)) => true,
            (AttachmentTarget::Inline { .. }, Some(document)) => allows_at(&document, now),
        }
    }

    /// Whether AWS may still allow anything by the policy at `target`, or by one that was there up to `lag_s` seconds
    /// ago. Enforcement lags configuration by an unknown time up to `lag_s`. No port call.
    #[must_use]
    pub fn may_allow(&self, target: &AttachmentTarget, lag_s: u32) -> bool {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        let enforced = held.landed.iter().rev().filter(|write| write.target == *target);
        // Goes back to the write that has surely reached every enforcer by now.
        let (mut allows, since) = (false, now.minus(lag_s));
        for write in enforced {
            allows |= match (target, &write.put) {
                (_, None) => false,
                (AttachmentTarget::Managed { .. }, Some(_)) => true,
                (AttachmentTarget::Inline { .. }, Some(document)) => allows_at(document, now),
            };
            if write.at <= since {
                break;
            }
        }
        allows
    }

    async fn write(&self, call: &'static str, target: AttachmentTarget, put: Option<String>) -> PortResult<()> {
        let act = |mode: CallMode| {
            let now = self.clock.now();
            let mut held = locked(&self.held);
            held.settle(now);
            let (AttachmentTarget::Inline { principal_arn, .. } | AttachmentTarget::Managed { principal_arn, .. }) =
                &target;
            if put.is_some() && !held.principals.contains_key(principal_arn) {
                return Err(no_such_role(call, principal_arn));
            }
            if put.is_none() && held.refuses_removals {
                return Err(PortError::Refused { operation: call, source: "removals are denied".into() });
            }
            if put.is_some() && held.is_full(&target, put.as_deref()) {
                return Err(PortError::Refused {
                    operation: call,
                    source: format!("`{principal_arn}` is full").into(),
                });
            }
            let number = Some(self.faults.n_calls());
            match mode {
                CallMode::Late(seconds) => {
                    held.underway.push(TargetWrite { number, at: now.plus(seconds), target, put })
                }
                CallMode::Now | CallMode::Stale => held.land(TargetWrite { number, at: now, target, put }),
            }
            Ok(())
        };
        self.faults.call(call, CallKind::RoleWrite, act).await
    }
}

fn no_such_role(operation: &'static str, principal_arn: &str) -> PortError {
    PortError::Refused { operation, source: format!("there is no role `{principal_arn}`").into() }
}

/// The size in characters as IAM counts them: without white space.
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

fn allows_at(document: &str, now: Timestamp) -> bool {
    let parsed: Value = serde_json::from_str(document).unwrap_or_default();
    let statements = parsed.get("Statement").and_then(Value::as_array);
    statements.into_iter().flatten().any(|statement| {
        let limit = |operator: &str| -> Option<Timestamp> {
            let at = statement.pointer(&format!("/Condition/{operator}/aws:CurrentTime/0"))?;
            at.as_str()?.parse().ok()
        };
        let has_begun = limit("DateGreaterThanEquals").is_none_or(|from| now >= from);
        let is_over = limit("DateLessThan").is_some_and(|until| now >= until);
        statement.get("Effect") == Some(&"Allow".into()) && has_begun && !is_over
    })
}

#[async_trait]
impl Principals for MemoryPrincipals {
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal> {
        let act = |_: CallMode| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            let found = held.principals.get(principal_arn).cloned();
            found.ok_or_else(|| no_such_role("principal", principal_arn))
        };
        self.faults.call("principal", CallKind::Read, act).await
    }

    async fn read(&self, target: &AttachmentTarget) -> PortResult<TargetReading> {
        let act = |_: CallMode| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            let (target, standing, at) = (target.clone(), held.standing(target), self.clock.now());
            let request_id = format!("read-{}", held.reads.len().saturating_add(1));
            held.reads.push(TargetRead { request_id: request_id.clone(), at, target, standing: standing.clone() });
            Ok(TargetReading { standing, request_id })
        };
        self.faults.call("read", CallKind::Read, act).await
    }
}

#[async_trait]
impl Provisioner for MemoryPrincipals {
    async fn attach(&self, plan: &AttachmentPlan) -> PortResult<()> {
        let (target, put) = match plan.clone() {
            AttachmentPlan::Inline { principal_arn, policy_name, document } => {
                (AttachmentTarget::Inline { principal_arn, policy_name }, document)
            }
            AttachmentPlan::Managed { principal_arn, policy_arn } => {
                (AttachmentTarget::Managed { principal_arn, policy_arn: policy_arn.clone() }, policy_arn)
            }
        };
        self.write("attach", target, Some(put)).await
    }
}

#[async_trait]
impl Deprovisioner for MemoryPrincipals {
    async fn remove(&self, target: &AttachmentTarget) -> PortResult<()> {
        self.write("remove", target.clone(), None).await
    }

    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess> {
        let act = |_: CallMode| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            let principal = held.principals.get(principal_arn);
            let inline = principal.ok_or_else(|| no_such_role("effective", principal_arn))?.inline.clone();
            let allows = |text: &str| allows_at(text, now) && probes.iter().any(|probe| text.contains(&probe.action));
            // The content of managed policies is not modelled: each is taken to allow every probe.
            let managed = held.principals.get(principal_arn).map(|p| p.attached.clone()).unwrap_or_default();
            let inline = inline.into_iter().filter(|(_, text)| allows(text)).map(|(name, _)| name);
            let policies: Vec<_> = inline.chain(managed).collect();
            Ok(if policies.is_empty() {
                EffectiveAccess::NotAllowed { but_by: Vec::new() }
            } else {
                EffectiveAccess::Residual { policies }
            })
        };
        self.faults.call("effective", CallKind::Read, act).await
    }
}
