//! Deciding on one entitlement at a time gives the same answers as plain Cedar over the whole bundle.
//!
//! Plain Cedar here shares no code with the library: it has every policy of the bundle in one set, and every identity,
//! team and entitlement in one hierarchy. Cedar's own reader builds these from JSON that is written here.

use std::cell::Cell;
use std::collections::BTreeSet;

use brevet_domain::bundle::Index;
use brevet_domain::entitlement::{Delivery, Entitlement};
use brevet_domain::id::IdentityId;
use brevet_domain::identity::IdentityClass;
use cedar_policy::{AuthorizationError, Authorizer, Context, Entities, EntityUid, PolicyId, PolicySet, Schema};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::*;
use crate::ask::{Action, Answer, Facts, Fault, GrantFacts, Question};
use crate::entities::mentions;

const PEOPLE: [&str; 4] = ["ana", "omar", "lea", "rui"];
const OTHERS: [&str; 3] = ["remediation-agent", "release-pipeline", "nightly-batch"];
const THINGS: [&str; 4] = ["read-orders-table", "read-secret", "deploy-release", "legacy-batch"];

/// An entity that a policy may name.
fn name(kind: &'static str, of: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(of).prop_map(move |id| format!("Brevet::{kind}::\"{id}\""))
}

/// A condition that makes Cedar follow attributes and parents, from the principal, the resource and named entities.
fn condition(approve: bool) -> BoxedStrategy<String> {
    let person = || name("Identity", &["ana", "omar", "lea", "rui", "remediation-agent", "nobody-known"]);
    let team = || name("Team", &["security", "leads", "nowhere"]);
    let thing = || name("Entitlement", &["read-orders-table", "read-secret", "deploy-release", "nothing-known"]);
    let common = prop_oneof![
        1 => Just("principal has sponsor && principal.sponsor.class == \"human\"".to_owned()),
        // Humans have no sponsor: an error.
        2 => Just("principal.sponsor.class == \"human\"".to_owned()),
        // Not every proof names a task: an error.
        2 => Just("context.task == \"run-7\"".to_owned()),
        1 => team().prop_map(|team| format!("principal in {team}")),
        1 => team().prop_map(|team| format!("principal has sponsor && principal.sponsor in {team}")),
        1 => person().prop_map(|who| format!("{who} has class && {who}.class == \"human\"")),
        // Some of these identities are unknown: an error.
        1 => person().prop_map(|who| format!("{who}.class == \"human\"")),
        1 => (person(), team()).prop_map(|(who, team)| format!("{who} in {team}")),
        1 => person().prop_map(|who| format!("{who} has sponsor && {who}.sponsor == principal")),
        1 => thing().prop_map(|what| format!("{what} has owner && {what}.owner == principal")),
        1 => thing().prop_map(|what| format!("{what}.owner.class == \"human\"")),
        1 => (thing(), team()).prop_map(|(what, team)| format!("{what} has owner && {what}.owner in {team}")),
        1 => thing().prop_map(|what| format!("{what}.delivery == \"session\"")),
        1 => Just("context.termSeconds <= 60".to_owned()),
        1 => Just("context has task".to_owned()),
        1 => Just("context.now < datetime(\"2026-11-22T14:00:01Z\")".to_owned()),
    ];
    let on_grant = prop_oneof![
        thing().prop_map(|what| format!("resource.entitlement == {what}")),
        Just("resource.entitlement.owner == principal".to_owned()),
        team().prop_map(|team| format!("resource.requester in {team} || resource.sponsor in {team}")),
        Just("resource.requester has sponsor && resource.requester.sponsor.class == \"human\"".to_owned()),
        Just("resource.sponsor == principal".to_owned()),
    ];
    let on_entitlement = prop_oneof![
        thing().prop_map(|what| format!("resource == {what}")),
        thing().prop_map(|what| format!("resource in [{what}]")),
        Just("resource.owner == principal".to_owned()),
        team().prop_map(|team| format!("resource.owner in {team}")),
        Just("resource.delivery == \"session\" && resource.target like \"*r*\"".to_owned()),
        select(vec!["low", "medium", "high", "critical"]).prop_map(|risk| format!("resource.risk == \"{risk}\"")),
        Just("resource has environment && resource.environment == \"production\"".to_owned()),
        // Not every entitlement has an environment: an error.
        Just("resource.environment == \"production\"".to_owned()),
        Just("context.hasTicket".to_owned()),
        Just("context.isRenewal".to_owned()),
        team().prop_map(|team| format!("context has onBehalfOf && context.onBehalfOf in {team}")),
        // Not every request is on a human's behalf: an error.
        Just("context.onBehalfOf == resource.owner".to_owned()),
    ];
    if approve { prop_oneof![common, on_grant].boxed() } else { prop_oneof![common, on_entitlement].boxed() }
}

