//! The nearest request passes when it is decided, stays within its evaluation bound, and matches the golden table.

use std::cell::Cell;
use std::fmt::Write;

use brevet_domain::decision::{Outcome, Verdict};
use brevet_domain::nearest::{Change, Nearest};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::ask::N_ASKED;
use crate::nearest::{MAX_APPROVER_SEARCHES, MAX_ASKED};

/// One request and the instant of its decision.
#[derive(Clone, Debug)]
struct Asked {
    who: &'static str,
    what: &'static str,
    term_s: u32,
    ticket: bool,
    task: Option<&'static str>,
    at: Timestamp,
}

fn asked(who: &'static str, what: &'static str, term_s: u32) -> Asked {
    Asked { who, what, term_s, ticket: false, task: None, at: now() }
}

impl Asked {
    fn ticket(self) -> Self {
        Self { ticket: true, ..self }
    }

    fn task(self) -> Self {
        Self { task: Some("run-7"), ..self }
    }

    fn at(self, text: &str) -> Self {
        Self { at: text.parse().unwrap(), ..self }
    }

    fn decide(&self, bundle: &Bundle) -> Result<Verdict, crate::DecideError> {
        let caller = caller(bundle, self.who, self.task);
        bundle.decide(&caller, &request(self.what, self.term_s, self.ticket.then_some("INC-1")), &deployment(), self.at)
    }

    /// The outcome of the nearest request. For a change of class, the requester is registered with that class.
    fn decide_nearest(&self, nearest: &Nearest, text: &BundleText, bundle: &Bundle) -> Outcome {
        let (mut asked, mut other) = (self.clone(), None);
        for change in &nearest.changes {
            match change {
                Change::Ticket { .. } => asked.ticket = true,
                Change::NoTicket => asked.ticket = false,
                Change::Term { term_s } => asked.term_s = term_s.as_seconds(),
                // A task that no policy names, since the advice does not promise a certain task.
                Change::Task => asked.task = Some("run-8"),
                Change::At { at } => asked.at = *at,
                Change::Class { class } => {
                    let mut index = text.index().unwrap();
                    let (listings, rules) = (text.listings(&index).unwrap(), text.rules(&index).unwrap());
                    let one = index.identities.get_mut(&self.who.parse().unwrap()).unwrap();
                    one.class = *class;
                    if *class == brevet_domain::identity::IdentityClass::Human {
                        one.owner = one.id.clone();
                    }
                    other =
                        Some(Bundle::load(&BundleText::build(index, &listings, &rules, &[].into()).unwrap()).unwrap());
                }
            }
        }
        asked.decide(other.as_ref().unwrap_or(bundle)).unwrap().outcome
    }

    /// The reason of the refusal, with its determining policies. The nearest request must pass.
    fn refusal(&self, text: &BundleText) -> String {
        let bundle = Bundle::load(text).unwrap();
        let verdict = self.decide(&bundle).unwrap();
        let Outcome::Deny { reason } = &verdict.outcome else { panic!("{self:?} is not refused: {verdict:?}") };
        if let Some(nearest) = &verdict.nearest {
            assert!(reason.ends_with(&format!("; {nearest}")), "{reason}");
            assert_eq!(self.decide_nearest(nearest, text, &bundle), nearest.outcome, "{self:?}");
        }
        format!("{reason} [{}]", verdict.determining.join(", "))
    }
}

/// The example with `more` policies, without its cases and schedules.
fn example_with(more: &str) -> BundleText {
    let mut sources = example();
    sources.0.retain(|file, _| !file.starts_with("cases/") && !file.starts_with("schedules/"));
    sources.0.insert("policies/more.cedar".to_owned(), more.to_owned());
    compile(&sources).unwrap().bundle
}

