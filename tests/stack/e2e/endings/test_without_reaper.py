"""Without the reaper, the tick and the stream AWS ends access by itself, and issuing stops."""

from __future__ import annotations

import json
import time

import pytest

from observer import gate, runner, tries
from observer.aws import Session
from observer.calllog import made_by
from observer.patience import until
from observer.tries import Tries
from observer.world import AGENT, ONCALL, World, instant

from lives import deadline_of, early_release
from stillness import Stillness


def test_credentials_end_at_the_deadline_by_the_time_deny_alone(stillness: Stillness) -> None:
    """The protection and its control run at the same time, with the same case and observer."""
    guarded, naked = stillness.vended["guarded"], stillness.vended["naked"]
    judged = stillness.used("guarded")
    assert judged.before(guarded.deadline) == {"allowed"}
    assert judged.between(guarded.deadline, stillness.back_at) == {"denied"}
    # The control: without the time deny the observer sees the access allowed.
    assert stillness.used("naked").between(naked.deadline, stillness.back_at) == {"allowed"}
    # Only AWS ended it: both grants were still Active.
    assert (stillness.states["guarded session"], stillness.states["naked session"]) == ("Active", "Active")
    assert stillness.fetched == 410


@pytest.mark.usefixtures("no_reaper")
def test_release_removes_nothing_until_the_reaper_runs(world: World) -> None:
    """The control of the early end: without the reaper a release only writes a mark."""
    grant, session = early_release(world, AGENT)
    released_at, since = time.time(), gate.last()
    with Tries(lambda: AGENT.use(session)):
        # No event marks the absence of a removal, so the test waits for several uses.
        until(lambda: n_uses(session, since) >= 5, "five uses after the release")
        # From the release on no credentials are vended.
        fetched = world.fetch(AGENT, grant)
        assert (fetched.status, fetched.problem) == (410, "over"), str(fetched)
        ticked_at = time.time()
        runner.tick()
        world.await_use(AGENT, session, "denied")
    log = tries.calls(since)
    judged = tries.uses(log, AGENT, session.access_key)
    assert judged.between(released_at, ticked_at) == {"allowed"}
    assert not [call for call in log if made_by("reap", call) and released_at <= instant(call["at"]) < ticked_at]
    # The denial came before the deadline, so its time limit is not the cause.
    assert "denied" in judged.between(ticked_at, deadline_of(grant))


@pytest.mark.usefixtures("no_reaper")
def test_issuing_stops_when_the_heartbeat_is_too_old(world: World) -> None:
    grant = world.approved(ONCALL)
    max_age_s = int(runner.setting("issue", "BREVET_HEARTBEAT_MAX_AGE_S"))
    rewind_heartbeat(max_age_s + 5)
    fetched = world.fetch(ONCALL, grant)
    assert (fetched.status, fetched.problem) == (503, "issuing-stopped"), str(fetched)
    assert int(fetched.headers["Retry-After"]) > 0
    assert world.api.health().status == 503
    assert world.show(ONCALL, grant)["state"] == "Approved"
    # The control: after one good pass the credentials are issued.
    runner.tick()
    assert world.api.health().status == 200
    assert world.fetch(ONCALL, grant).status == 200
    assert world.release(ONCALL, grant).status == 202


def n_uses(session: Session, since: int) -> int:
    """The number of granted calls that the gate has decided from number `since` on."""
    return len(tries.uses(tries.calls(since), AGENT, session.access_key).calls)


def rewind_heartbeat(seconds: int) -> None:
    """Makes the reaper's last good pass look older, with the administrator's key."""
    client, key = Session.admin().client("dynamodb"), {"pk": {"S": "HEARTBEAT#reap"}, "sk": {"S": "-"}}
    item = client.get_item(TableName="brevet-dev", Key=key, ConsistentRead=True)["Item"]
    body = json.loads(item["body"]["S"])
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - seconds))
    item["body"] = {"S": json.dumps({**body, "read_up_to": old})}
    client.put_item(TableName="brevet-dev", Item=item)
