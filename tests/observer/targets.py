"""The things in AWS that the example catalogue grants access to, and their neighbours."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from .aws import Session

BUCKET, OTHER_BUCKET = "acme-release-artifacts", "acme-release-notes"
SECRET, OTHER_SECRET = "prod/payments/db", "prod/payments/other"
TABLE, OTHER_TABLE = "orders", "invoices"
# Within the base rights of the session role, so that only the session policy can keep it closed.
NEIGHBOUR_TABLE = "orders-archive"


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
    for bucket in (BUCKET, OTHER_BUCKET):
        _unless_there(lambda: s3.create_bucket(Bucket=bucket), "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
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
