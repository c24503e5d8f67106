//! Tests of rendered plans: one golden session policy, and properties over every value of a parameter.

use proptest::prelude::*;

use super::*;
use crate::entitlement::{Approval, JustificationRule, Parameter, Risk, Rotation, TicketRule};
use crate::time::Term;

fn deployment() -> Deployment {
    Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn deadline() -> Timestamp {
    "2026-11-22T14:10:00Z".parse().unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn session(credential_s: u32, iam_allowed: bool) -> Delivery {
    Delivery::Session { target: "orders".parse().unwrap(), credential_s, iam_allowed }
}

/// Reads objects under one prefix and one table's items, narrowed by two parameters.
fn entitlement() -> Entitlement {
    let parameter = |pattern: &str| Parameter::Text { pattern: pattern.to_owned(), max_length: 256 };
    Entitlement {
        id: "read-orders".parse().unwrap(),
        owner: "olga".parse().unwrap(),
        description: "Read the orders of one shop".to_owned(),
        delivery: session(900, false),
        max_term: Term::from_seconds(3600).unwrap(),
        max_term_of: BTreeMap::new(),
        risk: Risk::Medium,
        environment: None,
        start_within_s: 600,
        parameters: BTreeMap::from([("shop".to_owned(), parameter(".+")), ("table".to_owned(), parameter(".+"))]),
        statements: vec![
            Statement {
                actions: texts(&["s3:GetObject", "s3:GetObjectVersion"]),
                resources: texts(&["arn:${partition}:s3:::orders-${account}/${shop}/*"]),
                conditions: Conditions::new(),
            },
            Statement {
                actions: texts(&["dynamodb:GetItem"]),
                resources: texts(&["arn:${partition}:dynamodb:${region}:${account}:table/${table}"]),
                conditions: Conditions::from([(
                    "ForAllValues:StringEquals".to_owned(),
                    BTreeMap::from([("dynamodb:LeadingKeys".to_owned(), texts(&["${shop}", "all/${shop}"]))]),
                )]),
            },
        ],
        approval: Approval::by(1, 600),
        ticket: TicketRule::default(),
        justification: JustificationRule::default(),
        rotate: Vec::new(),
        break_glass: None,
        canary: false,
        outlives: Vec::new(),
        conflicts: BTreeMap::new(),
    }
}

fn value(text: &str) -> ParameterValue {
    ParameterValue::try_from(text.to_owned()).unwrap()
}

fn parameters(shop: &str, table: &str) -> BTreeMap<String, ParameterValue> {
    BTreeMap::from([("shop".to_owned(), value(shop)), ("table".to_owned(), value(table))])
}

fn template_of(
    entitlement: &Entitlement,
    parameters: &BTreeMap<String, ParameterValue>,
) -> Result<PlanTemplate, PlanError> {
    PlanTemplate::for_grant(
        &deployment(),
        entitlement,
        parameters,
        &"release-pipeline".parse().unwrap(),
        Some(&Task::try_from("run 17".to_owned()).unwrap()),
        GrantId::from_ulid(ulid::Ulid(1)),
    )
}

fn plan(entitlement: &Entitlement, parameters: &BTreeMap<String, ParameterValue>) -> SessionPlan {
    template_of(entitlement, parameters).unwrap().render(deadline(), deadline().minus(300)).unwrap()
}

fn statements(policy: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    assert_eq!(policy.as_object().unwrap().len(), 2);
    policy["Statement"].as_array().unwrap().clone()
}

/// Texts that [`ParameterValue`] accepts, and some that it should reject.
fn values() -> impl Strategy<Value = ParameterValue> {
    prop_oneof![
        "[A-Za-z0-9_.:/=+@,-]{1,40}",
        "[A-Za-z0-9]{1,8}",
        // Every accepted text must be harmless.
        "[ -~]{1,6}",
        Just("${account}".to_owned()),
        Just("account".to_owned()),
        Just("*".to_owned()),
    ]
    .prop_filter_map("no parameter value", |text| ParameterValue::try_from(text).ok())
}

#[test]
fn golden_session_policy() {
    let plan = plan(&entitlement(), &parameters("berlin", "orders"));
    let path =
        std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/golden/session-policy.json");
    let text = format!("{:#}\n", serde_json::from_str::<Value>(&plan.policy).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "if the change is intended: UPDATE_GOLDEN=1 cargo test -p brevet-domain");
}

#[test]
fn session_plan_carries_names_derived_from_the_grant() {
    let plan = plan(&entitlement(), &parameters("berlin", "orders"));
    assert_eq!(plan.role_arn, "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-orders");
    assert_eq!(plan.session_name, "dev.00000000000000000000000001");
    assert_eq!(plan.source_identity, "release-pipeline");
    let tags: Vec<_> = plan.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        tags,
        [
            "brevet:entitlement=read-orders",
            "brevet:grant=grt_00000000000000000000000001",
            "brevet:identity=release-pipeline",
            "brevet:task=run 17",
        ]
    );
    assert!(!format!("{plan:?}").contains("GetObject"), "a session policy is never logged");
}

proptest! {
    #[test]
    fn session_policy_contains_the_entitlements_statements_with_variables_replaced(
        shop in values(), table in values(),
    ) {
        let plan = plan(&entitlement(), &parameters(shop.as_str(), table.as_str()));
        let (shop, table) = (shop.as_str(), table.as_str());
        let expected = [
            json!({
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": [format!("arn:aws:s3:::orders-000000000000/{shop}/*")],
            }),
            json!({
                "Effect": "Allow",
                "Action": ["dynamodb:GetItem"],
                "Resource": [format!("arn:aws:dynamodb:us-east-1:000000000000:table/{table}")],
                "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": [shop, format!("all/{shop}")] } },
            }),
        ];
        prop_assert_eq!(&statements(&plan.policy)[..2], &expected);
    }

    #[test]
    fn parameter_value_adds_no_wildcard_variable_or_structure_to_the_policy(shop in values(), table in values()) {
        let count = |policy: &str, c: char| policy.chars().filter(|found| *found == c).count();
        let plain = plan(&entitlement(), &parameters("a", "b")).policy;
        let policy = plan(&entitlement(), &parameters(shop.as_str(), table.as_str())).policy;
        for c in ['*', '?', '$', '{', '}', '"', '\\', '[', ']'] {
            prop_assert_eq!(count(&policy, c), count(&plain, c), "{} in {}", c, policy);
        }
    }

    #[test]
    fn invariant_05_session_policy_denies_everything_from_the_deadline_on(
        shop in values(), table in values(), iam_allowed: bool, millis in 0_i64..253_402_300_799_999,
    ) {
        let deadline = Timestamp::from_millis(millis);
        let entitlement = Entitlement { delivery: session(900, iam_allowed), ..entitlement() };
        let template = template_of(&entitlement, &parameters(shop.as_str(), table.as_str())).unwrap();
        let plan = template.render(deadline, deadline).unwrap();
        let never = if iam_allowed { json!(["sts:*"]) } else { json!(["iam:*", "sts:*"]) };
        let second = format!("{}Z", deadline.to_string().split_once('.').unwrap().0);
        let expected = [
            json!({
                "Effect": "Deny", "Action": "*", "Resource": "*",
                "Condition": { "DateGreaterThanEquals": { "aws:CurrentTime": second } },
            }),
            json!({ "Effect": "Deny", "Action": never, "Resource": "*" }),
        ];
        let statements = statements(&plan.policy);
        prop_assert_eq!(&statements[2..], &expected);
        prop_assert_eq!(plan.policy_digest, Digest::of_bytes(plan.policy.as_bytes()));
    }

    #[test]
    fn credential_lifetime_is_bounded_by_sts_the_entitlement_and_the_term(
        credential_s in 900_u32..=3600, remaining_s in 0_u32..50_000,
    ) {
        let entitlement = Entitlement { delivery: session(credential_s, false), ..entitlement() };
        let template = template_of(&entitlement, &parameters("a", "b")).unwrap();
        let duration_s = template.render(deadline(), deadline().minus(remaining_s)).unwrap().duration_s;
        prop_assert!((900..=3600).contains(&duration_s) && duration_s <= credential_s);
        // No longer than needed, and no shorter than possible.
        prop_assert!(duration_s == 900 || duration_s <= remaining_s);
        prop_assert!(duration_s == credential_s || duration_s == remaining_s.max(900));
    }

    #[test]
    fn session_plan_is_the_same_on_a_retry_and_differs_with_the_deadline(shop in values(), later_s in 1_u32..1000) {
        let template = template_of(&entitlement(), &parameters(shop.as_str(), "orders")).unwrap();
        let render = |deadline: Timestamp| template.render(deadline, deadline.minus(60)).unwrap();
        prop_assert_eq!(render(deadline()), render(deadline()));
        prop_assert_ne!(render(deadline()).policy_digest, render(deadline().plus(later_s)).policy_digest);
    }
}

#[test]
fn parameter_cannot_replace_a_deployment_variable() {
    let mut parameters = parameters("berlin", "orders");
    for (name, forged) in [("account", "999999999999"), ("partition", "aws-cn"), ("region", "eu-west-1")] {
        parameters.insert(name.to_owned(), value(forged));
    }
    let forged = plan(&entitlement(), &parameters);
    assert_eq!(forged, plan(&entitlement(), &self::parameters("berlin", "orders")));
}

#[test]
fn filled_value_is_not_expanded_again() {
    let variables = BTreeMap::from([("a".to_owned(), "${b}".to_owned()), ("b".to_owned(), "secret".to_owned())]);
    assert_eq!(fill("x${a}y${b}z", &variables).unwrap(), "x${b}ysecretz");
    assert_eq!(fill("$${b}}", &variables).unwrap(), "$secret}");
    assert_eq!(fill("", &variables).unwrap(), "");
}

#[test]
fn statement_with_an_unknown_or_unclosed_variable_is_refused() {
    let refused = |resource: &str| {
        let mut entitlement = entitlement();
        entitlement.statements[0].resources = texts(&[resource]);
        template_of(&entitlement, &parameters("a", "b")).unwrap_err().to_string()
    };
    assert_eq!(
        refused("arn:aws:s3:::${aws:username}"),
        "a statement uses `${aws:username}`, which is not a parameter of the entitlement"
    );
    assert_eq!(refused("${shop}/${table"), "a statement has `${` without `}`: `${shop}/${table`");
    let mut entitlement = entitlement();
    entitlement.statements[0].conditions = Conditions::from([(
        "StringEquals".to_owned(),
        BTreeMap::from([("aws:userid".to_owned(), texts(&["${who}"]))]),
    )]);
    assert!(template_of(&entitlement, &parameters("a", "b")).unwrap_err().to_string().contains("`${who}`"));
}

#[test]
fn session_policy_over_2048_characters_is_refused() {
    let render = |length: usize| {
        let mut entitlement = entitlement();
        entitlement.statements[0].actions.push("s".repeat(length));
        template_of(&entitlement, &parameters("a", "b")).unwrap().render(deadline(), deadline())
    };
    let room = MAX_SESSION_POLICY - render(0).unwrap().policy.len();
    assert_eq!(render(room).unwrap().policy.len(), 2048);
    assert_eq!(
        render(room + 1).unwrap_err().to_string(),
        "the session policy has 2049 characters; STS takes at most 2048"
    );
}

#[test]
fn template_with_an_unknown_field_is_rejected() {
    let template = template_of(&entitlement(), &parameters("a", "b")).unwrap();
    let mut json = serde_json::to_value(&template).unwrap();
    assert_eq!(serde_json::from_value::<PlanTemplate>(json.clone()).unwrap(), template);
    json["extra"] = json!(1);
    assert!(serde_json::from_value::<PlanTemplate>(json).is_err());
}

#[test]
fn rotation_secrets_have_their_variables_replaced() {
    let rotation = |secret: &str, times| Rotation { secret: secret.to_owned(), times };
    let own = Entitlement {
        rotate: vec![rotation("arn:${partition}:secretsmanager:${region}:${account}:secret:${shop}-??????", 2)],
        ..entitlement()
    };
    let parameters = BTreeMap::from([("shop".to_owned(), value("north"))]);
    let filled = rotations(&deployment(), &own, &parameters).unwrap();
    let account = deployment().account;
    let arn = format!("arn:aws:secretsmanager:{}:{account}:secret:north-??????", deployment().region);
    assert_eq!(filled, [rotation(&arn, 2)]);
    assert!(rotations(&deployment(), &own, &BTreeMap::new()).is_err());
}
