//! What `drill` does: it plays the holder of a canary grant of each delivery, and tries what that allows.
//!
//! It is a client like any other: it asks the API, with a proof of its own. Whatever stands between asking and the end of
//! access is drilled with it. A run takes many ticks; each goes on from what is recorded, and nothing waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use brevet_domain::drill::{Drill, Drilled, Probe, Rules, Seen, Stage, Unproved, Want};
use brevet_domain::id::{EntitlementId, GrantId};
use brevet_domain::time::{Term, Timestamp};
use serde::Serialize;

use crate::port::{As, Canary, Clock, Credentials, DrillStore, Grants, IdSource, PortError, PortResult, Shown};

/// How many steps one run takes in one tick, at most.
const STEPS: u32 = 8;

/// The ports of the drill.
#[derive(Clone)]
pub struct Ports {
    /// Its records.
    pub store: Arc<dyn DrillStore>,
    /// The API.
    pub grants: Arc<dyn Grants>,
    /// The canary.
    pub canary: Arc<dyn Canary>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Names for its records.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// What is drilled, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The deliveries, and the canary entitlement of each. None: nothing is drilled.
    pub entitlements: BTreeMap<Drilled, EntitlementId>,
    /// The term that is asked for.
    pub term: Term,
    /// How runs are made.
    pub rules: Rules,
    /// How long an end may take that depends on the reaper, in seconds.
    pub overdue_s: u32,
    /// How long ago a run must have passed at most, in seconds.
    pub max_age_s: u32,
}

/// The use case of the drill function.
pub struct Driller {
    ports: Ports,
    course: Course,
    /// INVARIANT: credentials are never stored. A process that has lost them fetches others, or gives the run up.
    held: Mutex<Option<(GrantId, Credentials)>>,
}

/// What a tick did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrillReport {
    /// The stage of each run afterwards.
    pub stages: BTreeMap<Drilled, &'static str>,
    /// Runs that passed in this tick.
    pub n_passed: u32,
    /// Runs that failed in this tick.
    pub n_failed: u32,
    /// Drills that show nothing now: a run failed and none passed since, or none passed for too long.
    pub n_unproved: u32,
    /// Drills of which something failed on the way; each is looked at again.
    pub n_problems: u32,
}

impl Driller {
    /// A driller over `ports`.
    #[must_use]
    pub fn new(ports: Ports, course: Course) -> Self {
        Self { ports, course, held: Mutex::default() }
    }

    /// Takes each drill as far as it goes now. One drill's failure is counted and logged, and stops no other.
    pub async fn tick(&self) -> DrillReport {
        let mut report = DrillReport::default();
        for (drilled, entitlement) in &self.course.entitlements {
            if let Err(error) = self.advance(*drilled, entitlement, &mut report).await {
                report.n_problems = report.n_problems.saturating_add(1);
                tracing::warn!(%drilled, problem = error.chain(), "a drill could not go on this time");
            }
            match self.ports.store.last_drill(*drilled).await {
                Ok(last) => {
                    let now = self.ports.clock.now();
                    let lack = Unproved::of((*drilled, last.as_ref()), &[], self.course.max_age_s, now);
                    report.n_unproved = report.n_unproved.saturating_add(u32::from(lack.is_some()));
                    report.stages.extend(last.map(|last| (*drilled, last.stage.name())));
                }
                Err(error) => {
                    report.n_problems = report.n_problems.saturating_add(1);
                    tracing::warn!(%drilled, problem = error.chain(), "how far a drill has come cannot be read");
                }
            }
        }
        report
    }

    async fn advance(&self, drilled: Drilled, entitlement: &EntitlementId, report: &mut DrillReport) -> PortResult<()> {
        let rules = self.course.rules.of(drilled, self.course.overdue_s);
        let mut last = self.ports.store.last_drill(drilled).await?;
        for _ in 0..STEPS {
            let want = Drill::want(last.as_ref(), self.ports.clock.now(), &rules);
            let seen = match want {
                Want::Begin | Want::Wait => Ok(Seen::Nothing),
                Want::ProbeWithout | Want::Ask | Want::Look(_) | Want::Keep(_) | Want::ProbeWith(_) => {
                    self.see(want, (drilled, entitlement), last.as_ref()).await
                }
            };
            // A step that failed may be the one that makes the run too late.
            let (seen, problem) = match seen {
                Ok(seen) => (seen, None),
                Err(error) => (Seen::Nothing, Some(error)),
            };
            let now = self.ports.clock.now();
            let stage = match (&want, &last) {
                (Want::Begin, _) => Some(Stage::Begun),
                (_, Some(last)) => last.after(seen, now, &rules),
                (_, None) => None,
            };
            match stage {
                Some(stage) => last = Some(self.record(last.as_ref(), drilled, stage, now, report).await?),
                None => return problem.map_or(Ok(()), Err),
            }
        }
        Ok(())
    }

