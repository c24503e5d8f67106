//! What issue checks before each call to AWS: the decision, its single use, blocks, the catalogue and the issuance
//! gate.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::decision::Decision;
use brevet_domain::grant::Grant;
use brevet_domain::id::GrantId;
use brevet_domain::plan::PlanTemplate;
use brevet_domain::reaper_health::{IssuanceGate, IssuancePolicy, ReaperHealth, Stop};
use brevet_domain::time::Timestamp;

use crate::catalogue::{Catalogue, has_left};
use crate::issue::stopped;
use crate::port::{GrantReader, InService, in_service};
use crate::refusal::{Refusal, RefusalKind};

/// What a decision permits.
pub(crate) struct Permitted {
    pub(crate) template: PlanTemplate,
    /// Limits for issuing under this decision: break-glass may have its own.
    pub(crate) issuance_policy: IssuancePolicy,
}

/// Checks over consistent reads.
pub(crate) struct Checks {
    reader: Arc<dyn GrantReader>,
    catalogue: Arc<Catalogue>,
    service: Arc<dyn InService>,
    issuance_policy: IssuancePolicy,
}

impl Checks {
    pub(crate) fn new(
        reader: Arc<dyn GrantReader>,
        catalogue: Arc<Catalogue>,
        service: Arc<dyn InService>,
        issuance_policy: IssuancePolicy,
    ) -> Self {
        Self { reader, catalogue, service, issuance_policy }
    }

    /// What the grant's own decision permits. Only the decision counts, no other record.
    pub(crate) async fn permitted(&self, grant: &Grant) -> Result<Permitted, Refusal> {
        let decision = self.reader.decision(grant.id).await?;
        let fits = |decision: &Decision| {
            decision.digest().ok() == Some(grant.decision_digest)
                && decision.terms.id == grant.id
                && decision.terms.identity == grant.identity
                && decision.terms.on_behalf_of() == grant.on_behalf_of.as_ref()
                && decision.terms.term == grant.term
                && decision.permits()
        };
        let Some(terms) = decision.filter(fits).map(|decision| decision.terms) else {
            return Err(tampered(grant, "the decision does not permit the grant"));
        };
        let issuance_policy =
            self.issuance_policy.of(terms.traits.break_glass.as_ref()).for_canary(terms.traits.canary);
        match terms.template {
            Some(template) => Ok(Permitted { template, issuance_policy }),
            None => Err(tampered(grant, "the decision has no plan")),
        }
    }

    /// Checks that a first use finds no activation, and that a later one finds its own deadline in it.
    pub(crate) async fn activation(&self, grant: &Grant, deadline: Option<Timestamp>) -> Result<(), Refusal> {
        let activation = self.reader.activation(grant.id).await?;
        if activation.map(|activation| activation.deadline) == deadline {
            return Ok(());
        }
        // A concurrent vend may have put it just now: the caller retries and reads the grant again.
        let latest = self.reader.grant(grant.id).await?;
        if latest.is_some_and(|latest| latest.version != grant.version) {
            let detail = "another vend was recorded at the same time: send the request again";
            return Err(Refusal::new(RefusalKind::Conflict, "changed_meanwhile", detail)
                .about(grant.id)
                .retry_after(1));
        }
        Err(tampered(grant, "the activation does not match the grant's state"))
    }

    /// Checks that the table is in service, that no block covers the grant, that the catalogue in force still lists it,
    /// and that the issuance gate is open for it under `issuance_policy`.
    pub(crate) async fn clear(
        &self,
        grant: &Grant,
        issuance_policy: IssuancePolicy,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.in_service(grant).await?;
        if let Some(block) = self.reader.blocks(&BlockScope::covering(grant)).await?.first() {
            let detail = format!("a block on `{}` covers this grant: nothing is issued for it", block.scope.key());
            return Err(Refusal::new(RefusalKind::Over, "blocked", detail).about(grant.id));
        }
        let left = self.catalogue.using(now, |bundle| async move { has_left(grant, &bundle).await }).await?;
        if left {
            let detail = "the identity, its sponsor or the entitlement was removed from the catalogue: nothing is issued for \
                 this grant";
            return Err(Refusal::new(RefusalKind::Over, "left_catalogue", detail).about(grant.id));
        }
        self.gate_open(grant, issuance_policy, now).await
    }

    /// INVARIANT: one decision, one activation. A restored table has lost records of uses and blocks. Nothing is issued
    /// over it until the deploying role confirms it, and nothing that was decided before that is ever issued.
    async fn in_service(&self, grant: &Grant) -> Result<(), Refusal> {
        match in_service(&*self.service).await? {
            Ok(confirmation) if !confirmation.voids(grant) => Ok(()),
            Ok(confirmation) => {
                let at = confirmation.at;
                let detail = format!(
                    "this grant was decided before its table was confirmed at {at}, so it is void: request a new one"
                );
                Err(Refusal::new(RefusalKind::Over, "decided_before_restore", detail).about(grant.id))
            }
            Err(unconfirmed) => {
                tracing::error!(problem = %unconfirmed, "issuing is stopped: the table is not confirmed");
                let detail = "issuing is stopped: this table was restored or is new, and an operator must confirm it \
                              first; the operators have been alerted";
                Err(Refusal::new(RefusalKind::Stopped, "table_not_confirmed", detail).about(grant.id).retry_after(60))
            }
        }
    }

    /// INVARIANT: issuing stops when ending is broken.
    async fn gate_open(&self, grant: &Grant, issuance_policy: IssuancePolicy, now: Timestamp) -> Result<(), Refusal> {
        let reaper_health = self.reader.reaper_health().await?;
        match ReaperHealth::issuance_gate(
            reaper_health.as_ref(),
            Some(grant.delivery.principal()),
            now,
            issuance_policy,
        ) {
            IssuanceGate::Open => Ok(()),
            IssuanceGate::Closed(stop) => {
                tracing::error!(grant.id = %grant.id, ?stop, "the issuance gate is closed: nothing is issued");
                let own = self.own_overdue(stop, grant).await;
                Err(stopped::refusal(stop, issuance_policy, own).about(grant.id))
            }
        }
    }

    /// The overdue grant behind `stop`, if it belongs to the holder of `grant` too.
    async fn own_overdue(&self, stop: Stop, grant: &Grant) -> Option<GrantId> {
        let Stop::PrincipalOverdue { grant: id, .. } = stop else { return None };
        let other = self.reader.grant(id).await.ok().flatten()?;
        other.belongs_to(&grant.identity).then_some(id)
    }
}

/// Refuses a grant whose records contradict each other: Brevet's own rules cannot produce that, so a person must look.
pub(crate) fn tampered(grant: &Grant, why: &str) -> Refusal {
    tracing::error!(grant.id = %grant.id, why, "the records of a grant contradict each other: nothing is issued");
    let detail = "the records of this grant contradict each other: nothing is issued, and the operators have been \
                  alerted";
    Refusal::new(RefusalKind::Forbidden, "records_inconsistent", detail).about(grant.id)
}
