"""The edits that plant a bug: a closed set, each a structural change of one function.

A planted bug is active while its switch, an expression, is true: so all bugs can be compiled at once.

An edit's target is named by a few of its tokens. `within` narrows the search to the smallest statement or match arm that
contains those tokens.

never         what = TOKENS                The smallest condition that contains the tokens is false.
always        what = TOKENS                That condition is true.
skip          what = TOKENS                The smallest statement that contains the tokens is removed.
move_after    what = TOKENS, after = TOKENS  The first statement moves after the second one in the same block.
ignore_error  what = TOKENS                The `?` after the tokens is removed: an error has no effect.
return_early  value = RUST                 The function returns at once.
replace       what = TOKENS, with = RUST   The tokens are replaced.
"""

from __future__ import annotations

from collections.abc import Callable

from tree_sitter import Node

from rust_source import DoesNotFit, Function

# A change of one file: the bytes from start to end, and their replacement.
Change = tuple[int, int, bytes]

# The nodes whose whole value is a condition, with the name of that field.
BODIES = {"closure_expression": "body", "let_declaration": "value", "match_arm": "value"}


def checked(edit: str, operands: dict[str, str]) -> None:
    """Rejects an unknown edit, and operands that the edit does not take."""
    if edit not in EDITS:
        raise DoesNotFit(f"there is no edit `{edit}`: use one of {', '.join(EDITS)}")
    given, needed = set(operands) - {"within"}, EDITS[edit][1]
    if given != set(needed):
        raise DoesNotFit(f"`{edit}` takes {' and '.join(needed)}, not {' and '.join(sorted(given)) or 'nothing'}")


def body(function: Function, bugs: list[tuple[str, dict[str, str], str]]) -> bytes:
    """The function's body with all its bugs. Each bug is an edit, its operands and its switch."""
    conditions, others = [], []
    for edit, operands, switch in bugs:
        checked(edit, operands)
        changes = EDITS[edit][0](function, _scope(function, operands), {**operands, "switch": switch})
        if edit in ("never", "always"):
            conditions += changes
        else:
            others.append((switch, _applied(function, changes)))
    made = _applied(function, conditions)
    for switch, other in others:
        made = b"{ if " + switch.encode() + b" " + other + b" else " + made + b" }"
    return made


def _applied(function: Function, changes: list[Change]) -> bytes:
    source, start, end = function.source, function.body.start_byte, function.body.end_byte
    for first, last, text in sorted(changes, reverse=True):
        source = source[:first] + text + source[last:]
        end += len(text) - (last - first)
    return source[start:end]


def _scope(function: Function, operands: dict[str, str]) -> Node:
    sought = operands.get("within")
    if sought is None:
        return function.body
    return _smallest(function, sought, function.body, lambda node: _is_statement(node) or node.type == "match_arm")


