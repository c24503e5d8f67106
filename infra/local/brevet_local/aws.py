"""AWS clients for the local stack's own work, as the bootstrap administrator."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from . import places


def client(service: str, endpoint: str) -> Any:
    """A client of `service` at `endpoint`, signed with the bootstrap keys.

    No retries: locally a refusal is an answer, and a hidden second try would blur the gate's log.
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
    """Where a service is reached: at the gate, or without one at the emulator itself."""
    if gate:
        return places.url("gate")
    part = {"dynamodb": "dynamodb", "dynamodbstreams": "dynamodb", "lambda": "lambda"}.get(service, "localstack")
    return places.url(part)
