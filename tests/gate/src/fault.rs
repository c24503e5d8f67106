//! Faults that a test orders: the gate refuses, throttles, loses or delays the n-th matching call, or kills its
//! caller.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::map::{Call, Service};

/// The effect on a call.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The gate denies access without asking the decider. Not forwarded.
    Refuse,
    /// The service's throttling error. Not forwarded.
    Throttle,
    /// DynamoDB's transaction conflict, IAM's concurrent modification. Not forwarded.
    Conflict,
    /// The connection closes. Not forwarded.
    DropBefore,
    /// Decided and forwarded, then the connection closes without an answer.
    DropAfter,
    /// Waits `ms` before the decision and forwarding, as if the call had been under way. The call lands even if its
    /// caller hangs up meanwhile. With `pid`, that process is killed when the call arrives: the call of a dead caller
    /// lands later.
    Delay,
    /// Decided and forwarded at once; the answer waits `ms`.
    DelayAnswer,
    /// Process `pid` is killed. Not forwarded.
    KillBefore,
    /// Decided and forwarded, then process `pid` is killed, and the call gets no answer.
    KillAfter,
    /// `AssumeRole` only: the *enforced* session policy loses its denies by `aws:CurrentTime`. The call itself goes
    /// through unchanged. For control runs.
    StripTimeDeny,
    /// `PutRolePolicy` only: the *enforced* policy loses its `DateLessThan` conditions. The call itself goes through
    /// unchanged and is read back unchanged. For control runs.
    StripTimeLimit,
    /// `PutRolePolicy` only: the *forwarded* document loses its `DateLessThan` conditions, so that it is read back
    /// altered.
    AlterDocument,
}

impl Kind {
    fn can_happen_to(self, service: Option<Service>, operation: &str, call: &Call) -> bool {
        match self {
            Self::StripTimeDeny => call.assume.is_some(),
            Self::StripTimeLimit | Self::AlterDocument => service == Some(Service::Iam) && operation == "PutRolePolicy",
            Self::Refuse
            | Self::Throttle
            | Self::Conflict
            | Self::DropBefore
            | Self::DropAfter
            | Self::Delay
            | Self::DelayAnswer
            | Self::KillBefore
            | Self::KillAfter => true,
        }
    }
}

/// An order: a call pattern and a fault. An omitted field matches every call.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Names the rule in the call log and in the list of fired faults.
    pub(crate) id: String,
    /// The service name of a credential scope: `dynamodb`, `iam`, `sts`, `s3`, `secretsmanager`, `lambda`.
    #[serde(default)]
    pub(crate) service: Option<String>,
    /// The operation name of the API reference.
    #[serde(default)]
    pub(crate) operation: Option<String>,
    /// Part of the caller's ARN, or `bootstrap`.
    #[serde(default)]
    pub(crate) principal: Option<String>,
    /// Start of a partition key that the call touches.
    #[serde(default)]
    pub(crate) pk_prefix: Option<String>,
    /// Part of a resource of the call.
    #[serde(default)]
    pub(crate) resource: Option<String>,
    /// Part of the inline policy's name or of the managed policy's ARN in the call.
    #[serde(default)]
    pub(crate) policy: Option<String>,
    /// Part of the document in an inline policy put.
    #[serde(default)]
    pub(crate) document: Option<String>,
    /// The first matching call that the fault hits, from 1.
    #[serde(default = "one")]
    pub(crate) nth: u64,
    /// The number of consecutive matching calls that the fault hits.
    #[serde(default = "one")]
    pub(crate) times: u64,
    pub(crate) kind: Kind,
    /// For the delays: milliseconds, at most 120 000.
    #[serde(default)]
    pub(crate) ms: Option<u64>,
    /// For the kills, and optionally for `delay`: a process id.
    #[serde(default)]
    pub(crate) pid: Option<u32>,
}

fn one() -> u64 {
    1
}

/// The reason why an order is rejected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RuleError {
    /// A field that the fault kind requires is missing or out of bounds.
    #[error("fault `{id}`: {what}")]
    Field { id: String, what: &'static str },
}

