"""What each function may do to which kind of role, and to policies: every call on every kind, under its own role.

The matrix is the design's: issue adds on attachment principals inside the boundary, reap removes there whatever became of
the boundary, reap alone writes on session roles, and nobody touches functions, other principals or another deployment.
"""

from __future__ import annotations

import json
import threading
import urllib.request

import pytest
from enforcement import (
    ALLOW_ALL, BASE, BOUNDARY, CANARY, DEPLOYMENT, FACTS, FUNCTIONS, MANAGED, OTHER, PATIENCE_S, client, denied, places, role,
)

DENY_ALL = ALLOW_ALL.replace('"Allow"', '"Deny"')
READS = {"get_role", "get_role_policy", "list_role_policies", "list_attached_role_policies"}
ADDS = {"put_role_policy", "attach_role_policy"}
REMOVES = {"delete_role_policy", "detach_role_policy"}
NEVER = {"put_role_permissions_boundary", "delete_role_permissions_boundary", "update_assume_role_policy", "delete_role"}

# Kind of role: function: its calls. What is not here is denied.
MAY = {
    "attachment": {"issue": READS | ADDS, "reap": READS | REMOVES | {"simulate_principal_policy"}},
    # Adding needs the boundary; removing must not, or whoever takes the boundary off keeps what is attached.
    "without boundary": {"issue": READS, "reap": READS | REMOVES | {"simulate_principal_policy"}},
    "loose boundary": {"issue": READS, "reap": READS | REMOVES | {"simulate_principal_policy"}},
    "session": {"reap": {"put_role_policy", "get_role_policy", "delete_role_policy"}},
    "function": {},
    "tick": {},
    "outside": {},
    "other session": {},
    "other attachment": {},
    "other function": {},
}


def role_calls(iam, name, arn):
    """Every call, in an order in which each finds what it needs."""
    inline, managed = {"RoleName": name, "PolicyName": "rights-test"}, {"RoleName": name, "PolicyArn": MANAGED}
    return {
        "put_role_policy": {**inline, "PolicyDocument": DENY_ALL},
        "attach_role_policy": managed,
        "get_role": {"RoleName": name},
        "get_role_policy": inline,
        "list_role_policies": {"RoleName": name},
        "list_attached_role_policies": {"RoleName": name},
        "simulate_principal_policy": {"PolicySourceArn": arn, "ActionNames": ["s3:GetObject"]},
        "delete_role_policy": inline,
        "detach_role_policy": managed,
        "put_role_permissions_boundary": {"RoleName": name, "PermissionsBoundary": BASE},
        "delete_role_permissions_boundary": {"RoleName": name},
        "update_assume_role_policy": {"RoleName": name, "PolicyDocument": DENY_ALL},
        "delete_role": {"RoleName": name},
    }


def test_the_matrix_has_every_kind_and_every_call(scenery):
    assert set(MAY) == set(scenery.targets())
    assert set(role_calls(None, "n", "a")) == READS | ADDS | REMOVES | NEVER | {"simulate_principal_policy"}


