"""AWS through the gate: as the administrator who prepares the tests, and as the holder of vended credentials.

A probe is a real call of the granted service. `GetCallerIdentity` is never a probe: it needs no permission, so it shows
nothing.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader

ACCOUNT = "000000000000"
REGION = "us-east-1"
ADMIN_KEY, ADMIN_SECRET = "AKIABREVETBOOTSTRAP0", "bootstrap"

# One attempt, so that a probe reports the result of exactly one call.
_CONFIG = Config(
    region_name=REGION,
    retries={"total_max_attempts": 1},
    connect_timeout=20,
    read_timeout=60,
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
# The service models are loaded once; otherwise making clients would take most of a test's time.
_LOADER = create_loader()
_MAKING = threading.Lock()


def gate_url() -> str:
    """The URL of the gate."""
    return f"http://127.0.0.1:{os.environ.get('BREVET_PORT_GATE') or 4600}"


@dataclass(frozen=True)
class Seen:
    """The result of a probe: `allowed`, `denied`, or `other`; the error's code; and the wall-clock time."""

    outcome: str
    code: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.what}: {self.outcome}" + (f" ({self.code})" if self.code else "")


class Session:
    """AWS with one set of credentials."""

    def __init__(self, access_key: str, secret: str, token: str | None = None) -> None:
        self.access_key = access_key
        core = botocore.session.Session()
        core.register_component("data_loader", _LOADER)
        self._session = boto3.Session(access_key, secret, token, region_name=REGION, botocore_session=core)
        self._clients: dict[str, Any] = {}

    @classmethod
    def admin(cls) -> Session:
        """The administrator, whose calls the gate lets through."""
        return cls(ADMIN_KEY, ADMIN_SECRET)

    @classmethod
    def vended(cls, answer: dict[str, Any]) -> Session:
        """A session on the credentials of a `credential_process` answer."""
        return cls(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])

    @classmethod
    def assumed(cls, role_arn: str, session_name: str) -> Session:
        """A session of `role_arn` with the role's own rights: the administrator assumes it without a session policy."""
        return cls.admin().assume(role_arn, session_name)

    def assume(self, role_arn: str, session_name: str, **more: Any) -> Session:
        """A session of `role_arn`, assumed by the holder of this session if the role trusts it."""
        answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name, **more)
        found = answer["Credentials"]
        return Session(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def client(self, service: str) -> Any:
        """The SDK client of `service`, through the gate."""
        # Threads may share clients but must not create them at the same time.
        with _MAKING:
            if service not in self._clients:
                self._clients[service] = self._session.client(service, endpoint_url=gate_url(), config=_CONFIG)
            return self._clients[service]

    def probe(self, what: str, call: Callable[[], Any]) -> Seen:
        """Makes `call` and returns its result."""
        try:
            call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            denied = code in ("AccessDenied", "AccessDeniedException")
            return Seen("denied" if denied else "other", code, time.time(), what)
        except BotoCoreError as error:
            return Seen("other", type(error).__name__, time.time(), what)
        return Seen("allowed", "", time.time(), what)

    def put_object(self, bucket: str, key: str) -> Seen:
        """`s3:PutObject`."""
        return self.probe(
            f"s3:PutObject {bucket}/{key}",
            lambda: self.client("s3").put_object(Bucket=bucket, Key=key, Body=b"release"),
        )

    def get_object(self, bucket: str, key: str) -> Seen:
        """`s3:GetObject`."""
        return self.probe(f"s3:GetObject {bucket}/{key}", lambda: self.client("s3").get_object(Bucket=bucket, Key=key))

    def list_objects(self, bucket: str, prefix: str) -> Seen:
        """`s3:ListBucket` under a prefix."""
        return self.probe(
            f"s3:ListBucket {bucket}/{prefix}",
            lambda: self.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix),
        )

    def get_secret(self, name: str) -> Seen:
        """`secretsmanager:GetSecretValue`."""
        return self.probe(
            f"secretsmanager:GetSecretValue {name}",
            lambda: self.client("secretsmanager").get_secret_value(SecretId=name),
        )

    def get_item(self, table: str, key: str = "1") -> Seen:
        """`dynamodb:GetItem`."""
        return self.probe(
            f"dynamodb:GetItem {table}/{key}",
            lambda: self.client("dynamodb").get_item(TableName=table, Key={"id": {"S": key}}),
        )

    def put_item(self, table: str, key: str = "1") -> Seen:
        """`dynamodb:PutItem`."""
        return self.probe(
            f"dynamodb:PutItem {table}/{key}",
            lambda: self.client("dynamodb").put_item(TableName=table, Item={"id": {"S": key}}),
        )


def standing(role_arn: str) -> dict[str, Any]:
    """The policies of a role, read as the administrator: inline documents by name, and attached policies' ARNs."""
    iam, name = Session.admin().client("iam"), role_arn.rsplit("/", 1)[-1]
    inline = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return {"inline": inline, "attached": sorted(policy["PolicyArn"] for policy in attached)}
