//! `brevet explain`: the decision of a catalogue on one request, its rules, and the nearest request that would pass.

use std::collections::BTreeMap;
use std::path::PathBuf;

use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Outcome, Step, Verdict};
use brevet_domain::entitlement::ParameterValue;
use brevet_domain::id::{AccountId, DeploymentId, EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{AuthContext, Caller, Identity, ProofSummary, Task};
use brevet_domain::plan::Preview;
use brevet_domain::request::{Ask, Justification, Request, Ticket};
use brevet_domain::settings::Deployment;
use brevet_domain::time::{Term, Timestamp};
use brevet_policy::Bundle;
use brevet_policy::catalogue::{SourcePosition, Sources, compile, positions};
use clap::Args;
use serde_json::{Value, json};

use crate::catalogue::{CommandOutput, Format, Text, catalogue_error};

/// A Wednesday at noon (UTC), the same default as for cases.
const WHEN: &str = "2026-01-07T12:00:00Z";

/// The clock skew of a printed plan, in seconds: the default of a deployment.
const SKEW_S: u32 = 60;

/// Print the decision of a catalogue on a request, its rules, and the nearest request that would pass.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The catalogue's folder.
    dir: PathBuf,
    /// The identity that asks.
    #[arg(long)]
    identity: IdentityId,
    /// The entitlement that it asks for.
    #[arg(long)]
    entitlement: EntitlementId,
    /// The term, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = term)]
    term: Term,
    /// A parameter, as `name=value`; may be repeated.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, ParameterValue)>,
    /// The ticket of the request.
    #[arg(long, value_parser = parsed::<Ticket>)]
    ticket: Option<Ticket>,
    /// The task that the proof names.
    #[arg(long, value_parser = parsed::<Task>)]
    task: Option<Task>,
    /// The human on whose behalf the identity asks. The command does not know whether they stored a delegation.
    #[arg(long)]
    on_behalf_of: Option<IdentityId>,
    /// The justification of the request.
    #[arg(long, value_parser = parsed::<Justification>)]
    justification: Option<Justification>,
    /// The instant of the decision; a Wednesday at noon by default.
    #[arg(long, default_value = WHEN)]
    at: Timestamp,
    /// Also print the plan, rendered for the installation that the options below name.
    #[arg(long)]
    plan: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// The installation that the plan is rendered for.
    #[arg(long, default_value = "dev")]
    deployment: DeploymentId,
    /// The account of the installation.
    #[arg(long, default_value = "000000000000")]
    account: AccountId,
    /// The partition of the installation.
    #[arg(long, default_value = "aws")]
    partition: String,
    /// The Region of the installation.
    #[arg(long, default_value = "us-east-1")]
    region: String,
}

fn term(text: &str) -> Result<Term, String> {
    let seconds: i64 = text.parse().map_err(|_| "a term is a whole number of seconds".to_owned())?;
    Term::from_seconds(seconds).map_err(|error| error.to_string())
}

fn parameter(text: &str) -> Result<(String, ParameterValue), String> {
    let (name, value) = text.split_once('=').ok_or("a parameter is written `name=value`")?;
    Ok((name.to_owned(), parsed(value)?))
}

