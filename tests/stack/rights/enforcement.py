"""What the enforcement tests share: the deployment's names, clients under each role, and the ledger of what was seen.

Needs the stack up to the gate (`stack.py up --without functions,driver`). The observer is plain boto3; whether a call was
allowed is read from the gate's own log, so that a call which it merely does not know never counts as denied.
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
ECHOES, CANARY = (one["TableName"] for one in FACTS["other_tables"])
SESSION_NAME = "rights"
BOUNDARY = FACTS["attachment"]["boundary_arn"]
MANAGED = FACTS["attachment"]["managed_policies"]["vendor-sync"]
BASE = next(one["arn"] for one in FACTS["policies"] if one["path"].endswith("/base/"))
ALLOW_ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def role(name: str, deployment: str = DEPLOYMENT) -> str:
    """The name of a role of a deployment."""
    return f"brevet-{deployment}-{name}"


def client(service: str, keys: dict[str, str] | None = None) -> Any:
    """A client through the gate; without `keys` as the administrator, whom the gate does not judge."""
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
    """Credentials of a role, handed out by the administrator as AWS would to what runs under it."""
    return client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)["Credentials"]


def denied(call: Callable[..., Any], **arguments: Any) -> bool:
    """Whether the call was refused for lack of rights; any other answer of AWS, also an error, means that it got through."""
    try:
        call(**arguments)
    except ClientError as problem:
        return problem.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return False


@dataclass(frozen=True, order=True)
class Seen:
    """One right as tried: by whom, what, on what, with which leading key or attached policy, and what came of it."""

    function: str
    action: str
    resource: str
    key: str
    outcome: str


@dataclass(frozen=True, order=True)
class Right:
    """One right as granted: a pattern of resources and, for items, one of leading keys."""

    function: str
    action: str
    resource: str
    key: str = ""

    def covers(self, seen: Seen) -> bool:
        """Whether `seen` is a use of it."""
        return (
            (seen.function, seen.action, seen.outcome) == (self.function, self.action, "allowed")
            and fnmatch.fnmatchcase(seen.resource, self.resource)
            and (not self.key or fnmatch.fnmatchcase(seen.key, self.key))
        )


def granted() -> list[Right]:
    """Every right of the five execution roles, as the template grants it."""
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
    """A member of a policy, which may stand alone, as a list."""
    return value if isinstance(value, list) else [value]


@dataclass
class Ledger:
    """What the gate saw of the functions' roles, and in which tests."""

    rows: dict[Seen, set[str]] = field(default_factory=dict)
    _keys: list[list[str]] = field(default_factory=list)
    _since: int = 0

    def note_keys(self, params: dict[str, Any], **_: Any) -> None:
        """Keeps the leading keys of a call that is about to be made: the gate's log has them of writes alone."""
        parts = [next(iter(part.values())) for part in params.get("TransactItems", [])] or [params]
        self._keys.append([_leading_key(part) for part in parts])

    def open(self) -> None:
        """Forgets what was called before."""
        entries = _log(self._since)
        self._since = entries[-1]["n"] if entries else self._since
        self._keys.clear()

    def close(self, test: str, counts: bool) -> None:
        """Takes in what `test` called. A call that the gate could not judge fails it: it shows nothing."""
        entries = _log(self._since)
        self._since = entries[-1]["n"] if entries else self._since
        ours = [(function, one) for one in entries if (function := _function_of(one["principal"]))]
        odd = [
            f"{one['operation']} ({one['decision']}: {one['reason']})"
            for _, one in ours
            if one["decision"] not in ("allowed", "denied")
        ]
        assert odd == [], "the gate did not judge these calls, so they show nothing"
        items = [one for _, one in ours if one["service"] == "dynamodb"]
        assert len(items) == len(self._keys), "the calls made and the calls logged differ"
        keys = dict(zip((one["n"] for one in items), self._keys, strict=True))
        if not counts:
            return
        for function, one in ours:
            alone = len(one["actions"]) == 1
            for at, asked in enumerate(one["actions"]):
                # Of several actions the log does not say which was denied, so that only the allowed ones tell.
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
