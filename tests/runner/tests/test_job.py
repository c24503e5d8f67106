"""Jobs end with their children, at their time limit, and when the run is stopped; their CPU time is measured."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from runner.job import Jobs

WAIT_S = 30


def run(jobs: Jobs, tmp_path: Path, code: str, within_s: float = 60):
    return jobs.run([sys.executable, "-c", code], tmp_path / "log", cwd=tmp_path, within_s=within_s)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pid_in(file: Path) -> int:
    until = time.monotonic() + WAIT_S
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return int(file.read_text())


def test_job_reports_exit_code_output_and_cpu_time(tmp_path: Path) -> None:
    done = run(Jobs(), tmp_path, "import sys; print('seen'); sum(range(20_000_000)); sys.exit(3)")
    assert done.code == 3 and not done.timed_out
    assert 0 < done.cpu_s <= done.wall_s * os.cpu_count()
    assert "seen" in (tmp_path / "log").read_text()


def test_job_past_its_time_limit_is_ended(tmp_path: Path) -> None:
    done = run(Jobs(), tmp_path, "import time; time.sleep(600)", within_s=0.5)
    assert done.timed_out and done.code == -signal.SIGTERM and done.wall_s < WAIT_S


CHILD = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pid").write_text(str(child.pid))
time.sleep({sleep})
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc to see a process end")
def test_children_of_a_job_end_with_it(tmp_path: Path) -> None:
    run(Jobs(), tmp_path, CHILD.format(sleep=0))
    assert not alive(pid_in(tmp_path / "pid"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc to see a process end")
def test_stop_ends_every_job_with_its_children_and_starts_no_more(tmp_path: Path) -> None:
    jobs, codes = Jobs(), []
    running = threading.Thread(target=lambda: codes.append(run(jobs, tmp_path, CHILD.format(sleep=600)).code))
    running.start()
    child = pid_in(tmp_path / "pid")
    jobs.stop()
    running.join(timeout=WAIT_S)
    assert codes == [-signal.SIGTERM] and not alive(child)
    (tmp_path / "pid").unlink()
    assert run(jobs, tmp_path, CHILD.format(sleep=0)).code == -signal.SIGINT
    assert not (tmp_path / "pid").exists()


def test_missing_command_fails_with_its_name(tmp_path: Path) -> None:
    done = Jobs().run(["no-such-tool"], tmp_path / "log", cwd=tmp_path, within_s=5)
    assert done.code == 127
    assert "cannot start no-such-tool: No such file" in (tmp_path / "log").read_text()