def _never(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    term = _smallest(function, operands["what"], scope, _is_condition)
    start, end, off = term.start_byte, term.end_byte, b" && !" + operands["switch"].encode()
    if term.type == "let_condition":
        return [(end, end, off)]
    # The condition is still evaluated, with its calls.
    return [(start, start, b"(("), (end, end, b")" + off + b")")]


def _always(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    term = _smallest(function, operands["what"], scope, _is_condition)
    if term.type == "let_condition":
        raise DoesNotFit(f"`{operands['what']}` in {function.path} is a `let`, which `always` cannot replace: use `replace`")
    start, end = term.start_byte, term.end_byte
    return [(start, start, b"(("), (end, end, b") || " + operands["switch"].encode() + b")")]


def _skip(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    found = _smallest(function, operands["what"], scope, lambda node: _is_statement(node) or _is_arms_value(node))
    if _is_arms_value(found):
        return [(found.start_byte, found.end_byte, b"{}")]
    if found.type == "let_declaration":
        raise DoesNotFit(f"`{operands['what']}` in {function.path} names a value that is used later: use `replace`")
    return [(found.start_byte, found.end_byte, b"")]


def _move_after(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    moved = _smallest(function, operands["what"], scope, _is_statement)
    anchor = _smallest(function, operands["after"], scope, _is_statement)
    above = {node.id: node for node in _ancestors(moved)}
    while anchor.parent is not None and anchor.parent.id not in above:
        anchor = anchor.parent
    while moved.parent is not None and anchor.parent is not None and moved.parent.id != anchor.parent.id:
        moved = moved.parent
    if not (_is_statement(moved) and _is_statement(anchor)) or moved.start_byte >= anchor.start_byte:
        raise DoesNotFit(f"`{operands['what']}` does not come before `{operands['after']}` in {function.path}")
    text = function.source[moved.start_byte : moved.end_byte]
    return [(moved.start_byte, moved.end_byte, b""), (anchor.end_byte, anchor.end_byte, b"\n" + text)]


def _ignore_error(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    tried = _smallest(function, operands["what"], scope, lambda node: node.type == "try_expression")
    if tried.parent.type != "expression_statement":
        raise DoesNotFit(f"`{operands['what']}` in {function.path} gives a value that is used: use `replace`")
    return [(tried.start_byte, tried.start_byte, b"drop("), (tried.end_byte - 1, tried.end_byte, b")")]


def _return_early(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    at = function.body.start_byte + 1
    return [(at, at, b" return " + operands["value"].encode() + b";")]


def _replace(function: Function, scope: Node, operands: dict[str, str]) -> list[Change]:
    start, end = function.one(function.spans(operands["what"], scope), operands["what"])
    return [(start, end, operands["with"].encode())]


EDITS: dict[str, tuple[Callable[[Function, Node, dict[str, str]], list[Change]], tuple[str, ...]]] = {
    "never": (_never, ("what",)),
    "always": (_always, ("what",)),
    "skip": (_skip, ("what",)),
    "move_after": (_move_after, ("what", "after")),
    "ignore_error": (_ignore_error, ("what",)),
    "return_early": (_return_early, ("value",)),
    "replace": (_replace, ("what", "with")),
}


def _smallest(function: Function, sought: str, scope: Node, fits: Callable[[Node], bool]) -> Node:
    """The smallest node that fits and contains the tokens. It must be unique."""
    found = {}
    for start, end in function.spans(sought, scope):
        node = function.body.descendant_for_byte_range(start, end)
        while node is not None and node.start_byte >= scope.start_byte and node.end_byte <= scope.end_byte:
            if fits(node):
                found[(node.start_byte, node.end_byte)] = node
                break
            node = node.parent
    span = function.one(list(found), sought)
    return found[span]


def _ancestors(node: Node) -> list[Node]:
    above = []
    while node.parent is not None:
        node = node.parent
        above.append(node)
    return above


def _is_statement(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "block" and node.is_named


def _is_arms_value(node: Node) -> bool:
    return node.parent.type == "match_arm" and node.parent.child_by_field_name("value") == node


def _is_condition(node: Node) -> bool:
    """A branch condition, an operand of `&&` or `||`, or the whole value of a closure, a `let`, an arm or the function."""
    parent = node.parent
    if parent is None or not node.is_named:
        return False
    if node.type == "let_condition":
        return True
    operator = node.child_by_field_name("operator") if node.type == "binary_expression" else None
    outer = parent.child_by_field_name("operator") if parent.type == "binary_expression" else None
    if outer is not None and outer.text in (b"&&", b"||"):
        # In a chain of one operator each operand is a condition; a prefix of the chain is not.
        return operator is None or operator.text != outer.text
    if parent.type == "let_chain":
        return True
    if parent.type in ("if_expression", "while_expression") and parent.child_by_field_name("condition") == node:
        return node.type != "let_chain"
    if parent.type == "match_pattern" and parent.child_by_field_name("condition") == node:
        return node.type != "let_chain"
    if parent.type in BODIES and parent.child_by_field_name(BODIES[parent.type]) == node:
        return node.type != "block"
    return parent.type == "block" and parent.parent.type == "function_item" and node.type.endswith("_expression")