@pytest.mark.parametrize("kind", MAY)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_a_function_does_to_a_role_exactly_what_is_its_own(credentials, scenery, name, kind):
    iam, allowed = client("iam", credentials[name]), MAY[kind].get(name, set())
    calls = role_calls(iam, *scenery.targets()[kind])
    refused = {call for call, arguments in calls.items() if denied(getattr(iam, call), **arguments)}
    assert set(calls) - refused == allowed
    if name == "issue" and kind == "attachment":
        # It cannot clear away after itself.
        target, admin = role("legacy-batch"), client("iam")
        admin.delete_role_policy(RoleName=target, PolicyName="rights-test")
        admin.detach_role_policy(RoleName=target, PolicyArn=MANAGED)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_policies_of_the_managed_path_are_attached_and_detached(credentials, scenery, name):
    iam, target = client("iam", credentials[name]), role("legacy-batch")
    strangers = [BASE, BOUNDARY, scenery.policy("other managed"), scenery.policy("loose boundary")]
    strangers.append(f"arn:{FACTS['partition']}:iam::aws:policy/AdministratorAccess")
    for arn in strangers:
        assert denied(iam.attach_role_policy, RoleName=target, PolicyArn=arn), arn
        assert denied(iam.detach_role_policy, RoleName=target, PolicyArn=arn), arn
    client("iam").attach_role_policy(RoleName=target, PolicyArn=MANAGED)
    assert denied(iam.detach_role_policy, RoleName=target, PolicyArn=MANAGED) == (name != "reap")
    if name != "reap":
        client("iam").detach_role_policy(RoleName=target, PolicyArn=MANAGED)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nobody_changes_the_boundary_or_what_a_policy_says(credentials, scenery, name):
    iam = client("iam", credentials[name])
    for arn in (BOUNDARY, MANAGED, BASE, scenery.policy("other managed"), scenery.policy("other boundary")):
        assert denied(iam.create_policy_version, PolicyArn=arn, PolicyDocument=ALLOW_ALL, SetAsDefault=True), arn


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_issue_reads_the_quotas(credentials, name):
    assert denied(client("iam", credentials[name]).get_account_summary) == (name != "issue")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_reap_lists_roles(credentials, name):
    path = f"/brevet/{DEPLOYMENT}/"
    assert denied(client("iam", credentials[name]).list_roles, PathPrefix=path) == (name != "reap")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_only_issue_assumes_and_only_session_roles(credentials, scenery, name):
    sts = client("sts", credentials[name])
    session = {"RoleSessionName": f"{DEPLOYMENT}.t", "SourceIdentity": "tt", "Tags": [{"Key": "brevet:grant", "Value": "t"}]}
    known = {kind: arn for kind, (_, arn) in scenery.targets().items()}
    known["vendor"] = FACTS["attachment"]["principals"]["vendor-sync"]
    external = {"ExternalId": FACTS["parameters"]["ExampleVendorExternalId"]}
    may = [kind for kind, arn in known.items() if not denied(sts.assume_role, RoleArn=arn, **session)]
    assert may == (["session"] if name == "issue" else [])
    assert denied(sts.assume_role, RoleArn=known["vendor"], RoleSessionName="bare", **external)
    # Without tags and source identity too: those are rights of their own.
    bare = [kind for kind, arn in known.items() if not denied(sts.assume_role, RoleArn=arn, RoleSessionName="bare")]
    assert bare == may


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_the_drill_becomes_a_canary_and_only_an_attached_one(credentials, name):
    sts, principals = client("sts", credentials[name]), FACTS["attachment"]["principals"]
    canaries = [arn for short, arn in sorted(principals.items()) if short.startswith("canary-")]
    assert len(canaries) == 2
    for arn in canaries:
        assert denied(sts.assume_role, RoleArn=arn, RoleSessionName="canary") == (name != "drill"), arn
    session = next(one["arn"] for one in FACTS["roles"] if one["name"] == role("canary"))
    assert denied(sts.assume_role, RoleArn=session, RoleSessionName="canary") == (name != "issue")
    # By itself nobody reads it.
    assert denied(client("dynamodb", credentials[name]).get_item, TableName=CANARY, Key={"pk": {"S": "canary"}})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_the_drill_says_who_it_is_and_not_to_whoever_counts_votes(credentials, name):
    identify = client("sts", credentials[name]).get_web_identity_token
    audiences = [FACTS["parameters"][f"{kind}Audience"] for kind in ("Ask", "Credentials", "Approvals")]
    may = [not denied(identify, Audience=[audience], SigningAlgorithm="RS256") for audience in (*audiences, "another")]
    assert may == [name == "drill", name == "drill", False, False]
    assert denied(identify, Audience=[audiences[0], "another"], SigningAlgorithm="RS256")


def play_evaluate():
    """Answers one invocation of evaluate, of which no copy runs here."""
    runtime = f"{places.url('lambda')}/.rt/{role('evaluate')}/2018-06-01/runtime/invocation"
    with urllib.request.urlopen(f"{runtime}/next", timeout=PATIENCE_S) as work:
        work.read()
        invocation = work.headers["lambda-runtime-aws-request-id"]
    urllib.request.urlopen(f"{runtime}/{invocation}/response", data=b"{}", timeout=PATIENCE_S).close()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_intake_invokes_and_only_evaluate(credentials, name):
    if name == "intake":
        threading.Thread(target=play_evaluate, daemon=True).start()
    invoke = client("lambda", credentials[name]).invoke
    for target in FUNCTIONS:
        refused = denied(invoke, FunctionName=role(target), Payload=b"{}")
        assert refused == ((name, target) != ("intake", "evaluate")), target
        assert denied(invoke, FunctionName=role(target, OTHER), Payload=b"{}"), target


