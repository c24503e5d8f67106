//! The use case of `drill`: it holds a canary grant of each delivery, and probes what the grant allows.
//!
//! The drill is an ordinary client of the API with its own proof, so it exercises everything from the request to the
//! end of access. A run takes many ticks; each tick continues from the stored records, and none waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::drill::{Drill, Drilled, NextStep, Observation, Probe, Rules, RunStage, Unproved};
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::time::{Term, Timestamp};
use serde::Serialize;

use crate::port::{
    Canary, Clock, Credentials, DrillStore, GrantProgress, Grants, IdSource, PortError, PortResult, ProbeIdentity,
};

/// The most steps of one run in one tick.
const STEPS: u32 = 8;

/// The ports of the drill.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn DrillStore>,
    /// The API.
    pub grants: Arc<dyn Grants>,
    pub canary: Arc<dyn Canary>,
    pub clock: Arc<dyn Clock>,
    /// Makes record ids.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// The canaries and the limits of a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillPlan {
    /// The canary entitlement of each delivery that is drilled. If empty, nothing is drilled.
    pub entitlements: BTreeMap<Drilled, EntitlementId>,
    /// The term to request.
    pub term: Term,
    pub rules: Rules,
    /// How long an end that depends on the reaper may take, in seconds.
    pub overdue_s: u32,
    /// How old the last passed run may be, in seconds.
    pub max_age_s: u32,
}

/// The use case of the drill function.
pub struct Driller {
    ports: Ports,
    plan: DrillPlan,
    /// INVARIANT: credentials are never stored. A process that lost them fetches new ones, or abandons the run.
    held: Mutex<Option<(GrantId, Credentials)>>,
}

/// What a tick did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrillReport {
    /// The stage of each run after the tick.
    pub stages: BTreeMap<Drilled, &'static str>,
    pub n_passed: u32,
    pub n_failed: u32,
    /// Drills without current proof: a run failed and none passed since, or none passed for too long.
    pub n_unproved: u32,
    /// Drills in which a call failed; the next tick retries each.
    pub n_problems: u32,
}

impl Driller {
    /// A driller over `ports`.
    #[must_use]
    pub fn new(ports: Ports, plan: DrillPlan) -> Self {
        Self { ports, plan, held: Mutex::default() }
    }

    /// Advances each drill as far as it goes now. A drill's failure is counted and logged, and does not stop the
    /// others.
    pub async fn tick(&self) -> DrillReport {
        let mut report = DrillReport::default();
        for (drilled, entitlement) in &self.plan.entitlements {
            if let Err(error) = self.advance(*drilled, entitlement, &mut report).await {
                report.n_problems = report.n_problems.saturating_add(1);
                tracing::warn!(%drilled, problem = error.chain(), "a drill could not advance in this tick");
            }
            match self.ports.store.last_drill(*drilled).await {
                Ok(last) => {
                    let now = self.ports.clock.now();
                    let unproved = Unproved::of((*drilled, last.as_ref()), &[], self.plan.max_age_s, now);
                    report.n_unproved = report.n_unproved.saturating_add(u32::from(unproved.is_some()));
                    report.stages.extend(last.map(|last| (*drilled, last.stage.name())));
                }
                Err(error) => {
                    report.n_problems = report.n_problems.saturating_add(1);
                    tracing::warn!(%drilled, problem = error.chain(), "the last record of a drill cannot be read");
                }
            }
        }
        report
    }

    async fn advance(&self, drilled: Drilled, entitlement: &EntitlementId, report: &mut DrillReport) -> PortResult<()> {
        let rules = self.plan.rules.of(drilled, self.plan.overdue_s);
        let mut last = self.ports.store.last_drill(drilled).await?;
        for _ in 0..STEPS {
            let step = Drill::next_step(last.as_ref(), self.ports.clock.now(), &rules);
            let observation = match step {
                NextStep::Begin | NextStep::Wait => Ok(Observation::Nothing),
                NextStep::ProbeWithout
                | NextStep::Ask
                | NextStep::Look(_)
                | NextStep::Keep(_)
                | NextStep::ProbeWith(_) => self.perform(step, (drilled, entitlement), last.as_ref()).await,
            };
            // Even if this step failed, the run may be too late by now.
            let (observation, problem) = match observation {
                Ok(observation) => (observation, None),
                Err(error) => (Observation::Nothing, Some(error)),
            };
            let now = self.ports.clock.now();
            let stage = match (&step, &last) {
                (NextStep::Begin, _) => Some(RunStage::Begun),
                (_, Some(last)) => last.after(observation, now, &rules),
                (_, None) => None,
            };
            match stage {
                Some(stage) => last = Some(self.record(last.as_ref(), drilled, stage, now, report).await?),
                None => return problem.map_or(Ok(()), Err),
            }
        }
        Ok(())
    }

