"""What the template must say, read from its resolved facts: the walls of the design as rights."""

import fnmatch
import json

import pytest

from brevet_local import template
from brevet_local.intrinsics import Resolver, Unresolvable

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev"
FUNCTIONS = ("intake", "evaluate", "issue", "reap")


def role(facts, name):
    return next(one for one in facts["roles"] if one["name"] == f"brevet-dev-{name}")


def statements(facts, name):
    return [one for document in role(facts, name)["inline"].values() for one in document["Statement"]]


def listed(value):
    return value if isinstance(value, list) else [value]


def actions(facts, name):
    return {action for one in statements(facts, name) for action in listed(one["Action"])}


def may(facts, name, action, leading_key):
    """Whether a role's statements reach an item, by plain reading of the document."""
    return any(
        action in listed(one["Action"])
        and TABLE in listed(one["Resource"])
        and any(
            fnmatch.fnmatchcase(leading_key, pattern)
            for pattern in one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        )
        for one in statements(facts, name)
    )


def test_the_routes_are_those_of_the_api(facts):
    assert {(one["method"], one["path"], one["function"]) for one in facts["routes"]} == {
        ("POST", "/v1/grants", "intake"),
        ("GET", "/v1/grants", "intake"),
        ("GET", "/v1/grants/{id}", "intake"),
        ("GET", "/v1/grants/{id}/evidence", "intake"),
        ("POST", "/v1/grants/{id}/release", "intake"),
        ("GET", "/v1/health", "intake"),
        ("POST", "/v1/grants/{id}/approvals", "evaluate"),
        ("POST", "/v1/grants/{id}/credentials", "issue"),
    }


def test_each_function_has_its_own_role_which_only_lambda_assumes(facts):
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
                assert not [a for a in listed(statement["Action"]) if "*" in a or a.endswith(("Scan", ":PartiQLSelect"))]
                assert "*" not in listed(statement["Resource"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_right_on_items_is_by_a_leading_key_that_must_be_there(facts, name):
    seen = [one for one in statements(facts, name) if TABLE in listed(one["Resource"])]
    assert seen
    for one in seen:
        assert one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        assert one["Condition"]["Null"]["dynamodb:LeadingKeys"] == "false"


def test_iam_is_the_reapers_and_sts_is_the_issuers(facts):
    services = {name: {action.split(":")[0] for action in actions(facts, name)} for name in FUNCTIONS}
    assert [name for name in FUNCTIONS if "iam" in services[name]] == ["reap"]
    assert [name for name in FUNCTIONS if "sts" in services[name]] == ["issue"]
    assert [name for name in FUNCTIONS if "lambda" in services[name]] == ["intake"]
    sessions = "arn:aws:iam::000000000000:role/brevet/dev/session/*"
    for name, service in (("issue", "sts:"), ("reap", "iam:")):
        for one in statements(facts, name):
            if any(action.startswith(service) for action in listed(one["Action"])):
                assert one["Resource"] == sessions


def test_only_the_reaper_deletes_and_never_what_proves(facts):
    assert [name for name in FUNCTIONS if "dynamodb:DeleteItem" in actions(facts, name)] == ["reap"]
    for key in ("GRANT#1", "DECISION#1", "ACT#1", "BLOCK#all", "BLOCK#grant/1", "HEART#reap", "BUNDLE#current"):
        assert not may(facts, "reap", "dynamodb:DeleteItem", key), key


@pytest.mark.parametrize(
    ("key", "writers"),
    [
        ("REQUEST#1", {"intake"}),
        ("IDEM#a#b", {"intake"}),
        ("DECISION#1", {"evaluate"}),
        ("SPONSOR#h", {"evaluate"}),
        ("GRANT#1", {"evaluate", "issue", "reap"}),
        ("ACT#1", {"issue"}),
        ("FUSE#1", {"issue"}),
        ("BLOCK#grant/1", {"intake", "evaluate"}),
        ("BLOCK#all", {"evaluate"}),
        ("DENY#role", {"reap"}),
        ("HEART#reap", {"reap"}),
        ("BUNDLE#current", set()),
    ],
)
def test_who_may_put_which_item(facts, key, writers):
    assert {name for name in FUNCTIONS if may(facts, name, "dynamodb:PutItem", key)} == writers


def test_what_can_be_put_once_cannot_be_updated(facts):
    for key in ("ACT#1", "FUSE#1"):
        assert not may(facts, "issue", "dynamodb:UpdateItem", key)
    for key in ("REQUEST#1", "IDEM#a", "BLOCK#grant/1"):
        assert not may(facts, "intake", "dynamodb:UpdateItem", key)


def test_the_reaper_ticks_a_mark_off_and_changes_nothing_else_of_it(facts):
    (one,) = [s for s in statements(facts, "reap") if s.get("Sid") == "TickOff"]
    assert one["Action"] == "dynamodb:UpdateItem"
    assert one["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"] == ["pk", "sk", "due_pk", "next_at"]
    assert one["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false", "dynamodb:Attributes": "false"}


def test_session_roles_trust_the_issuer_alone_and_hold_only_managed_rights(facts):
    seen = [one for one in facts["roles"] if one["path"] == "/brevet/dev/session/"]
    assert {one["name"] for one in seen} == {f"brevet-dev-{n}" for n in ("release-deploy", "agent-secret", "oncall-read")}
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


def test_ttl_is_the_housekeeping_attribute_and_the_indexes_are_there(facts):
    assert facts["table"]["ttl_attribute"] == "ttl"
    assert {one["IndexName"] for one in facts["table"]["create"]["GlobalSecondaryIndexes"]} == {"due", "by_identity"}
    assert facts["table"]["create"]["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }


def test_the_reaper_ticks_every_minute(facts):
    assert [(one["function"], one["period_s"]) for one in facts["schedules"]] == [("reap", 60)]


def test_functions_are_told_everything_by_name_and_nothing_local(facts):
    for one in facts["functions"]:
        assert all(name.startswith("BREVET_") or name == "RUST_LOG" for name in one["environment"])
        assert not [value for value in one["environment"].values() if "127.0.0.1" in value or "localhost" in value]
    environment = {one["id"]: one["environment"] for one in facts["functions"]}
    assert environment["intake"]["BREVET_EVALUATE_FUNCTION"] == "brevet-dev-evaluate"
    assert environment["issue"]["BREVET_SKEW_S"] == "2"


def test_a_given_parameter_reaches_names_and_rights():
    other = template.facts(given={"DeploymentId": "t1", "ClockSkewSeconds": "7"})
    assert "brevet-dev" not in json.dumps(other) and "/brevet/dev/" not in json.dumps(other)
    assert other["functions"][0]["environment"]["BREVET_SKEW_S"] == "7"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Nope": "1"}, "no parameter `Nope`"),
        ({"DeploymentId": "Dev"}, "does not match"),
        ({"DeletionProtection": "maybe"}, "is none of"),
        ({"ClockSkewSeconds": "0"}, "not a number of at least 1"),
    ],
)
def test_a_parameter_that_the_template_refuses_is_refused_here(given, message):
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
    ],
)
def test_intrinsics_resolve(node, value):
    assert resolver().value(node) == value


@pytest.mark.parametrize(
    "node", [{"Ref": "Nope"}, {"Ref": "X"}, {"Fn::GetAtt": ["R", "RoleId"]}, {"Fn::ImportValue": "x"}, {"Fn::Sub": "${Nope}"}]
)
def test_what_has_no_local_meaning_is_refused(node):
    with pytest.raises(Unresolvable):
        resolver().value(node)
