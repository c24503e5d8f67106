"""Resources around the deployment while its rights are tested: principals with a missing or loose boundary, and another
deployment."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from enforcement import ALLOW_ALL, BOUNDARY, DEPLOYMENT, FACTS, OTHER, client, role

_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{FACTS['partition']}:iam::{FACTS['account']}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
_LOOSE = "rights-loose-boundary"
_BUCKETS = ("acme-batch-in", "acme-batch-out", "acme-exports")


def _arn(kind: str, path: str, name: str) -> str:
    return f"arn:{FACTS['partition']}:iam::{FACTS['account']}:{kind}{path}{name}"


class Scenery:
    """The extra resources, which the administrator creates and deletes."""

    def __init__(self) -> None:
        own, other = f"/brevet/{DEPLOYMENT}", f"/brevet/{OTHER}"
        loose = _arn("policy", "/", _LOOSE)
        self.policies = {
            "other managed": (f"{other}/managed/", role("sync", OTHER)),
            "other boundary": (f"{other}/", role("boundary", OTHER)),
            "loose boundary": ("/", _LOOSE),
        }
        # Kind: path, name, boundary. Roles of the other deployment carry our boundary: only their path protects them.
        self._roles = {
            "without boundary": (f"{own}/attachment/", role("rights-bare"), None),
            "loose boundary": (f"{own}/attachment/", role("rights-loose"), loose),
            "outside": ("/", "rights-outside", BOUNDARY),
            "other session": (f"{other}/session/", role("target", OTHER), BOUNDARY),
            "other attachment": (f"{other}/attachment/", role("batch", OTHER), BOUNDARY),
            "other function": (f"{other}/function/", role("issue", OTHER), BOUNDARY),
        }

    def put_up(self) -> None:
        """Creates the resources; those of an earlier run are reused."""
        iam, s3 = client("iam"), client("s3")
        for path, name in self.policies.values():
            _once(iam.create_policy, PolicyName=name, Path=path, PolicyDocument=ALLOW_ALL)
        for path, name, boundary in self._roles.values():
            more = {"PermissionsBoundary": boundary} if boundary else {}
            _once(iam.create_role, RoleName=name, Path=path, AssumeRolePolicyDocument=_TRUST, **more)
        create = {key: value for key, value in FACTS["table"]["create"].items() if key != "StreamSpecification"}
        _once(client("dynamodb").create_table, **{**create, "TableName": f"brevet-{OTHER}"})
        for bucket in _BUCKETS:
            _once(s3.create_bucket, Bucket=bucket)

    def take_down(self) -> None:
        """Deletes the resources."""
        iam = client("iam")
        for _, name, _ in self._roles.values():
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
            for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
            iam.delete_role(RoleName=name)
        for path, name in self.policies.values():
            iam.delete_policy(PolicyArn=_arn("policy", path, name))
        client("dynamodb").delete_table(TableName=f"brevet-{OTHER}")

    def policy(self, kind: str) -> str:
        return _arn("policy", *self.policies[kind])

    def targets(self) -> dict[str, tuple[str, str]]:
        """Every kind of role that a function might try to reach, with name and ARN."""
        own = {
            "session": role("agent-secret"),
            "attachment": role("legacy-batch"),
            "function": role("issue"),
            "tick": role("tick"),
        }
        known = {one["name"]: one["arn"] for one in FACTS["roles"]}
        ours = {kind: (name, known[name]) for kind, name in own.items()}
        return ours | {kind: (name, _arn("role", path, name)) for kind, (path, name, _) in self._roles.items()}


def _once(call: Any, **arguments: Any) -> None:
    try:
        call(**arguments)
    except ClientError as problem:
        exists = ("EntityAlreadyExists", "ResourceInUseException", "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
        if problem.response["Error"]["Code"] not in exists:
            raise
