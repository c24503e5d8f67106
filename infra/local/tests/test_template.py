"""The template grants the rights that the design allows, checked on the resolved facts."""

import fnmatch
import json

import pytest

from samtranslator.yaml_helper import yaml_parse

from brevet_local import places, template
from brevet_local.intrinsics import Resolver, Unresolvable

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev"
FUNCTIONS = ("intake", "evaluate", "issue", "reap", "drill")


def role(facts, name):
    return next(one for one in facts["roles"] if one["name"] == f"brevet-dev-{name}")


def statements(facts, name):
    return [one for document in role(facts, name)["inline"].values() for one in document["Statement"]]


def listed(value):
    return value if isinstance(value, list) else [value]


def allows(facts, name):
    return [one for one in statements(facts, name) if one["Effect"] == "Allow"]


def actions(facts, name):
    return {action for one in allows(facts, name) for action in listed(one["Action"])}


def reaching(facts, name, action):
    return [one for one in allows(facts, name) if action in listed(one["Action"])]


def may(facts, name, action, leading_key):
    """Whether a role's Allow statements cover an item, by the text of the policy alone."""
    return any(
        action in listed(one["Action"])
        and TABLE in listed(one["Resource"])
        and any(
            fnmatch.fnmatchcase(leading_key, pattern)
            for pattern in one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        )
        for one in allows(facts, name)
    )


def test_routes_are_those_of_the_api(facts):
    assert {(one["method"], one["path"], one["function"]) for one in facts["routes"]} == {
        ("POST", "/v1/grants", "intake"),
        ("GET", "/v1/grants", "intake"),
        ("GET", "/v1/grants/{id}", "intake"),
        ("GET", "/v1/grants/{id}/evidence", "intake"),
        ("POST", "/v1/grants/{id}/release", "intake"),
        ("GET", "/v1/health", "intake"),
        ("POST", "/v1/grants/{id}/renew", "intake"),
        ("POST", "/v1/grants/{id}/approvals", "evaluate"),
        ("POST", "/v1/evaluations", "evaluate"),
        ("GET", "/v1/entitlements", "evaluate"),
        ("GET", "/v1/delegations", "evaluate"),
        ("PUT", "/v1/delegations/{id}", "evaluate"),
        ("DELETE", "/v1/delegations/{id}", "evaluate"),
        ("POST", "/v1/grants/{id}/review", "evaluate"),
        ("POST", "/v1/grants/{id}/acknowledge", "evaluate"),
        ("GET", "/v1/reviews", "evaluate"),
        ("POST", "/v1/revocations", "evaluate"),
        ("GET", "/v1/revocations", "evaluate"),
        ("GET", "/v1/revocations/{id}", "evaluate"),
        ("POST", "/v1/revocations/{id}/lift", "evaluate"),
        ("POST", "/v1/grants/{id}/credentials", "issue"),
    }


def test_function_has_its_own_role_that_only_lambda_assumes(facts):
    assert {one["id"] for one in facts["functions"]} == set(FUNCTIONS)
    for one in facts["functions"]:
        assert one["role_arn"] == f"arn:aws:iam::000000000000:role/brevet/dev/function/brevet-dev-{one['id']}"
        assert role(facts, one["id"])["trust"]["Statement"] == [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]
        assert role(facts, one["id"])["managed"] == []


def test_no_role_holds_a_wildcard_action_or_resource_or_scan(facts):
    for one in facts["roles"]:
        for document in one["inline"].values():
            for statement in document["Statement"]:
                if statement["Effect"] == "Deny":
                    continue
                assert not [a for a in listed(statement["Action"]) if "*" in a or a.endswith(("Scan", ":PartiQLSelect"))]
                # These actions apply to the whole account and have no resource.
                of_the_account = statement["Action"] in ("iam:GetAccountSummary", "iam:ListRoles", "sts:GetWebIdentityToken")
                assert "*" not in listed(statement["Resource"]) or of_the_account


