"""Lambda's event filtering, as far as stream mappings use it.

Rules: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html>. A pattern names the keys that
an event must have; each leaf is a list of alternatives. An unknown operator is refused when the pattern is compiled,
not ignored when an event arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ABSENT = object()

Test = Callable[[Any], bool]


class UnknownFilter(ValueError):
    """The pattern uses an operator that has no local counterpart."""


def compile_pattern(pattern: dict[str, Any]) -> Test:
    """Compiles a pattern to a predicate on events. Raises `UnknownFilter`."""
    if not isinstance(pattern, dict) or not pattern:
        raise UnknownFilter(f"a filter pattern must be a non-empty object, not {pattern!r}")
    tests = {key: _node(member) for key, member in pattern.items()}

    def matches(event: Any) -> bool:
        return all(test(event.get(key, _ABSENT) if isinstance(event, dict) else _ABSENT) for key, test in tests.items())

    return matches


def any_of(patterns: list[dict[str, Any]]) -> Test:
    """A predicate that holds if any of the patterns matches. Without patterns every event passes."""
    tests = [compile_pattern(pattern) for pattern in patterns]
    return lambda event: not tests or any(test(event) for test in tests)


def _node(member: Any) -> Test:
    if isinstance(member, dict):
        return compile_pattern(member)
    if not isinstance(member, list) or not member:
        raise UnknownFilter(f"a leaf must be a non-empty list, not {member!r}")
    alternatives = [_alternative(one) for one in member]
    return lambda value: any(test(value) for test in alternatives)


def _alternative(one: Any) -> Test:
    if not isinstance(one, dict):
        if isinstance(one, list):
            raise UnknownFilter(f"a leaf must not contain a list: {one!r}")
        return _each(lambda value: _same(value, one))
    if len(one) != 1:
        raise UnknownFilter(f"an alternative must have exactly one operator: {one!r}")
    ((operator, operand),) = one.items()
    match operator:
        case "exists" if isinstance(operand, bool):
            # `exists` applies to leaves only: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns-content-based-filtering.html
            return lambda value: (value is not _ABSENT and not isinstance(value, dict)) is operand
        case "prefix" if isinstance(operand, str):
            return _each(lambda value: isinstance(value, str) and value.startswith(operand))
        case "suffix" if isinstance(operand, str):
            return _each(lambda value: isinstance(value, str) and value.endswith(operand))
        case "equals-ignore-case" if isinstance(operand, str):
            return _each(lambda value: isinstance(value, str) and value.lower() == operand.lower())
        case "anything-but" if isinstance(operand, list):
            # No operator but `exists` holds for an absent key, not even `anything-but`.
            return _each(lambda value: not any(_same(value, other) for other in operand))
        case _:
            raise UnknownFilter(f"operator `{operator}` with {operand!r} has no local counterpart")


def _each(test: Test) -> Test:
    """Applies a predicate to a value, or to any member of a list. It is false for an absent key and for an object."""

    def applied(value: Any) -> bool:
        if value is _ABSENT or isinstance(value, dict):
            return False
        return any(map(test, value)) if isinstance(value, list) else test(value)

    return applied


def _same(left: Any, right: Any) -> bool:
    """JSON equality: `true` is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right
