"""Each edit on a small function, and what is said where one does not fit."""

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
    """The body in which the edit's bug is, and behind it what the body was where only one of both can be."""
    made = body(functions()[0], [(edit, operands, "bug")])
    assert not rust_source.PARSER.parse(b"fn f() " + made).root_node.has_error
    return made.decode().split("} else {")[0]


def refusal(edit: str, **operands: str) -> str:
    with pytest.raises(DoesNotFit) as caught:
        body(functions()[0], [(edit, operands, "bug")])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_functions_are_found_by_the_end_of_their_path_and_tests_are_left_out() -> None:
    assert [one.path for one in functions()] == ["engine::reap::Reaper::remove", "engine::reap::holds"]
    for path in ("remove", "Reaper::remove", "reap::Reaper::remove"):
        assert rust_source.function(functions(), path).path == "engine::reap::Reaper::remove"


def test_a_function_that_is_not_there_or_there_twice_is_named_with_similar_ones() -> None:
    with pytest.raises(DoesNotFit, match=r"no function `Reaper::removed`; near it: engine::reap::Reaper::remove \(remove.rs\)"):
        rust_source.function(functions(), "Reaper::removed")
    with pytest.raises(DoesNotFit, match="several functions"):
        rust_source.function(functions() * 2, "holds")


def test_white_space_and_comments_do_not_matter() -> None:
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


def test_never_keeps_the_names_that_a_let_binds_and_always_refuses_it() -> None:
    assert "if let Err(error) = self.settle(grant).await && !bug {" in edited("never", what="self.settle")
    assert "is a `let`" in refusal("always", what="self.settle")


def test_skip_leaves_out_a_statement_or_what_an_arm_does() -> None:
    assert "self.record" not in edited("skip", what="self.record")
    assert "grant.lives => {}," in edited("skip", what="self.note()")
    assert "names a value that is used later" in refusal("skip", what="self.read")


def test_move_after_changes_the_order_of_two_statements() -> None:
    made = edited("move_after", what="self.record", after="self.call")
    assert made.index("self.call(grant)") < made.index("self.record(grant") < made.index("self.settle")
    assert "does not stand before" in refusal("move_after", what="self.call", after="self.record")


def test_ignore_error_goes_on_after_an_error() -> None:
    assert 'drop(self.record(grant, "call()").await);' in edited("ignore_error", what="self.record")
    assert "gives a value that is used" in refusal("ignore_error", what="self.read")


def test_return_early_leaves_the_rest_undone() -> None:
    assert "if bug { return Ok(());" in edited("return_early", value="Ok(())")


def test_replace_changes_tokens_and_within_narrows_the_search() -> None:
    assert "|| false\n" in edited("replace", what="seen.is_old", **{"with": "false"})
    assert "stands 4 times in engine::reap::Reaper::remove (lines" in refusal("replace", what="seen.", **{"with": ""})
    assert "Ok(_) if true && grant.lives" in edited("replace", within="Ok(_) if", what="seen.is_sure", **{"with": "true"})


def test_what_is_not_there_is_named_with_the_nearest_line() -> None:
    said = refusal("never", what="seen.at < grant.barrier")
    assert "`seen.at < grant.barrier` does not stand in engine::reap::Reaper::remove (remove.rs:3)" in said
    assert "near it: `if seen.at < grant.fence`" in said


def test_an_edit_or_an_operand_that_there_is_not_is_refused() -> None:
    assert "there is no edit `forget`: use one of never, always" in refusal("forget", what="x")
    assert "`never` takes what, not what and with" in refusal("never", what="x", **{"with": "y"})
