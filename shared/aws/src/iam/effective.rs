//! The effective access of a principal, by AWS's policy simulator.

use std::collections::BTreeSet;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType as Answer, Statement,
};
use brevet_domain::grant::EffectiveAccess;
use brevet_domain::plan::Probe;
use brevet_domain::time::Timestamp;
use brevet_engine::port::PortResult;

use super::{MAX_PAGES, SIMULATE, next_page, role_name, too_many_pages};
use crate::error::{Watch, unreadable};

/// The most policies that a result names.
const MAX_POLICIES: usize = 20;
/// The most missing context keys that a result names.
const MAX_KEYS: usize = 10;

/// The caller fills in `but_by`: the simulator names only policies.
const NOT_ALLOWED: EffectiveAccess = EffectiveAccess::NotAllowed { but_by: Vec::new() };

/// The combined result of all answers.
#[derive(Debug, Default)]
struct Found {
    is_allowed: bool,
    policies: BTreeSet<String>,
    missing: BTreeSet<String>,
}

/// Simulates every probe at `now`, with one call per probe.
///
/// The simulator refuses a call whose actions "require different authorization information". It would also try each
/// action on each resource and give one answer for all of them.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html>
pub(super) async fn simulate_all(
    client: &Client,
    principal_arn: &str,
    probes: &[Probe],
    now: Timestamp,
) -> PortResult<EffectiveAccess> {
    let role_name = role_name(SIMULATE, principal_arn)?;
    let mut found = Found::default();
    for probe in probes {
        match simulate(client, principal_arn, probe, now).await {
            Ok(results) => found.add(&results, role_name),
            // INVARIANT: residual access is never hidden, not even by a later call without an answer.
            Err(_) if found.is_allowed => break,
            Err(error) => return Err(error),
        }
    }
    Ok(found.outcome())
}

async fn simulate(
    client: &Client,
    principal_arn: &str,
    probe: &Probe,
    now: Timestamp,
) -> PortResult<Vec<EvaluationResult>> {
    let mut results = Vec::new();
    let mut marker = None;
    for _ in 0..MAX_PAGES {
        let watch = Watch::new();
        let call = client.simulate_principal_policy().policy_source_arn(principal_arn);
        let call = call.action_names(&probe.action).resource_arns(&probe.resource).context_entries(current_time(now));
        let answer = call.set_marker(marker).customize().interceptor(watch.clone()).send().await;
        let page = answer.map_err(|error| watch.classify(SIMULATE, error))?;
        results.extend(page.evaluation_results.unwrap_or_default());
        marker = next_page(SIMULATE, page.is_truncated, page.marker)?;
        if marker.is_none() {
            return if results.is_empty() {
                Err(unreadable(SIMULATE, "the answer has no result"))
            } else {
                Ok(results)
            };
        }
    }
    Err(too_many_pages(SIMULATE))
}

/// The simulator sets no context key by itself, not even the time.
fn current_time(now: Timestamp) -> ContextEntry {
    ContextEntry::builder()
        .context_key_name("aws:CurrentTime")
        .context_key_type(ContextKeyTypeEnum::Date)
        .context_key_values(now.policy_form())
        .build()
}

impl Found {
    /// Adds the results of one probe. A result for the resource may accompany or replace the one for the action.
    fn add(&mut self, results: &[EvaluationResult], role_name: &str) {
        for result in results {
            let whole = (&result.eval_decision, result.matched_statements(), result.missing_context_values());
            let parts = result.resource_specific_results().iter();
            let parts = parts.map(|r| (&r.eval_resource_decision, r.matched_statements(), r.missing_context_values()));
            for (answer, statements, missing) in std::iter::once(whole).chain(parts) {
                self.add_one(answer, statements, missing, role_name);
            }
        }
    }

    fn add_one(&mut self, answer: &Answer, statements: &[Statement], missing: &[String], role_name: &str) {
        if *answer == Answer::Allowed {
            self.is_allowed = true;
            let named = statements.iter().filter_map(Statement::source_policy_id);
            self.policies.extend(named.map(|id| policy_name(id, role_name).to_owned()));
        } else if *answer != Answer::ExplicitDeny {
            // With other values of these keys the simulator might have allowed it.
            self.missing.extend(missing.iter().cloned());
        }
    }