impl Rule {
    fn checked(self) -> Result<Self, RuleError> {
        let wrong = match self.kind {
            Kind::Delay | Kind::DelayAnswer => {
                self.ms.is_none_or(|ms| ms > 120_000).then_some("a delay needs `ms`, at most 120000")
            }
            Kind::KillBefore | Kind::KillAfter => {
                self.pid.is_none_or(|pid| pid < 2).then_some("a kill needs `pid`, above 1")
            }
            Kind::Refuse
            | Kind::Throttle
            | Kind::Conflict
            | Kind::DropBefore
            | Kind::DropAfter
            | Kind::StripTimeDeny
            | Kind::StripTimeLimit
            | Kind::AlterDocument => None,
        };
        let wrong = wrong.or(self.pid.is_some_and(|pid| pid < 2).then_some("`pid` must be above 1"));
        let wrong = wrong.or((self.nth == 0 || self.times == 0).then_some("`nth` and `times` start at 1"));
        match wrong {
            Some(what) => Err(RuleError::Field { id: self.id, what }),
            None => Ok(self),
        }
    }

    fn matches(&self, service: Option<Service>, operation: &str, principal: &str, call: &Call) -> bool {
        let scope = service.map(|service| format!("{service:?}").to_lowercase());
        self.service.as_ref().is_none_or(|name| scope.as_ref() == Some(name))
            && self.operation.as_ref().is_none_or(|name| name == operation)
            && self.principal.as_ref().is_none_or(|part| principal.contains(part))
            && self.pk_prefix.as_ref().is_none_or(|prefix| call.keys.iter().any(|key| key.starts_with(prefix)))
            && self.resource.as_ref().is_none_or(|part| call.checks.iter().any(|check| check.resource.contains(part)))
            && self.policy.as_ref().is_none_or(|part| call.policy.as_ref().is_some_and(|policy| policy.contains(part)))
            && self.document.as_ref().is_none_or(|part| call.document.as_ref().is_some_and(|text| text.contains(part)))
            && self.kind.can_happen_to(service, operation, call)
    }
}

/// A rule with its counts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Armed {
    #[serde(flatten)]
    pub(crate) rule: Rule,
    /// The number of matching calls so far.
    pub(crate) n_matched: u64,
    /// The number of calls that the fault has hit.
    pub(crate) n_fired: u64,
}