/// A policy without its `@id`, and the single entitlement in its scope, if there is one.
fn policy() -> impl Strategy<Value = (Option<&'static str>, String)> {
    let effect = select(vec!["permit", "permit", "permit", "forbid"]);
    let about_grants = any::<bool>();
    (effect, about_grants, any::<bool>()).prop_flat_map(|(effect, approve, scoped)| {
        let principal = prop_oneof![
            3 => Just("principal".to_owned()),
            1 => name("Identity", &["ana", "omar", "remediation-agent"]).prop_map(|who| format!("principal == {who}")),
            1 => name("Team", &["security", "leads"]).prop_map(|team| format!("principal in {team}")),
        ];
        let action = if approve {
            select(vec!["action == Brevet::Action::\"approve\""])
        } else {
            select(vec![
                "action == Brevet::Action::\"request\"",
                "action == Brevet::Action::\"autoApprove\"",
                "action in [Brevet::Action::\"request\", Brevet::Action::\"autoApprove\"]",
            ])
        };
        let about = if scoped && !approve { select(&THINGS[..]).prop_map(Some).boxed() } else { Just(None).boxed() };
        let when = prop_oneof![
            2 => Just(String::new()),
            3 => condition(approve).prop_map(|text| format!("when {{ {text} }}")),
            1 => condition(approve).prop_map(|text| format!("unless {{ {text} }}")),
        ];
        (principal, action, about, when).prop_map(move |(principal, action, about, when)| {
            let resource =
                about.map_or("resource".to_owned(), |id| format!("resource == Brevet::Entitlement::\"{id}\""));
            (about, format!("{effect} ({principal}, {action}, {resource}) {when};"))
        })
    })
}

/// The teams, the sponsors and the owners of entitlements: a number for each, in the order of the example.
type Shape = (Vec<usize>, Vec<usize>, Vec<usize>);

/// Changes teams, sponsors and owners in the example.
fn reshape((teams, sponsors, owners): &Shape, index: &mut Index, listings: &mut BTreeMap<EntitlementId, Listing>) {
    let person = |number: usize| PEOPLE[number].parse().unwrap();
    for (identity, number) in index.identities.values_mut().zip(teams.iter().cycle()) {
        let known = ["security", "leads"].into_iter().enumerate();
        let member = known.filter(|(bit, _)| [*number & 1, *number & 2][*bit] != 0);
        identity.teams = member.map(|(_, team)| team.parse().unwrap()).collect();
    }
    let others = index.identities.values_mut().filter(|one| one.class != IdentityClass::Human);
    for (other, number) in others.zip(sponsors.iter().cycle()) {
        other.owner = person(*number);
    }
    for (listing, number) in listings.values_mut().zip(owners.iter().cycle()) {
        listing.entitlement.owner = person(*number);
    }
}