#[test]
fn refusals_name_the_nearest_request_that_passes() {
    let (agent, pipeline, batch) = ("remediation-agent", "release-pipeline", "nightly-batch");
    let office = r#"@id("nights-are-quiet") forbid (principal, action == Brevet::Action::"request", resource)
        when { context.now.toTime() < duration("8h") || context.now.toTime() >= duration("18h") };"#;
    let freeze = r#"@id("freeze") forbid (principal, action == Brevet::Action::"request", resource)
        when { context.now >= datetime("2026-12-23") && context.now < datetime("2027-01-04T09:00:00+0100") };"#;
    let long = r#"@id("long-with-ticket") forbid (principal, action == Brevet::Action::"request", resource)
        when { !context.hasTicket && context.termSeconds > 120 && !(context has task) };"#;
    let both = r#"@id("both") forbid (principal, action == Brevet::Action::"request", resource)
        when { !context.hasTicket || context.termSeconds > 120 };"#;
    let three = r#"@id("three") forbid (principal, action == Brevet::Action::"request", resource)
        unless { context.hasTicket && context.termSeconds <= 120 && context has task };"#;
    let least = r#"@id("not-for-a-minute") forbid (principal, action == Brevet::Action::"request", resource)
        when { context.termSeconds < 240 };"#;
    let no_tickets = r#"@id("no-tickets") forbid (principal, action == Brevet::Action::"request", resource)
        when { context.hasTicket };"#;
    let people = r#"@id("people-only") forbid (principal, action == Brevet::Action::"request", resource)
        unless { principal.class == "human" };"#;
    let nobody = r#"@id("nobody") forbid (principal, action == Brevet::Action::"request", resource);"#;
    let sections = [
        (
            "the example",
            "",
            vec![
                asked(agent, "read-secret", 300),
                asked(agent, "read-secret", 300).ticket(),
                asked(agent, "deploy-release", 60),
                asked(agent, "legacy-batch", 60),
                asked(batch, "legacy-batch", 1_800),
                asked("rui", "read-secret", 300).ticket(),
                asked("dana", "read-orders-table", 600).ticket(),
            ],
        ),
        (
            "no nights",
            office,
            vec![
                asked(pipeline, "deploy-release", 600).at("2026-11-22T07:59:59.999Z"),
                asked(pipeline, "deploy-release", 600).at("2026-11-22T18:00:00Z"),
                asked(agent, "read-secret", 300).at("2026-11-22T18:00:00Z"),
            ],
        ),
        (
            "a freeze",
            freeze,
            vec![
                asked(pipeline, "deploy-release", 600).at("2026-12-24T12:00:00Z"),
                asked("ana", "read-orders-table", 600).ticket().at("2026-12-24T12:00:00Z"),
            ],
        ),
        ("long only with a ticket or a task", long, vec![asked(pipeline, "deploy-release", 600)]),
        (
            "a ticket, and short",
            both,
            vec![
                asked(pipeline, "deploy-release", 600),
                asked(pipeline, "deploy-release", 600).ticket(),
                asked(pipeline, "deploy-release", 90),
            ],
        ),
        (
            "three things at once",
            three,
            vec![asked(pipeline, "deploy-release", 600), asked(pipeline, "deploy-release", 600).task()],
        ),
        ("not too short", least, vec![asked(pipeline, "deploy-release", 60)]),
        (
            "no tickets",
            no_tickets,
            vec![asked(pipeline, "deploy-release", 60).ticket(), asked("ana", "read-orders-table", 600).ticket()],
        ),
        ("people only", people, vec![asked(pipeline, "deploy-release", 600), asked(agent, "read-secret", 60).task()]),
        ("nobody", nobody, vec![asked(pipeline, "deploy-release", 600)]),
    ];
    let mut table = String::new();
    for (name, policies, all) in sections {
        let text = example_with(policies);
        writeln!(table, "# {name}").unwrap();
        for asked in all {
            let Asked { who, what, term_s, ticket, task, at } = &asked;
            let given = [ticket.then_some(" ticket"), task.map(|_| " task")];
            let given: String = given.into_iter().flatten().collect();
            writeln!(table, "{who} · {what} · {term_s} s{given} · {} → {}", at.policy_form(), asked.refusal(&text))
                .unwrap();
        }
    }
    assert_golden(&table, include_str!("nearest.golden"), "nearest.golden");
}

#[test]
fn class_limit_denial_names_the_longest_term_that_passes_and_its_rule() {
    let mut sources = example();
    sources.0.retain(|file, _| !file.starts_with("cases/") && !file.starts_with("schedules/"));
    let classes = sources.0.get_mut("classes.yaml").unwrap();
    *classes = classes.replace("max_term_s: 3600", "max_term_s: 240");
    let text = compile(&sources).unwrap().bundle;
    assert_eq!(
        asked("release-pipeline", "deploy-release", 600).refusal(&text),
        "a term of 600 s is too long for class `pipeline`: at most 240 s; for 240 s it would pass [brevet:class-term]"
    );
}

