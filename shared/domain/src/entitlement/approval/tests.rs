use serde_json::json;

use super::*;

fn entitlement(approval: serde_json::Value) -> Entitlement {
    serde_json::from_value(json!({
        "id": "rescue", "owner": "dana", "description": "x", "max_term": 3600, "start_within_s": 600,
        "delivery": {"session": {"target": "deploy", "credential_s": 900, "iam_allowed": false}},
        "parameters": {}, "statements": [], "risk": "high", "environment": "production", "approval": approval,
    }))
    .unwrap()
}

fn rule(value: serde_json::Value) -> StepRule {
    serde_json::from_value(value).unwrap()
}

/// Describes each step in words.
fn described(steps: &[RequiredStep]) -> Vec<String> {
    let teams = |some: &BTreeSet<TeamId>| some.iter().map(TeamId::as_str).collect::<Vec<_>>().join("|");
    let describe = |step: &RequiredStep| {
        let of: Vec<_> = step.of.iter().map(teams).collect();
        let mfa = if step.mfa { " mfa" } else { "" };
        let fresh = step.auth_within_s.map_or_else(String::new, |s| format!(" {s} s"));
        format!("{} of {} ({}){mfa}{fresh}", step.count, step.name, of.join("&"))
    };
    steps.iter().map(describe).collect()
}

const AGENT: IdentityClass = IdentityClass::Agent;

#[test]
fn approval_without_steps_has_a_single_step() {
    let plain = entitlement(json!({"count": 2, "within_s": 600}));
    assert_eq!(described(&plain.steps(&[], AGENT, 60)), ["2 of approval ()"]);
    // A rule that does not match changes nothing; a matching rule adds a step.
    let rare = rule(json!({"name": "board", "count": 1, "when": {"risks": ["critical"]}}));
    let often = rule(json!({"name": "security", "count": 1, "of": ["security"]}));
    assert_eq!(described(&plain.steps(&[rare, often], AGENT, 60)), ["2 of approval ()", "1 of security (security)"]);
}

#[test]
fn matching_rules_all_apply_and_merge_strictly_by_name() {
    let team = json!({"name": "team", "count": 1, "of": ["shop", "pay"]});
    let with_steps = entitlement(json!({"count": 1, "within_s": 600, "steps": [team]}));
    let general = [
        rule(json!({"name": "security", "count": 1, "of": ["security"], "auth_within_s": 900})),
        rule(json!({"name": "team", "count": 2, "of": ["leads"], "mfa": true})),
        rule(json!({"name": "security", "count": 1, "auth_within_s": 300, "when": {"classes": ["agent"]}})),
    ];
    let steps_of = |class| described(&with_steps.steps(&general, class, 60));
    assert_eq!(steps_of(AGENT), ["2 of team (pay|shop&leads) mfa", "1 of security (security) 300 s"]);
    assert_eq!(steps_of(IdentityClass::Human)[1], "1 of security (security) 900 s");
    let of = |teams: &[&str]| teams.iter().map(|team| team.parse().unwrap()).collect();
    let steps = with_steps.steps(&general, AGENT, 60);
    assert!(steps[0].admits(&of(&["pay", "leads"])) && steps[0].admits(&of(&["pay", "shop", "leads"])));
    assert!(!steps[0].admits(&of(&["pay", "shop"])) && !steps[0].admits(&of(&["leads"])));
}

#[test]
fn condition_holds_only_when_all_its_parts_hold() {
    let production = entitlement(json!({"count": 1, "within_s": 600}));
    let nowhere = Entitlement { environment: None, ..production.clone() };
    for (when, entitlement, class, term_s, holds) in [
        (json!({}), &production, AGENT, 60, true),
        (json!({"classes": ["agent", "pipeline"]}), &production, AGENT, 60, true),
        (json!({"classes": ["human"]}), &production, AGENT, 60, false),
        (json!({"risks": ["high", "critical"]}), &production, AGENT, 60, true),
        (json!({"risks": ["critical"]}), &production, AGENT, 60, false),
        (json!({"environments": ["production"]}), &production, AGENT, 60, true),
        (json!({"environments": ["staging"]}), &production, AGENT, 60, false),
        (json!({"environments": ["production"]}), &nowhere, AGENT, 60, false),
        (json!({"longer_than_s": 60}), &production, AGENT, 60, false),
        (json!({"longer_than_s": 60}), &production, AGENT, 61, true),
        (json!({"classes": ["agent"], "risks": ["low"]}), &production, AGENT, 60, false),
    ] {
        let rule: When = serde_json::from_value(when.clone()).unwrap();
        assert_eq!(rule.holds(class, entitlement, term_s), holds, "{when}");
    }
}
