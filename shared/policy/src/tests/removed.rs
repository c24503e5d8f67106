//! Who is taken out of the catalogue has nothing any more, and no say in what others have.

use std::cell::Cell;

use brevet_domain::bundle::Index;
use brevet_domain::decision::Outcome;
use brevet_domain::id::IdentityId;
use brevet_domain::rule;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::DecideError;

const PEOPLE: [&str; 5] = ["ana", "dana", "lea", "omar", "rui"];
const MACHINES: [&str; 4] = ["acme-sync", "nightly-batch", "release-pipeline", "remediation-agent"];
const THINGS: [&str; 4] = ["read-secret", "read-orders-table", "deploy-release", "third-party-sync"];

fn policy() -> impl Strategy<Value = String> {
    let principals = vec![
        "principal",
        "principal",
        "principal in Brevet::Team::\"security\"",
        "principal in Brevet::Team::\"oncall\"",
        "principal == Brevet::Identity::\"ana\"",
        "principal == Brevet::Identity::\"omar\"",
        "principal == Brevet::Identity::\"remediation-agent\"",
        "principal == Brevet::Identity::\"release-pipeline\"",
    ];
    let conditions = vec![
        "",
        "",
        "when { context.termSeconds <= 60 }",
        "when { principal.class == \"human\" }",
        "when { principal has sponsor && principal.sponsor == Brevet::Identity::\"rui\" }",
        "unless { principal has sponsor && principal.sponsor.class == \"human\" }",
        "when { Brevet::Identity::\"omar\" has class }",
        "unless { Brevet::Identity::\"dana\" has class }",
    ];
    drawn::policy(principals, conditions)
}

/// What everybody may, so that chance alone need not let anything through; then whatever is drawn.
fn policies() -> impl Strategy<Value = String> {
    let common = vec![
        vec![],
        vec!["request", "autoApprove"],
        vec!["request", "approve"],
        vec!["request", "autoApprove", "approve"],
    ];
    drawn::policies(common, policy(), 5)
}

/// The example under `policies`, and the same without `who`, whom the policies go on naming; without what it owns,
/// either, where that goes with it.
fn with_and_without(policies: &str, who: &IdentityId, owned_go: bool) -> [Bundle; 2] {
    let text = text_with(policies);
    let index = text.index().unwrap();
    let goes = |owner: &IdentityId| owned_go && owner == who;
    let mut identities = index.identities.clone();
    identities.retain(|id, identity| id != who && !goes(&identity.owner));
    let mut listings = text.listings(&index).unwrap();
    listings.retain(|_, listing| !goes(&listing.entitlement.owner));
    let rules = text.rules(&index).unwrap();
    let without = Index { identities, parts: BTreeMap::new(), ..index };
    let without = BundleText::build(without, &listings, &rules, &[].into()).unwrap();
    [Bundle::load(&text).unwrap(), Bundle::load(&without).unwrap()]
}

/// Who asks, on whose behalf, for what.
type Asked = (&'static str, Option<&'static str>, &'static str);

/// What `bundle` says to `caller`, however the request is wrong, with the rules and policies that determine it.
fn said(bundle: &Bundle, caller: &Caller, (_, human, what): Asked) -> (Outcome, Vec<String>) {
    let mut request = request(what, 60, Some("INC-1"));
    request.ask.on_behalf_of = human.map(|human| human.parse().unwrap());
    match bundle.decide(caller, &request, &deployment(), now()) {
        Ok(verdict) => (verdict.outcome, verdict.determining),
        Err(error @ DecideError::UnknownEntitlement(_)) => (Outcome::Deny { reason: error.to_string() }, Vec::new()),
        Err(error) => panic!("{error}"),
    }
}

fn is_denied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Deny { .. })
}

#[derive(Debug, Default)]
struct Seen {
    /// What was taken from whoever was removed: allowed, and awaiting approval.
    allowed: Cell<u32>,
    awaited: Cell<u32>,
    /// From what it answered for.
    of_sponsored: Cell<u32>,
    /// From whoever asked on its behalf.
    on_behalf: Cell<u32>,
    /// It could have approved what others still ask for.
    as_approver: Cell<u32>,
    /// Others kept what they had.
    kept: Cell<u32>,
}

impl Seen {
    fn all(&self) -> bool {
        let Self { allowed, awaited, of_sponsored, on_behalf, as_approver, kept } = self;
        [allowed, awaited, of_sponsored, on_behalf, as_approver, kept].iter().all(|n| n.get() > 0)
    }
}

/// Whatever the policies, also those that go on naming it.
#[test]
fn removing_an_identity_denies_all_it_had_and_takes_its_say_in_what_others_have() {
    let seen = Seen::default();
    let add = |n: &Cell<u32>, if_so: bool| n.set(n.get() + u32::from(if_so));
    let everybody = || PEOPLE.into_iter().chain(MACHINES);
    let drawn = (policies(), select(everybody().collect::<Vec<_>>()), any::<bool>());
    for mut runner in rounds(20) {
        if seen.all() {
            break;
        }
        let round = runner.run(&drawn, |(policies, gone, owned_go)| {
            let id: IdentityId = gone.parse().unwrap();
            let [before, after] = with_and_without(&policies, &id, owned_go);
            let alone = everybody().map(|who| (who, None));
            let behalf = MACHINES.into_iter().map(|who| (who, Some(gone))).filter(|_| PEOPLE.contains(&gone));
            for (who, human) in alone.chain(behalf) {
                for what in THINGS {
                    let (asked, caller) = ((who, human, what), caller(&before, who, Some("run-7")));
                    let (had, _) = said(&before, &caller, asked);
                    let (has, by) = said(&after, &caller, asked);
                    let is_sponsored = who != gone && caller.identity.owner == id;
                    if who == gone || is_sponsored || human.is_some() {
                        prop_assert!(is_denied(&has), "{asked:?} without {gone}: {has:?} in {policies}");
                    }
                    if who == gone || is_sponsored {
                        // Because of who asks: not by chance, for want of a policy.
                        let is_known = after.entitlement(&what.parse().unwrap()).is_some();
                        prop_assert!(!is_known || by == [rule::REGISTERED], "{asked:?} without {gone}: {by:?}");
                    }
                    let eligible = |outcome: &Outcome| match outcome {
                        Outcome::NeedsApproval { steps, .. } => steps.iter().any(|step| step.approvers.contains(&id)),
                        Outcome::Allow | Outcome::Deny { .. } => false,
                    };
                    prop_assert!(!eligible(&has), "{asked:?} by {gone}: {has:?} in {policies}");
                    add(&seen.allowed, who == gone && had == Outcome::Allow);
                    add(&seen.awaited, who == gone && matches!(had, Outcome::NeedsApproval { .. }));
                    add(&seen.of_sponsored, is_sponsored && !is_denied(&had));
                    add(&seen.on_behalf, human.is_some() && !is_sponsored && !is_denied(&had));
                    add(&seen.as_approver, eligible(&had) && matches!(has, Outcome::NeedsApproval { .. }));
                    add(&seen.kept, !is_denied(&had) && !is_denied(&has));
                }
            }
            Ok(())
        });
        round.unwrap();
    }
    // Every kind was seen, or this would prove little.
    assert!(seen.all(), "{seen:?}");
}