    fn outcome(self) -> EffectiveAccess {
        if self.is_allowed {
            EffectiveAccess::Residual { policies: self.policies.into_iter().take(MAX_POLICIES).collect() }
        } else if self.missing.is_empty() {
            NOT_ALLOWED
        } else {
            let keys: Vec<_> = self.missing.into_iter().take(MAX_KEYS).collect();
            EffectiveAccess::Undetermined { why: format!("the simulator lacks the context keys {}", keys.join(", ")) }
        }
    }
}

/// The policy's own name. The simulator names a role's inline policy `role_<role>_<policy>`.
fn policy_name<'a>(id: &'a str, role_name: &str) -> &'a str {
    let own = id.strip_prefix("role_").and_then(|rest| rest.strip_prefix(role_name)?.strip_prefix('_'));
    own.filter(|name| !name.is_empty()).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(results: &[EvaluationResult]) -> EffectiveAccess {
        let mut found = Found::default();
        found.add(results, "brevet-dev-batch");
        found.outcome()
    }

    fn result(answer: Answer, policies: &[&str], missing: &[&str]) -> EvaluationResult {
        let statement = |id: &&str| Statement::builder().source_policy_id(*id).build();
        EvaluationResult::builder()
            .eval_action_name("s3:GetObject")
            .eval_decision(answer)
            .set_matched_statements(Some(policies.iter().map(statement).collect()))
            .set_missing_context_values(Some(missing.iter().map(ToString::to_string).collect()))
            .build()
            .unwrap()
    }

    fn residual(policies: &[&str]) -> EffectiveAccess {
        EffectiveAccess::Residual { policies: policies.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn one_allowed_result_is_residual_access_and_names_each_policy_once() {
        let denied = result(Answer::ImplicitDeny, &["brevet-dev-other"], &["aws:SourceIp"]);
        let ids = ["role_brevet-dev-batch_standing", "Sync", "Sync", "role_other_x", "role_brevet-dev-batch_"];
        let allowed = result(Answer::Allowed, &ids, &[]);
        let expected = residual(&["Sync", "role_brevet-dev-batch_", "role_other_x", "standing"]);
        assert_eq!(found(&[denied, allowed]), expected);
        assert_eq!(found(&[result(Answer::Allowed, &[], &[])]), residual(&[]));
    }

    #[test]
    fn residual_access_names_at_most_twenty_policies() {
        let ids: Vec<String> = (0..30).map(|n| format!("policy-{n:02}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(found(&[result(Answer::Allowed, &ids, &[])]), residual(&ids[..20]));
    }

    #[test]
    fn an_implicit_denial_with_missing_context_keys_is_undetermined() {
        assert_eq!(found(&[result(Answer::ImplicitDeny, &[], &[])]), NOT_ALLOWED);
        assert_eq!(found(&[result(Answer::ExplicitDeny, &["d"], &["aws:SourceIp"])]), NOT_ALLOWED);
        let why = "the simulator lacks the context keys aws:SourceIp".to_owned();
        let undetermined = EffectiveAccess::Undetermined { why };
        assert_eq!(found(&[result(Answer::ImplicitDeny, &[], &["aws:SourceIp"])]), undetermined);
    }

    #[test]
    fn an_allowed_result_of_a_single_resource_is_residual_access() {
        use aws_sdk_iam::types::ResourceSpecificResult;
        let statement = Statement::builder().source_policy_id("Sync").build();
        let single = ResourceSpecificResult::builder()
            .eval_resource_name("arn:aws:s3:::shop/x")
            .eval_resource_decision(Answer::Allowed)
            .matched_statements(statement)
            .build()
            .unwrap();
        let mut whole = result(Answer::ImplicitDeny, &[], &[]);
        whole.resource_specific_results = Some(vec![single]);
        assert_eq!(found(&[whole]), residual(&["Sync"]));
    }
}
