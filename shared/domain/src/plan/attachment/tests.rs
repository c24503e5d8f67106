//! Tests of rendered attachments: every Allow carries its own limit, whatever the catalogue and the parameters say.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::entitlement::{
    Approval, Conditions, Delivery, Entitlement, JustificationRule, Parameter, ParameterValue, Risk, TicketRule,
};
use crate::id::GrantId;

fn deployment() -> Deployment {
    Deployment {
        id: "dev".parse().unwrap(),
        account: "000000000000".parse().unwrap(),
        partition: "aws".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn inline(principal: &str, holder: Holder) -> Delivery {
    Delivery::Inline { principal_arn: principal.to_owned(), holder }
}

const BATCH: &str = "arn:${partition}:iam::${account}:role/legacy/batch";

fn entitlement(delivery: Delivery, statements: Vec<Statement>) -> Entitlement {
    Entitlement {
        id: "write-orders".parse().unwrap(),
        owner: "olga".parse().unwrap(),
        description: "Writes orders".to_owned(),
        delivery,
        max_term: Term::from_seconds(3600).unwrap(),
        max_term_of: BTreeMap::new(),
        risk: Risk::Medium,
        environment: None,
        start_within_s: 600,
        parameters: BTreeMap::from([(
            "shop".to_owned(),
            Parameter::Text { pattern: ".+".to_owned(), max_length: 256 },
        )]),
        statements,
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

fn statement(action: &str, conditions: Conditions) -> Statement {
    let resources = vec!["arn:aws:s3:::orders/${shop}/*".to_owned()];
    Statement { actions: vec![action.to_owned()], resources, conditions }
}

fn condition(operator: &str, key: &str) -> Conditions {
    let value = vec!["2020-01-01T00:00:00Z".to_owned()];
    Conditions::from([(operator.to_owned(), BTreeMap::from([(key.to_owned(), value)]))])
}

fn template(entitlement: &Entitlement, shop: &str) -> Result<PlanTemplate, PlanError> {
    let parameters = BTreeMap::from([("shop".to_owned(), ParameterValue::try_from(shop.to_owned()).unwrap())]);
    let grant = GrantId::from_ulid(ulid::Ulid(1));
    PlanTemplate::for_grant(&deployment(), entitlement, &parameters, &"batch-job".parse().unwrap(), None, grant)
}

fn term() -> Term {
    Term::from_seconds(300).unwrap()
}

fn deadline() -> Timestamp {
    "2026-11-22T14:10:00Z".parse().unwrap()
}

fn document(plan: &AttachmentPlan) -> Value {
    let AttachmentPlan::Inline { document, .. } = plan else { panic!("not inline: {plan:?}") };
    serde_json::from_str(document).unwrap()
}

#[test]
fn inline_attachment_renders_the_expected_document() {
    let entitlement = entitlement(inline(BATCH, Holder::Shared), vec![statement("s3:PutObject", Conditions::new())]);
    let template = template(&entitlement, "berlin").unwrap();
    let plan = template.attachment(deadline(), term(), 60).unwrap();
    let AttachmentPlan::Inline { principal_arn, policy_name, .. } = &plan else { panic!() };
    assert_eq!(principal_arn, "arn:aws:iam::000000000000:role/legacy/batch");
    assert_eq!(policy_name, "brevet-dev-00000000000000000000000001");
    let expected = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::orders/berlin/*"],
            "Condition": {
                "DateGreaterThanEquals": { "aws:CurrentTime": ["2026-11-22T14:04:00Z"] },
                "DateLessThan": { "aws:CurrentTime": ["2026-11-22T14:10:00Z"] },
            },
        }],
    });
    assert_eq!(document(&plan), expected);
    assert_eq!(
        plan.digest(),
        template.attachment(deadline(), term(), 60).unwrap().digest(),
        "a retry is the same call"
    );
    let probe = Probe { action: "s3:PutObject".to_owned(), resource: "arn:aws:s3:::orders/berlin/*".to_owned() };
    assert_eq!(template.probes(), Probes { tried: vec![probe], n_untried: 0 });
}

#[test]
fn probes_count_the_pairs_that_are_not_tried() {
    let probes = |actions: &[&str], resources: &[&str]| {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let first = Statement { actions: texts(actions), resources: texts(resources), conditions: Conditions::new() };
        let second = statement("s3:PutObject", Conditions::new());
        template(&entitlement(inline(BATCH, Holder::Shared), vec![first, second]), "berlin").unwrap().probes()
    };
    let whole = probes(&["s3:GetObject"], &["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]);
    let resources: Vec<_> = whole.tried.iter().map(|probe| probe.resource.as_str()).collect();
    assert_eq!(resources, ["arn:aws:s3:::a/*", "arn:aws:s3:::orders/berlin/*", "arn:aws:s3:::b/*"]);
    assert_eq!(whole.n_untried, 0);
    let wild = probes(&["s3:Put*", "s3:GetObject"], &["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]);
    assert_eq!((wild.tried.len(), wild.n_untried), (3, 2), "an action with a wildcard cannot be tried");
    let many: Vec<String> = (0..20).map(|n| format!("arn:aws:s3:::a/{n}/*")).collect();
    let many = probes(&["s3:GetObject"], &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((many.tried.len(), many.n_untried), (8, 13));
}

#[test]
fn managed_attachment_names_a_policy_of_this_deployment() {
    let policy = "third-party-sync".parse().unwrap();
    let delivery = Delivery::Managed { principal_arn: BATCH.to_owned(), policy, holder: Holder::Shared };
    let plan = template(&entitlement(delivery, Vec::new()), "a").unwrap().attachment(deadline(), term(), 60).unwrap();
    let AttachmentPlan::Managed { policy_arn, .. } = plan else { panic!() };
    assert_eq!(policy_arn, "arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-third-party-sync");
}

proptest! {
    #[test]
    fn invariant_05_every_allow_of_an_attachment_carries_its_own_limits(
        n in 1_usize..5, shop in "[A-Za-z0-9_.:/=+@,-]{1,40}", term_s in 60_i64..43_200, skew_s in 0_u32..120,
        operator in prop_oneof![Just("StringEquals"), Just("DateLessThan"), Just("DateGreaterThanEquals")],
    ) {
        let own = condition(operator, "aws:TokenIssueTime");
        let entitlement = entitlement(inline(BATCH, Holder::Shared), vec![statement("s3:PutObject", own); n]);
        let term = Term::from_seconds(term_s).unwrap();
        let plan = template(&entitlement, &shop).unwrap().attachment(deadline(), term, skew_s).unwrap();
        let document = document(&plan);
        let statements = document["Statement"].as_array().unwrap();
        prop_assert_eq!(statements.len(), n);
        for statement in statements {
            let limit = |operator: &str| -> Timestamp {
                let values = statement["Condition"][operator]["aws:CurrentTime"].as_array().unwrap();
                assert_eq!(values.len(), 1, "values of one key are alternatives");
                values[0].as_str().unwrap().parse().unwrap()
            };
            prop_assert_eq!(&statement["Effect"], "Allow");
            prop_assert_eq!(limit("DateLessThan"), deadline());
            let start = deadline().minus(u32::try_from(term_s).unwrap());
            prop_assert_eq!(limit("DateGreaterThanEquals"), start.minus(skew_s));
            prop_assert_eq!(&statement["Condition"][operator]["aws:TokenIssueTime"][0], "2020-01-01T00:00:00Z");
        }
    }
}

#[test]
fn attached_statement_with_its_own_time_limit_is_refused() {
    for (operator, key) in [
        ("DateLessThan", "aws:CurrentTime"),
        ("DateLessThanIfExists", "AWS:currenttime"),
        ("NumericLessThan", "aws:EpochTime"),
        ("datelessthan", "aws:TokenIssueTime"),
    ] {
        let statements = vec![statement("s3:PutObject", condition(operator, key))];
        let template = template(&entitlement(inline(BATCH, Holder::Shared), statements), "a").unwrap();
        let error = template.attachment(deadline(), term(), 60).unwrap_err();
        assert!(matches!(error, PlanError::OwnTimeLimit(_)), "{operator} {key}: {error}");
    }
}

#[test]
fn attached_statement_with_iam_or_sts_actions_is_refused() {
    for action in ["iam:PassRole", "STS:AssumeRole", "*", "*:Get*", "?ts:AssumeRole"] {
        let statements = vec![statement(action, Conditions::new())];
        let template = template(&entitlement(inline(BATCH, Holder::Shared), statements), "a").unwrap();
        let error = template.attachment(deadline(), term(), 60).unwrap_err();
        assert!(error.to_string().contains(action), "{error}");
    }
}

#[test]
fn attachment_principal_must_be_a_role_of_this_account_outside_reserved_paths() {
    for arn in [
        "arn:aws:iam::111111111111:role/legacy/batch",
        "arn:aws:iam::${account}:role/brevet/dev/session/brevet-dev-orders",
        "arn:aws:iam::${account}:user/batch",
        "arn:aws:iam::${account}:role/",
        "arn:aws:iam::${account}:role/b*",
    ] {
        let error = template(&entitlement(inline(arn, Holder::Shared), Vec::new()), "a").unwrap_err();
        assert!(matches!(error, PlanError::Principal(_)), "{arn}: {error}");
    }
    let chosen =
        template(&entitlement(inline("arn:aws:iam::${account}:role/${shop}", Holder::Shared), Vec::new()), "a");
    assert!(matches!(chosen, Err(PlanError::UnknownVariable(_))), "no parameter chooses a principal");
}

#[test]
fn attachment_is_refused_when_another_identity_is_the_single_holder() {
    let of = |holder: &str| inline(BATCH, Holder::Single(holder.parse().unwrap()));
    assert!(template(&entitlement(of("batch-job"), Vec::new()), "a").is_ok());
    let error = template(&entitlement(of("other-job"), Vec::new()), "a").unwrap_err();
    assert!(matches!(error, PlanError::NotHolder(_)), "{error}");
}

#[test]
fn inline_policy_over_the_quota_is_refused() {
    let mut long = statement("s3:PutObject", Conditions::new());
    long.resources = vec!["r".repeat(MAX_ROLE_INLINE)];
    let template = template(&entitlement(inline(BATCH, Holder::Shared), vec![long]), "a").unwrap();
    assert!(matches!(template.attachment(deadline(), term(), 60), Err(PlanError::InlineTooLong { .. })));
}

#[test]
fn templates_of_all_deliveries_round_trip_through_json() {
    let policy = "sync".parse().unwrap();
    let managed = Delivery::Managed { principal_arn: BATCH.to_owned(), policy, holder: Holder::Shared };
    for delivery in [inline(BATCH, Holder::Shared), managed] {
        let template = template(&entitlement(delivery, Vec::new()), "a").unwrap();
        let text = serde_json::to_string(&template).unwrap();
        assert_eq!(serde_json::from_str::<PlanTemplate>(&text).unwrap(), template);
    }
}