/// The result of `what`, with the number of Cedar evaluations in it.
fn counted<T>(what: impl FnOnce() -> T) -> (T, u32) {
    let before = N_ASKED.get();
    let result = what();
    (result, N_ASKED.get().saturating_sub(before))
}

#[test]
fn nearest_search_costs_nothing_when_allowed_and_stays_within_its_bound() {
    let example = example_bundle();
    let humans = u32::try_from(example.index().identities.values().filter(|one| one.class.as_str() == "human").count());
    let humans = humans.unwrap();
    let pipeline = caller(&example, "release-pipeline", Some("7"));
    let allowed = || example.decide(&pipeline, &request("deploy-release", 60, None), &deployment(), now()).unwrap();
    let (verdict, n) = counted(allowed);
    assert_eq!((verdict.outcome, n), (Outcome::Allow, 2));
    // No permit covers Ana, so nothing is tried.
    let ana = caller(&example, "ana", None);
    let denied = || example.decide(&ana, &request("deploy-release", 60, None), &deployment(), now()).unwrap();
    assert_eq!(counted(denied).1, 1);
    // The largest search: policies read everything, and no request passes.
    let matters = |n: u32| {
        let tried = format!("context.termSeconds == {} || context.now.toTime() == duration(\"{n}h\")", n * 17 + 60);
        format!(
            "@id(\"matters-{n}\") forbid (principal, action == Brevet::Action::\"request\", resource)
             when {{ false && ({tried} || context.hasTicket || context has task) }};"
        )
    };
    let refused = |more: &str| {
        let permit = "@id(\"all\") permit (principal, action == Brevet::Action::\"request\", resource);";
        let bundle = bundle_with(&format!("{permit} {more} {}", (0..24).map(matters).collect::<String>()));
        let pipeline = caller(&bundle, "release-pipeline", None);
        counted(|| bundle.decide(&pipeline, &request("deploy-release", 300, None), &deployment(), now()).unwrap())
    };
    let (verdict, n) = refused("@id(\"never\") forbid (principal, action == Brevet::Action::\"request\", resource);");
    assert_eq!((verdict.nearest, verdict.determining), (None, vec!["never".to_owned()]));
    assert_eq!(n, 1 + MAX_ASKED + 3, "the first evaluation refuses each request");
    // The search for approvers is repeated, and finds none.
    let (verdict, n) = refused("");
    assert_eq!((verdict.nearest, verdict.determining), (None, vec!["brevet:enough-approvers".to_owned()]));
    let most = 2 + humans + 2 * MAX_ASKED + MAX_APPROVER_SEARCHES * humans;
    assert!(n > MAX_APPROVER_SEARCHES * (humans - 1) && n <= most, "{n}");
}

/// A condition that distinguishes requests. Some of these cannot be evaluated for every identity.
fn condition() -> impl Strategy<Value = String> {
    let number = select(vec![60_u32, 61, 90, 120, 299, 300, 301, 600]);
    let compared = select(vec!["<=", "<", ">=", ">", "==", "!="]);
    prop_oneof![
        4 => (compared, number).prop_map(|(is, number)| format!("context.termSeconds {is} {number}")),
        2 => Just("context.hasTicket".to_owned()),
        2 => Just("context has task".to_owned()),
        1 => Just("context.task == \"run-7\"".to_owned()),
        5 => select(vec!["agent", "human", "pipeline"]).prop_map(|class| format!("principal.class == \"{class}\"")),
        1 => Just("principal.sponsor.class == \"human\"".to_owned()),
        1 => Just("context.now.toTime() >= duration(\"15h\")".to_owned()),
        1 => Just("context.now < datetime(\"2026-11-22T13:00:00Z\")".to_owned()),
        1 => Just("context.now >= datetime(\"2026-11-23\")".to_owned()),
    ]
}