@pytest.mark.parametrize("name", FUNCTIONS)
def test_item_right_requires_a_leading_key(facts, name):
    seen = [one for one in allows(facts, name) if {TABLE, f"{TABLE}/index/due"} & set(listed(one["Resource"]))]
    assert seen
    for one in seen:
        if listed(one["Action"]) == ["dynamodb:DescribeTable"]:
            # DescribeTable shows no item.
            continue
        assert one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        assert one["Condition"]["Null"]["dynamodb:LeadingKeys"] == "false"


def test_only_issue_and_reap_use_iam_and_only_issue_and_drill_use_sts(facts):
    services = {name: {action.split(":")[0] for action in actions(facts, name)} for name in FUNCTIONS}
    assert [name for name in FUNCTIONS if "iam" in services[name]] == ["issue", "reap"]
    assert [name for name in FUNCTIONS if "sts" in services[name]] == ["issue", "drill"]
    assert [name for name in FUNCTIONS if "lambda" in services[name]] == ["intake"]


IAM_READS = {"iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies"}


def test_issue_only_adds_and_reap_only_removes(facts):
    iam = {name: {action for action in actions(facts, name) if action.startswith("iam:")} for name in ("issue", "reap")}
    assert iam["issue"] == IAM_READS | {"iam:GetAccountSummary", "iam:PutRolePolicy", "iam:AttachRolePolicy"}
    # PutRolePolicy writes the reserved deny on session roles.
    assert iam["reap"] == IAM_READS | {
        "iam:SimulatePrincipalPolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:ListRoles"
    }
    assert all(one["Resource"] == SESSIONS for one in reaching(facts, "reap", "iam:PutRolePolicy"))


SESSIONS = "arn:aws:iam::000000000000:role/brevet/dev/session/*"
PRINCIPALS = "arn:aws:iam::000000000000:role/brevet/dev/attachment/*"
BOUNDARY = "arn:aws:iam::000000000000:policy/brevet/dev/brevet-dev-boundary"
MANAGED = "arn:aws:iam::000000000000:policy/brevet/dev/managed/*"


