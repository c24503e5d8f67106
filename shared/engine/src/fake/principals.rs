//! The fake of attachment principals: what stands on them, calls that land late, and who could act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::deny::MAX_ROLE_INLINE;
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::{AttachmentPlan, Probe};
use brevet_domain::time::Timestamp;
use serde_json::Value;

use super::faults::{Faults, Manner, Nature};
use super::locked;
use super::time::ManualClock;
use crate::port::{
    Clock, Deprovisioner, Place, PlaceReading, PortError, PortResult, Principal, Principals, Provisioner,
};

/// One write that reached a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceWrite {
    /// How many port calls had been begun when it was made; nothing for what was done behind everybody's back.
    pub number: Option<u64>,
    /// When it took effect.
    pub at: Timestamp,
    /// Where.
    pub place: Place,
    /// The document or policy that was put; nothing for a removal.
    pub put: Option<String>,
}

/// One reading of a place, as AWS remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceRead {
    /// AWS's id of the call.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// What was read.
    pub place: Place,
    /// What stood there.
    pub standing: Option<String>,
}

#[derive(Debug, Default)]
struct Held {
    principals: BTreeMap<String, Principal>,
    underway: Vec<PlaceWrite>,
    landed: Vec<PlaceWrite>,
    reads: Vec<PlaceRead>,
    refuses_removals: bool,
}

impl Held {
    /// Lands what is due at `now`, in the order of landing.
    fn settle(&mut self, now: Timestamp) {
        let (mut due, later): (Vec<_>, Vec<_>) = self.underway.drain(..).partition(|write| write.at <= now);
        self.underway = later;
        due.sort_by_key(|write| write.at);
        for write in due {
            self.land(write);
        }
    }

    fn land(&mut self, write: PlaceWrite) {
        let (Place::Inline { principal_arn, .. } | Place::Managed { principal_arn, .. }) = &write.place;
        if let Some(principal) = self.principals.get_mut(principal_arn) {
            match (&write.place, &write.put) {
                (Place::Inline { policy_name, .. }, Some(document)) => {
                    principal.inline.insert(policy_name.clone(), document.clone());
                }
                (Place::Inline { policy_name, .. }, None) => {
                    principal.inline.remove(policy_name);
                }
                (Place::Managed { policy_arn, .. }, Some(_)) => {
                    principal.attached.insert(policy_arn.clone());
                }
                (Place::Managed { policy_arn, .. }, None) => {
                    principal.attached.remove(policy_arn);
                }
            }
        }
        self.landed.push(write);
    }

    /// Whether IAM's quotas leave no room for what is put.
    fn is_full(&self, place: &Place, put: Option<&str>) -> bool {
        match place {
            Place::Inline { principal_arn, policy_name } => {
                let inline = self.principals.get(principal_arn).map(|principal| &principal.inline);
                let others = inline.into_iter().flatten().filter(|(name, _)| *name != policy_name);
                let sizes = others.map(|(_, text)| text.as_str()).chain(put).map(size);
                sizes.fold(0, usize::saturating_add) > MAX_ROLE_INLINE
            }
            Place::Managed { principal_arn, policy_arn } => {
                self.principals.get(principal_arn).is_some_and(|principal| {
                    !principal.attached.contains(policy_arn) && principal.attached.len() >= principal.attached_quota
                })
            }
        }
    }

    fn standing(&self, place: &Place) -> Option<String> {
        match place {
            Place::Inline { principal_arn, policy_name } => {
                self.principals.get(principal_arn)?.inline.get(policy_name).cloned()
            }
            Place::Managed { principal_arn, policy_arn } => {
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
    /// No principals; AWS's clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        Self { held: Mutex::default(), clock, faults }
    }

    /// A principal with `boundary_arn` and nothing else, as its owner makes it. No port call.
    pub fn add(&self, principal_arn: &str, boundary_arn: Option<&str>) {
        let principal = Principal {
            boundary_arn: boundary_arn.map(str::to_owned),
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
            attached_quota: 10,
        };
        locked(&self.held).principals.insert(principal_arn.to_owned(), principal);
    }

    /// What stands at `place` now. No port call.
    #[must_use]
    pub fn standing(&self, place: &Place) -> Option<String> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.standing(place)
    }

    /// Changes `place` behind everybody's back. No port call.
    pub fn tamper(&self, place: &Place, put: Option<&str>) {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        held.land(PlaceWrite { number: None, at: now, place: place.clone(), put: put.map(str::to_owned) });
    }

    /// Puts a permissions boundary on a principal or takes it off, behind everybody's back. No port call.
    pub fn set_boundary(&self, principal_arn: &str, boundary_arn: Option<&str>) {
        if let Some(principal) = locked(&self.held).principals.get_mut(principal_arn) {
            principal.boundary_arn = boundary_arn.map(str::to_owned);
        }
    }

    /// From now on AWS refuses to take anything off a principal, or takes it again. No port call.
    pub fn refuse_removals(&self, refuses: bool) {
        locked(&self.held).refuses_removals = refuses;
    }

    /// Whether it does. No port call.
    #[must_use]
    pub fn refuses_removals(&self) -> bool {
        locked(&self.held).refuses_removals
    }

    /// Everything that stands on a principal now. No port call.
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

    /// Every reading of a place, in order. No port call.
    #[must_use]
    pub fn reads(&self) -> Vec<PlaceRead> {
        locked(&self.held).reads.clone()
    }

    /// Every write that has landed, in the order of landing. No port call.
    #[must_use]
    pub fn landed(&self) -> Vec<PlaceWrite> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.landed.clone()
    }

