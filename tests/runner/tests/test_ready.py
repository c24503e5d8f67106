"""A problem that prevents a run is reported in one line that says what to do."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner import ready, stacks
from runner.ready import Unready


def test_stacks_all_run_at_once_with_enough_memory() -> None:
    assert ready.stacks(64_000, "") == (ready.MAX_STACKS, "")


def test_stacks_are_fewer_with_a_reason_when_memory_is_short() -> None:
    n, why = ready.stacks(ready.KEPT_MIB + 2 * ready.NEEDS_MIB + 1, "")
    assert n == 2 and "2 stacks run at once instead of 4" in why and ready.STACKS in why


def test_stacks_are_refused_when_memory_is_too_short_for_one() -> None:
    with pytest.raises(Unready, match="memory: 900 MiB are free.*make check"):
        ready.stacks(900, "")


def test_stacks_take_the_requested_number() -> None:
    assert ready.stacks(5_000, "3") == (3, "")


@pytest.mark.parametrize("text", ["0", "9", "two", "-1", "1.5"])
def test_number_of_stacks_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(Unready, match="must be a number of stacks, 1 to 8"):
        ready.stacks(64_000, text)


def test_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(Unready, match="953 MiB are free.*BREVET_CACHE"):
        ready.disk(tmp_path / "not" / "yet", is_built=False)


def test_second_run_in_one_checkout_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with ready.alone(tmp_path):
        with pytest.raises(Unready, match=f"process {os.getpid()}"):
            with ready.alone(tmp_path):
                raise AssertionError("two runs at once")
    with ready.alone(tmp_path):
        pass


def test_missing_tools_are_listed_one_a_line() -> None:
    with pytest.raises(Unready, match="missing: a\nmissing: b"):
        ready.tools(["missing: a", "missing: b"])


def test_stacks_of_a_run_get_distinct_free_ports() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        with stacks.ports() as one, stacks.ports() as two:
            assert len({*one.values(), *two.values()}) == 2 * len(stacks.PORTS)
    first = int(one["BREVET_PORT_LOCALSTACK"])
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", first))
        with stacks.ports() as given:
            assert str(first) not in given.values()


def test_ports_name_the_range_when_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_is_free", lambda port: False)
    with pytest.raises(RuntimeError, match="no port from 21000 to 21999 is free"):
        with stacks.ports():
            pass
