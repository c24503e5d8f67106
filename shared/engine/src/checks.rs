//! What issue checks before it asks anything of AWS: the decision, its one use, blocks and the heart.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::decision::Decision;
use brevet_domain::grant::Grant;
use brevet_domain::heart::{Heart, Pulse, Stop, Tolerance};
use brevet_domain::id::GrantId;
use brevet_domain::plan::PlanTemplate;
use brevet_domain::time::Timestamp;

use crate::catalogue::Catalogue;
use crate::port::{GrantReader, InService, in_service};
use crate::reap::leavers::has_left;
use crate::refusal::{Refusal, RefusalKind};
use crate::stopped;

/// What a decision permits.
pub(crate) struct Permitted {
    /// The plan.
    pub(crate) template: PlanTemplate,
    /// What is put up with: break-glass may have settings of its own.
    pub(crate) tolerance: Tolerance,
}

/// The checks, over consistent reads.
pub(crate) struct Checks {
    reader: Arc<dyn GrantReader>,
    catalogue: Arc<Catalogue>,
    service: Arc<dyn InService>,
    tolerance: Tolerance,
}

impl Checks {
    pub(crate) fn new(
        reader: Arc<dyn GrantReader>,
        catalogue: Arc<Catalogue>,
        service: Arc<dyn InService>,
        tolerance: Tolerance,
    ) -> Self {
        Self { reader, catalogue, service, tolerance }
    }

    /// What the grant's own decision permits, if it does. No other record is believed.
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
            return Err(tampered(grant, "its decision does not permit it"));
        };
        let tolerance = self.tolerance.of(terms.traits.break_glass.as_ref()).for_canary(terms.traits.canary);
        match terms.template {
            Some(template) => Ok(Permitted { template, tolerance }),
            None => Err(tampered(grant, "its decision does not permit it")),
        }
    }

    /// A first use must find no activation; a later one must find its own deadline in it.
    pub(crate) async fn activation(&self, grant: &Grant, deadline: Option<Timestamp>) -> Result<(), Refusal> {
        let activation = self.reader.activation(grant.id).await?;
        if activation.map(|activation| activation.deadline) == deadline {
            return Ok(());
        }
        // A vend that won the race a moment ago put it: the caller asks again and reads the grant afresh.
        let latest = self.reader.grant(grant.id).await?;
        if latest.is_some_and(|latest| latest.version != grant.version) {
            let detail = "another vend was recorded at the same time: ask again";
            return Err(Refusal::new(RefusalKind::Conflict, "changed_meanwhile", detail)
                .about(grant.id)
                .retry_after(1));
        }
        Err(tampered(grant, "its activation does not fit its state"))
    }

    /// The table is the one in service, no block covers the grant, the catalogue in force still knows it, and ending is known
    /// to work, at all and on its principal, as far as `tolerance` demands it.
    pub(crate) async fn clear(&self, grant: &Grant, tolerance: Tolerance, now: Timestamp) -> Result<(), Refusal> {
        self.in_service(grant).await?;
        if let Some(block) = self.reader.blocks(&BlockScope::covering(grant)).await?.first() {
            let detail =
                format!("a block on `{}` stands: nothing is vended for this grant any more", block.scope.key());
            return Err(Refusal::new(RefusalKind::Over, "blocked", detail).about(grant.id));
        }
        let left = self.catalogue.using(now, |bundle| async move { has_left(grant, &bundle).await }).await?;
        if left {
            let detail =
                "the identity, its sponsor or the entitlement has left the catalogue: nothing is vended any more";
            return Err(Refusal::new(RefusalKind::Over, "left_catalogue", detail).about(grant.id));
        }
        self.beating(grant, tolerance, now).await
    }

    /// INVARIANT: one decision, one activation. A restored table has forgotten what was used and blocked: nothing is issued
    /// over it until the deploying role says that it is in service, and nothing that was decided before that ever.
    async fn in_service(&self, grant: &Grant) -> Result<(), Refusal> {
        match in_service(&*self.service).await? {
            Ok(word) if !word.voids(grant) => Ok(()),
            Ok(word) => {
                let at = word.at;
                let detail = format!(
                    "this grant was decided before its table was put in service at {at}, which voids it: ask again"
                );
                Err(Refusal::new(RefusalKind::Over, "decided_before_restore", detail).about(grant.id))
            }
            Err(unconfirmed) => {
                tracing::error!(problem = %unconfirmed, "nothing is issued: the table is not confirmed");
                let detail = "nothing is issued: this table was restored or is new, and nobody has confirmed yet that it \
                              is in service; its operators were told";
                Err(Refusal::new(RefusalKind::Stopped, "table_not_confirmed", detail).about(grant.id).retry_after(60))
            }
        }
    }

    /// INVARIANT: issuing stops when ending is broken.
    async fn beating(&self, grant: &Grant, tolerance: Tolerance, now: Timestamp) -> Result<(), Refusal> {
        let heart = self.reader.heart().await?;
        match Heart::pulse(heart.as_ref(), Some(grant.delivery.principal()), now, tolerance) {
            Pulse::Beating => Ok(()),
            Pulse::Stopped(stop) => {
                tracing::error!(grant.id = %grant.id, ?stop, "nothing is issued: ending is not known to work");
                let own = self.own(stop, grant).await;
                Err(stopped::refusal(stop, tolerance, own).about(grant.id))
            }
        }
    }

    /// The grant behind `stop`, if it is of the holder of `grant` too.
    async fn own(&self, stop: Stop, grant: &Grant) -> Option<GrantId> {
        let Stop::PrincipalOverdue { grant: id, .. } = stop else { return None };
        let other = self.reader.grant(id).await.ok().flatten()?;
        other.belongs_to(&grant.identity).then_some(id)
    }
}

/// Records that cannot have come about by Brevet's own rules. Nothing is vended, and a person should look.
pub(crate) fn tampered(grant: &Grant, why: &str) -> Refusal {
    tracing::error!(grant.id = %grant.id, why, "the records of a grant do not fit each other: nothing is vended");
    let detail = "the records of this grant do not fit each other: nothing is vended, and its operators were told";
    Refusal::new(RefusalKind::Forbidden, "records_unfit", detail).about(grant.id)
}
