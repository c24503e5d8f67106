"""Creates the template's policies, roles and tables in the emulators. Safe to repeat."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from . import aws
from .process import Trouble


def provision(facts: dict[str, Any], gate: bool) -> str:
    """Creates everything as the bootstrap administrator; returns a one-line summary."""
    iam = aws.client("iam", aws.endpoint("iam", gate))
    for policy in facts["policies"]:
        _unless_there(
            "EntityAlreadyExists",
            lambda policy=policy: iam.create_policy(
                PolicyName=policy["name"], Path=policy["path"], PolicyDocument=json.dumps(policy["document"])
            ),
        )
    for role in facts["roles"]:
        boundary = {"PermissionsBoundary": role["boundary"]} if role["boundary"] else {}
        _unless_there(
            "EntityAlreadyExists",
            lambda role=role, boundary=boundary: iam.create_role(
                RoleName=role["name"],
                Path=role["path"],
                AssumeRolePolicyDocument=json.dumps(role["trust"]),
                MaxSessionDuration=role["max_session_s"],
                **boundary,
            ),
        )
        for name, document in role["inline"].items():
            iam.put_role_policy(RoleName=role["name"], PolicyName=name, PolicyDocument=json.dumps(document))
        for arn in role["managed"]:
            iam.attach_role_policy(RoleName=role["name"], PolicyArn=arn)
    for table in facts["other_tables"]:
        create = aws.client("dynamodb", aws.endpoint("dynamodb", gate)).create_table
        _unless_there("ResourceInUseException", lambda create=create, table=table: create(**table))
    _table(facts["table"], aws.client("dynamodb", aws.endpoint("dynamodb", gate)))
    return f"{len(facts['roles'])} roles, {len(facts['policies'])} managed policies, table {facts['table']['name']}"


def _table(table: dict[str, Any], dynamodb: Any) -> None:
    _unless_there("ResourceInUseException", lambda: dynamodb.create_table(**table["create"]))
    until = time.monotonic() + 30
    while dynamodb.describe_table(TableName=table["name"])["Table"]["TableStatus"] != "ACTIVE":
        if time.monotonic() > until:
            raise Trouble(f"table {table['name']} did not become active in 30 s")
        time.sleep(0.1)
    described = dynamodb.describe_time_to_live(TableName=table["name"])["TimeToLiveDescription"]
    if described.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        dynamodb.update_time_to_live(
            TableName=table["name"],
            TimeToLiveSpecification={"Enabled": True, "AttributeName": table["ttl_attribute"]},
        )


def _unless_there(code: str, call: Any) -> None:
    try:
        call()
    except ClientError as problem:
        if problem.response["Error"]["Code"] not in (code, f"{code}Exception"):
            raise
