"""Shared by the enforcement tests: the deployment's names, clients under each role, the ledger of gate decisions.

Needs the stack up to the gate (`stack.py up --without functions,driver`). The observer is plain boto3. Decisions are
read from the gate's own log, so that a call that the gate does not know never counts as denied.
"""

from __future__ import annotations

import fnmatch
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "infra" / "local"), str(CHECKOUT / "tests")]

from brevet_local import places, stack  # noqa: E402
from observer.patience import PATIENCE_S, until  # noqa: E402

FACTS = stack.facts()
DEPLOYMENT, OTHER = FACTS["deployment"], "other"
TABLE = FACTS["table"]["name"]
FUNCTIONS = ("intake", "evaluate", "issue", "reap", "drill")
STANDBY, CANARY = (one["TableName"] for one in FACTS["other_tables"])
SESSION_NAME = "rights"
BOUNDARY = FACTS["attachment"]["boundary_arn"]
MANAGED = FACTS["attachment"]["managed_policies"]["vendor-sync"]
BASE = next(one["arn"] for one in FACTS["policies"] if one["path"].endswith("/base/"))
ALLOW_ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def role(name: str, deployment: str = DEPLOYMENT) -> str:
    """The name of a role of a deployment."""
    return f"brevet-{deployment}-{name}"


def client(service: str, keys: dict[str, str] | None = None) -> Any:
    """A client through the gate. Without `keys` it acts as the administrator, whose calls the gate lets through."""
    keys = keys or {"AccessKeyId": places.BOOTSTRAP_KEY, "SecretAccessKey": places.BOOTSTRAP_SECRET}
    made = boto3.client(
        service,
        endpoint_url=places.url("gate"),
        region_name=places.REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
        config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE_S, s3={"addressing_style": "path"}),
    )
    if service == "dynamodb" and "Function" in keys:
        made.meta.events.register("provide-client-params.dynamodb", LEDGER.note_keys)
    return made


def assumed(role_arn: str, name: str = SESSION_NAME) -> dict[str, str]:
    """Credentials of a role, as AWS gives them to the code that runs under it; the administrator assumes it."""
    return client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)["Credentials"]


def denied(call: Callable[..., Any], **arguments: Any) -> bool:
    """Whether the call was denied for lack of rights.

    Any other answer of AWS, also an error, means that it was allowed.
    """
    try:
        call(**arguments)
    except ClientError as problem:
        return problem.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return False


@dataclass(frozen=True, order=True)
class Seen:
    """One attempt: function, action, resource, leading key or attached policy, and outcome."""

    function: str
    action: str
    resource: str
    key: str
    outcome: str


@dataclass(frozen=True, order=True)
class Right:
    """One granted right: a pattern of resources and, for items, a pattern of leading keys."""

    function: str
    action: str
    resource: str
    key: str = ""

    def covers(self, seen: Seen) -> bool:
        """Whether `seen` is an allowed use of this right."""
        return (
            (seen.function, seen.action, seen.outcome) == (self.function, self.action, "allowed")
            and fnmatch.fnmatchcase(seen.resource, self.resource)
            and (not self.key or fnmatch.fnmatchcase(seen.key, self.key))
        )


def granted() -> list[Right]:
    """Every right that the template grants to the five execution roles."""
    return sorted(
        Right(function, action, resource, key)
        for function in FUNCTIONS
        for statement in _allows(function)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        for key in statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [""])
    )


def _allows(function: str) -> Iterator[dict[str, Any]]:
    (known,) = [one for one in FACTS["roles"] if one["name"] == role(function)]
    for document in known["inline"].values():
        yield from (one for one in document["Statement"] if one["Effect"] == "Allow")


def listed(value: Any) -> list[Any]:
    """A policy member as a list; IAM allows a single value without one."""
    return value if isinstance(value, list) else [value]


@dataclass
class Ledger:
    """The gate's decisions on calls of the functions' roles, with the tests that made the calls."""

    rows: dict[Seen, set[str]] = field(default_factory=dict)
    _keys: list[list[str]] = field(default_factory=list)
    _since: int = 0

    def note_keys(self, params: dict[str, Any], **_: Any) -> None:
        """Records the leading keys of a call before it is made: the gate's log has them for writes only."""
        parts = [next(iter(part.values())) for part in params.get("TransactItems", [])] or [params]
        self._keys.append([_leading_key(part) for part in parts])

    def open(self) -> None:
        """Skips all earlier calls."""
        entries = _log(self._since)
        self._since = entries[-1]["n"] if entries else self._since
        self._keys.clear()

    def close(self, test: str, counts: bool) -> None:
        """Adds the calls of `test`. Fails if the gate could not decide a call, since that call shows nothing."""
        entries = _log(self._since)
        self._since = entries[-1]["n"] if entries else self._since
        ours = [(function, one) for one in entries if (function := _function_of(one["principal"]))]
        undecided = [
            f"{one['operation']} ({one['decision']}: {one['reason']})"
            for _, one in ours
            if one["decision"] not in ("allowed", "denied")
        ]
        assert undecided == [], "the gate did not decide these calls, so they show nothing"
        items = [one for _, one in ours if one["service"] == "dynamodb"]
        assert len(items) == len(self._keys), "the calls made and the calls logged differ"
        keys = dict(zip((one["n"] for one in items), self._keys, strict=True))
        if not counts:
            return
        for function, one in ours:
            alone = len(one["actions"]) == 1
            for at, asked in enumerate(one["actions"]):
                # If a call has several actions, the log does not say which one was denied: only allowed calls count.
                if alone or one["decision"] == "allowed":
                    known = keys.get(one["n"]) or [_attached(one)]
                    key = known[at] if at < len(known) else ""
                    seen = Seen(function, asked["action"], asked["resource"], key, one["decision"])
                    self.rows.setdefault(seen, set()).add(test)


def _attached(entry: dict[str, Any]) -> str:
    about_one = entry["operation"] in ("AttachRolePolicy", "DetachRolePolicy")
    return entry["wrote"]["policy_arn"] if about_one else ""


def _leading_key(params: dict[str, Any]) -> str:
    whole = params.get("Key") or params.get("Item") or {}
    if "pk" in whole:
        return whole["pk"]["S"]
    return next((value["S"] for value in params.get("ExpressionAttributeValues", {}).values()), "")


def _function_of(principal: str) -> str | None:
    for function in FUNCTIONS:
        if principal.endswith(f":assumed-role/{role(function)}/{SESSION_NAME}"):
            return function
    return None


def _log(since: int) -> list[dict[str, Any]]:
    def whole() -> dict[str, Any] | None:
        with urllib.request.urlopen(f"{places.url('gate')}/_gate/log?since={since}", timeout=PATIENCE_S) as answer:
            extract = json.load(answer)
        return extract if extract["n_in_flight"] == 0 else None

    return until(whole, "no call is under way", every_s=0.1)["entries"]


LEDGER = Ledger()
