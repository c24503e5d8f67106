//! Measures the cost of a decision by the size of the catalogue: `cargo bench -p brevet-policy`.
//!
//! There is no harness and no statistics library. Each figure is a median. Compared figures are measured in turns, so
//! that other load on the machine affects both. The process fails if it misses a promised ratio:
//!
//! - a decision with 10,000 entitlements, three rules each, takes at most 2 times as long as one with 10, whether or
//!   not its slice is in memory;
//! - a decision on a slice takes at most 1.3 times as long as with plain Cedar on the same policies and entities;
//! - the first decision of a process with 10,000 takes at most 2 times as long as with 10. It includes the index, the
//!   general policies and one bucket, read from memory, verified and parsed, and Cedar's own initialization. Each is
//!   measured in its own process.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench panics on a surprise, and prints its figures")]
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a bench panics on a surprise")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use brevet_domain::bundle::{BundleText, INDEX_PART, INDEX_VERSION, Index, Listing, RULES_PART, Rules, read_listing};
use brevet_domain::canonical::Digest;
use brevet_domain::decision::Outcome;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::EntitlementId;
use brevet_domain::identity::{AuthContext, Caller, Identity, IdentityClass, ProofSummary};
use brevet_domain::plan::PlanTemplate;
use brevet_domain::request::Request;
use brevet_domain::settings::Deployment;
use brevet_domain::time::Timestamp;
use brevet_policy::Bundle;
use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, RestrictedExpression, Schema};
use serde_json::json;

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const N_ROUNDS: usize = 4_000;
const N_PROCESSES: usize = 15;
/// The number of slices in memory: the most that `evaluate` keeps.
const N_KEPT: usize = 256;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--first") {
        let given: BundleText = serde_json::from_reader(std::io::stdin()).unwrap();
        println!("{}", first_decision(&given).as_nanos());
        return ExitCode::SUCCESS;
    }
    let mut met = true;
    let mut promise = |what: &str, ratio: f64, most: f64| {
        println!("{what}: {ratio:.2} (at most {most})");
        met &= ratio <= most;
    };
    let texts = SIZES.map(catalogue);
    println!("{:>13} {:>7} {:>13} {:>14}", "entitlements", "parts", "index, bytes", "longest bucket");
    for (n, text) in SIZES.iter().zip(&texts) {
        let buckets = text.parts.iter().filter(|(name, _)| name.starts_with("entitlements/"));
        let longest = buckets.map(|(_, text)| text.len()).max().unwrap();
        println!("{n:>13} {:>7} {:>13} {longest:>14}", text.parts.len(), text.parts["index"].len());
    }

    let by_size = Warm::measure(&texts);
    println!("\np50, µs{:>13} {:>13} {:>13} {:>13}", "in memory", "not in memory", "plain Cedar", "its questions");
    for (n, warm) in SIZES.iter().zip(&by_size) {
        let [decide, fresh, plain, questions] =
            [warm.decide, warm.fresh, warm.plain, warm.questions].map(|time| time.as_secs_f64() * 1e6);
        println!("{n:>6} {decide:>13.1} {fresh:>13.1} {plain:>13.1} {questions:>13.1}");
    }
    let firsts = texts.each_ref().map(first_decisions);
    println!("\nfirst decision of a process, p50, µs");
    for (n, first) in SIZES.iter().zip(&firsts) {
        println!("{n:>6} {:>13.1}", first.as_secs_f64() * 1e6);
    }

    println!();
    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    promise("10,000 to 10, slice in memory", ratio(by_size[2].decide, by_size[0].decide), 2.0);
    promise("10,000 to 10, slice not in memory", ratio(by_size[2].fresh, by_size[0].fresh), 2.0);
    for (n, warm) in SIZES.iter().zip(&by_size) {
        promise(&format!("slice to plain Cedar, {n}"), ratio(warm.decide, warm.plain), 1.3);
        // The work common to both sides (parameter checks, plan rendering) is subtracted.
        let beside = warm.plain.saturating_sub(warm.questions);
        let evaluated = warm.decide.saturating_sub(beside);
        promise(&format!("slice to plain Cedar, evaluation alone, {n}"), ratio(evaluated, warm.questions), 1.3);
    }
    promise("10,000 to 10, first decision of a process", ratio(firsts[2], firsts[0]), 2.0);
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed<T>(what: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(what());
    start.elapsed()
}

