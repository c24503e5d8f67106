"""Each function's rights on each kind of role and on policies: every call on every kind, under the function's own role.

The matrix is the design's. Issue adds on attachment principals inside the boundary; reap removes there with or without
the boundary. Only reap writes on session roles. No function touches functions' roles, other principals or another
deployment.
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

# Kind of role: function: its allowed calls. All other calls must be denied.
MAY = {
    "attachment": {"issue": READS | ADDS, "reap": READS | REMOVES | {"simulate_principal_policy"}},
    # Adding requires the boundary. Removing must not: otherwise removing the boundary would keep the access attached.
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
    """Every call, in an order in which each finds its preconditions met."""
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


def test_matrix_covers_every_kind_of_role_and_every_call(scenery):
    assert set(MAY) == set(scenery.targets())
    assert set(role_calls(None, "n", "a")) == READS | ADDS | REMOVES | NEVER | {"simulate_principal_policy"}


@pytest.mark.parametrize("kind", MAY)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_function_has_exactly_its_own_rights_on_each_kind_of_role(credentials, scenery, name, kind):
    iam, allowed = client("iam", credentials[name]), MAY[kind].get(name, set())
    calls = role_calls(iam, *scenery.targets()[kind])
    refused = {call for call, arguments in calls.items() if denied(getattr(iam, call), **arguments)}
    assert set(calls) - refused == allowed
    if name == "issue" and kind == "attachment":
        # Issue cannot remove what it added.
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
def test_functions_cannot_change_the_boundary_or_other_policies(credentials, scenery, name):
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
def test_invariant_08_only_issue_assumes_roles_and_only_session_roles(credentials, scenery, name):
    sts = client("sts", credentials[name])
    session = {"RoleSessionName": f"{DEPLOYMENT}.t", "SourceIdentity": "tt", "Tags": [{"Key": "brevet:grant", "Value": "t"}]}
    known = {kind: arn for kind, (_, arn) in scenery.targets().items()}
    known["vendor"] = FACTS["attachment"]["principals"]["vendor-sync"]
    external = {"ExternalId": FACTS["parameters"]["ExampleVendorExternalId"]}
    may = [kind for kind, arn in known.items() if not denied(sts.assume_role, RoleArn=arn, **session)]
    assert may == (["session"] if name == "issue" else [])
    assert denied(sts.assume_role, RoleArn=known["vendor"], RoleSessionName="bare", **external)
    # Also without tags and source identity, which need rights of their own.
    bare = [kind for kind, arn in known.items() if not denied(sts.assume_role, RoleArn=arn, RoleSessionName="bare")]
    assert bare == may


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_the_drill_assumes_canaries_and_only_attachment_canaries(credentials, name):
    sts, principals = client("sts", credentials[name]), FACTS["attachment"]["principals"]
    canaries = [arn for short, arn in sorted(principals.items()) if short.startswith("canary-")]
    assert len(canaries) == 2
    for arn in canaries:
        assert denied(sts.assume_role, RoleArn=arn, RoleSessionName="canary") == (name != "drill"), arn
    session = next(one["arn"] for one in FACTS["roles"] if one["name"] == role("canary"))
    assert denied(sts.assume_role, RoleArn=session, RoleSessionName="canary") == (name != "issue")
    # No function may read the canary table by itself.
    assert denied(client("dynamodb", credentials[name]).get_item, TableName=CANARY, Key={"pk": {"S": "canary"}})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_the_drill_gets_identity_tokens_and_none_for_votes(credentials, name):
    identify = client("sts", credentials[name]).get_web_identity_token
    audiences = [FACTS["parameters"][f"{kind}Audience"] for kind in ("Ask", "Credentials", "Approvals")]
    may = [not denied(identify, Audience=[audience], SigningAlgorithm="RS256") for audience in (*audiences, "another")]
    assert may == [name == "drill", name == "drill", False, False]
    assert denied(identify, Audience=[audiences[0], "another"], SigningAlgorithm="RS256")


def play_evaluate():
    """Answers one invocation of evaluate, since no copy of it runs here."""
    runtime = f"{places.url('lambda')}/.rt/{role('evaluate')}/2018-06-01/runtime/invocation"
    with urllib.request.urlopen(f"{runtime}/next", timeout=PATIENCE_S) as work:
        work.read()
        invocation = work.headers["lambda-runtime-aws-request-id"]
    urllib.request.urlopen(f"{runtime}/{invocation}/response", data=b"{}", timeout=PATIENCE_S).close()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_intake_invokes_a_function_and_only_evaluate(credentials, name):
    if name == "intake":
        threading.Thread(target=play_evaluate, daemon=True).start()
    invoke = client("lambda", credentials[name]).invoke
    for target in FUNCTIONS:
        refused = denied(invoke, FunctionName=role(target), Payload=b"{}")
        assert refused == ((name, target) != ("intake", "evaluate")), target
        assert denied(invoke, FunctionName=role(target, OTHER), Payload=b"{}"), target


def without(statement, *conditions):
    """Returns a function that copies a policy without these condition operators in the statement with that Sid."""

    def changed(document):
        made = json.loads(json.dumps(document))
        (one,) = [one for one in made["Statement"] if one["Sid"] == statement]
        for condition in conditions:
            del one["Condition"][condition]
        return made

    return changed


def everywhere(document):
    """A copy of a policy in which issue's put covers every role; the Deny on other roles stays."""
    made = without("Put", "ArnEquals")(document)
    (one,) = [one for one in made["Statement"] if one["Sid"] == "Put"]
    one["Resource"] = "*"
    return made


def undenied(document):
    """Like `everywhere`, but without that Deny."""
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
        # The Deny catches an Allow that is too wide.
        (everywhere, put_on("outside"), False),
        (undenied, put_on("outside"), True),
        (undenied, put_on("other attachment"), True),
    ],
    ids=["boundary", "other boundary", "policy path", "allow", "allow and deny", "another deployment"],
)
def test_control_issue_is_allowed_once_its_protection_is_removed(
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
def test_control_removal_conditioned_on_the_boundary_is_denied_without_it(credentials, scenery):
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
