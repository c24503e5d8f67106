//! The checks whenever access begins.

use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use brevet_engine::port::AttachmentTarget;

use super::{Claim, GRACE_S, Observer, bound, grant_of, undisturbed_since};
use crate::catalogue::{BATCH, RESCUE, WINDOW_EVERY_S, WINDOW_S};
use crate::ledger::Ledger;
use crate::world::{CALL_S, HEARTBEAT_MAX_S, OVERDUE_S, SKEW_S, World};

/// How long an end may be due before nothing new begins on its principal: until it is overdue, and every fresh
/// heartbeat counts it.
const BESIDE_S: u32 = OVERDUE_S + HEARTBEAT_MAX_S + GRACE_S;

impl Observer {
    /// Access began: it must be allowed, with a fresh heartbeat, and not under a block.
    pub(super) fn began(&mut self, world: &World, ledger: &Ledger, id: GrantId, at: Timestamp) {
        self.hold(Claim::AllowedByDecision, ledger.may_be_allowed(id), || {
            format!("{id} began, and no policy or approver could have allowed it")
        });
        self.reaper_health(ledger, at);
        self.once_a_window(ledger, id, at);
        self.reviewed_first(world, ledger, id);
        let stopped = ledger.stopped_at(id);
        // A call that began before the block was placed may land until its time-out.
        let is_late = |since: Option<Timestamp>| since.is_some_and(|since| at > since.plus(2 * CALL_S + SKEW_S));
        let now = world.now();
        self.hold(Claim::NotUnderBlock, !is_late(stopped), || {
            format!("{id} got access at {at}, stopped at {stopped:?}; now {now}")
        });
        let unconfirmed = ledger.unconfirmed_since;
        self.hold(Claim::NotUnderBlock, !is_late(unconfirmed), || {
            format!("{id} got access at {at} from a table that has been unconfirmed since {unconfirmed:?}")
        });
    }

    pub(super) fn reaper_health(&mut self, ledger: &Ledger, at: Timestamp) {
        let oldest = at.minus(HEARTBEAT_MAX_S + 2 * CALL_S + 2 * SKEW_S);
        let heartbeats = ledger.passes.iter().any(|began| *began <= at && *began >= oldest);
        self.hold(Claim::NotWithoutHeartbeat, heartbeats, || {
            format!("access began at {at} without a recent successful pass")
        });
    }

    /// A scheduled grant begins once a window, while the window is open by evaluate's clock.
    fn once_a_window(&mut self, ledger: &Ledger, id: GrantId, at: Timestamp) {
        let Some(asked) = ledger.of(id) else { return };
        let Some(schedule) = asked.schedule.clone() else { return };
        // The deciding clock was at most the skew ahead: a window that it took for open was open or about to open.
        let since_s = asked.at.plus(SKEW_S).as_seconds().rem_euclid(i64::from(WINDOW_EVERY_S));
        let opens_at = asked.at.plus(SKEW_S).minus(u32::try_from(since_s).unwrap_or(0));
        let closed_at = opens_at.plus(WINDOW_S + SKEW_S);
        let is_open = asked.at < closed_at && at < closed_at.plus(SKEW_S + 2 * CALL_S);
        self.hold(Claim::OnceAWindow, is_open, || {
            format!("{id} began at {at} for the window of {schedule} that opened at {opens_at}")
        });
        let began = self.windows.entry((schedule, opens_at)).or_default();
        began.insert(id);
        let began = began.clone();
        self.hold(Claim::OnceAWindow, began.len() == 1, || format!("{began:?} began for the window of {opens_at}"));
    }

    /// No ordinary grant begins that was requested between a use of break-glass and its review.
    fn reviewed_first(&mut self, world: &World, ledger: &Ledger, id: GrantId) {
        let Some(asked) = ledger.of(id).filter(|asked| asked.entitlement != RESCUE) else { return };
        if ledger.restored.is_some() {
            return self.skip("after a restore, that a lost use of break-glass awaits its review");
        }
        let vended = world.sts.vended();
        let used_before = |of: GrantId| {
            let mut uses = vended.iter().filter(|one| grant_of(&one.plan.session_name) == Some(of));
            uses.any(|one| one.vended_at < asked.at)
        };
        let same = ledger.asked.iter().filter(|(_, other)| other.entitlement == RESCUE);
        let same = same.filter(|(of, other)| other.identity.id == asked.identity.id && used_before(*of));
        for (of, _) in same {
            let is_reviewed = ledger.reviewed.get(of).is_some_and(|at| *at <= asked.at);
            self.hold(Claim::ReviewedFirst, is_reviewed, || {
                format!("{id}, requested at {}, began before the use of {of} was reviewed", asked.at)
            });
        }
    }

    /// Nothing is put on a principal beside an inline policy whose end has been due for too long.
    pub(super) fn not_while_overdue(
        &mut self,
        world: &World,
        ledger: &Ledger,
        target: &AttachmentTarget,
        at: Timestamp,
    ) {
        if ledger.tampered_at.is_some() || ledger.restored.is_some() {
            return self
                .skip("that nothing begins beside an overdue grant after somebody edits IAM or restores the table");
        }
        let writes = world.principals.landed();
        let inline = world.principals.whole(BATCH).map(|principal| principal.inline).unwrap_or_default();
        for name in inline.keys() {
            let beside = matches!(target, AttachmentTarget::Inline { policy_name, .. } if policy_name == name);
            let Some(id) = grant_of(name).filter(|_| !beside) else { continue };
            let puts = writes.iter().filter(
                |write| matches!(&write.target, AttachmentTarget::Inline { policy_name, .. } if policy_name == name),
            );
            let bound = bound(ledger, id, puts.filter(|write| write.put.is_some()).map(|write| write.at).min());
            let due = ledger.stopped_at(id).map_or(bound, |stopped| stopped.min(bound));
            let late_from = due.max(undisturbed_since(world, ledger)).plus(BESIDE_S);
            self.hold(Claim::NotWhileOverdue, at <= late_from, || {
                format!("something began at {at} beside {id}, whose end was due at {due}")
            });
        }
    }
}
