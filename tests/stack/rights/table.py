"""The table of rights: role, action, outcome, resources and items, and the tests that tried it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from enforcement import FUNCTIONS, Right, Seen

# Granted actions that no local test can use, and the reason. An excuse holds for every role.
EXCUSED = {
    "logs:CreateLogStream": "Lambda writes logs under the role; here they go to files",
    "logs:PutLogEvents": "Lambda writes logs under the role; here they go to files",
    "dynamodb:DescribeStream": "Lambda polls the stream under the role; here the pump does, without a role",
    "dynamodb:GetRecords": "Lambda polls the stream under the role; here the pump does, without a role",
    "dynamodb:GetShardIterator": "Lambda polls the stream under the role; here the pump does, without a role",
    "dynamodb:ListStreams": "Lambda polls the stream under the role; here the pump does, without a role",
    "sqs:SendMessage": "Lambda sends dead letters under the role; here the pump writes them to a file",
}

_HEAD = f"{'function':<9} {'action':<34} {'outcome':<10} "
_WIDTH = 118


def unused(rights: list[Right], rows: dict[Seen, set[str]]) -> list[Right]:
    """The granted rights that no test used, excused ones included."""
    return [right for right in rights if not any(right.covers(seen) for seen in rows)]


def lines(rights: list[Right], rows: dict[Seen, set[str]]) -> Iterator[str]:
    """The table's lines: an entry for each function, action and outcome, with its resources, items and tests."""
    entries: dict[tuple[int, str, str], tuple[dict[str, set[str]], set[str]]] = {}

    def add(function: str, action: str, outcome: str, resource: str, key: str, by: set[str]) -> None:
        on, seen_by = entries.setdefault((FUNCTIONS.index(function), action, outcome), ({}, set()))
        on.setdefault(_short(resource), set()).update({_short(key)} - {""})
        seen_by.update(name.removeprefix("test_") for name in by)

    for seen, tests in rows.items():
        add(seen.function, seen.action, seen.outcome, seen.resource, seen.key, tests)
    idle = unused(rights, rows)
    for right in idle:
        why = EXCUSED.get(right.action, "USED BY NO TEST")
        add(right.function, right.action, "not tried", right.resource, right.key, {why})
    yield f"{_HEAD}on [leading keys or policy] (seen by)"
    for (at, action, outcome), (on, seen_by) in sorted(entries.items()):
        objects = [f"{name} [{' '.join(sorted(keys))}]" if keys else name for name, keys in sorted(on.items())]
        cell = [*_wrapped(", ".join(objects)), *_wrapped(f"({'; '.join(sorted(seen_by))})")]
        yield f"{FUNCTIONS[at]:<9} {action:<34} {outcome:<10} {cell[0]}"
        yield from (" " * len(_HEAD) + more for more in cell[1:])
    n_allowed = sum(seen.outcome == "allowed" for seen in rows)
    yield f"{len(rows)} distinct attempts: {n_allowed} allowed, {len(rows) - n_allowed} denied"
    yield f"{len(rights)} rights granted: {len(rights) - len(idle)} used, {len(idle)} excused or unused"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_on_hyphens=False, break_long_words=False)


def _short(resource: str) -> str:
    """Shortens an ARN: without partition, service, region, account, and the name prefix that repeats the path."""
    rest = re.sub(r"^arn:[^:]*:[^:]*:[^:]*:[^:]*:", "", resource)
    return re.sub(r"^(role|policy)/brevet/([^/]+)/([a-z]+/)?brevet-\2-", r"\1:\2/\3", rest)
