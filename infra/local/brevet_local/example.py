"""The AWS resources that the example catalogue grants access to, and their neighbours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

BUCKET, OTHER_BUCKET = "acme-release-artifacts", "acme-release-notes"
SECRET, OTHER_SECRET = "prod/payments/db", "prod/payments/other"
TABLE, OTHER_TABLE = "orders", "invoices"
# The session role's base rights include this table, so that only the session policy denies it.
NEIGHBOUR_TABLE = "orders-archive"

BATCH_IN, BATCH_OUT = "acme-batch-in", "acme-batch-out"
# The vendor may read `public/` by itself and `partner/` by a grant; nobody may read `internal/`.
EXPORTS = "acme-exports"
OBJECTS = {BATCH_IN: ["orders.csv"], EXPORTS: ["public/index.csv", "partner/orders.csv", "internal/margins.csv"]}
# The vendor's side: the role of its software, and the external id for assuming our role.
VENDOR_ROLE, EXTERNAL_ID = "acme-vendor", "acme-sync-4711"


def unless_there(call: Any, *codes: str) -> None:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def create(client: Callable[[str], Any]) -> None:
    """Creates the resources; existing ones stay. `client` gives an administrator's client of a service."""
    s3, secrets, tables = (client(name) for name in ("s3", "secretsmanager", "dynamodb"))
    for bucket in (BUCKET, OTHER_BUCKET, BATCH_IN, BATCH_OUT, EXPORTS):
        unless_there(lambda: s3.create_bucket(Bucket=bucket), "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
        for key in OBJECTS.get(bucket, []):
            s3.put_object(Bucket=bucket, Key=key, Body=b"rows")
    for secret in (SECRET, OTHER_SECRET):
        unless_there(lambda: secrets.create_secret(Name=secret, SecretString="s3cret"), "ResourceExistsException")
    for table in (TABLE, OTHER_TABLE, NEIGHBOUR_TABLE):
        unless_there(
            lambda: tables.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            ),
            "ResourceInUseException",
        )
        tables.put_item(TableName=table, Item={"id": {"S": "1"}, "total": {"N": "42"}})
    _vendor(client("iam"))


def _vendor(iam: Any) -> None:
    """Creates the role of the vendor's own software, which may only assume roles that trust it."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    document = lambda statement: json.dumps({"Version": "2012-10-17", "Statement": [statement]})  # noqa: E731
    unless_there(
        lambda: iam.create_role(RoleName=VENDOR_ROLE, AssumeRolePolicyDocument=document(trust)), "EntityAlreadyExists"
    )
    iam.put_role_policy(RoleName=VENDOR_ROLE, PolicyName="assume", PolicyDocument=document(may))
