"""Secrets: reap rotates those that the deployment names, as they are set up, and nobody reads or sets what they say."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from enforcement import FUNCTIONS, client, denied

NAMED, OTHER = "prod/payments/db", "staging/payments/db"
TOKEN = "rights" * 8


@pytest.fixture(scope="module", autouse=True)
def secrets():
    """One secret that may be rotated, and one that may not."""
    admin = client("secretsmanager")
    for name in (NAMED, OTHER):
        try:
            admin.create_secret(Name=name, SecretString="s3cret")
        except ClientError as problem:
            if problem.response["Error"]["Code"] != "ResourceExistsException":
                raise


def calls(secrets, name):
    """Every call about a secret. Here no function rotates it: what is let through is refused for that, and changes nothing."""
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
def test_reap_rotates_and_describes_what_the_deployment_names_and_that_is_all(credentials, function, name):
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
def test_reap_does_not_change_how_a_secret_is_rotated(credentials, change):
    secrets = client("secretsmanager", credentials["reap"])
    plain = {"SecretId": NAMED, "ClientRequestToken": TOKEN}
    assert denied(secrets.rotate_secret, **plain, **change)
    assert not denied(secrets.rotate_secret, **plain)
