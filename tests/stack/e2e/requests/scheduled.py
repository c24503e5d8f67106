"""A scheduled window in this run's catalogue, and the batch that makes its call before, during and after its grant."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from observer import gate, store, tries
from observer.aws import Session
from observer.patience import until
from observer.tries import Judged, Tries
from observer.world import Case, World, instant, sleep_until

from attachments import OUT, ROLES, TASK, Hold

# The window stays open for longer than the suite runs.
ID, PRINCIPAL, RUN, TERM_S, WINDOW_S = "night", "night", "night-run", 60, 3_600
CASE = Case("nightly-batch", {}, PRINCIPAL, "", "")
CALL = ("s3:PutObject", f"arn:aws:s3:::{OUT}/{RUN}/part-1")


def granted() -> dict[str, dict[str, Any]]:
    """The grants on the schedule's principal, by id. Only the schedule uses this principal."""
    return {grant: body for grant, body in store.snapshot().grants.items() if body["entitlement"] == f"on-{PRINCIPAL}"}


class Scheduled:
    """Adds the schedule to the catalogue's folder, and follows its grant once the catalogue is published."""

    def __init__(self, world: World, catalogue: Path) -> None:
        self._world = world
        self._task = Session.assumed(f"{ROLES}/brevet-dev-{PRINCIPAL}", TASK)
        assert not granted() and self._use().outcome == "denied"
        now = time.gmtime()
        schedule = {
            "id": ID, "owner": "rui", "description": "Let the batch write its output.", "identity": CASE.identity,
            "entitlement": f"on-{PRINCIPAL}", "parameters": {"run": RUN}, "term_s": TERM_S,
            "cron": f"{now.tm_min} {now.tm_hour} * * *", "window_s": WINDOW_S,
        }  # fmt: skip
        folder = catalogue / "schedules"
        folder.mkdir(exist_ok=True)
        (folder / f"{ID}.yaml").write_text(yaml.safe_dump(schedule, sort_keys=False))
        pool = ThreadPoolExecutor(2)
        self._hold: Future[Hold] = pool.submit(self._granted)
        self._judged: Future[Judged] = pool.submit(self._to_its_end)

    def _use(self) -> Any:
        return self._task.put_object(OUT, f"{RUN}/part-1")

    def _granted(self) -> Hold:
        since = gate.last()
        until(granted, "the open window is granted", every_s=2)
        (grant,) = granted()
        hold = Hold(self._world, CASE, grant, PRINCIPAL, RUN, self._task, since)
        hold.await_state("Active", "Revoking", "Ended")
        return hold

    def _to_its_end(self) -> Judged:
        trying = Tries(self._use)
        try:
            hold = self.hold()
            trying.around = hold.deadline()
            sleep_until(trying.around)
            hold.await_state("Ended")
            self._use()
        finally:
            trying.stop()
        return tries.judged(tries.calls(), self._task.access_key, *CALL)

    def hold(self) -> Hold:
        """The grant, once its access is attached."""
        return self._hold.result()

    def judged(self) -> Judged:
        """The gate's decisions on the batch's calls, once the grant has ended."""
        return self._judged.result()

    def at(self, event: str) -> float:
        """The time of the first `event` in the grant's evidence."""
        chain = store.snapshot().evidence[self.hold().grant]
        return instant(next(entry["at"] for entry in chain if entry["event"] == event))
