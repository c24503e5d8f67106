//! What the indexes of the store fake show: they may lag the table.

use std::collections::BTreeSet;

use brevet_domain::grant::{DueRole, Grant};
use brevet_domain::id::{GrantId, IdentityId};
use brevet_domain::time::Timestamp;

use super::tables::Snapshot;
use crate::port::{Due, GrantSummary, shard_of};

/// Where a line stands on the to-do list.
pub(super) type DuePlace = (Timestamp, bool, GrantId);

pub(super) fn due_place(line: &Due) -> DuePlace {
    (line.next_at, line.is_mark, line.id)
}

/// What the indexes show: they may lag the table.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The index `due`, oldest first.
    due: Vec<(DueRole, Due)>,
    /// The index `by_identity`, newest first.
    by_identity: Vec<(IdentityId, GrantSummary)>,
    /// Uses that await their review, those that wait longest first.
    pub(super) reviews: Vec<GrantId>,
    /// The roles that have early ends.
    pub(super) denied_roles: Vec<String>,
}

impl Shown {
    /// Behind `after`, whatever has left the list since it was read.
    pub(super) fn due(&self, role: DueRole, shard: u8, now: Timestamp, after: Option<DuePlace>) -> Vec<Due> {
        let wanted = |line: &Due| shard_of(line.id) == shard && line.next_at <= now;
        let is_behind = |line: &Due| after.is_none_or(|after| due_place(line) > after);
        let lines = self.due.iter().filter(|(on, line)| *on == role && wanted(line) && is_behind(line));
        lines.map(|(_, line)| *line).collect()
    }

    pub(super) fn grants_of(&self, identity: &IdentityId) -> Vec<GrantSummary> {
        self.by_identity.iter().filter(|(of, _)| of == identity).map(|(_, grant)| grant.clone()).collect()
    }
}

impl Snapshot {
    /// What its indexes show of it.
    pub(super) fn shown(&self) -> Shown {
        let line = |grant: &Grant| {
            let next_at = grant.due_at().filter(|_| self.unlisted.get(&grant.id) != Some(&grant.version))?;
            Some((grant.due_role(), Due { id: grant.id, is_mark: false, next_at }))
        };
        let mark = |(id, at): (&GrantId, &Timestamp)| (DueRole::Reap, Due { id: *id, is_mark: true, next_at: *at });
        let mut due: Vec<_> = self.grants.values().filter_map(line).chain(self.marks.iter().map(mark)).collect();
        due.sort_by_key(|(_, line)| due_place(line));
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
        Shown { due, by_identity, reviews, denied_roles: denied_roles.into_iter().cloned().collect() }
    }
}