def test_issue_attaches_only_brevets_policies_and_only_inside_the_boundary(facts):
    bounded = {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    for action, condition in (
        ("iam:PutRolePolicy", bounded),
        ("iam:AttachRolePolicy", {**bounded, "ArnLike": {"iam:PolicyARN": MANAGED}}),
    ):
        (one,) = reaching(facts, "issue", action)
        assert (one["Resource"], one["Condition"]) == ([PRINCIPALS], condition)


def test_reap_removes_whether_or_not_the_boundary_is_set(facts):
    by_resource = {str(one["Resource"]): one.get("Condition") for one in reaching(facts, "reap", "iam:DeleteRolePolicy")}
    assert by_resource == {SESSIONS: None, str([PRINCIPALS]): None}
    (one,) = reaching(facts, "reap", "iam:DetachRolePolicy")
    assert (one["Resource"], one["Condition"]) == ([PRINCIPALS], {"ArnLike": {"iam:PolicyARN": MANAGED}})


@pytest.mark.parametrize(
    ("name", "action", "resource"),
    [
        ("issue", "iam:PutRolePolicy", "role/brevet/dev/session/brevet-dev-agent-secret"),
        ("issue", "iam:AttachRolePolicy", "role/brevet/dev/function/brevet-dev-issue"),
        ("issue", "iam:PutRolePolicy", "role/brevet/other/attachment/brevet-other-x"),
        ("issue", "iam:DeleteRolePolicy", "role/brevet/dev/attachment/brevet-dev-legacy-batch"),
        ("issue", "iam:DetachRolePolicy", "role/brevet/dev/attachment/brevet-dev-legacy-batch"),
        ("issue", "iam:DeleteRolePermissionsBoundary", "role/brevet/dev/attachment/brevet-dev-legacy-batch"),
        ("issue", "iam:CreatePolicyVersion", "policy/brevet/dev/brevet-dev-boundary"),
        ("issue", "iam:UpdateAssumeRolePolicy", "role/brevet/dev/session/brevet-dev-agent-secret"),
        ("reap", "iam:PutRolePolicy", "role/brevet/dev/attachment/brevet-dev-legacy-batch"),
        ("reap", "iam:PutRolePolicy", "role/brevet/other/session/brevet-other-x"),
        ("reap", "iam:AttachRolePolicy", "role/brevet/dev/session/brevet-dev-agent-secret"),
        ("reap", "iam:PutRolePermissionsBoundary", "role/brevet/dev/attachment/brevet-dev-legacy-batch"),
        ("reap", "iam:SetDefaultPolicyVersion", "policy/brevet/dev/brevet-dev-boundary"),
    ],
)
def test_role_explicitly_denies_forbidden_iam_writes(facts, name, action, resource):
    assert denies(statements(facts, name), action, f"arn:aws:iam::000000000000:{resource}")


def denies(known, action, resource):
    """Whether an unconditional Deny covers the call, by the text of the policy alone."""

    def any_like(text, patterns):
        return any(fnmatch.fnmatchcase(text, pattern) for pattern in listed(patterns))

    return any(
        one["Effect"] == "Deny"
        and "Condition" not in one
        and any_like(action, one["Action"])
        and ("Resource" not in one or any_like(resource, one["Resource"]))
        and ("NotResource" not in one or not any_like(resource, one["NotResource"]))
        for one in known
    )


def policy(facts, arn):
    (one,) = [one for one in facts["policies"] if one["arn"] == arn]
    return one["document"]["Statement"]


def test_boundary_denies_iam_writes_other_roles_and_brevets_own_resources(facts):
    boundary = policy(facts, facts["attachment"]["boundary_arn"])
    allowed = [action for one in boundary if one["Effect"] == "Allow" for action in listed(one["Action"])]
    assert allowed
    assert not [action for action in allowed if "*" in action or action.split(":")[0] in ("iam", "sts", "organizations")]
    assert not [one for one in boundary if {"NotAction", "NotResource", "Condition"} & set(one)]
    for action in (
        "iam:PutRolePolicy", "iam:CreateUser", "iam:PassRole", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity",
        "sts:GetWebIdentityToken", "organizations:LeaveOrganization", "account:CloseAccount",
    ):
        assert denies(boundary, action, "arn:aws:iam::000000000000:role/any"), action
    for resource in (
        TABLE, f"{TABLE}/index/due", f"{TABLE}/stream/1",
        "arn:aws:dynamodb:us-east-1:000000000000:table/brevet-other",
        "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-agent-secret",
        facts["attachment"]["boundary_arn"],
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/brevet-dev-reap:log-stream:x",
        "arn:aws:logs:us-east-1:000000000000:log-group:/brevet/dev/api",
        "arn:aws:lambda:us-east-1:000000000000:function:brevet-dev-evaluate",
        "arn:aws:sqs:us-east-1:000000000000:brevet-dev-tick-dead-letters",
    ):
        assert denies(boundary, "any:Action", resource), resource


def test_attachment_principals_carry_the_boundary_and_no_deny(facts):
    principals = [one for one in facts["roles"] if one["path"] == "/brevet/dev/attachment/"]
    assert {one["name"]: one["arn"] for one in principals} == {
        f"brevet-dev-{name}": arn for name, arn in facts["attachment"]["principals"].items()
    }
    assert set(facts["attachment"]["principals"]) == {"legacy-batch", "vendor-sync", "canary-inline", "canary-managed"}
    assert facts["attachment"]["boundary_arn"] == BOUNDARY
    for one in principals:
        assert (one["boundary"], one["managed"]) == (BOUNDARY, [])
        assert [s for document in one["inline"].values() for s in document["Statement"] if s["Effect"] != "Allow"] == []
    assert facts["attachment"]["managed_policies"] == {
        name: f"arn:aws:iam::000000000000:policy/brevet/dev/managed/brevet-dev-{name}"
        for name in ("vendor-sync", "canary-managed")
    }
    # The template attaches them nowhere; only Brevet does.
    assert not [one for one in facts["roles"] if set(one["managed"]) & set(facts["attachment"]["managed_policies"].values())]


def test_drill_assumes_only_canaries_and_they_trust_only_the_drill(facts):
    drill = "arn:aws:iam::000000000000:role/brevet/dev/function/brevet-dev-drill"
    canaries = [one for one in facts["roles"] if one["name"].startswith("brevet-dev-canary-")]
    (become,) = reaching(facts, "drill", "sts:AssumeRole")
    assert become["Resource"] == [one["arn"] for one in canaries]
    for one in canaries:
        assert one["trust"]["Statement"] == [{"Effect": "Allow", "Principal": {"AWS": drill}, "Action": "sts:AssumeRole"}]
        # A canary has no rights of its own, so that every allowed call comes from the grant.
        assert (one["inline"], one["managed"], one["boundary"]) == ({}, [], BOUNDARY)
    (identify,) = reaching(facts, "drill", "sts:GetWebIdentityToken")
    assert identify["Condition"] == {
        "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": ["brevet", "brevet/credentials"]},
        "Null": {"sts:IdentityTokenAudience": "false"},
    }
    tables = [one["Resource"] for s in statements(facts, "drill") for one in [s] if "dynamodb" in str(s["Action"])]
    assert tables == [TABLE]