/// The medians of one catalogue.
struct Warm {
    /// A decision with its slice in memory.
    decide: Duration,
    /// A decision that first verifies and parses its slice, but not the index and the general policies.
    fresh: Duration,
    /// The same decision with plain Cedar instead of the library.
    plain: Duration,
    /// Cedar's part of `plain`.
    questions: Duration,
}

impl Warm {
    fn measure(texts: &[BundleText; 3]) -> [Self; 3] {
        let stages = texts.each_ref().map(Stage::new);
        let mut times = [const { [const { Vec::new() }; 4] }; 3];
        for round in 0..N_ROUNDS {
            for (stage, times) in stages.iter().zip(&mut times) {
                let one = &stage.kept[round % stage.kept.len()];
                // The compared measurements take turns in being first.
                for turn in 0..3 {
                    match (round + turn) % 3 {
                        0 => times[0].push(timed(|| one.decide(&stage.caller))),
                        1 => times[2].push(timed(|| one.plain(&stage.caller))),
                        _ => times[3].push(timed(|| one.questions())),
                    }
                }
            }
        }
        for round in 0..N_ROUNDS {
            for (stage, times) in stages.iter().zip(&mut times) {
                let one = &stage.kept[round % stage.kept.len()];
                times[1].push(timed(|| stage.cut(&one.id).decide(&stage.caller, &one.request, &deployment(), now())));
            }
        }
        times.map(|[decide, fresh, plain, questions]| Self {
            decide: median(decide),
            fresh: median(fresh),
            plain: median(plain),
            questions: median(questions),
        })
    }
}

/// An opened catalogue with some slices in memory.
struct Stage<'a> {
    text: &'a BundleText,
    index: Arc<Index>,
    open: Bundle,
    caller: Caller,
    kept: Vec<Kept>,
}

impl<'a> Stage<'a> {
    fn new(text: &'a BundleText) -> Self {
        let (index, open) = open(text);
        let caller = caller(&index);
        let all = text.listings(&index).unwrap();
        let step = (all.len() / N_KEPT).max(1);
        let mut stage = Self { text, index, open, caller, kept: Vec::new() };
        let general = text.rules(&stage.index).unwrap().policies;
        for (id, listing) in all.into_iter().step_by(step).take(N_KEPT) {
            let slice = stage.cut(&id);
            let plain = Plain::new(&format!("{}{general}", listing.rules.policies), &listing.entitlement);
            let (request, entitlement) = (request(&id), listing.entitlement);
            let one = Kept { id, request, slice, entitlement, plain };
            // All three must give the same answers.
            let verdict = one.slice.decide(&stage.caller, &one.request, &deployment(), now()).unwrap();
            assert_eq!(verdict.outcome, Outcome::Allow);
            assert_eq!(one.questions(), [true, true]);
            stage.kept.push(one);
        }
        stage
    }

    /// Loads a slice as `evaluate` does on a cache miss: it verifies the bucket and parses one line of it.
    fn cut(&self, id: &EntitlementId) -> Bundle {
        self.open.with(listing(self.text, &self.index, id)).unwrap()
    }
}

fn open(text: &BundleText) -> (Arc<Index>, Bundle) {
    let index = Arc::new(text.index().unwrap());
    let rules = text.rules(&index).unwrap();
    let open = Bundle::open(text.digest, Arc::clone(&index), &rules).unwrap();
    (index, open)
}

fn listing(text: &BundleText, index: &Index, id: &EntitlementId) -> Listing {
    let (part, expected) = index.bucket(id).unwrap();
    read_listing(text.digest, part, text.part(part, expected).unwrap(), id).unwrap().unwrap()
}

/// An entitlement whose slice is in memory.
struct Kept {
    id: EntitlementId,
    request: Request,
    slice: Bundle,
    entitlement: Entitlement,
    plain: Plain,
}

impl Kept {
    fn decide(&self, caller: &Caller) -> Outcome {
        self.slice.decide(caller, &self.request, &deployment(), now()).unwrap().outcome
    }

    /// The same decision with plain Cedar. The checks and the rendering besides the two questions are unchanged.
    fn plain(&self, caller: &Caller) -> Option<PlanTemplate> {
        let ask = &self.request.ask;
        self.entitlement.check(IdentityClass::Pipeline, ask).unwrap();
        if self.questions() != [true, true] {
            return None;
        }
        let (who, id) = (&caller.identity.id, self.request.id);
        let template =
            PlanTemplate::for_grant(&deployment(), &self.entitlement, &ask.parameters, who, None, id).unwrap();
        template.check(now(), ask.term_s).unwrap();
        Some(template)
    }

    fn questions(&self) -> [bool; 2] {
        self.plain.ask_both()
    }
}

