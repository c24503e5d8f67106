"""Each edit on a small function, and the errors of edits that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import rust_source
from edits import body
from rust_source import DoesNotFit, Function

SOURCE = b"""
impl Reaper {
    pub(super) async fn remove(&self, grant: &Grant) -> Result<(), Error> {
        let Some(seen) = self.read(grant).await? else { return Ok(()) };
        // Recorded first: self.call() comes later.
        self.record(grant, "call()").await?;
        if seen.at < grant.fence
            || seen.is_old
        {
            return Ok(());
        }
        match self.call(grant).await {
            Ok(_) if seen.is_sure && grant.lives => self.note(),
            Ok(_) => {}
            Err(error) => self.fail(error),
        }
        if let Err(error) = self.settle(grant).await { return Err(error); }
        let is_late = grant.is_due() || seen.items.iter().any(|one| one.at < grant.fence);
        self.done(is_late)
    }
}

fn holds() -> bool { true }

#[cfg(test)]
mod tests {
    fn remove() {}
}
"""


def functions(source: bytes = SOURCE) -> list[Function]:
    return list(rust_source.functions(source, Path("remove.rs"), "engine::reap"))


def edited(edit: str, **operands: str) -> str:
    """The body with the edit's bug. An edit that needs a second body has the original after `else`; it is cut off."""
    made = body(functions()[0], [(edit, operands, "bug")])
    assert not rust_source.PARSER.parse(b"fn f() " + made).root_node.has_error
    return made.decode().split("} else {")[0]


def refusal(edit: str, **operands: str) -> str:
    with pytest.raises(DoesNotFit) as caught:
        body(functions()[0], [(edit, operands, "bug")])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_function_is_found_by_the_end_of_its_path_and_tests_are_excluded() -> None:
    assert [one.path for one in functions()] == ["engine::reap::Reaper::remove", "engine::reap::holds"]
    for path in ("remove", "Reaper::remove", "reap::Reaper::remove"):
        assert rust_source.function(functions(), path).path == "engine::reap::Reaper::remove"


def test_missing_or_ambiguous_function_is_reported_with_similar_ones() -> None:
    with pytest.raises(DoesNotFit, match=r"no function `Reaper::removed`; similar: engine::reap::Reaper::remove \(remove.rs\)"):
        rust_source.function(functions(), "Reaper::removed")
    with pytest.raises(DoesNotFit, match="several functions"):
        rust_source.function(functions() * 2, "holds")


def test_search_ignores_white_space_and_comments() -> None:
    assert "((seen.at < grant.fence) && !bug)\n            || seen.is_old" in edited("never", what="seen . at<grant.fence /* ! */")
    assert "// Recorded first: self.call() comes later." in edited("replace", what="self.call(", **{"with": "self.go("})


def test_never_and_always_take_the_smallest_condition() -> None:
    assert "|| ((seen.is_old) && !bug)" in edited("never", what="seen.is_old")
    assert "((seen.at < grant.fence\n            || seen.is_old) || bug)" in edited(
        "always", what="seen.at < grant.fence || seen.is_old"
    )
    assert "Ok(_) if ((seen.is_sure) || bug) && grant.lives" in edited("always", what="is_sure")
    assert "any(|one| ((one.at < grant.fence) && !bug))" in edited("never", what="one.at")
    assert "let is_late = ((grant.is_due()) || bug) ||" in edited("always", what="is_due")


def test_never_keeps_the_names_of_a_let_and_always_rejects_it() -> None:
    assert "if let Err(error) = self.settle(grant).await && !bug {" in edited("never", what="self.settle")
    assert "is a `let`" in refusal("always", what="self.settle")


def test_skip_removes_a_statement_or_the_value_of_an_arm() -> None:
    assert "self.record" not in edited("skip", what="self.record")
    assert "grant.lives => {}," in edited("skip", what="self.note()")
    assert "names a value that is used later" in refusal("skip", what="self.read")


def test_move_after_changes_the_order_of_two_statements() -> None:
    made = edited("move_after", what="self.record", after="self.call")
    assert made.index("self.call(grant)") < made.index("self.record(grant") < made.index("self.settle")
    assert "does not come before" in refusal("move_after", what="self.call", after="self.record")


def test_ignore_error_continues_after_an_error() -> None:
    assert 'drop(self.record(grant, "call()").await);' in edited("ignore_error", what="self.record")
    assert "gives a value that is used" in refusal("ignore_error", what="self.read")


def test_return_early_skips_the_rest() -> None:
    assert "if bug { return Ok(());" in edited("return_early", value="Ok(())")


def test_replace_changes_tokens_and_within_narrows_the_search() -> None:
    assert "|| false\n" in edited("replace", what="seen.is_old", **{"with": "false"})
    assert "occurs 4 times in engine::reap::Reaper::remove (lines" in refusal("replace", what="seen.", **{"with": ""})
    assert "Ok(_) if true && grant.lives" in edited("replace", within="Ok(_) if", what="seen.is_sure", **{"with": "true"})


def test_missing_tokens_are_reported_with_the_most_similar_line() -> None:
    message = refusal("never", what="seen.at < grant.barrier")
    assert "`seen.at < grant.barrier` does not occur in engine::reap::Reaper::remove (remove.rs:3)" in message
    assert "similar: `if seen.at < grant.fence`" in message


def test_unknown_edit_or_operand_is_rejected() -> None:
    assert "there is no edit `forget`: use one of never, always" in refusal("forget", what="x")
    assert "`never` takes what, not what and with" in refusal("never", what="x", **{"with": "y"})