    /// Does what is wanted, and says what that showed.
    async fn see(
        &self,
        want: Want,
        (drilled, entitlement): (Drilled, &EntitlementId),
        last: Option<&Drill>,
    ) -> PortResult<Seen> {
        match (want, drilled) {
            (Want::Begin | Want::Wait, _) => Ok(Seen::Nothing),
            (Want::ProbeWithout, Drilled::Session) => Ok(Seen::Probed(self.probe(As::Itself).await)),
            (Want::ProbeWithout, Drilled::Inline | Drilled::Managed) => {
                Ok(Seen::Probed(self.probe(As::Principal(drilled)).await))
            }
            (Want::Ask, _) => {
                // The same key for each try of one run: a lost answer gets the same grant.
                let key = last.map_or_else(|| drilled.to_string(), |last| format!("drill-{}", last.run));
                self.ports.grants.ask(&key, entitlement, self.course.term).await.map(Seen::Asked)
            }
            (Want::Look(id), Drilled::Session) => {
                let fetched = self.hold(id).await;
                // What it is told counts, also where nothing could be fetched.
                match (self.look(id).await?, fetched) {
                    (Seen::Live(_), Err(error)) => Err(error),
                    (seen, _) => Ok(seen),
                }
            }
            (Want::Look(id), Drilled::Inline | Drilled::Managed) => self.look(id).await,
            (Want::Keep(id), Drilled::Session) => match self.held(id) {
                Some(_) => Ok(Seen::Nothing),
                None => self.hold(id).await.map(|()| Seen::Forgotten),
            },
            (Want::Keep(_), Drilled::Inline | Drilled::Managed) => Ok(Seen::Nothing),
            (Want::ProbeWith(id), Drilled::Session) => match self.held(id) {
                Some(credentials) => Ok(Seen::Probed(self.probe(As::Session(&credentials)).await)),
                // Beyond the deadline there is nothing to fetch any more, and that is no error.
                None => match self.hold(id).await {
                    Ok(()) | Err(PortError::Refused { .. }) => Ok(Seen::Forgotten),
                    Err(error) => Err(error),
                },
            },
            (Want::ProbeWith(_), Drilled::Inline | Drilled::Managed) => {
                Ok(Seen::Probed(self.probe(As::Principal(drilled)).await))
            }
        }
    }

    async fn look(&self, id: GrantId) -> PortResult<Seen> {
        Ok(match self.ports.grants.show(id).await? {
            Shown::Waiting => Seen::Nothing,
            Shown::Live(deadline) => Seen::Live(deadline),
            Shown::Over => Seen::Over,
        })
    }

    async fn probe(&self, by: As<'_>) -> Probe {
        let at = self.ports.clock.now();
        let (outcome, request_id) = self.ports.canary.probe(by).await;
        Probe { outcome, at, request_id }
    }

    fn held(&self, id: GrantId) -> Option<Credentials> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(of, _)| *of == id).map(|(_, credentials)| credentials.clone())
    }

    /// Fetches the credentials of grant `id`, unless they are held.
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
        stage: Stage,
        now: Timestamp,
        report: &mut DrillReport,
    ) -> PortResult<Drill> {
        let unwritable = |_| PortError::Unreadable { operation: "drill:Next", what: "no canonical form".to_owned() };
        let next = Drill::next(last, (self.ports.ids.evidence_id(now), drilled), stage, now).map_err(unwritable)?;
        self.ports.store.add_drill(&next).await?;
        let grant = next.stage.grant().map(|id| id.to_string());
        match &next.stage {
            Stage::Failed { fault, last, .. } => {
                report.n_failed = report.n_failed.saturating_add(1);
                let outcome = last.as_ref().map(|probe| probe.outcome);
                tracing::error!(%drilled, grant.id = grant, ?fault, ?outcome, "a drill failed: nothing is issued until one passes");
            }
            Stage::Passed { .. } => {
                report.n_passed = report.n_passed.saturating_add(1);
                tracing::info!(%drilled, grant.id = grant, "a drill passed");
            }
            stage @ (Stage::Begun
            | Stage::Barred { .. }
            | Stage::Asked { .. }
            | Stage::Live { .. }
            | Stage::Used { .. }
            | Stage::Lost { .. }) => {
                tracing::info!(%drilled, grant.id = grant, stage = stage.name(), "a drill went on");
            }
        }
        Ok(next)
    }
}

impl std::fmt::Debug for Driller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driller").field("course", &self.course).finish_non_exhaustive()
    }
}
