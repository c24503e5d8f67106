"""AWS clients for the local stack's own work, as the bootstrap administrator."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from . import places


def client(service: str, endpoint: str) -> Any:
    """A client of `service` at `endpoint`, signed with the bootstrap keys.

    It does not retry: locally a refusal is an answer, and a hidden retry would add calls to the gate's log.
    """
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=places.REGION,
        aws_access_key_id=places.BOOTSTRAP_KEY,
        aws_secret_access_key=places.BOOTSTRAP_SECRET,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
    )


def endpoint(service: str, gate: bool) -> str:
    """The endpoint of a service: the gate, or the emulator itself if there is no gate."""
    if gate:
        return places.url("gate")
    part = {"dynamodb": "dynamodb", "dynamodbstreams": "dynamodb", "lambda": "lambda"}.get(service, "localstack")
    return places.url(part)