/// The bundle that the compiler would build from these policies, and all policies as one text.
fn split(policies: &[(Option<&str>, String)], shape: &Shape) -> (BundleText, String) {
    let text = example_text();
    let mut index = text.index().unwrap();
    let mut listings = text.listings(&index).unwrap();
    reshape(shape, &mut index, &mut listings);
    let things: BTreeMap<_, _> = listings.iter().map(|(id, one)| (id.clone(), one.entitlement.clone())).collect();
    let written = policies.iter().enumerate();
    let written: Vec<_> = written.map(|(n, (about, text))| (*about, format!("@id(\"p-{n}\")\n{text}\n"))).collect();
    let rules = |about: Option<&str>| {
        let policies: String = written.iter().filter(|(own, _)| *own == about).map(|(_, text)| text.as_str()).collect();
        let parsed: PolicySet = policies.parse().unwrap();
        let about: Option<EntitlementId> = about.map(|id| id.parse().unwrap());
        let mentions = mentions(parsed.policies(), about.as_ref(), &things);
        Rules { policies, mentions }
    };
    for (id, listing) in &mut listings {
        listing.rules = rules(Some(id.as_str()));
    }
    let bundle = BundleText::build(index, &listings, &rules(None), &[].into()).unwrap();
    (bundle, written.into_iter().map(|(_, text)| text).collect())
}

/// Plain Cedar over the whole bundle.
struct Plain {
    policies: PolicySet,
    entities: Entities,
    schema: Schema,
}

fn reference(kind: &str, id: &str) -> Value {
    json!({ "type": format!("Brevet::{kind}"), "id": id })
}