def test_drills_are_off_by_default(facts):
    environment = {one["id"]: one["environment"] for one in facts["functions"]}
    assert (environment["drill"]["BREVET_DRILLS"], environment["reap"]["BREVET_DRILLS"]) == ("", "")
    drilled = template.facts(given={"Drills": "session,managed"})
    assert {one["environment"]["BREVET_DRILLS"] for one in drilled["functions"]} == {"session,managed"}


def test_managed_policies_stay_inside_the_boundary(facts):
    boundary = [one for one in policy(facts, BOUNDARY) if one["Effect"] == "Allow"]
    for arn in facts["attachment"]["managed_policies"].values():
        for one in policy(facts, arn):
            for action in listed(one["Action"]):
                for resource in listed(one["Resource"]):
                    assert any(
                        action in listed(cap["Action"])
                        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed(cap["Resource"]))
                        for cap in boundary
                    ), (action, resource)


def test_named_principals_are_added_to_the_attachment_principals():
    others = "arn:aws:iam::000000000000:role/batch,arn:aws:iam::111111111111:role/path/sync"
    extended = template.facts(given={"AttachmentPrincipalArns": others})
    for name, action in (("issue", "iam:PutRolePolicy"), ("issue", "iam:AttachRolePolicy"), ("reap", "iam:DetachRolePolicy")):
        (one,) = reaching(extended, name, action)
        assert one["Resource"] == [PRINCIPALS, *others.split(",")]
    (never,) = [one for one in statements(extended, "issue") if one.get("Sid") == "NeverElsewhere"]
    assert never["NotResource"] == [PRINCIPALS, *others.split(",")]