    /// Performs `step` and returns the observation.
    async fn perform(
        &self,
        step: NextStep,
        (drilled, entitlement): (Drilled, &EntitlementId),
        last: Option<&Drill>,
    ) -> PortResult<Observation> {
        match (step, drilled) {
            (NextStep::Begin | NextStep::Wait, _) => Ok(Observation::Nothing),
            (NextStep::ProbeWithout, Drilled::Session) => {
                Ok(Observation::Probed(self.probe(ProbeIdentity::Itself).await))
            }
            (NextStep::ProbeWithout, Drilled::Inline | Drilled::Managed) => {
                Ok(Observation::Probed(self.probe(ProbeIdentity::Principal(drilled)).await))
            }
            (NextStep::Ask, _) => {
                // Each try of one run uses the same key, so that a lost answer leads to the same grant.
                let key = last.map_or_else(|| drilled.to_string(), |last| format!("drill-{}", last.run));
                self.ports.grants.ask(&key, entitlement, self.plan.term).await.map(Observation::Asked)
            }
            (NextStep::Look(id), Drilled::Session) => {
                let fetched = self.hold(id).await;
                // The grant's state counts even if no credentials could be fetched.
                match (self.show(id).await?, fetched) {
                    (Observation::Live(_), Err(error)) => Err(error),
                    (observation, _) => Ok(observation),
                }
            }
            (NextStep::Look(id), Drilled::Inline | Drilled::Managed) => self.show(id).await,
            (NextStep::Keep(id), Drilled::Session) => match self.held(id) {
                Some(_) => Ok(Observation::Nothing),
                None => self.hold(id).await.map(|()| Observation::Forgotten),
            },
            (NextStep::Keep(_), Drilled::Inline | Drilled::Managed) => Ok(Observation::Nothing),
            (NextStep::ProbeWith(id), Drilled::Session) => match self.held(id) {
                Some(credentials) => Ok(Observation::Probed(self.probe(ProbeIdentity::Session(&credentials)).await)),
                // After the deadline there are no credentials to fetch, which is not an error.
                None => match self.hold(id).await {
                    Ok(()) | Err(PortError::Refused { .. }) => Ok(Observation::Forgotten),
                    Err(error) => Err(error),
                },
            },
            (NextStep::ProbeWith(_), Drilled::Inline | Drilled::Managed) => {
                Ok(Observation::Probed(self.probe(ProbeIdentity::Principal(drilled)).await))
            }
        }
    }

    async fn show(&self, id: GrantId) -> PortResult<Observation> {
        Ok(match self.ports.grants.show(id).await? {
            GrantProgress::Waiting => Observation::Nothing,
            GrantProgress::Live(deadline) => Observation::Live(deadline),
            GrantProgress::Over => Observation::Over,
        })
    }

    async fn probe(&self, by: ProbeIdentity<'_>) -> Probe {
        let at = self.ports.clock.now();
        let (outcome, request_id) = self.ports.canary.probe(by).await;
        Probe { outcome, at, request_id }
    }

    fn held(&self, id: GrantId) -> Option<Credentials> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(of, _)| *of == id).map(|(_, credentials)| credentials.clone())
    }

    /// Fetches the credentials of grant `id`, unless this process has them.
    async fn hold(&self, id: GrantId) -> PortResult<()> {
        if self.held(id).is_none() {
            let credentials = self.ports.grants.fetch(id).await?;
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, credentials));
        }
        Ok(())
    }

    async fn record(
        &self,
        last: Option<&Drill>,
        drilled: Drilled,
        stage: RunStage,
        now: Timestamp,
        report: &mut DrillReport,
    ) -> PortResult<Drill> {
        let unwritable = |_| PortError::Unreadable { operation: "drill:Next", what: "no canonical form".to_owned() };
        let next = Drill::next(last, (self.ports.ids.evidence_id(now), drilled), stage, now).map_err(unwritable)?;
        self.ports.store.add_drill(&next).await?;
        let grant = next.stage.grant().map(|id| id.to_string());
        match &next.stage {
            RunStage::Failed { fault, last, .. } => {
                report.n_failed = report.n_failed.saturating_add(1);
                let outcome = last.as_ref().map(|probe| probe.outcome);
                tracing::error!(%drilled, grant.id = grant, ?fault, ?outcome, "a drill failed: issuing stops until one passes");
            }
            RunStage::Passed { .. } => {
                report.n_passed = report.n_passed.saturating_add(1);
                tracing::info!(%drilled, grant.id = grant, "a drill passed");
            }
            stage @ (RunStage::Begun
            | RunStage::Barred { .. }
            | RunStage::Asked { .. }
            | RunStage::Live { .. }
            | RunStage::Used { .. }
            | RunStage::Lost { .. }) => {
                tracing::info!(%drilled, grant.id = grant, stage = stage.name(), "a drill advanced");
            }
        }
        Ok(next)
    }
}

impl std::fmt::Debug for Driller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driller").field("plan", &self.plan).finish_non_exhaustive()
    }
}
