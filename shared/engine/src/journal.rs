//! The one place where a grant's change becomes a write: state and evidence change together (invariant 4).

use std::sync::Arc;

use brevet_domain::decision::Decision;
use brevet_domain::evidence::{Body, Entry};
use brevet_domain::grant::{Applied, Event, Grant, TransitionError};
use brevet_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::port::{Commit, GrantStore, IdSource, PortError, PortResult, TransactionItem};

/// Writes changes of grants with their evidence, on behalf of one function.
pub(crate) struct Journal {
    store: Arc<dyn GrantStore>,
    ids: Arc<dyn IdSource>,
    by: &'static str,
}

/// Why a change was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The event does not apply to the grant as it was read.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn GrantStore>, ids: Arc<dyn IdSource>, by: &'static str) -> Self {
        Self { store, ids, by }
    }

    /// Stores a decision and the grant that it creates, and `items` in the same transaction.
    pub(crate) async fn open(
        &self,
        decision: &Decision,
        grant: Grant,
        detail: Value,
        items: &[TransactionItem],
        now: Timestamp,
    ) -> PortResult<Grant> {
        let (grant, entry) = self.sealed(grant, "Decided", detail, now)?;
        self.store.create(decision, &grant, &entry, items).await?;
        Ok(grant)
    }

    /// Applies `event` to `grant` and writes the change. Returns nothing if the event changes nothing.
    ///
    /// The evidence entry includes `with`; `items` are written in the same transaction.
    pub(crate) async fn record(
        &self,
        grant: &Grant,
        event: &Event,
        with: Option<Value>,
        items: Vec<TransactionItem>,
        now: Timestamp,
    ) -> Result<Option<Grant>, StepError> {
        let Applied::Changed(after) = grant.apply(event, now)? else { return Ok(None) };
        let mut detail = json!(event);
        if let (Some(with), Some(object)) = (with, detail.as_object_mut()) {
            object.insert("with".to_owned(), with);
        }
        let (after, entry) = self.sealed(*after, event.name(), detail, now)?;
        let commit = Commit { expected_version: grant.version, after: after.clone(), entry, items };
        self.store.commit(&commit).await?;
        Ok(Some(after))
    }

    fn sealed(&self, grant: Grant, event: &str, detail: Value, now: Timestamp) -> PortResult<(Grant, Entry)> {
        let unwritable = |_| PortError::Unreadable { operation: "evidence:Seal", what: "no canonical form".to_owned() };
        let body = Body {
            id: self.ids.evidence_id(now),
            grant: grant.id,
            seq: grant.evidence.seq.saturating_add(1),
            at: now,
            by: self.by.to_owned(),
            event: event.to_owned(),
            state: grant.state.name().to_owned(),
            grant_digest: grant.digest().map_err(unwritable)?,
            detail,
            prev: grant.evidence.hash,
        };
        let entry = Entry::seal(body).map_err(unwritable)?;
        Ok((Grant { evidence: entry.head(), ..grant }, entry))
    }
}