def test_reap_rotates_only_the_named_secrets_with_their_own_settings():
    named = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/*,arn:aws:secretsmanager:us-east-1:000000000000:secret:db-??????"
    rotating = template.facts(given={"RotatedSecretArns": named})
    for name in FUNCTIONS:
        mine = [one for one in allows(rotating, name) if any(action.startswith("secretsmanager:") for action in listed(one["Action"]))]
        assert [one["Action"] for one in mine] == (["secretsmanager:RotateSecret", "secretsmanager:DescribeSecret"] if name == "reap" else [])
        assert all(one["Resource"] == named.split(",") for one in mine)
    (rotate,) = reaching(rotating, "reap", "secretsmanager:RotateSecret")
    assert rotate["Condition"] == {
        "Null": {"secretsmanager:RotationLambdaARN": "true"},
        "BoolIfExists": {"secretsmanager:ModifyRotationRules": "false"},
    }
    none = template.facts(given={"RotatedSecretArns": ""})
    assert not [action for action in actions(none, "reap") if action.startswith("secretsmanager:")]


def test_functions_delete_no_evidence_or_decisions(facts):
    assert [name for name in FUNCTIONS if "dynamodb:DeleteItem" in actions(facts, name)] == ["evaluate", "reap"]
    # evaluate deletes an awaited review when it is reviewed, and a block of the kill switch when it is lifted.
    assert may(facts, "evaluate", "dynamodb:DeleteItem", "REVIEW#ana")
    assert not may(facts, "reap", "dynamodb:DeleteItem", "REVIEW#ana")
    assert not may(facts, "evaluate", "dynamodb:DeleteItem", "SPONSOR#ana")
    for key in ("identity/i", "sponsor/s", "class/agent", "entitlement/e", "account/0", "all"):
        assert may(facts, "evaluate", "dynamodb:DeleteItem", f"BLOCK#{key}"), key
    for key in ("BLOCK#grant/1", "REVOCATION#all", "REVOCATION#latest", "GRANT#1", "DECISION#1", "DENY#role", "ACT#1"):
        assert not may(facts, "evaluate", "dynamodb:DeleteItem", key), key
    assert not may(facts, "reap", "dynamodb:DeleteItem", "BLOCK#all")
    for key in ("GRANT#1", "DECISION#1", "ACT#1", "BLOCK#grant/1", "HEARTBEAT#reap", "BUNDLE#current"):
        for name in ("evaluate", "reap"):
            assert not may(facts, name, "dynamodb:DeleteItem", key), (name, key)


@pytest.mark.parametrize(
    ("key", "writers"),
    [
        ("REQUEST#1", {"intake"}),
        ("IDEM#a#b", {"intake"}),
        ("DECISION#1", {"evaluate"}),
        ("SPONSOR#h", {"evaluate"}),
        ("DELEGATION#h", {"evaluate"}),
        ("GRANT#1", {"evaluate", "issue", "reap"}),
        ("ACT#1", {"issue"}),
        ("BACKSTOP#1", {"issue"}),
        ("HOLDERS#p#q", {"issue", "reap"}),
        ("BLOCK#grant/1", {"intake", "evaluate"}),
        ("BLOCK#all", {"evaluate"}),
        ("REVOCATION#all", {"evaluate"}),
        ("REVOCATION#latest", {"evaluate"}),
        ("PROGRESS#all", {"reap"}),
        ("DENY#role", {"reap"}),
        ("HEARTBEAT#reap", {"reap"}),
        ("DRILL#session", {"drill"}),
        ("BUNDLE#current", set()),
    ],
)
def test_item_is_put_only_by_its_writers(facts, key, writers):
    assert {name for name in FUNCTIONS if may(facts, name, "dynamodb:PutItem", key)} == writers


def test_only_reap_updates_items_and_only_release_marks(facts):
    (one,) = [(name, one["Sid"]) for name in FUNCTIONS for one in reaching(facts, name, "dynamodb:UpdateItem")]
    assert one == ("reap", "TickOff")


def test_to_do_list_is_read_only_by_its_functions(facts):
    lists = {
        name: one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        for name in FUNCTIONS
        for one in reaching(facts, name, "dynamodb:Query")
        if one["Resource"] == f"{TABLE}/index/due"
    }
    # The reaper also lapses grants that ran out of time on issue's lists.
    assert lists == {
        "evaluate": ["review"],
        "issue": ["issue#*"],
        "reap": ["reap#*", "issue#*", "rotate#*", "deny", "review"],
    }


def test_reap_updates_only_the_due_attributes_of_a_release_mark(facts):
    (one,) = [s for s in statements(facts, "reap") if s.get("Sid") == "TickOff"]
    assert one["Action"] == "dynamodb:UpdateItem"
    assert one["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"] == ["pk", "sk", "due_pk", "next_at"]
    assert one["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false", "dynamodb:Attributes": "false"}


def test_session_roles_trust_only_issue_and_hold_only_managed_policies(facts):
    seen = [one for one in facts["roles"] if one["path"] == "/brevet/dev/session/"]
    assert {one["name"] for one in seen} == {f"brevet-dev-{n}" for n in ("release-deploy", "agent-secret", "oncall-read", "canary")}
    for one in seen:
        assert one["trust"]["Statement"] == [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::000000000000:role/brevet/dev/function/brevet-dev-issue"},
                "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            }
        ]
        assert one["inline"] == {}
        assert len(one["managed"]) == 1


def test_table_has_its_ttl_attribute_indexes_and_stream(facts):
    assert facts["table"]["ttl_attribute"] == "ttl"
    assert {one["IndexName"] for one in facts["table"]["create"]["GlobalSecondaryIndexes"]} == {"due", "by_identity"}
    assert facts["table"]["create"]["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }


def test_evaluate_issue_reap_and_drill_tick_every_minute(facts):
    ticked = {one["function"]: one["period_s"] for one in facts["schedules"]}
    assert ticked == {"evaluate": 60, "issue": 60, "reap": 60, "drill": 60}


def test_dead_letter_queues_have_alarms_and_alarm_metrics_are_emitted():
    resources = yaml_parse(places.TEMPLATE.read_text())["Resources"]
    alarms = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    queues = {name for name, one in resources.items() if one["Type"] == "AWS::SQS::Queue"}
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for one in alarms
        if (one["Namespace"], one["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
        for dimension in one["Dimensions"]
    }
    assert watched == queues and queues
    crates = ("functions/reap", "functions/drill", "shared/lambda")
    sources = [places.CHECKOUT / place for place in crates]
    emitted = "".join((source / "src" / "metric.rs").read_text() for source in sources)
    own = {one["MetricName"] for one in alarms if one["Namespace"] == "Brevet"}
    assert own == {
        "ReaperGoodPass",
        "OverdueSeconds",
        "IssuingStopped",
        "BundleStale",
        "BreakGlassUsed",
        "BreakGlassUnreviewed",
        "RotationSeconds",
        "SweepFound",
        "SweepWhole",
        "DrillFailed",
        "StandbyTickReceived",
        "PassByStandbyTick",
    }
    for name in own:
        assert f'"{name}"' in emitted, f"no function emits {name}, which an alarm watches"


def test_standby_tick_is_independent_of_the_schedule(facts):
    (standby,) = [one for one in facts["streams"] if one["switch"] == "standby"]
    assert (standby["function"], standby["table"]) == ("reap", "brevet-dev.standby")
    assert standby["max_retries"] == -1 and 0 < standby["window_s"] < 60
    (table,) = [one for one in facts["other_tables"] if one["TableName"] == standby["table"]]
    assert table["StreamSpecification"]["StreamEnabled"]
    # Only reap writes standby ticks.
    writers = [name for name in FUNCTIONS for one in statements(facts, name) if str(one.get("Resource")).endswith(".standby")]
    assert writers == ["reap"]
    # DynamoDB allows at most two readers a stream.
    readers = [one["table"] for one in facts["streams"]]
    assert all(readers.count(table) <= 2 for table in readers)


def test_failed_triggers_leave_a_dead_letter():
    resources = yaml_parse(places.TEMPLATE.read_text())["Resources"]
    for name in ("EvaluateFunction", "IssueFunction", "ReapFunction", "DrillFunction"):
        properties = resources[name]["Properties"]
        assert properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Type"] == "SQS"
        for event in properties["Events"].values():
            # A mapping that retries without limit needs no dead-letter queue.
            if event["Type"] == "DynamoDB" and event["Properties"]["MaximumRetryAttempts"] >= 0:
                assert event["Properties"]["DestinationConfig"]["OnFailure"]["Type"] == "SQS"
            if event["Type"] == "ScheduleV2":
                assert event["Properties"]["DeadLetterConfig"]


def test_function_environment_has_brevet_names_and_no_local_address(facts):
    for one in facts["functions"]:
        assert all(name.startswith("BREVET_") or name == "RUST_LOG" for name in one["environment"])
        assert not [value for value in one["environment"].values() if "127.0.0.1" in value or "localhost" in value]
    environment = {one["id"]: one["environment"] for one in facts["functions"]}
    assert environment["intake"]["BREVET_EVALUATE_FUNCTION"] == "brevet-dev-evaluate"
    assert environment["issue"]["BREVET_SKEW_S"] == "2"


def test_given_parameter_changes_names_and_rights():
    other = template.facts(given={"DeploymentId": "t1", "ClockSkewSeconds": "7"})
    assert "brevet-dev" not in json.dumps(other) and "/brevet/dev/" not in json.dumps(other)
    assert other["functions"][0]["environment"]["BREVET_SKEW_S"] == "7"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Nope": "1"}, "unknown parameter `Nope`"),
        ({"DeploymentId": "Dev"}, "must match"),
        ({"DeletionProtection": "maybe"}, "must be one of"),
        ({"ClockSkewSeconds": "0"}, "must be a whole number of at least 1"),
        ({"AttachmentPrincipalArns": "arn:aws:iam::000000000000:role/a,arn:aws:iam::000000000000:role/*"}, "must match"),
        ({"AttachmentPrincipalArns": "arn:aws:iam::000000000000:role/brevet/dev/session/x"}, "must match"),
        ({"AttachmentPrincipalArns": "a"}, "must match"),
        ({"RotatedSecretArns": "arn:aws:secretsmanager:us-east-1:000000000000:secret:*"}, "must match"),
        ({"RotatedSecretArns": "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/*/db"}, "must match"),
    ],
)
def test_facts_reject_a_parameter_that_the_template_rejects(given, message):
    with pytest.raises(Unresolvable, match=message):
        template.facts(given=given)


