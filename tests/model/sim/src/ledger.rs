//! The requests, votes and stops as the outside world knows them. Nothing in the ledger is read from Brevet.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::block::BlockScope;
use brevet_domain::id::{GrantId, IdentityId, ScheduleId};
use brevet_domain::identity::Identity;
use brevet_domain::time::Timestamp;

use crate::catalogue::{Leaver, MAX_RENEWALS, needs_votes, term_s};

/// One request, as it reached the policy.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The requester.
    pub identity: Identity,
    pub entitlement: String,
    /// When it was first evaluated, by the true clock.
    pub at: Timestamp,
    /// The human on whose behalf it was made.
    pub on_behalf_of: Option<IdentityId>,
    /// The grant that it renews.
    pub renews: Option<GrantId>,
    /// The schedule that made it, if no requester did.
    pub schedule: Option<ScheduleId>,
}

impl Asked {
    /// The longest term of the grant, in seconds.
    #[must_use]
    pub fn term_s(&self) -> u32 {
        term_s(&self.entitlement)
    }
}

/// A reason for ending grants before their deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A block on one grant or on many.
    Block(BlockScope),
    /// An identity or entitlement left the catalogue.
    Left(Leaver),
    /// A table was confirmed: every earlier request is void.
    Void(Timestamp),
    /// A human delegates less to a machine: earlier requests for anything outside `keeps` end.
    Undelegated {
        /// The human.
        by: IdentityId,
        /// The machine.
        to: IdentityId,
        /// The entitlements that stay delegated.
        keeps: &'static [&'static str],
        /// The number of requests that had been evaluated by then.
        n_asked: usize,
    },
}

/// An attempt to delegate entitlements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The human.
    pub by: IdentityId,
    /// The machine.
    pub to: IdentityId,
    pub what: &'static [&'static str],
    pub until: Timestamp,
}

/// The knowledge of the outside world.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every evaluated request, in order.
    pub asked: Vec<(GrantId, Asked)>,
    /// The people who tried to approve each request.
    pub yes: BTreeMap<GrantId, BTreeSet<String>>,
    /// Every attempt to delegate.
    pub given: Vec<Given>,
    /// The uses of break-glass that somebody tried to review, and since when.
    pub reviewed: BTreeMap<GrantId, Timestamp>,
    /// When AWS last refused removals.
    pub refused_at: Option<Timestamp>,
    /// The stops in force, and since when.
    pub stops: Vec<(Stop, Timestamp)>,
    /// The start of each reaper pass that may have recorded success.
    pub passes: Vec<Timestamp>,
    /// Since when the schedule has been undisturbed.
    pub undisturbed_since: Option<Timestamp>,
    /// When somebody last changed AWS behind Brevet's back.
    pub tampered_at: Option<Timestamp>,
    /// Since when the table in use has been unconfirmed.
    pub unconfirmed_since: Option<Timestamp>,
    /// The last restore of the table.
    pub restored: Option<Restored>,
}

/// A restore of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub at: Timestamp,
    /// The instant of the restored state.
    pub of: Timestamp,
}

impl Ledger {
    /// The recorded request of a grant.
    #[must_use]
    pub fn of(&self, id: GrantId) -> Option<&Asked> {
        self.asked.iter().find(|(asked, _)| *asked == id).map(|(_, asked)| asked)
    }

    /// The `nth` request, modulo their number.
    #[must_use]
    pub fn nth(&self, nth: usize) -> Option<(GrantId, &Asked)> {
        let n = nth.checked_rem(self.asked.len())?;
        self.asked.get(n).map(|(id, asked)| (*id, asked))
    }

    /// Records a request when the policy evaluates it.
    pub fn judge(&mut self, id: GrantId, asked: Asked) {
        if self.of(id).is_none() {
            self.asked.push((id, asked));
        }
    }

    /// The latest end of a request on somebody's behalf, by its delegations.
    #[must_use]
    pub fn given_until(&self, id: GrantId) -> Option<Timestamp> {
        let asked = self.of(id)?;
        let human = asked.on_behalf_of.as_ref()?;
        let rests = |given: &&Given| given.by == *human && given.to == asked.identity.id;
        let covers = |given: &&Given| given.what.contains(&asked.entitlement.as_str());
        self.given.iter().filter(rests).filter(covers).map(|given| given.until).max()
    }

    /// The number of renewals in a row before this request.
    fn row(&self, asked: &Asked) -> u32 {
        asked.renews.and_then(|of| self.of(of)).map_or(0, |before| 1 + self.row(before))
    }

    /// Records a stop. A stop that is already recorded keeps its age.
    pub fn stop(&mut self, stop: Stop, at: Timestamp) {
        if !self.stops.iter().any(|(standing, _)| *standing == stop) {
            self.stops.push((stop, at));
        }
    }

    /// Since when a stop has applied to a grant.
    #[must_use]
    pub fn stopped_at(&self, id: GrantId) -> Option<Timestamp> {
        let index = self.asked.iter().position(|(asked, _)| *asked == id)?;
        self.stops.iter().filter(|(stop, _)| self.covers(stop, index)).map(|(_, at)| *at).min()
    }

    /// Whether the request could have been allowed. Its class needs no approval, or enough eligible people approved.
    /// If it is on somebody's behalf, somebody tried to delegate it. No row of renewals is too long.
    #[must_use]
    pub fn may_be_allowed(&self, id: GrantId) -> bool {
        let Some(asked) = self.of(id) else { return false };
        if asked.on_behalf_of.is_some() && self.given_until(id).is_none() || self.row(asked) > MAX_RENEWALS {
            return false;
        }
        let who = &asked.identity;
        let apart = |by: &&String| *by != who.id.as_str() && *by != who.owner.as_str();
        let said_yes = self.yes.get(&id).map_or(0, |by| by.iter().filter(apart).count());
        needs_votes(who.class, &asked.entitlement).is_some_and(|needed| said_yes >= needed)
    }

    /// Records a disturbance of the schedule or of one of its calls.
    pub fn disturb(&mut self, at: Timestamp) {
        self.undisturbed_since = self.undisturbed_since.max(Some(at));
    }

    /// Whether `stop` applies to the request at `index`.
    fn covers(&self, stop: &Stop, index: usize) -> bool {
        let (id, asked) = &self.asked[index];
        let who = &asked.identity;
        match stop {
            Stop::Block(BlockScope::Grant(one)) => one == id,
            Stop::Block(BlockScope::Identity(one)) => *one == who.id || asked.on_behalf_of.as_ref() == Some(one),
            Stop::Block(BlockScope::Sponsor(one)) => *one == who.owner || asked.on_behalf_of.as_ref() == Some(one),
            Stop::Block(BlockScope::Class(one)) => *one == who.class,
            Stop::Block(BlockScope::Entitlement(one)) => one.as_str() == asked.entitlement,
            Stop::Block(BlockScope::Account(_) | BlockScope::All) => true,
            Stop::Void(at) => asked.at < *at,
            Stop::Undelegated { by, to, keeps, n_asked } => {
                let rests = asked.on_behalf_of.as_ref() == Some(by) && who.id == *to;
                rests && index < *n_asked && !keeps.contains(&asked.entitlement.as_str())
            }
            Stop::Left(Leaver::Person(one)) => who.id.as_str() == *one || who.owner.as_str() == *one,
            Stop::Left(Leaver::Entitlement(one)) => asked.entitlement == *one,
        }
    }
}
