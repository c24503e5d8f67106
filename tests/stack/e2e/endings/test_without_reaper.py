"""The reaper, the tick and the stream are off: AWS ends access by itself, and issuing stops."""

from __future__ import annotations

import json
import time

import pytest

from observer import gate, runner
from observer.aws import Session
from observer.world import AGENT, ONCALL, PIPELINE, World, instant, sleep_until

from lives import early_release

pytestmark = pytest.mark.usefixtures("no_reaper")


def test_credentials_stop_at_the_deadline_and_without_the_time_deny_they_do_not(world: World) -> None:
    """The protection and its control at the same time: same case, same observer, same instants."""
    guarded = world.approved(PIPELINE)
    guarded_session = world.session(PIPELINE, guarded)
    naked = world.approved(PIPELINE)
    rule = {"id": "no-time-deny", "kind": "strip_time_deny", "service": "sts", "resource": "release-deploy"}
    with gate.faults(rule):
        naked_session = world.session(PIPELINE, naked)
    deadlines = [instant(world.show(PIPELINE, grant)["deadline"]) for grant in (guarded, naked)]
    assert PIPELINE.use(guarded_session).outcome == PIPELINE.use(naked_session).outcome == "allowed"
    sleep_until(min(deadlines) - 2)
    assert PIPELINE.use(guarded_session).outcome == "allowed"
    sleep_until(max(deadlines) + 0.5)
    assert PIPELINE.use(guarded_session).outcome == "denied"
    # The observer turns red where the protection is gone.
    assert PIPELINE.use(naked_session).outcome == "allowed"
    # Nobody but AWS did it: both grants still read Active.
    assert [world.show(PIPELINE, grant)["state"] for grant in (guarded, naked)] == ["Active", "Active"]
    assert world.fetch(PIPELINE, guarded).status == 410


def test_a_release_alone_removes_nothing_until_the_reaper_comes(world: World) -> None:
    """The control of the early end: with the reaper off, a release only marks."""
    grant, session = early_release(world, AGENT)
    sleep_until(time.time() + 5)
    assert AGENT.use(session).outcome == "allowed"
    # But nothing more is vended from the mark on.
    fetched = world.fetch(AGENT, grant)
    assert (fetched.status, fetched.problem) == (410, "over"), str(fetched)
    runner.tick()
    assert world.await_use(AGENT, session, "denied", within_s=5).outcome == "denied"


def test_nothing_is_issued_when_the_heart_is_too_old(world: World) -> None:
    grant = world.approved(ONCALL)
    max_age_s = int(runner.setting("issue", "BREVET_HEART_MAX_AGE_S"))
    rewind_heart(max_age_s + 5)
    fetched = world.fetch(ONCALL, grant)
    assert (fetched.status, fetched.problem) == (503, "issuing-stopped"), str(fetched)
    assert int(fetched.headers["Retry-After"]) > 0
    assert world.api.health().status == 503
    assert world.show(ONCALL, grant)["state"] == "Approved"
    # The control: one good pass, and it is issued.
    runner.tick()
    assert world.api.health().status == 200
    assert world.fetch(ONCALL, grant).status == 200


def rewind_heart(seconds: int) -> None:
    """Makes the reaper's last good pass look older, with the administrator's key."""
    client, key = Session.admin().client("dynamodb"), {"pk": {"S": "HEART#reap"}, "sk": {"S": "-"}}
    item = client.get_item(TableName="brevet-dev", Key=key, ConsistentRead=True)["Item"]
    heart = json.loads(item["body"]["S"])
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - seconds))
    item["body"] = {"S": json.dumps({**heart, "read_up_to": old})}
    client.put_item(TableName="brevet-dev", Item=item)