/// A policy of this effect on one of these actions, under up to two conditions.
fn policy(effect: &'static str, actions: &'static [&'static str]) -> impl Strategy<Value = String> {
    let when = prop::collection::vec((any::<bool>(), condition()), 1..3);
    (select(actions), when).prop_map(move |(action, when)| {
        // Policies on approval see no ticket.
        let valid = when.iter().filter(|(_, text)| action != "approve" || !text.contains("hasTicket"));
        let conditions = valid.map(|(not, text)| if *not { format!("!({text})") } else { text.clone() });
        let when: Vec<_> = std::iter::once("true".to_owned()).chain(conditions).collect();
        let when = when.join(" && ");
        format!("{effect} (principal, action == Brevet::Action::\"{action}\", resource) when {{ {when} }};")
    })
}

/// Policies that permit some requests, and often waive or permit approval.
fn policies() -> impl Strategy<Value = String> {
    let always = |action| format!("permit (principal, action == Brevet::Action::\"{action}\", resource);");
    let may = prop::collection::vec(policy("permit", &["request"]), 1..3);
    let yes = prop::sample::subsequence(vec!["autoApprove", "approve"], 0..=2);
    let more = prop::collection::vec(policy("permit", &["autoApprove", "approve"]), 0..2);
    let less = prop::collection::vec(policy("forbid", &["request", "autoApprove", "approve"]), 0..3);
    (may, yes, more, less).prop_map(move |(may, yes, more, less)| {
        let yes: Vec<_> = yes.into_iter().map(always).collect();
        let all = [may, yes, more, less].concat();
        all.iter().enumerate().map(|(n, text)| format!("@id(\"p-{n}\") {text}\n")).collect()
    })
}

#[test]
fn nearest_request_passes_when_it_is_decided() {
    let (n_one, n_two, n_none, n_people) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let kinds = [const { Cell::new(0) }; 6];
    let add = |n: &Cell<u32>, if_so: bool| n.set(n.get() + u32::from(if_so));
    let whom = (
        select(vec!["ana", "release-pipeline", "remediation-agent", "acme-sync"]),
        select(vec!["read-secret", "deploy-release"]),
    );
    let facts = (select(vec![60_u32, 90, 299, 300]), any::<bool>(), any::<bool>());
    let drawn = (policies(), whom, facts);
    let seen = [&n_one, &n_two, &n_none, &n_people];
    let all_seen = || seen.iter().all(|n| n.get() > 0) && kinds.iter().all(|n| n.get() > 0);
    // Some kinds occur about twice in a round, so a round may lack them.
    for mut runner in rounds(128) {
        if all_seen() {
            break;
        }
        let round = runner.run(&drawn, |(policies, (who, what), (term_s, ticket, task))| {
            let text = text_with(&policies);
            let bundle = Bundle::load(&text).unwrap();
            let asked = Asked { who, what, term_s, ticket, task: task.then_some("run-7"), at: now() };
            let verdict = asked.decide(&bundle).unwrap();
            let is_denied = matches!(verdict.outcome, Outcome::Deny { .. });
            prop_assert!(is_denied || verdict.nearest.is_none());
            add(&n_none, is_denied && verdict.nearest.is_none());
            let Some(nearest) = verdict.nearest else { return Ok(()) };
            let outcome = asked.decide_nearest(&nearest, &text, &bundle);
            prop_assert_eq!(&outcome, &nearest.outcome, "{:?} {} in {}", asked, nearest, policies);
            let passes = !matches!(outcome, Outcome::Deny { .. });
            prop_assert!(passes, "{:?}", nearest);
            let n = nearest.changes.len();
            prop_assert!(n == 1 || n == 2);
            add(&n_one, n == 1);
            add(&n_two, n == 2);
            add(&n_people, outcome != Outcome::Allow);
            for change in &nearest.changes {
                let kind = match change {
                    Change::Ticket { .. } => 0,
                    Change::NoTicket => 1,
                    Change::Term { .. } => 2,
                    Change::Task => 3,
                    Change::At { .. } => 4,
                    Change::Class { .. } => 5,
                };
                add(&kinds[kind], true);
            }
            Ok(())
        });
        round.unwrap();
    }
    // The test needs every kind of change to prove anything.
    assert!(all_seen(), "{seen:?} {kinds:?}");
}