fn parsed<T: TryFrom<String, Error: std::fmt::Display>>(text: &str) -> Result<T, String> {
    T::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Explains the decision, for people or as JSON. `Err` if the catalogue does not compile or a name is unknown.
pub(crate) fn explain(asked: Explain) -> CommandOutput {
    let failed = |error: &dyn std::fmt::Display| Text::err(format!("{}: {error}", asked.dir.display()));
    let broken = |error| catalogue_error(&asked.dir, &error, Format::Text);
    let sources = Sources::read(&asked.dir).map_err(broken)?;
    let compiled = compile(&sources).map_err(broken)?;
    let bundle = Bundle::load(&compiled.bundle).map_err(|error| failed(&error))?;
    let known = bundle.index().identities.get(&asked.identity);
    let identity = known.ok_or_else(|| failed(&format!("there is no identity `{}`", asked.identity)))?.clone();
    let (positions, now) = (positions(&sources), asked.at);
    let ask = Ask {
        entitlement: asked.entitlement.clone(),
        parameters: asked.parameters.into_iter().collect(),
        term_s: asked.term,
        ticket: asked.ticket,
        justification: asked.justification,
        on_behalf_of: asked.on_behalf_of,
        renews: None,
    };
    if bundle.entitlement(&ask.entitlement).is_none() {
        return Err(Text::err(format!("{}: there is no entitlement `{}`", asked.dir.display(), ask.entitlement)));
    }
    let request = Request { id: GrantId::NONE, ask, asked_at: now, decide_by: now.plus(60) };
    let Some(caller) = caller(identity, asked.task, now) else {
        return Err(Text::err(format!("{}: identity `{}` has no proof", asked.dir.display(), asked.identity)));
    };
    let deployment =
        Deployment { id: asked.deployment, account: asked.account, partition: asked.partition, region: asked.region };
    let about = format!("{} · {} · {} s", asked.identity, asked.entitlement, asked.term.as_seconds());
    let verdict = match bundle.decide(&caller, &request, &deployment, now) {
        Ok(verdict) => verdict,
        Err(error) if asked.json => {
            return Ok(Text::out(json!({ "outcome": "invalid_request", "reason": error.to_string() }).to_string()));
        }
        Err(error) => return Ok(Text::out(format!("{about}: invalid_request\n  reason: {error}"))),
    };
    let preview = verdict.template.as_ref().filter(|_| asked.plan);
    let plan = preview.map(|template| template.preview(now, verdict.term, SKEW_S)).transpose();
    let plan = plan.map_err(|error| Text::err(error.to_string()))?;
    Ok(Text::out(if asked.json {
        as_json(&verdict, &positions, plan.as_ref()).to_string()
    } else {
        format!("{about}: {}", in_words(&verdict, &positions, plan.as_ref()))
    }))
}

/// The caller that a verified proof of `identity` would yield.
fn caller(identity: Identity, task: Option<Task>, now: Timestamp) -> Option<Caller> {
    let proof = ProofSummary::Token {
        issuer: identity.proofs.first()?.issuer.clone(),
        subject: identity.id.to_string(),
        token_digest: Digest::ZERO,
        issued_at: now,
        expires_at: now.plus(60),
        auth: AuthContext::default(),
    };
    Some(Caller { identity, task, proof })
}

fn in_words(verdict: &Verdict, positions: &BTreeMap<String, SourcePosition>, plan: Option<&Preview>) -> String {
    let mut lines = vec![match &verdict.outcome {
        Outcome::Allow => "allow".to_owned(),
        Outcome::Deny { reason } => format!("deny\n  reason: {reason}"),
        Outcome::NeedsApproval { steps, deadline } => {
            let step = |step: &Step| {
                let names: Vec<_> = step.approvers.iter().map(|who| format!("`{who}`")).collect();
                format!("{} of {}", step.count, names.join(", "))
            };
            let steps: Vec<_> = steps.iter().map(step).collect();
            format!("needs approval by {} until {deadline}", steps.join(", then "))
        }
    }];
    let rule = |id: &String| match positions.get(id) {
        Some(SourcePosition { file, line }) => format!("  rule: {id} ({file}:{line})"),
        None if id.starts_with("brevet:") => format!("  rule: {id} (built in)"),
        None => format!("  rule: {id}"),
    };
    lines.extend(verdict.determining.iter().map(rule));
    lines.extend(verdict.nearest.as_ref().map(|nearest| format!("  nearest: {nearest}")));
    if !matches!(verdict.outcome, Outcome::Deny { .. }) {
        let traits = &verdict.traits;
        lines.extend(traits.risk.map(|risk| format!("  risk: {}", risk.as_str())));
        lines.extend(traits.environment.as_ref().map(|environment| format!("  environment: {environment}")));
        let outlives = traits.outlives.iter();
        lines.extend(outlives.map(|entry| format!("  outlives the grant: {} ({})", entry.action, entry.why)));
        lines.extend(traits.rotate.iter().map(|rotation| format!("  rotated afterwards: {}", rotation.secret)));
    }
    let plan = plan.map(|plan| serde_json::to_string_pretty(plan).unwrap_or_default());
    lines.extend(plan.map(|plan| format!("  plan: {}", plan.replace('\n', "\n  "))));
    lines.join("\n")
}

fn as_json(verdict: &Verdict, positions: &BTreeMap<String, SourcePosition>, plan: Option<&Preview>) -> Value {
    let rule = |id: &String| match positions.get(id) {
        Some(SourcePosition { file, line }) => json!({ "id": id, "file": file, "line": line }),
        None => json!({ "id": id }),
    };
    let rules: Vec<_> = verdict.determining.iter().map(rule).collect();
    let mut answer = json!({ "rules": rules, "term_s": verdict.term, "bundle": verdict.bundle_digest });
    let more = [json!(verdict.outcome), json!(verdict.traits)];
    if let Some(fields) = answer.as_object_mut() {
        let more = more.iter().filter_map(Value::as_object).flatten();
        fields.extend(more.map(|(name, value)| (name.clone(), value.clone())));
        fields.extend(verdict.nearest.as_ref().map(|nearest| ("nearest".to_owned(), json!(nearest))));
        fields.extend(plan.map(|plan| ("plan".to_owned(), json!(plan))));
    }
    answer
}