/// Plain Cedar, with everything prepared that does not depend on one request: names, policies, entities.
struct Plain {
    schema: &'static Schema,
    policies: PolicySet,
    entities: Entities,
    principal: EntityUid,
    actions: [EntityUid; 2],
    resource: EntityUid,
}

impl Plain {
    fn new(policies: &str, entitlement: &Entitlement) -> Self {
        static SCHEMA: LazyLock<Schema> =
            LazyLock::new(|| Schema::from_cedarschema_str(include_str!("../src/schema.cedarschema")).unwrap().0);
        let schema = &*SCHEMA;
        let reference = |kind: &str, id: &str| json!({ "type": format!("Brevet::{kind}"), "id": id });
        let entities = json!([
            { "uid": reference("Identity", "dana"), "attrs": { "class": "human" },
              "parents": [reference("Team", "platform")] },
            { "uid": reference("Identity", "pipeline-0"), "parents": [reference("Team", "platform")],
              "attrs": { "class": "pipeline", "sponsor": reference("Identity", "dana") } },
            { "uid": reference("Entitlement", entitlement.id.as_str()), "parents": [],
              "attrs": { "owner": reference("Identity", "dana"), "delivery": "session", "target": "deploy", "risk": "medium",
                         "breakGlass": false } },
        ]);
        let entities = Entities::from_json_value(entities, Some(schema)).unwrap();
        let uid = |kind: &str, id: &str| EntityUid::from_json(reference(kind, id)).unwrap();
        Self {
            policies: policies.parse().unwrap(),
            entities,
            schema,
            principal: uid("Identity", "pipeline-0"),
            actions: ["request", "autoApprove"].map(|action| uid("Action", action)),
            resource: uid("Entitlement", entitlement.id.as_str()),
        }
    }

    fn ask_both(&self) -> [bool; 2] {
        let context = [
            ("termSeconds".to_owned(), RestrictedExpression::new_long(300)),
            ("hasTicket".to_owned(), RestrictedExpression::new_bool(true)),
            ("isRenewal".to_owned(), RestrictedExpression::new_bool(false)),
            ("task".to_owned(), RestrictedExpression::new_string("run-7".to_owned())),
            ("now".to_owned(), RestrictedExpression::new_datetime(now().to_string())),
        ];
        let context = Context::from_pairs(context).unwrap();
        self.actions.each_ref().map(|action| {
            let (principal, resource) = (self.principal.clone(), self.resource.clone());
            let (action, context) = (action.clone(), context.clone());
            let request = cedar_policy::Request::new(principal, action, resource, context, Some(self.schema)).unwrap();
            let response = Authorizer::new().is_authorized(&request, &self.policies, &self.entities);
            response.decision() == cedar_policy::Decision::Allow
        })
    }
}

/// The entitlement of the first decision.
const FIRST: &str = "entitlement-7";

/// The time from texts in memory to a verdict, in a process that has not decided before.
fn first_decision(text: &BundleText) -> Duration {
    let id: EntitlementId = FIRST.parse().unwrap();
    let request = request(&id);
    timed(|| {
        let (index, open) = open(text);
        let caller = caller(&index);
        let slice = open.with(listing(text, &index, &id)).unwrap();
        slice.decide(&caller, &request, &deployment(), now()).unwrap()
    })
}