impl Plain {
    fn new<'a>(policies: &str, index: &Index, things: impl Iterator<Item = &'a Entitlement>) -> Self {
        let parsed: PolicySet = policies.parse().unwrap();
        let mut policies = PolicySet::new();
        for policy in parsed.policies() {
            policies.add(policy.new_id(PolicyId::new(policy.annotation("id").unwrap()))).unwrap();
        }
        let schema = Schema::from_cedarschema_str(include_str!("../schema.cedarschema")).unwrap().0;
        let mut hierarchy = Vec::new();
        let teams: BTreeSet<_> = index.identities.values().flat_map(|one| &one.teams).collect();
        for team in teams {
            hierarchy.push(json!({ "uid": reference("Team", team.as_str()), "attrs": {}, "parents": [] }));
        }
        for one in index.identities.values() {
            let mut attrs = json!({ "class": one.class.as_str() });
            if one.class != IdentityClass::Human {
                attrs["sponsor"] = reference("Identity", one.owner.as_str());
            }
            let parents: Vec<_> = one.teams.iter().map(|team| reference("Team", team.as_str())).collect();
            let uid = reference("Identity", one.id.as_str());
            hierarchy.push(json!({ "uid": uid, "attrs": attrs, "parents": parents }));
        }
        for one in things {
            let (delivery, target) = match &one.delivery {
                Delivery::Session { target, .. } => ("session", target.as_str()),
                Delivery::Inline { principal_arn, .. } => ("inline", principal_arn.as_str()),
                Delivery::Managed { principal_arn, .. } => ("managed", principal_arn.as_str()),
            };
            let owner = reference("Identity", one.owner.as_str());
            let mut attrs = json!({ "owner": owner, "delivery": delivery, "target": target, "risk": one.risk, "breakGlass": one.break_glass.is_some() });
            if let Some(environment) = &one.environment {
                attrs["environment"] = json!(environment.as_str());
            }
            let uid = reference("Entitlement", one.id.as_str());
            hierarchy.push(json!({ "uid": uid, "attrs": attrs, "parents": [] }));
        }
        let entities = Entities::from_json_value(Value::Array(hierarchy), Some(&schema)).unwrap();
        Self { policies, entities, schema }
    }

    fn ask(&self, who: &str, action: &str, resource: Value, grant: Option<Value>, facts: &Facts) -> PlainAnswer {
        let mut context = json!({ "termSeconds": facts.term_s, "now": facts.now.to_string() });
        if action != "approve" {
            context["hasTicket"] = json!(facts.has_ticket);
            context["isRenewal"] = json!(facts.is_renewal);
            if let Some(human) = &facts.on_behalf_of {
                context["onBehalfOf"] = reference("Identity", human.as_str());
            }
        }
        if let Some(task) = &facts.task {
            context["task"] = json!(task);
        }
        let mut entities = self.entities.clone();
        if let Some(grant) = grant {
            entities = entities.add_entities_from_json_value(json!([grant]), Some(&self.schema)).unwrap();
        }
        let uid = |value| EntityUid::from_json(value).unwrap();
        let action = uid(reference("Action", action));
        let context = Context::from_json_value(context, Some((&self.schema, &action))).unwrap();
        let (principal, resource) = (uid(reference("Identity", who)), uid(resource));
        let request = cedar_policy::Request::new(principal, action, resource, context, Some(&self.schema)).unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let errors = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
        });
        let errors: BTreeSet<_> = errors.collect();
        if !errors.is_empty() {
            return PlainAnswer::Error(errors);
        }
        let by = response.diagnostics().reason().map(ToString::to_string).collect();
        match response.decision() {
            cedar_policy::Decision::Allow => PlainAnswer::Yes(by),
            cedar_policy::Decision::Deny => PlainAnswer::No(by),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PlainAnswer {
    Yes(BTreeSet<String>),
    No(BTreeSet<String>),
    /// One of these could not be evaluated.
    Error(BTreeSet<String>),
}

/// Whether both answers agree. If several policies err, the library's answer names one of them.
fn agree(answer: &Result<Answer, Fault>, expected: &PlainAnswer) -> bool {
    match (answer, expected) {
        (Ok(Answer::Yes(by)), PlainAnswer::Yes(all)) | (Ok(Answer::No(by)), PlainAnswer::No(all)) => by.iter().eq(all),
        (Err(Fault::Policy { policy, .. }), PlainAnswer::Error(policies)) => policies.contains(policy),
        _ => false,
    }
}

/// A bundle with a single entitlement, as `evaluate` loads it.
fn sliced(text: &BundleText, what: &str) -> Bundle {
    let index = std::sync::Arc::new(text.index().unwrap());
    let rules = text.rules(&index).unwrap();
    let listing = text.listings(&index).unwrap().remove(&what.parse().unwrap()).unwrap();
    Bundle::open(text.digest, index, &rules).unwrap().with(listing).unwrap()
}

#[test]
fn single_entitlement_bundle_decides_as_plain_cedar_over_the_whole_bundle() {
    let n = [const { Cell::new(0_u32) }; 3];
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let facts = (select(vec![60_u32, 90]), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = |n| prop::collection::vec(0..4_usize, n);
    let shape = (numbers(11), numbers(5), numbers(7));
    TestRunner::new(config)
        .run(&(prop::collection::vec(policy(), 1..14), shape, facts), |(policies, shape, facts)| {
            let (term_s, has_ticket, has_task, for_ana, is_renewal) = facts;
            let (text, all) = split(&policies, &shape);
            let task = has_task.then(|| "run-7".to_owned());
            let on_behalf_of = for_ana.then(|| "ana".parse().unwrap());
            let facts = Facts { term_s, has_ticket, task, schedule: None, on_behalf_of, is_renewal, now: now() };
            let whole = Bundle::load(&text).unwrap();
            let plain = Plain::new(&all, whole.index(), whole.entitlements());
            for what in THINGS {
                let id: EntitlementId = what.parse().unwrap();
                let slice = sliced(&text, what);
                for bundle in [&slice, &whole] {
                    for who in PEOPLE.into_iter().chain(OTHERS) {
                        let who: IdentityId = who.parse().unwrap();
                        let people = std::iter::once(&who).chain(&facts.on_behalf_of);
                        let world = bundle.world(&id, people, None).unwrap();
                        for (action, name) in [(Action::Request, "request"), (Action::AutoApprove, "autoApprove")] {
                            let answer = world.ask(&Question::new(&who, &id, &facts).unwrap(), action);
                            let expected = plain.ask(who.as_str(), name, reference("Entitlement", what), None, &facts);
                            prop_assert!(
                                agree(&answer, &expected),
                                "{who} {name} {what}: {answer:?}, but {expected:?}\n{all}"
                            );
                            let kind = match expected {
                                PlainAnswer::Yes(_) => 0,
                                PlainAnswer::No(_) => 1,
                                PlainAnswer::Error(_) => 2,
                            };
                            n[kind].set(n[kind].get() + 1);
                        }
                    }
                    let requester = whole.index().identities[&"remediation-agent".parse().unwrap()].clone();
                    let grant = GrantFacts {
                        id: None,
                        entitlement: &id,
                        requester: &requester.id,
                        sponsor: &requester.owner,
                        class: requester.class,
                    };
                    let entity = json!({
                        "uid": reference("Grant", "-"),
                        "attrs": {
                            "entitlement": reference("Entitlement", what),
                            "requester": reference("Identity", requester.id.as_str()),
                            "sponsor": reference("Identity", requester.owner.as_str()),
                            "requesterClass": requester.class.as_str(),
                        },
                        "parents": [],
                    });
                    for who in PEOPLE {
                        let who: IdentityId = who.parse().unwrap();
                        let world = bundle.world(&id, std::iter::once(&who), Some(&grant)).unwrap();
                        let answer = world.on_grant(&who, &grant, &facts);
                        let expected =
                            plain.ask(who.as_str(), "approve", reference("Grant", "-"), Some(entity.clone()), &facts);
                        prop_assert!(
                            agree(&answer, &expected),
                            "{who} approve {what}: {answer:?}, but {expected:?}\n{all}"
                        );
                    }
                }
                // The verdicts are the same, including their reasons.
                // This compares one entitlement only, since each refusal also searches the nearest request.
                for who in ["ana", "remediation-agent"].into_iter().filter(|_| what == "read-secret") {
                    let caller = caller(&whole, who, facts.task.as_deref());
                    let mut request = request(what, term_s, has_ticket.then_some("INC-1"));
                    request.ask.on_behalf_of = facts.on_behalf_of.clone();
                    request.ask.renews = facts.is_renewal.then_some(request.id);
                    let [one, other] =
                        [&slice, &whole].map(|bundle| bundle.decide(&caller, &request, &deployment(), now()));
                    prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
                }
            }
            Ok(())
        })
        .unwrap();
    // The test needs all three answers to prove anything.
    assert!(n.iter().all(|n| n.get() > 20), "{n:?}");
}

#[test]
fn compiler_adds_the_entitlements_that_policies_mention_to_each_part() {
    let mut sources = example();
    let added = r#"
@id("owner-of-another") permit (principal, action == Brevet::Action::"request", resource == Brevet::Entitlement::"read-secret")
    when { Brevet::Entitlement::"deploy-release".owner == principal };
@id("not-like-another") forbid (principal == Brevet::Identity::"acme-sync", action == Brevet::Action::"request", resource)
    when { resource.target == Brevet::Entitlement::"legacy-batch".target };
"#;
    sources.0.insert("policies/elsewhere.cedar".to_owned(), added.to_owned());
    let text = compile(&sources).unwrap().bundle;
    let index = text.index().unwrap();
    let listings = text.listings(&index).unwrap();
    let named = |rules: &Rules| rules.mentions.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(named(&listings[&"read-secret".parse().unwrap()].rules), ["deploy-release"]);
    assert!(named(&text.rules(&index).unwrap()).contains(&"legacy-batch".to_owned()));
    assert!(named(&listings[&"deploy-release".parse().unwrap()].rules).is_empty());
    // So each part is decided without the other one: the owner may ask, and no policy errs.
    let owner = listings[&"deploy-release".parse().unwrap()].entitlement.owner.to_string();
    let slice = sliced(&text, "read-secret");
    let (who, what) = (owner.parse().unwrap(), "read-secret".parse().unwrap());
    let world = slice.world(&what, std::iter::once(&who), None).unwrap();
    let facts = Facts {
        term_s: 60,
        has_ticket: false,
        task: None,
        schedule: None,
        on_behalf_of: None,
        is_renewal: false,
        now: now(),
    };
    let answer = world.ask(&Question::new(&who, &what, &facts).unwrap(), Action::Request).unwrap();
    assert!(matches!(&answer, Answer::Yes(by) if by.contains(&"owner-of-another".to_owned())), "{answer:?}");
}
