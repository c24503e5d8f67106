"""A window that the catalogue declares: granted once, for what it declares, whoever names it, and its end is proved."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from observer import runner, store
from observer.aws import Session
from observer.store import TABLE
from observer.world import Case, World, instant, sleep_until

from attachments import ROLES, TASK, Hold
from intake import ask_record, invoke, put

ID, PRINCIPAL, RUN, TERM_S, WINDOW_S = "night", "night", "night-run", 60, 300
CASE = Case("nightly-batch", {}, PRINCIPAL, "", "")


def granted() -> dict[str, dict[str, Any]]:
    """The grants on the principal of the schedule, by id. Nobody else asks for it."""
    return {grant: body for grant, body in store.snapshot().grants.items() if body["entitlement"] == f"on-{PRINCIPAL}"}


def name(session: Session) -> Any:
    """What the evaluator answers to an event that names the schedule."""
    seen, answer = invoke(session, "evaluate", {"schedule": {"id": ID}})
    assert seen.outcome == "allowed", str(seen)
    return answer


def fails(session: Session, schedule: dict[str, Any], why: str) -> None:
    """Asserts that the evaluator fails an event that names `schedule`, and says `why` in its log."""
    log = runner.LOGS / "fn-evaluate.log"
    before = len(log.read_text())
    seen, _ = invoke(session, "evaluate", {"schedule": schedule})
    # The local runtime answers a function's failure with a 500.
    assert (seen.outcome, seen.code) == ("other", "500"), str(seen)
    assert why in log.read_text()[before:]


@pytest.fixture(scope="module")
def liar(world: World) -> Session:
    return Session.assumed(runner.role_arn("intake"), "brevet-dev-intake")


@pytest.fixture(scope="module")
def task(world: World) -> Session:
    """The batch, which runs all the time."""
    return Session.assumed(f"{ROLES}/brevet-dev-{PRINCIPAL}", TASK)


@pytest.fixture(scope="module")
def hold(world: World, catalogue: Path, task: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hold]:
    """What the schedule gets once a catalogue with it is in force, whose window opened this minute (UTC)."""
    folder = tmp_path_factory.mktemp("scheduled") / "catalogue"
    shutil.copytree(catalogue, folder)
    now = time.gmtime()
    schedule = {
        "id": ID, "owner": "rui", "description": "Let the batch write its output.", "identity": CASE.identity,
        "entitlement": f"on-{PRINCIPAL}", "parameters": {"run": RUN}, "term_s": TERM_S,
        "cron": f"{now.tm_min} {now.tm_hour} * * *", "window_s": WINDOW_S,
    }  # fmt: skip
    (folder / "schedules").mkdir()
    (folder / "schedules" / f"{ID}.yaml").write_text(yaml.safe_dump(schedule, sort_keys=False))
    assert not granted() and task.put_object("acme-batch-out", f"{RUN}/part-1").outcome == "denied"
    runner.stack("publish", str(folder))
    until = time.monotonic() + 30
    while not granted():
        assert time.monotonic() < until, "nobody granted the window"
        time.sleep(0.5)
    (grant,) = granted()
    yield Hold(world, CASE, grant, PRINCIPAL, RUN, task)
    runner.stack("publish", str(catalogue))


def test_nobody_asked_and_the_access_is_there(hold: Hold) -> None:
    hold.await_active()
    assert store.keys(f"REQUEST#{hold.grant}") == set()
    decided = store.snapshot().evidence[hold.grant][0]
    proof = decided["detail"]["proof"]
    assert (decided["event"], proof["kind"], proof["schedule"]) == ("Decided", "schedule", ID)
    assert decided["by"] == "evaluate" and decided["detail"]["task"] is None
    assert instant(proof["opens_at"]) <= instant(decided["at"]) < instant(proof["closes_at"])


def test_whoever_names_it_and_however_often_gets_no_second_grant(hold: Hold, liar: Session) -> None:
    """Also an intake that lies: it may invoke the evaluator with any event."""
    before = granted()
    for _ in range(3):
        runner.stack("tick", "once", "evaluate")
        assert name(liar) == {"schedule": "standing", "grant": hold.grant}
    for more in ({"term_s": 43_200}, {"identity": "release-pipeline"}, {"now": "2026-01-01T00:00:00Z"}):
        fails(liar, {"id": ID, **more}, "UnexpectedEvent")
    fails(liar, {"id": "no-such"}, "no schedule `no-such`")
    assert {grant: body["entitlement"] for grant, body in granted().items()} == {hold.grant: before[hold.grant]["entitlement"]}


def test_a_request_stored_under_its_id_changes_nothing(hold: Hold, liar: Session) -> None:
    body = {"entitlement": f"on-{PRINCIPAL}", "parameters": {"run": "another"}, "term_s": 1_800}
    assert put(liar, f"REQUEST#{hold.grant}", "-", **ask_record(hold.grant, body)).outcome == "allowed"
    proof = hold.world.token(CASE.identity)
    invoke(liar, "evaluate", {"evaluate": {"id": hold.grant, "proof": proof}})
    shown = hold.show()
    assert shown["term_s"] == TERM_S and "request" not in shown, shown
    Session.admin().client("dynamodb").delete_item(
        TableName=TABLE, Key={"pk": {"S": f"REQUEST#{hold.grant}"}, "sk": {"S": "-"}}
    )


def test_it_ends_as_declared_and_is_not_granted_again(hold: Hold, liar: Session) -> None:
    deadline = hold.deadline()
    sleep_until(deadline + 0.5)
    assert hold.use().outcome == "denied"
    assert hold.ended("deadline")["ended_by"] == "time_limit"
    started = next(entry for entry in store.snapshot().evidence[hold.grant] if entry["event"] == "ActivationRecorded")
    assert deadline <= instant(started["at"]) + TERM_S
    # The window is still open, and what it was worth is spent.
    assert time.time() < instant(store.snapshot().evidence[hold.grant][0]["detail"]["proof"]["closes_at"])
    runner.stack("tick", "once", "evaluate")
    assert name(liar) == {"schedule": "standing", "grant": hold.grant}
    assert list(granted()) == [hold.grant]
