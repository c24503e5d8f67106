//! The indexes of the store fake. They may lag the table.

use std::collections::BTreeSet;

use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::time::Timestamp;

use super::tables::Snapshot;
use crate::port::{Due, GrantSummary, shard_of};

/// The position of a line in the due list.
pub(super) type DuePosition = (Timestamp, bool, GrantId);

pub(super) fn due_position(line: &Due) -> DuePosition {
    (line.next_at, line.is_mark, line.id)
}

/// The content of the indexes at one instant.
#[derive(Debug, Default)]
pub(super) struct IndexView {
    /// The index `due`, oldest first.
    due: Vec<(DueRole, Due)>,
    /// The index `by_identity`, newest first.
    by_identity: Vec<(IdentityId, GrantSummary)>,
    /// Break-glass uses that await their review, oldest first.
    pub(super) reviews: Vec<GrantId>,
    /// The roles with early ends.
    pub(super) denied_roles: Vec<String>,
}

impl IndexView {
    /// The due lines after the position `after`, even if the line at that position is gone.
    pub(super) fn due(&self, role: DueRole, shard: u8, now: Timestamp, after: Option<DuePosition>) -> Vec<Due> {
        let is_due = |line: &Due| shard_of(line.id) == shard && line.next_at <= now;
        let is_after = |line: &Due| after.is_none_or(|after| due_position(line) > after);
        let lines = self.due.iter().filter(|(on, line)| *on == role && is_due(line) && is_after(line));
        lines.map(|(_, line)| *line).collect()
    }

    pub(super) fn grants_of(&self, identity: &IdentityId) -> Vec<GrantSummary> {
        self.by_identity.iter().filter(|(of, _)| of == identity).map(|(_, grant)| grant.clone()).collect()
    }
}

impl Snapshot {
    /// The content of the indexes for this table.
    pub(super) fn index_view(&self) -> IndexView {
        let line = |grant: &Grant| {
            let next_at = grant.due_at().filter(|_| self.unlisted.get(&grant.id) != Some(&grant.version))?;
            Some((grant.due_role(), Due { id: grant.id, is_mark: false, next_at }))
        };
        let mark = |(id, at): (&GrantId, &Timestamp)| (DueRole::Reap, Due { id: *id, is_mark: true, next_at: *at });
        let mut due: Vec<_> = self.grants.values().filter_map(line).chain(self.marks.iter().map(mark)).collect();
        due.sort_by_key(|(_, line)| due_position(line));
        let summary = |grant: &Grant| {
            let (id, state, created_at) = (grant.id, grant.state.name().to_owned(), grant.created_at);
            (grant.identity.clone(), GrantSummary { id, state, created_at })
        };
        let mut by_identity: Vec<_> = self.grants.values().map(summary).collect();
        by_identity.sort_by_key(|(_, grant)| std::cmp::Reverse((grant.created_at, grant.id)));
        let denied_roles: BTreeSet<&String> = self.denies.keys().map(|(role, _)| role).collect();
        let mut reviews: Vec<_> = self.reviews.values().collect();
        reviews.sort_by_key(|review| (review.since, &review.identity, review.grant));
        let reviews = reviews.into_iter().map(|review| review.grant).collect();
        IndexView { due, by_identity, reviews, denied_roles: denied_roles.into_iter().cloned().collect() }
    }
}
