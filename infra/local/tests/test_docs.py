"""The pages name what the code and the template have: alarms, parameters, routes, problems, links and shell blocks."""

import re
import subprocess

import pytest

from samtranslator.yaml_helper import yaml_parse

from brevet_local import places

OPERATION = "infra/README.md"
API = "shared/api/README.md"

MARK = re.compile(r"<!-- (?:needs AWS|runs: (?P<by>\S+)) -->")
"""The line before each `sh` block: what runs it, or that it needs AWS."""

CODES = [
    r"(?:Refusal|Problem|Self)::new\(\s*\w+::\w+,\s*{code}",
    r"BadInput::\w+\(\s*{code}",
    r"\b(?:conflict|invalid)\(\s*{code}",
    r"\bcode: {code}",
    r"\(RefusalKind::\w+, {code}\)",
    r"\(\s*{code}, detail\)",
    r"ApproverError::\w+ => {code}",
]
"""How Rust sources name a code. A refusal whose code is a variable names it in one of the other forms."""


def text(path):
    return (places.CHECKOUT / path).read_text()


def tracked(*patterns):
    listed = subprocess.run(
        ["git", "-C", places.CHECKOUT, "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(set(listed.stdout.split("\n")) - {""})


def section(path, heading):
    """The text below `heading` up to the next heading of the same level."""
    return re.split(r"^## ", text(path).split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]


def first_cells(table):
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def compare(documented, expected, what, where):
    """Fails unless both name the same things, each once."""
    missing, gone = sorted(set(expected) - set(documented)), sorted(set(documented) - set(expected))
    assert not missing, f"{where}: add {what} for {', '.join(missing)}"
    assert not gone, f"{where}: delete {what} of {', '.join(gone)}: the code or the template has it no more"
    assert len(documented) == len(set(documented)), f"{where}: {what} appears twice"


def rust_sources():
    """Rust sources of the crates and functions, without tests, fakes and test support."""
    names = [name for name in tracked("shared/*/src/*.rs", "functions/*/src/*.rs")
             if not re.search(r"/(?:fake|testing|contract|tests)(?:/|\.rs)", name)]  # fmt: skip
    return {name: re.split(r"#\[cfg\(test\)\]\nmod \w+ \{", text(name))[0] for name in names}


@pytest.fixture(scope="module")
def template():
    return yaml_parse(places.TEMPLATE.read_text())


def test_runbook_has_an_entry_for_each_alarm(template):
    alarms = [name for name, one in template["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    entries = re.findall(r"^### (\w+)$", section(OPERATION, "Runbook"), re.MULTILINE)
    compare(entries, alarms, "an entry `### <AlarmLogicalId>` (meaning, checks, action)", f"{OPERATION}, Runbook")


def test_parameter_table_lists_every_parameter_with_its_default(template):
    table = section(OPERATION, "Parameters")
    compare(first_cells(table), template["Parameters"], "a row", f"{OPERATION}, Parameters")
    for name, rule in template["Parameters"].items():
        default = str(rule["Default"]) or "empty"
        found = re.search(rf"^\| `{name}` \| `?([^`|]*?)`? \|", table, re.MULTILINE).group(1)
        assert found == default, f"{OPERATION}, Parameters: the default of {name} is {default}"


def test_route_table_lists_every_route(facts):
    routes = [f"{one['method']} {one['path']}" for one in facts["routes"]]
    compare(first_cells(section(API, "Routes")), routes, "a row", f"{API}, Routes")


def test_problem_table_lists_every_type_with_its_status():
    forms = dict(re.findall(r'=> \("([a-z-]+)", (\d{3}), "', text("shared/api/src/problem.rs")))
    listed = re.findall(r"^\| `urn:brevet:problem:([a-z-]+)` \| (\d{3}) \|", section(API, "Problem types"), re.MULTILINE)
    compare([f"{slug} {status}" for slug, status in listed], [f"{slug} {status}" for slug, status in forms.items()],
            "the row", f"{API}, Problem types")  # fmt: skip


def test_code_table_lists_every_code():
    patterns = [re.compile(one.format(code=r'"([a-z]+(?:_[a-z]+)*)"')) for one in CODES]
    used = {code for source in rust_sources().values() for one in patterns for code in one.findall(source)}
    of_tokens = text("shared/identity/src/error.rs").split("pub fn code(&self)")[1].split("\n    }\n")[0]
    used |= set(re.findall(r'=> "(\w+)"', of_tokens))
    assert len(used) > 80, f"the patterns of this test find only {len(used)} codes: follow the sources with CODES"
    listed = first_cells(section(API, "Codes"))
    missing = sorted(used - set(listed))
    assert not missing, f"{API}, Codes: add a row for {', '.join(missing)}"
    all_sources = "\n".join(rust_sources().values())
    gone = [code for code in listed if f'"{code}"' not in all_sources]
    assert not gone, f"{API}, Codes: delete the rows of {', '.join(gone)}: no source has them"
    assert len(listed) == len(set(listed)), f"{API}, Codes: a code appears twice"


def test_front_page_is_short():
    n = len(text("README.md").splitlines())
    assert n <= 150, f"README.md has {n} lines; move details to the page of their reader (at most 150)"


@pytest.mark.parametrize("page", tracked("*.md"))
def test_relative_links_lead_to_files(page):
    prose = re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    targets = [link for link in links if not re.match(r"[a-z]+:", link)]
    broken = [link for link in targets if not (places.CHECKOUT / page).parent.joinpath(link).exists()]
    assert not broken, f"{page}: correct the links to {', '.join(broken)}"


@pytest.mark.parametrize("page", tracked("*.md"))
def test_shell_blocks_are_marked_and_parse(page):
    lines = text(page).splitlines()
    for start in [n for n, line in enumerate(lines) if line.strip() == "```sh"]:
        where = f"{page}:{start + 1}"
        mark = MARK.fullmatch(lines[start - 1].strip()) if start else None
        assert mark, f"{where}: put `<!-- needs AWS -->` or `<!-- runs: FILE -->` on the line before the block"
        by = mark["by"]
        assert by is None or (places.CHECKOUT / by).exists(), f"{where}: {by} does not exist, so it does not run this block"
        end = next(n for n, line in enumerate(lines) if n > start and line.strip() == "```")
        block = "\n".join(lines[start + 1 : end])
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{where}: {done.stderr.strip()}"