/// The median of [`first_decision`] over new processes, each of which gets the parts that it would read from the store.
fn first_decisions(text: &BundleText) -> Duration {
    let index = text.index().unwrap();
    let bucket = index.bucket(&FIRST.parse().unwrap()).unwrap().0;
    let mut needed = text.clone();
    needed.parts.retain(|name, _| [INDEX_PART, RULES_PART, bucket].contains(&name.as_str()));
    let needed = serde_json::to_string(&needed).unwrap();
    let own = std::env::current_exe().unwrap();
    let times = (0..N_PROCESSES).map(|_| {
        let mut command = Command::new(&own);
        let mut child = command.arg("--first").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(needed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Duration::from_nanos(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
    });
    median(times.collect())
}

/// A catalogue of `n` entitlements with three rules each, five general rules and 40 identities.
fn catalogue(n: usize) -> BundleText {
    let identity = |id: String, class: &str, owner: &str, team: &str| {
        let proof = json!({ "issuer": "example", "claims": { "repository_id": id, "environment": "production" } });
        let identity = json!({ "id": id, "class": class, "owner": owner, "teams": [team], "proofs": [proof] });
        let identity: Identity = serde_json::from_value(identity).unwrap();
        (identity.id.clone(), identity)
    };
    let mut identities = BTreeMap::from([identity("dana".to_owned(), "human", "dana", "platform")]);
    for n in 0..13 {
        identities.extend([
            identity(format!("human-{n}"), "human", &format!("human-{n}"), "security"),
            identity(format!("pipeline-{n}"), "pipeline", "dana", "platform"),
            identity(format!("agent-{n}"), "agent", "dana", "agents"),
        ]);
    }
    let (version, issuers) = (INDEX_VERSION, Vec::new());
    let index = Index {
        version,
        issuers,
        identities,
        class_limits: [].into(),
        steps: Vec::new(),
        n_buckets: 0,
        parts: BTreeMap::new(),
    };
    let rules = Rules {
        policies: r#"
@id("security-approves") permit (principal in Brevet::Team::"security", action == Brevet::Action::"approve", resource);
@id("agents-name-a-task") forbid (principal, action == Brevet::Action::"request", resource)
    when { principal.class == "agent" && !(context has task) };
@id("agents-are-brief") forbid (principal, action == Brevet::Action::"request", resource)
    when { principal.class == "agent" && context.termSeconds > 900 };
@id("no-workload-alone") forbid (principal, action == Brevet::Action::"autoApprove", resource)
    when { principal.class == "workload" };
@id("owners-may-ask") permit (principal, action == Brevet::Action::"request", resource)
    when { resource.owner == principal };
"#
        .to_owned(),
        mentions: BTreeMap::new(),
    };
    let listings = (0..n).map(|n| {
        let id = format!("entitlement-{n}");
        let entitlement = json!({
            "id": id, "owner": "dana", "description": "puts one release of one service where it is served from",
            "delivery": { "session": { "target": "deploy", "credential_s": 900, "iam_allowed": false } },
            "max_term": 3600, "start_within_s": 600, "ticket": { "required": true },
            "parameters": { "version": { "type": "text", "pattern": "v[0-9]+\\.[0-9]+\\.[0-9]+", "max_length": 24 } },
            "statements": [
                { "actions": ["s3:PutObject", "s3:GetObject"],
                  "resources": [format!("arn:${{partition}}:s3:::releases-{n}/${{version}}/*")] },
                { "actions": ["lambda:UpdateFunctionCode", "lambda:GetFunction"],
                  "resources": [format!("arn:${{partition}}:lambda:${{region}}:${{account}}:function:service-{n}")] },
            ],
            "approval": { "count": 1, "within_s": 600 },
        });
        let entitlement: Entitlement = serde_json::from_value(entitlement).unwrap();
        let resource = format!("resource == Brevet::Entitlement::\"{id}\"");
        let policies = format!(
            r#"@id("platform-asks-{n}") permit (principal in Brevet::Team::"platform", action == Brevet::Action::"request", {resource})
    when {{ context.termSeconds <= 1800 && context.hasTicket }};
@id("pipelines-need-nobody-{n}") permit (principal in Brevet::Team::"platform", action == Brevet::Action::"autoApprove", {resource})
    when {{ principal.class == "pipeline" && context has task && context.termSeconds <= 900 }};
@id("not-before-{n}") forbid (principal, action == Brevet::Action::"request", {resource})
    when {{ context.now < datetime("2026-01-01T00:00:00Z") }};
"#
        );
        (entitlement.id.clone(), Listing { entitlement, rules: Rules { policies, mentions: BTreeMap::new() } })
    });
    BundleText::build(index, &listings.collect(), &rules, &[].into()).unwrap()
}

/// 2026-11-22T14:00:00Z.
fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_356_000)
}

fn deployment() -> Deployment {
    Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn caller(index: &Index) -> Caller {
    let identity = index.identities[&"pipeline-0".parse().unwrap()].clone();
    let proof = ProofSummary::Token {
        issuer: identity.proofs[0].issuer.clone(),
        subject: "pipeline-0".to_owned(),
        token_digest: Digest::ZERO,
        issued_at: now(),
        expires_at: now().plus(300),
        auth: AuthContext::default(),
    };
    Caller { identity, task: Some("run-7".to_owned().try_into().unwrap()), proof }
}

fn request(id: &EntitlementId) -> Request {
    let ask = json!({
        "entitlement": id, "term_s": 300, "parameters": { "version": "v1.2.3" }, "ticket": "INC-1",
    });
    Request {
        id: "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        ask: serde_json::from_value(ask).unwrap(),
        asked_at: now(),
        decide_by: now().plus(60),
    }
}
