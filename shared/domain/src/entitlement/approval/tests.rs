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

/// Each step in words.
fn told(steps: &[Asked]) -> Vec<String> {
    let teams = |some: &BTreeSet<TeamId>| some.iter().map(TeamId::as_str).collect::<Vec<_>>().join("|");
    let one = |step: &Asked| {
        let of: Vec<_> = step.of.iter().map(teams).collect();
        let mfa = if step.mfa { " mfa" } else { "" };
        let fresh = step.auth_within_s.map_or_else(String::new, |s| format!(" {s} s"));
        format!("{} of {} ({}){mfa}{fresh}", step.count, step.name, of.join("&"))
    };
    steps.iter().map(one).collect()
}

const AGENT: IdentityClass = IdentityClass::Agent;

#[test]
fn without_steps_there_is_a_single_one() {
    let plain = entitlement(json!({"count": 2, "within_s": 600}));
    assert_eq!(told(&plain.steps(&[], AGENT, 60)), ["2 of approval ()"]);
    // Nor does a rule that does not match change that, but one that matches is asked for beside it.
    let rare = rule(json!({"name": "board", "count": 1, "when": {"risks": ["critical"]}}));
    let often = rule(json!({"name": "security", "count": 1, "of": ["security"]}));
    assert_eq!(told(&plain.steps(&[rare, often], AGENT, 60)), ["2 of approval ()", "1 of security (security)"]);
}

#[test]
fn all_rules_that_match_apply_and_those_of_one_name_become_the_tighter() {
    let team = json!({"name": "team", "count": 1, "of": ["shop", "pay"]});
    let one = entitlement(json!({"count": 1, "within_s": 600, "steps": [team]}));
    let general = [
        rule(json!({"name": "security", "count": 1, "of": ["security"], "auth_within_s": 900})),
        rule(json!({"name": "team", "count": 2, "of": ["leads"], "mfa": true})),
        rule(json!({"name": "security", "count": 1, "auth_within_s": 300, "when": {"classes": ["agent"]}})),
    ];
    let told_of = |class| told(&one.steps(&general, class, 60));
    assert_eq!(told_of(AGENT), ["2 of team (pay|shop&leads) mfa", "1 of security (security) 300 s"]);
    assert_eq!(told_of(IdentityClass::Human)[1], "1 of security (security) 900 s");
    let of = |teams: &[&str]| teams.iter().map(|team| team.parse().unwrap()).collect();
    let steps = one.steps(&general, AGENT, 60);
    assert!(steps[0].admits(&of(&["pay", "leads"])) && steps[0].admits(&of(&["pay", "shop", "leads"])));
    assert!(!steps[0].admits(&of(&["pay", "shop"])) && !steps[0].admits(&of(&["leads"])));
}

#[test]
fn a_rule_holds_where_all_that_it_says_holds() {
    let one = entitlement(json!({"count": 1, "within_s": 600}));
    let nowhere = Entitlement { environment: None, ..one.clone() };
    for (when, entitlement, class, term_s, holds) in [
        (json!({}), &one, AGENT, 60, true),
        (json!({"classes": ["agent", "pipeline"]}), &one, AGENT, 60, true),
        (json!({"classes": ["human"]}), &one, AGENT, 60, false),
        (json!({"risks": ["high", "critical"]}), &one, AGENT, 60, true),
        (json!({"risks": ["critical"]}), &one, AGENT, 60, false),
        (json!({"environments": ["production"]}), &one, AGENT, 60, true),
        (json!({"environments": ["staging"]}), &one, AGENT, 60, false),
        (json!({"environments": ["production"]}), &nowhere, AGENT, 60, false),
        (json!({"longer_than_s": 60}), &one, AGENT, 60, false),
        (json!({"longer_than_s": 60}), &one, AGENT, 61, true),
        (json!({"classes": ["agent"], "risks": ["low"]}), &one, AGENT, 60, false),
    ] {
        let rule: When = serde_json::from_value(when.clone()).unwrap();
        assert_eq!(rule.holds(class, entitlement, term_s), holds, "{when}");
    }
}