def resolver():
    resources = {"R": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r", "Path": "/p/"}}, "X": {"Type": "A::B::C"}}
    conditions = {"Yes": {"Fn::Equals": [{"Ref": "DeploymentId"}, "d"]}, "No": {"Fn::Not": [{"Condition": "Yes"}]}}
    return Resolver({"Resources": resources, "Conditions": conditions}, {"DeploymentId": "d"}, "1", "eu", "aws")


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"Fn::Sub": "a-${DeploymentId}-${!Not}-${R.Arn}"}, "a-d-${Not}-arn:aws:iam::1:role/p/r"),
        ({"Fn::Sub": ["${a}/${AWS::Region}", {"a": {"Ref": "R"}}]}, "r/eu"),
        ({"Fn::Join": ["-", ["a", {"Ref": "DeploymentId"}]]}, "a-d"),
        ({"a": {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}, "b": [{"Fn::If": ["Yes", 1, 2]}]}, {"b": [1]}),
        ({"Fn::GetAtt": "R.Arn"}, "arn:aws:iam::1:role/p/r"),
        ({"Fn::Split": [",", {"Fn::Sub": "a,${DeploymentId}"}]}, ["a", "d"]),
    ],
)
def test_resolver_resolves_intrinsics(node, value):
    assert resolver().value(node) == value


@pytest.mark.parametrize(
    "node", [{"Ref": "Nope"}, {"Ref": "X"}, {"Fn::GetAtt": ["R", "RoleId"]}, {"Fn::ImportValue": "x"}, {"Fn::Sub": "${Nope}"}]
)
def test_resolver_rejects_nodes_without_a_local_counterpart(node):
    with pytest.raises(Unresolvable):
        resolver().value(node)