    /// Whether what stands at `place` allows anything now: a managed policy always, an inline one by its own limits.
    ///
    /// It reads the policy itself, and shares no code with what renders it. No port call.
    #[must_use]
    pub fn allows(&self, place: &Place) -> bool {
        let now = self.clock.now();
        match (place, self.standing(place)) {
            (_, None) => false,
            (Place::Managed { .. }, Some(_)) => true,
            (Place::Inline { .. }, Some(document)) => allows_at(&document, now),
        }
    }

    /// Whether AWS may still let somebody act by what stands at `place`, or stood there up to `lag_s` seconds ago: what it
    /// enforces lags what is configured by an unknown time up to that. No port call.
    #[must_use]
    pub fn may_allow(&self, place: &Place, lag_s: u32) -> bool {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        let enforced = held.landed.iter().rev().filter(|write| write.place == *place);
        // Back to the write that had surely reached every enforcer by now.
        let (mut allows, since) = (false, now.minus(lag_s));
        for write in enforced {
            allows |= match (place, &write.put) {
                (_, None) => false,
                (Place::Managed { .. }, Some(_)) => true,
                (Place::Inline { .. }, Some(document)) => allows_at(document, now),
            };
            if write.at <= since {
                break;
            }
        }
        allows
    }

    async fn write(&self, call: &'static str, place: Place, put: Option<String>) -> PortResult<()> {
        let act = |manner: Manner| {
            let now = self.clock.now();
            let mut held = locked(&self.held);
            held.settle(now);
            let (Place::Inline { principal_arn, .. } | Place::Managed { principal_arn, .. }) = &place;
            if put.is_some() && !held.principals.contains_key(principal_arn) {
                return Err(no_such_role(call, principal_arn));
            }
            if put.is_none() && held.refuses_removals {
                return Err(PortError::Refused { operation: call, source: "removals are denied".into() });
            }
            if put.is_some() && held.is_full(&place, put.as_deref()) {
                return Err(PortError::Refused {
                    operation: call,
                    source: format!("`{principal_arn}` is full").into(),
                });
            }
            let number = Some(self.faults.n_calls());
            match manner {
                Manner::Late(seconds) => held.underway.push(PlaceWrite { number, at: now.plus(seconds), place, put }),
                Manner::Now | Manner::Stale => held.land(PlaceWrite { number, at: now, place, put }),
            }
            Ok(())
        };
        self.faults.call(call, Nature::RoleWrite, act).await
    }
}

fn no_such_role(operation: &'static str, principal_arn: &str) -> PortError {
    PortError::Refused { operation, source: format!("there is no role `{principal_arn}`").into() }
}

/// Characters as IAM counts them: white space left out.
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
        let begun = limit("DateGreaterThanEquals").is_none_or(|from| now >= from);
        let over = limit("DateLessThan").is_some_and(|until| now >= until);
        statement.get("Effect") == Some(&"Allow".into()) && begun && !over
    })
}

#[async_trait]
impl Principals for MemoryPrincipals {
    async fn principal(&self, principal_arn: &str) -> PortResult<Principal> {
        let act = |_: Manner| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            let found = held.principals.get(principal_arn).cloned();
            found.ok_or_else(|| no_such_role("principal", principal_arn))
        };
        self.faults.call("principal", Nature::Read, act).await
    }

    async fn read(&self, place: &Place) -> PortResult<PlaceReading> {
        let act = |_: Manner| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            let (place, standing, at) = (place.clone(), held.standing(place), self.clock.now());
            let request_id = format!("read-{}", held.reads.len().saturating_add(1));
            held.reads.push(PlaceRead { request_id: request_id.clone(), at, place, standing: standing.clone() });
            Ok(PlaceReading { standing, request_id })
        };
        self.faults.call("read", Nature::Read, act).await
    }
}

#[async_trait]
impl Provisioner for MemoryPrincipals {
    async fn attach(&self, plan: &AttachmentPlan) -> PortResult<()> {
        let (place, put) = match plan.clone() {
            AttachmentPlan::Inline { principal_arn, policy_name, document } => {
                (Place::Inline { principal_arn, policy_name }, document)
            }
            AttachmentPlan::Managed { principal_arn, policy_arn } => {
                (Place::Managed { principal_arn, policy_arn: policy_arn.clone() }, policy_arn)
            }
        };
        self.write("attach", place, Some(put)).await
    }
}

#[async_trait]
impl Deprovisioner for MemoryPrincipals {
    async fn remove(&self, place: &Place) -> PortResult<()> {
        self.write("remove", place.clone(), None).await
    }

    async fn effective(&self, principal_arn: &str, probes: &[Probe], now: Timestamp) -> PortResult<EffectiveAccess> {
        let act = |_: Manner| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            let principal = held.principals.get(principal_arn);
            let inline = principal.ok_or_else(|| no_such_role("effective", principal_arn))?.inline.clone();
            let allows = |text: &str| allows_at(text, now) && probes.iter().any(|probe| text.contains(&probe.action));
            // What a managed policy says is not modelled: it is taken to allow everything that is tried.
            let managed = held.principals.get(principal_arn).map(|p| p.attached.clone()).unwrap_or_default();
            let inline = inline.into_iter().filter(|(_, text)| allows(text)).map(|(name, _)| name);
            let policies: Vec<_> = inline.chain(managed).collect();
            Ok(if policies.is_empty() {
                EffectiveAccess::NotAllowed { but_by: Vec::new() }
            } else {
                EffectiveAccess::Residual { policies }
            })
        };
        self.faults.call("effective", Nature::Read, act).await
    }
}