def without(statement, *conditions):
    """A copy of a policy whose statement of that Sid lacks these condition operators."""

    def changed(document):
        made = json.loads(json.dumps(document))
        (one,) = [one for one in made["Statement"] if one["Sid"] == statement]
        for condition in conditions:
            del one["Condition"][condition]
        return made

    return changed


def everywhere(document):
    """A copy of a policy in which issue's put reaches every role, though the Deny of the others stands."""
    made = without("Put", "ArnEquals")(document)
    (one,) = [one for one in made["Statement"] if one["Sid"] == "Put"]
    one["Resource"] = "*"
    return made


def undenied(document):
    """As `everywhere`, and that Deny is gone too."""
    made = everywhere(document)
    made["Statement"] = [one for one in made["Statement"] if one["Sid"] != "NeverElsewhere"]
    return made


def put_on(kind):
    return lambda iam, targets: (
        iam.put_role_policy,
        {"RoleName": targets[kind][0], "PolicyName": "rights-control", "PolicyDocument": DENY_ALL},
    )


def attach_stranger(iam, targets):
    return iam.attach_role_policy, {"RoleName": targets["attachment"][0], "PolicyArn": BASE}


@pytest.mark.control
@pytest.mark.parametrize(
    ("change", "attempt", "turns_red"),
    [
        (without("Put", "ArnEquals"), put_on("without boundary"), True),
        (without("Put", "ArnEquals"), put_on("loose boundary"), True),
        (without("Attach", "ArnLike"), attach_stranger, True),
        # An Allow that is too wide is caught by the Deny.
        (everywhere, put_on("outside"), False),
        (undenied, put_on("outside"), True),
        (undenied, put_on("other attachment"), True),
    ],
    ids=["boundary", "other boundary", "policy path", "second wall", "both walls", "another deployment"],
)
def test_control_without_a_protection_of_issue_the_observer_sees_its_denial_gone(
    credentials, scenery, change, attempt, turns_red
):
    admin, targets = client("iam"), scenery.targets()
    call, arguments = attempt(client("iam", credentials["issue"]), targets)
    held = {"RoleName": role("issue"), "PolicyName": "attachments"}
    kept = admin.get_role_policy(**held)["PolicyDocument"]
    assert denied(call, **arguments)
    admin.put_role_policy(**held, PolicyDocument=json.dumps(change(kept)))
    try:
        assert denied(call, **arguments) is not turns_red
    finally:
        admin.put_role_policy(**held, PolicyDocument=json.dumps(kept))
        _clear(admin, arguments)
    assert denied(call, **arguments)


@pytest.mark.control
def test_control_with_the_boundary_as_condition_of_removal_taking_it_off_would_keep_what_is_attached(credentials, scenery):
    admin, reap = client("iam"), client("iam", credentials["reap"])
    name = scenery.targets()["without boundary"][0]
    held = {"RoleName": role("reap"), "PolicyName": "attachments"}
    kept = admin.get_role_policy(**held)["PolicyDocument"]
    conditioned = json.loads(json.dumps(kept))
    (one,) = [one for one in conditioned["Statement"] if one["Sid"] == "Delete"]
    one["Condition"] = {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    policy = {"RoleName": name, "PolicyName": "rights-control"}
    admin.put_role_policy(**policy, PolicyDocument=ALLOW_ALL)
    admin.put_role_policy(**held, PolicyDocument=json.dumps(conditioned))
    try:
        assert denied(reap.delete_role_policy, **policy)
    finally:
        admin.put_role_policy(**held, PolicyDocument=json.dumps(kept))
    assert not denied(reap.delete_role_policy, **policy)


def _clear(admin, arguments):
    name = arguments["RoleName"]
    if "rights-control" in admin.list_role_policies(RoleName=name)["PolicyNames"]:
        admin.delete_role_policy(RoleName=name, PolicyName="rights-control")
    attached = [one["PolicyArn"] for one in admin.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
    if BASE in attached:
        admin.detach_role_policy(RoleName=name, PolicyArn=BASE)
