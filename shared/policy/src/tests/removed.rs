//! An identity that is removed from the catalogue is denied everything, and may no longer approve.

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

/// Permits for everybody, so that some requests are allowed, and then drawn policies.
fn policies() -> impl Strategy<Value = String> {
    let common = vec![
        vec![],
        vec!["request", "autoApprove"],
        vec!["request", "approve"],
        vec!["request", "autoApprove", "approve"],
    ];
    drawn::policies(common, policy(), 5)
}

/// The example under `policies`, and the same without `who`, whom the policies still name. With `owned_go`, the
/// identities and entitlements that `who` owns are removed as well.
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

/// The requester, the human on whose behalf it asks, and the entitlement.
type Asked = (&'static str, Option<&'static str>, &'static str);

/// The outcome of the request of `caller`, with its determining rules and policies.
fn decide(bundle: &Bundle, caller: &Caller, (_, human, what): Asked) -> (Outcome, Vec<String>) {
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
    /// The removed identity was allowed before.
    allowed: Cell<u32>,
    /// The removed identity could get approval before.
    awaited: Cell<u32>,
    /// An identity that it sponsored lost access.
    of_sponsored: Cell<u32>,
    /// An identity that asked on its behalf lost access.
    on_behalf: Cell<u32>,
    /// It was an approver of a request that still needs approval.
    as_approver: Cell<u32>,
    /// Another identity kept its access.
    kept: Cell<u32>,
}

impl Seen {
    fn all(&self) -> bool {
        let Self { allowed, awaited, of_sponsored, on_behalf, as_approver, kept } = self;
        [allowed, awaited, of_sponsored, on_behalf, as_approver, kept].iter().all(|n| n.get() > 0)
    }
}

/// This holds under any policies, including those that still name the identity.
#[test]
fn removed_identity_is_denied_everything_and_approves_nothing() {
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
                    let (had, _) = decide(&before, &caller, asked);
                    let (has, by) = decide(&after, &caller, asked);
                    let is_sponsored = who != gone && caller.identity.owner == id;
                    if who == gone || is_sponsored || human.is_some() {
                        prop_assert!(is_denied(&has), "{asked:?} without {gone}: {has:?} in {policies}");
                    }
                    if who == gone || is_sponsored {
                        // The rule on registration must deny, not a missing policy.
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
    // The test needs every kind of removal to prove anything.
    assert!(seen.all(), "{seen:?}");
}
