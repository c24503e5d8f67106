"""The AWS resources that the example catalogue grants access to, as the observer reaches them."""

from __future__ import annotations

from . import runner  # noqa: F401 - it makes the local stack's own modules importable
from .aws import ACCOUNT, Session

from brevet_local import example  # noqa: E402
from brevet_local.example import (  # noqa: E402, F401
    BATCH_IN, BATCH_OUT, BUCKET, EXPORTS, EXTERNAL_ID, NEIGHBOUR_TABLE, OTHER_BUCKET, OTHER_SECRET, OTHER_TABLE, SECRET,
    TABLE, VENDOR_ROLE, unless_there,
)  # fmt: skip


def create() -> None:
    """Creates the resources with the administrator's key; existing ones stay."""
    example.create(Session.admin().client)


def vendor() -> Session:
    """A session of the vendor's software under its own role."""
    return Session.assumed(f"arn:aws:iam::{ACCOUNT}:role/{VENDOR_ROLE}", "vendor")
