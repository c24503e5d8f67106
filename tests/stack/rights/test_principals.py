"""Access on the example principals begins and ends by the functions' calls, and never exceeds the boundary."""

from __future__ import annotations

import json
import time

import pytest
from enforcement import ALLOW_ALL, BOUNDARY, FACTS, MANAGED, TABLE, assumed, client, denied, role

PRINCIPALS = FACTS["attachment"]["principals"]
PROBE = {"Bucket": "acme-batch-out", "Key": "run-1/part", "Body": b"x"}


def allow(action, resource, until):
    limit = {"DateLessThan": {"aws:CurrentTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))}}
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": limit}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_inline_access_of_a_running_task_begins_with_issues_put_and_ends_with_reaps_delete(credentials):
    task = client("s3", assumed(PRINCIPALS["legacy-batch"], "task"))
    issue, reap = client("iam", credentials["issue"]), client("iam", credentials["reap"])
    policy = {"RoleName": role("legacy-batch"), "PolicyName": role("01RIGHTS")}
    client("s3").put_object(Bucket="acme-batch-in", Key="rows", Body=b"x")
    assert not denied(task.get_object, Bucket="acme-batch-in", Key="rows")
    assert denied(task.put_object, **PROBE)
    issue.put_role_policy(**policy, PolicyDocument=allow("s3:PutObject", "arn:aws:s3:::acme-batch-out/run-1/*", time.time() + 3600))
    # The same session as before: it has taken no new credentials.
    assert not denied(task.put_object, **PROBE)
    assert denied(task.put_object, **{**PROBE, "Key": "run-2/part"})
    reap.delete_role_policy(**policy)
    assert denied(task.put_object, **PROBE)
    assert not denied(task.get_object, Bucket="acme-batch-in", Key="rows")


def test_managed_access_of_the_vendor_begins_with_issues_attach_and_ends_with_reaps_detach(credentials):
    vendor = client("s3", assumed(PRINCIPALS["vendor-sync"], "vendor"))
    attached = {"RoleName": role("vendor-sync"), "PolicyArn": MANAGED}
    client("s3").put_object(Bucket="acme-exports", Key="partner/a", Body=b"x")
    object_ = {"Bucket": "acme-exports", "Key": "partner/a"}
    listing = {"Bucket": "acme-exports", "Prefix": "partner/a"}
    assert denied(vendor.get_object, **object_) and denied(vendor.list_objects_v2, **listing)
    client("iam", credentials["issue"]).attach_role_policy(**attached)
    assert not denied(vendor.get_object, **object_) and not denied(vendor.list_objects_v2, **listing)
    assert denied(vendor.list_objects_v2, Bucket="acme-exports", Prefix="internal/")
    client("iam", credentials["reap"]).detach_role_policy(**attached)
    assert denied(vendor.get_object, **object_) and denied(vendor.list_objects_v2, **listing)


def beyond(principal):
    """Calls that no attachment may allow."""
    iam, sts, dynamodb = (client(name, principal) for name in ("iam", "sts", "dynamodb"))
    key = {"pk": {"S": "GRANT#t"}, "sk": {"S": "META"}}
    target = role("legacy-batch")
    return {
        "put a policy": (iam.put_role_policy, {"RoleName": target, "PolicyName": "more", "PolicyDocument": ALLOW_ALL}),
        "take the boundary off": (iam.delete_role_permissions_boundary, {"RoleName": target}),
        "change the boundary": (iam.create_policy_version, {"PolicyArn": BOUNDARY, "PolicyDocument": ALLOW_ALL}),
        "read a role": (iam.get_role, {"RoleName": target}),
        "assume": (sts.assume_role, {"RoleArn": PRINCIPALS["vendor-sync"], "RoleSessionName": "chained"}),
        "read Brevet's table": (dynamodb.get_item, {"TableName": TABLE, "Key": key}),
        "invoke": (client("lambda", principal).invoke, {"FunctionName": role("evaluate"), "Payload": b"{}"}),
        "read a secret": (client("secretsmanager", principal).get_secret_value, {"SecretId": "prod/payments/db"}),
        "write elsewhere": (client("s3", principal).put_object, {"Bucket": "not-ours", "Key": "x", "Body": b"x"}),
    }


@pytest.fixture
def allowed_everything(credentials):
    """A principal with the widest policy that a compromised issue could put on it."""
    policy = {"RoleName": role("legacy-batch"), "PolicyName": "rights-all"}
    client("iam", credentials["issue"]).put_role_policy(**policy, PolicyDocument=ALLOW_ALL)
    yield assumed(PRINCIPALS["legacy-batch"], "task")
    client("iam").delete_role_policy(**policy)


def test_attached_access_stays_inside_the_boundary(allowed_everything):
    assert not denied(client("s3", allowed_everything).put_object, **PROBE)
    assert [what for what, (call, arguments) in beyond(allowed_everything).items() if not denied(call, **arguments)] == []


@pytest.mark.control
def test_control_attached_access_exceeds_the_boundary_once_it_is_removed(allowed_everything):
    admin, target = client("iam"), role("legacy-batch")
    call, arguments = beyond(allowed_everything)["read Brevet's table"]
    assert denied(call, **arguments)
    admin.delete_role_permissions_boundary(RoleName=target)
    try:
        assert not denied(call, **arguments)
    finally:
        admin.put_role_permissions_boundary(RoleName=target, PermissionsBoundary=BOUNDARY)
    assert denied(call, **arguments)


def test_vendor_assumes_its_role_only_with_the_external_id():
    admin, name = client("iam"), role("rights-vendor-caller")
    principal = FACTS["attachment"]["principals"]["vendor-sync"]
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": principal}
    made = admin.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    policy = {"RoleName": name, "PolicyName": "vendor"}
    admin.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]}))
    try:
        sts = client("sts", assumed(made["Role"]["Arn"], "vendor"))
        known = FACTS["parameters"]["ExampleVendorExternalId"]
        assert denied(sts.assume_role, RoleArn=principal, RoleSessionName="sync")
        assert denied(sts.assume_role, RoleArn=principal, RoleSessionName="sync", ExternalId="guessed")
        assert not denied(sts.assume_role, RoleArn=principal, RoleSessionName="sync", ExternalId=known)
    finally:
        admin.delete_role_policy(**policy)
        admin.delete_role(RoleName=name)
