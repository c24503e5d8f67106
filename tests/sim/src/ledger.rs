//! What was asked, allowed and stopped, as those who did it know it. Nothing in it was read from Brevet.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::block::BlockScope;
use brevet_domain::id::GrantId;
use brevet_domain::identity::Identity;
use brevet_domain::time::Timestamp;

use crate::catalogue::{Leaver, needs_vote, term_s};

/// One request, as it reached the policy.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asked.
    pub identity: Identity,
    /// For what.
    pub entitlement: String,
    /// When it was first judged, by the true clock.
    pub at: Timestamp,
}

impl Asked {
    /// For how long it may last, in seconds.
    #[must_use]
    pub fn term_s(&self) -> u32 {
        term_s(&self.entitlement)
    }
}

/// What ends grants before their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A block, of one grant or of many.
    Block(BlockScope),
    /// Somebody or something left the catalogue.
    Left(Leaver),
    /// Everything that was asked for before a table was confirmed.
    Void(Timestamp),
}

/// The knowledge of everybody outside.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every request that was judged, in order.
    pub asked: Vec<(GrantId, Asked)>,
    /// Who tried to say yes to what, and since when.
    pub yes: BTreeMap<GrantId, BTreeSet<String>>,
    /// What stands in the way of grants, and since when.
    pub stops: Vec<(Stop, Timestamp)>,
    /// When each pass of a reaper began that may have recorded that it went well.
    pub passes: Vec<Timestamp>,
    /// Since when nothing disturbed the schedule.
    pub undisturbed_since: Option<Timestamp>,
    /// When somebody last changed AWS behind Brevet's back.
    pub tampered_at: Option<Timestamp>,
    /// Since when the table at hand is one that nobody confirmed.
    pub unconfirmed_since: Option<Timestamp>,
    /// When the table was put back to an older state, and of when that was.
    pub restored: Option<Restored>,
}

/// A table that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When.
    pub at: Timestamp,
    /// To what stood then.
    pub of: Timestamp,
}

impl Ledger {
    /// What is known of a request.
    #[must_use]
    pub fn of(&self, id: GrantId) -> Option<&Asked> {
        self.asked.iter().find(|(asked, _)| *asked == id).map(|(_, asked)| asked)
    }

    /// The `nth` request, counted round.
    #[must_use]
    pub fn nth(&self, nth: usize) -> Option<(GrantId, &Asked)> {
        let n = nth.checked_rem(self.asked.len())?;
        self.asked.get(n).map(|(id, asked)| (*id, asked))
    }

    /// Notes a request that the policy is asked about.
    pub fn judge(&mut self, id: GrantId, identity: &Identity, entitlement: &str, at: Timestamp) {
        if self.of(id).is_none() {
            self.asked.push((id, Asked { identity: identity.clone(), entitlement: entitlement.to_owned(), at }));
        }
    }

    /// Notes a stop; one that stands already stays as old as it is.
    pub fn stop(&mut self, stop: Stop, at: Timestamp) {
        if !self.stops.iter().any(|(standing, _)| *standing == stop) {
            self.stops.push((stop, at));
        }
    }

    /// Since when something stands in the way of a grant.
    #[must_use]
    pub fn stopped_at(&self, id: GrantId) -> Option<Timestamp> {
        let asked = self.of(id)?;
        self.stops.iter().filter(|(stop, _)| covers(stop, id, asked)).map(|(_, at)| *at).min()
    }

    /// Whether anybody could have allowed it: its class needs nobody, or somebody who may said yes.
    #[must_use]
    pub fn may_be_allowed(&self, id: GrantId) -> bool {
        let Some(asked) = self.of(id) else { return false };
        match needs_vote(asked.identity.class) {
            None => false,
            Some(false) => true,
            Some(true) => self.yes.get(&id).is_some_and(|by| {
                by.iter().any(|by| by != asked.identity.id.as_str() && by != asked.identity.owner.as_str())
            }),
        }
    }

    /// Something stood in the way of the schedule, or of one of its calls.
    pub fn disturb(&mut self, at: Timestamp) {
        self.undisturbed_since = self.undisturbed_since.max(Some(at));
    }
}

fn covers(stop: &Stop, id: GrantId, asked: &Asked) -> bool {
    let who = &asked.identity;
    match stop {
        Stop::Block(BlockScope::Grant(one)) => *one == id,
        Stop::Block(BlockScope::Identity(one)) => *one == who.id,
        Stop::Block(BlockScope::Sponsor(one)) => *one == who.owner,
        Stop::Block(BlockScope::Class(one)) => *one == who.class,
        Stop::Block(BlockScope::Entitlement(one)) => one.as_str() == asked.entitlement,
        Stop::Block(BlockScope::Account(_) | BlockScope::All) => true,
        Stop::Void(at) => asked.at < *at,
        Stop::Left(Leaver::Person(one)) => who.id.as_str() == *one || who.owner.as_str() == *one,
        Stop::Left(Leaver::Entitlement(one)) => asked.entitlement == *one,
    }
}
