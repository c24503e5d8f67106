"""Secrets: reap rotates the secrets that the deployment names; no function reads or sets values or settings."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from enforcement import FUNCTIONS, client, denied

NAMED, OTHER = "prod/payments/db", "staging/payments/db"
TOKEN = "rights" * 8


@pytest.fixture(scope="module", autouse=True)
def secrets():
    """A secret that reap may rotate, and one that it may not."""
    admin = client("secretsmanager")
    for name in (NAMED, OTHER):
        try:
            admin.create_secret(Name=name, SecretString="s3cret")
        except ClientError as problem:
            if problem.response["Error"]["Code"] != "ResourceExistsException":
                raise


def calls(secrets, name):
    """Every call about a secret.

    LocalStack has no rotation function, so an allowed `RotateSecret` fails and changes nothing.
    """
    return {
        "rotate": (secrets.rotate_secret, {"SecretId": name, "ClientRequestToken": TOKEN}),
        "describe": (secrets.describe_secret, {"SecretId": name}),
        "get": (secrets.get_secret_value, {"SecretId": name}),
        "put": (secrets.put_secret_value, {"SecretId": name, "SecretString": "x"}),
        "update": (secrets.update_secret, {"SecretId": name, "SecretString": "x"}),
        "delete": (secrets.delete_secret, {"SecretId": name}),
    }


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", [NAMED, OTHER])
def test_only_reap_rotates_and_describes_only_the_named_secrets(credentials, function, name):
    may = {"rotate", "describe"} if (function, name) == ("reap", NAMED) else set()
    tried = calls(client("secretsmanager", credentials[function]), name)
    assert {what for what, (call, arguments) in tried.items() if not denied(call, **arguments)} == may


@pytest.mark.parametrize(
    "change",
    [
        {"RotationLambdaARN": "arn:aws:lambda:us-east-1:000000000000:function:own"},
        {"RotationRules": {"AutomaticallyAfterDays": 1000}},
    ],
)
def test_reap_cannot_change_rotation_settings(credentials, change):
    secrets = client("secretsmanager", credentials["reap"])
    plain = {"SecretId": NAMED, "ClientRequestToken": TOKEN}
    assert denied(secrets.rotate_secret, **plain, **change)
    assert not denied(secrets.rotate_secret, **plain)
