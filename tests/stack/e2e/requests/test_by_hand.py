"""The commands in the README and in the API page work as they are pasted, but for ports and folders of this stack."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from observer import runner
from observer.tokens import ASK, CREDENTIALS, Forge
from observer.world import World

from brevet_local import places

pytestmark = pytest.mark.usefixtures("world")
PEM = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


@pytest.fixture(scope="module")
def dev(forge: Forge, catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make up` writes it, with the issuers of this run."""
    folder = tmp_path_factory.mktemp("dev")
    (folder / "keys").mkdir()
    for name, key in forge.keys.items():
        (folder / "keys" / f"{name}.pem").write_bytes(key.private.private_bytes(*PEM))
    shutil.copytree(catalogue, folder / "catalogue")
    voting = runner.setting("evaluate", "BREVET_APPROVALS_AUDIENCE")
    (folder / "audiences.json").write_text(json.dumps({"asking": ASK, "voting": voting, "credentials": CREDENTIALS}))
    return folder


def pasted(page: str, dev: Path) -> str:
    """Runs the page's block that this file is named for, as a shell does with pasted lines; its output."""
    (block,) = re.findall(r"<!-- runs: tests/stack/e2e/requests/test_by_hand.py -->\n```sh\n(.*?)```", (runner.CHECKOUT / page).read_text(), re.S)
    for written, here in (("http://127.0.0.1:8080", places.url("http")), ("http://127.0.0.1:4600", places.url("gate")),
                          ("$HOME/.cache/brevet/target/debug", str(runner.BREVET.parent))):  # fmt: skip
        block = block.replace(written, here)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env={**os.environ, "BREVET_DEV": str(dev)},
                          capture_output=True, text=True, check=False, timeout=300)  # fmt: skip
    # The block keeps credentials in variables and never prints them.
    assert done.returncode == 0, f"{page}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_readme_request_is_granted_used_released_and_proved(world: World, dev: Path) -> None:
    out = pasted("README.md", dev)
    assert re.findall(r"\b(?:200|403) v\S+", out) == ["200 v1.2.3/app.tar", "403 v9.9.9/app.tar", "403 v1.2.3/app.tar"], out
    assert "'kind': 'observed'" in out and "SessionToken" not in out, out


def test_api_page_example_is_approved_and_its_evidence_verifies(world: World, dev: Path) -> None:
    out = pasted("shared/api/README.md", dev)
    assert '"state":"Approved"' in out and "SessionToken" not in out, out