/// The orders in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    /// Adds either all `rules` or none.
    ///
    /// # Errors
    ///
    /// [`RuleError`] naming the first wrong rule.
    pub(crate) fn add(&self, rules: Vec<Rule>) -> Result<(), RuleError> {
        let rules: Vec<Armed> = rules
            .into_iter()
            .map(|rule| Ok(Armed { rule: rule.checked()?, n_matched: 0, n_fired: 0 }))
            .collect::<Result<_, RuleError>>()?;
        self.armed().extend(rules);
        Ok(())
    }

    /// Every rule and how often it fired.
    pub(crate) fn list(&self) -> Vec<Armed> {
        self.armed().clone()
    }

    pub(crate) fn clear(&self) {
        self.armed().clear();
    }

    /// The rule that applies to this call, if any. Every matching rule counts the call; the first due rule fires.
    pub(crate) fn due(&self, service: Option<Service>, operation: &str, principal: &str, call: &Call) -> Option<Rule> {
        let mut due = None;
        for armed in self.armed().iter_mut() {
            if !armed.rule.matches(service, operation, principal, call) {
                continue;
            }
            armed.n_matched = armed.n_matched.saturating_add(1);
            if due.is_none() && armed.n_matched >= armed.rule.nth && armed.n_fired < armed.rule.times {
                armed.n_fired = armed.n_fired.saturating_add(1);
                due = Some(armed.rule.clone());
            }
        }
        due
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn faults(rules: Value) -> Faults {
        let faults = Faults::default();
        faults.add(serde_json::from_value(rules).unwrap()).unwrap();
        faults
    }

    fn touching(key: &str) -> Call {
        Call { keys: vec![key.to_owned()], ..Call::default() }
    }

    fn fires(faults: &Faults, operation: &str, key: &str) -> bool {
        let service = Some(Service::DynamoDb);
        let principal = "arn:aws:sts::000000000000:assumed-role/brevet-dev-issue/x";
        faults.due(service, operation, principal, &touching(key)).is_some()
    }

    #[test]
    fn rule_fires_on_the_second_and_third_matching_call_only() {
        let faults = faults(json!([{ "id": "a", "service": "dynamodb", "operation": "PutItem",
            "principal": "brevet-dev-issue", "pk_prefix": "GRANT#", "nth": 2, "times": 2, "kind": "throttle" }]));
        assert!(!fires(&faults, "PutItem", "BLOCK#1"));
        assert!(!fires(&faults, "GetItem", "GRANT#1"));
        let fired: Vec<bool> = (0..4).map(|_| fires(&faults, "PutItem", "GRANT#1")).collect();
        assert_eq!(fired, [false, true, true, false]);
        let armed = &faults.list()[0];
        assert_eq!((armed.n_matched, armed.n_fired), (4, 2));
        faults.clear();
        assert!(faults.list().is_empty());
    }

    #[test]
    fn rule_does_not_fire_on_another_principal() {
        let faults = faults(json!([{ "id": "a", "principal": "brevet-dev-reap", "kind": "refuse" }]));
        assert!(!fires(&faults, "PutItem", "GRANT#1"));
    }

    #[test]
    fn stripped_time_deny_matches_assume_role_only() {
        let faults = faults(json!([{ "id": "a", "kind": "strip_time_deny" }]));
        assert!(!fires(&faults, "PutItem", "GRANT#1"));
    }

    #[test]
    fn stripped_time_limit_matches_inline_policies_only() {
        let call = Call { policy: Some("brevet-dev-1".to_owned()), ..Call::default() };
        for kind in ["strip_time_limit", "alter_document"] {
            let faults = faults(json!([{ "id": "a", "kind": kind, "policy": "brevet-dev-1" }]));
            let fires = |operation: &str| faults.due(Some(Service::Iam), operation, "bootstrap", &call).is_some();
            assert_eq!((fires("DeleteRolePolicy"), fires("PutRolePolicy")), (false, true), "{kind}");
        }
    }

    #[test]
    fn rule_does_not_fire_on_a_document_without_its_part() {
        let call = |document: Option<&str>| Call { document: document.map(str::to_owned), ..Call::default() };
        let faults = faults(json!([{ "id": "a", "kind": "refuse", "document": "dev.01B", "times": 9 }]));
        let fires = |call: &Call| faults.due(Some(Service::Iam), "PutRolePolicy", "bootstrap", call).is_some();
        assert!(!fires(&call(None)) && !fires(&call(Some("*:dev.01A"))));
        assert!(fires(&call(Some("*:dev.01A *:dev.01B"))));
    }

    #[test]
    fn invalid_orders_are_refused() {
        let add = |rule: Value| {
            let rules: Result<Vec<Rule>, _> = serde_json::from_value(json!([rule]));
            match rules {
                Ok(rules) => Faults::default().add(rules).unwrap_err().to_string(),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(add(json!({ "id": "a", "kind": "delay" })), "fault `a`: a delay needs `ms`, at most 120000");
        assert_eq!(add(json!({ "id": "a", "kind": "kill_after", "pid": 1 })), "fault `a`: a kill needs `pid`, above 1");
        assert_eq!(add(json!({ "id": "a", "kind": "delay", "ms": 1, "pid": 0 })), "fault `a`: `pid` must be above 1");
        assert_eq!(add(json!({ "id": "a", "kind": "refuse", "nth": 0 })), "fault `a`: `nth` and `times` start at 1");
        assert!(add(json!({ "id": "a", "kind": "refuse", "operaton": "x" })).contains("operaton"));
        assert!(add(json!({ "id": "a", "kind": "explode" })).contains("explode"));
    }
}
