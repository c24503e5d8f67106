"""The things in AWS that the example catalogue grants access to, and their neighbours."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from .aws import ACCOUNT, Session

BUCKET, OTHER_BUCKET = "acme-release-artifacts", "acme-release-notes"
SECRET, OTHER_SECRET = "prod/payments/db", "prod/payments/other"
TABLE, OTHER_TABLE = "orders", "invoices"
# Within the base rights of the session role, so that only the session policy can keep it closed.
NEIGHBOUR_TABLE = "orders-archive"

BATCH_IN, BATCH_OUT = "acme-batch-in", "acme-batch-out"
# The vendor's own right is below `public/`; a grant's is below `partner/`; nobody's is below `internal/`.
EXPORTS = "acme-exports"
OBJECTS = {BATCH_IN: ["orders.csv"], EXPORTS: ["public/index.csv", "partner/orders.csv", "internal/margins.csv"]}
# The vendor's side: the role that its software runs as, and what it was told to name when it assumes ours.
VENDOR_ROLE, EXTERNAL_ID = "acme-vendor", "acme-sync-4711"


def _unless_there(call: Any, *codes: str) -> None:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def create() -> None:
    """Creates them with the administrator's key; what is there already stays."""
    admin = Session.admin()
    s3, secrets, tables = (admin.client(name) for name in ("s3", "secretsmanager", "dynamodb"))
    for bucket in (BUCKET, OTHER_BUCKET, BATCH_IN, BATCH_OUT, EXPORTS):
        _unless_there(lambda: s3.create_bucket(Bucket=bucket), "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
        for key in OBJECTS.get(bucket, []):
            s3.put_object(Bucket=bucket, Key=key, Body=b"rows")
    for secret in (SECRET, OTHER_SECRET):
        _unless_there(lambda: secrets.create_secret(Name=secret, SecretString="s3cret"), "ResourceExistsException")
    for table in (TABLE, OTHER_TABLE, NEIGHBOUR_TABLE):
        _unless_there(
            lambda: tables.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            ),
            "ResourceInUseException",
        )
        tables.put_item(TableName=table, Item={"id": {"S": "1"}, "total": {"N": "42"}})
    _vendor(admin.client("iam"))


def _vendor(iam: Any) -> None:
    """The role of the vendor's own software. All that it may do is to assume other roles, where those let it."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    document = lambda one: json.dumps({"Version": "2012-10-17", "Statement": [one]})  # noqa: E731
    _unless_there(
        lambda: iam.create_role(RoleName=VENDOR_ROLE, AssumeRolePolicyDocument=document(trust)), "EntityAlreadyExists"
    )
    iam.put_role_policy(RoleName=VENDOR_ROLE, PolicyName="assume", PolicyDocument=document(may))


def vendor() -> Session:
    """The vendor's software, running as its own role."""
    return Session.assumed(f"arn:aws:iam::{ACCOUNT}:role/{VENDOR_ROLE}", "vendor")
