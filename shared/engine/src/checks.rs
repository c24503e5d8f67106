//! What issue checks before it asks anything of AWS: the decision, its one use, blocks and the heart.

use std::sync::Arc;

use brevet_domain::block::BlockScope;
use brevet_domain::decision::Decision;
use brevet_domain::grant::Grant;
use brevet_domain::heart::{Heart, Pulse};
use brevet_domain::plan::PlanTemplate;
use brevet_domain::time::Timestamp;

use crate::catalogue::Catalogue;
use crate::port::GrantReader;
use crate::reap::leavers::has_left;
use crate::refusal::{Refusal, RefusalKind};

/// The checks, over consistent reads.
pub(crate) struct Checks {
    reader: Arc<dyn GrantReader>,
    catalogue: Arc<Catalogue>,
    heart_max_age_s: u32,
}

impl Checks {
    pub(crate) fn new(reader: Arc<dyn GrantReader>, catalogue: Arc<Catalogue>, heart_max_age_s: u32) -> Self {
        Self { reader, catalogue, heart_max_age_s }
    }

    /// The plan of the grant's own decision, if that decision permits it. No other record is believed.
    pub(crate) async fn permitted(&self, grant: &Grant) -> Result<PlanTemplate, Refusal> {
        let decision = self.reader.decision(grant.id).await?;
        let fits = |decision: &Decision| {
            decision.digest().ok() == Some(grant.decision_digest)
                && decision.terms.id == grant.id
                && decision.terms.identity == grant.identity
                && decision.terms.on_behalf_of() == grant.on_behalf_of.as_ref()
                && decision.terms.term == grant.term
                && decision.permits()
        };
        match decision.filter(fits).and_then(|decision| decision.terms.template) {
            Some(template) => Ok(template),
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

    /// No block covers the grant, the catalogue in force still knows it, and the reaper is known to be well.
    pub(crate) async fn clear(&self, grant: &Grant, now: Timestamp) -> Result<(), Refusal> {
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
        match Heart::pulse(self.reader.heart().await?.as_ref(), now, self.heart_max_age_s) {
            Pulse::Beating => Ok(()),
            Pulse::Stopped { age_s } => {
                tracing::error!(heart.age_s = age_s, "nothing is issued: the reaper has no good pass to show");
                let age = age_s.map_or_else(|| "there was none yet".to_owned(), |age| format!("it is {age} s old"));
                let detail = format!(
                    "nothing is issued while ending is not known to work: the reaper's last good pass may be at most \
                     {} s old, and {age}",
                    self.heart_max_age_s
                );
                Err(Refusal::new(RefusalKind::Stopped, "heart_stopped", detail).about(grant.id).retry_after(60))
            }
        }
    }
}

/// Records that cannot have come about by Brevet's own rules. Nothing is vended, and a person should look.
pub(crate) fn tampered(grant: &Grant, why: &str) -> Refusal {
    tracing::error!(grant.id = %grant.id, why, "the records of a grant do not fit each other: nothing is vended");
    let detail = "the records of this grant do not fit each other: nothing is vended, and its operators were told";
    Refusal::new(RefusalKind::Forbidden, "records_unfit", detail).about(grant.id)
}
