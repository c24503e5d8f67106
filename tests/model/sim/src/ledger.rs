//! What was asked, allowed and stopped, as those who did it know it. Nothing in it was read from Brevet.

use std::collections::{BTreeMap, BTreeSet};

use brevet_domain::block::BlockScope;
use brevet_domain::id::{GrantId, IdentityId, ScheduleId};
use brevet_domain::identity::Identity;
use brevet_domain::time::Timestamp;

use crate::catalogue::{Leaver, MAX_RENEWALS, needs_votes, term_s};

/// One request, as it reached the policy.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asked.
    pub identity: Identity,
    /// For what.
    pub entitlement: String,
    /// When it was first judged, by the true clock.
    pub at: Timestamp,
    /// On whose behalf.
    pub on_behalf_of: Option<IdentityId>,
    /// Which grant it carries on.
    pub renews: Option<GrantId>,
    /// The schedule that asked, if nobody did.
    pub schedule: Option<ScheduleId>,
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
    /// Somebody delegates less to another one: what was asked for before, and is not among what they keep, ends.
    Undelegated {
        /// Who.
        by: IdentityId,
        /// To whom.
        to: IdentityId,
        /// What still may be asked for.
        keeps: &'static [&'static str],
        /// How many requests had been judged by then.
        n_asked: usize,
    },
}

/// What somebody tried to let another one ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Who.
    pub by: IdentityId,
    /// To whom.
    pub to: IdentityId,
    /// What.
    pub what: &'static [&'static str],
    /// Until when.
    pub until: Timestamp,
}

/// The knowledge of everybody outside.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every request that was judged, in order.
    pub asked: Vec<(GrantId, Asked)>,
    /// Who tried to say yes to what, and since when.
    pub yes: BTreeMap<GrantId, BTreeSet<String>>,
    /// What anybody tried to delegate.
    pub given: Vec<Given>,
    /// Which uses of break-glass somebody tried to review, and since when.
    pub reviewed: BTreeMap<GrantId, Timestamp>,
    /// When removals were last refused by AWS.
    pub refused_at: Option<Timestamp>,
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
    pub fn judge(&mut self, id: GrantId, asked: Asked) {
        if self.of(id).is_none() {
            self.asked.push((id, asked));
        }
    }

    /// Until when what was asked on somebody's behalf may last at the most.
    #[must_use]
    pub fn given_until(&self, id: GrantId) -> Option<Timestamp> {
        let asked = self.of(id)?;
        let human = asked.on_behalf_of.as_ref()?;
        let rests = |given: &&Given| given.by == *human && given.to == asked.identity.id;
        let covers = |given: &&Given| given.what.contains(&asked.entitlement.as_str());
        self.given.iter().filter(rests).filter(covers).map(|given| given.until).max()
    }

    /// How many it carries on, one after the other.
    fn row(&self, asked: &Asked) -> u32 {
        asked.renews.and_then(|of| self.of(of)).map_or(0, |before| 1 + self.row(before))
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
        let place = self.asked.iter().position(|(asked, _)| *asked == id)?;
        self.stops.iter().filter(|(stop, _)| self.covers(stop, place)).map(|(_, at)| *at).min()
    }

    /// Whether anybody could have allowed it: its class needs nobody, or enough of those who may said yes; somebody tried to
    /// delegate what is had on their behalf, and no row of renewals is too long.
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

    /// Something stood in the way of the schedule, or of one of its calls.
    pub fn disturb(&mut self, at: Timestamp) {
        self.undisturbed_since = self.undisturbed_since.max(Some(at));
    }

    /// Whether `stop` stands in the way of the request at `place`.
    fn covers(&self, stop: &Stop, place: usize) -> bool {
        let (id, asked) = &self.asked[place];
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
                rests && place < *n_asked && !keeps.contains(&asked.entitlement.as_str())
            }
            Stop::Left(Leaver::Person(one)) => who.id.as_str() == *one || who.owner.as_str() == *one,
            Stop::Left(Leaver::Entitlement(one)) => asked.entitlement == *one,
        }
    }
}
