"""One outage, in which grants pass their deadlines while issue and reap are down, and the recovery step by step.

The reaper comes back with its standby ticks only, then with the table's stream, and at last with the schedule. Several
tests check the gate's record of this one outage, so that no test waits for a deadline of its own.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3

from observer import gate, runner, store, tries
from observer.aws import Session
from observer.calllog import made_by
from observer.patience import PATIENCE_S, until
from observer.store import TABLE, admin
from observer.tries import Judged, Tries
from observer.world import ONCALL, PIPELINE, World, instant, sleep_until

from attachments import EXPORTS, OUT, SHARED_KEY, Hold, Tasks
from faulting import restart, strike

# An inline grant, one whose policy is enforced without its time limit, and two managed ones, each on the principal of
# the same name.
PRINCIPALS = ("down", "naked", "backstop", "standby")
FUNCTIONS = ("issue", "reap")
TERM_S = 80
MAX_ATTEMPTS = 3
# A standby tick makes a pass if the last one began at least this many seconds ago.
STANDBY_AFTER_S = 3
DUE_ATTRIBUTES = ("due_pk", "next_at")
NO_SWEEP = {"id": "no-sweep", "service": "iam", "operation": "ListRoles", "principal": "brevet-dev-reap", "kind": "refuse", "times": 10_000}


@dataclass
class Vended:
    """A session grant whose holder repeats the granted call."""

    grant: str
    session: Session
    deadline: float
    trying: Tries


@dataclass
class Stillness:
    """The record of the outage and the recovery. All instants are wall-clock times."""

    holds: dict[str, Hold] = field(default_factory=dict)
    vended: dict[str, Vended] = field(default_factory=dict)
    # Everything was down from this time on.
    down_at: float = 0.0
    # After every deadline: the grants' states, whether the policies were attached, and the status of a fetch.
    states: dict[str, str] = field(default_factory=dict)
    stood: dict[str, bool] = field(default_factory=dict)
    fetched: int = 0
    # The stream records of the TTL backstop's removal, and the time at which it was found to be gone.
    removals: list[dict[str, Any]] = field(default_factory=list)
    backstop_gone_at: float = 0.0
    # When the reaper was back, when its standby ticks were on again, and when the table's stream was.
    back_at: float = 0.0
    standby_at: float = 0.0
    stream_at: float = 0.0
    on_meanwhile: list[str] = field(default_factory=list)
    heartbeats: list[str] = field(default_factory=list)
    health: int = 0
    issued: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def deadlines(self) -> list[float]:
        """The deadlines of all grants."""
        return [hold.deadline() for hold in self.holds.values()] + [one.deadline for one in self.vended.values()]

    def held(self, name: str) -> Judged:
        """The gate's decisions on the calls of an attachment's task."""
        hold = self.holds[name]
        call = ("s3:GetObject", f"{EXPORTS}/{SHARED_KEY}") if hold.is_managed else ("s3:PutObject", f"{OUT}/{hold.own_key}")
        return tries.judged(self.log, hold.task.access_key, call[0], f"arn:aws:s3:::{call[1]}")

    def passes_between(self, start: float, end: float) -> int:
        """The number of passes of the reaper, counted by the `ListRoles` calls of its sweep."""
        calls = [call for call in self.log if made_by("reap", call) and call["operation"] == "ListRoles"]
        return sum(start <= instant(call["at"]) and instant(call["done_at"]) <= end for call in calls)

    def used(self, name: str) -> Judged:
        """The gate's decisions on the calls of a session's holder."""
        return tries.uses(self.log, PIPELINE, self.vended[name].session.access_key)


def time_to_live(enabled: bool) -> None:
    """Turns DynamoDB's TTL on or off."""
    known = admin().describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if known != ("ENABLED" if enabled else "DISABLED"):
        specification = {"Enabled": enabled, "AttributeName": "ttl"}
        admin().update_time_to_live(TableName=TABLE, TimeToLiveSpecification=specification)


def lose_from_due(hold: Hold) -> None:
    """Removes the grant from the to-do list: its item loses only its index keys."""
    admin().update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"GRANT#{hold.grant}"}, "sk": {"S": "META"}},
        UpdateExpression=f"REMOVE {', '.join(DUE_ATTRIBUTES)}",
        ConditionExpression="attribute_exists(due_pk)",
    )


def expire_backstop(hold: Hold) -> None:
    """Expires the grant's TTL backstop.

    DynamoDB Local deletes only items with all index attributes, so it adds them.
    """
    indexed = {"due_pk": "-", "next_at": "-", "identity_id": "-", "created_at": "-"}
    admin().update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"BACKSTOP#{hold.grant}"}, "sk": {"S": "-"}},
        UpdateExpression="SET #ttl = :past, " + ", ".join(f"{name} = :{name}" for name in indexed),
        ConditionExpression="attribute_exists(#ttl)",
        ExpressionAttributeNames={"#ttl": "ttl"},
        ExpressionAttributeValues={
            ":past": {"N": str(int(time.time()) - 5)},
            **{f":{name}": {"S": value} for name, value in indexed.items()},
        },
    )


def backstop_is_gone(hold: Hold) -> bool:
    """Whether the grant's TTL backstop is gone."""
    key = {"pk": {"S": f"BACKSTOP#{hold.grant}"}, "sk": {"S": "-"}}
    return "Item" not in admin().get_item(TableName=TABLE, Key=key, ConsistentRead=True)


def removals(hold: Hold) -> list[dict[str, Any]]:
    """The stream records of the TTL backstop's removal, read without the gate, as Lambda's pollers do."""
    streams = boto3.client(
        "dynamodbstreams", endpoint_url=f"http://127.0.0.1:{os.environ.get('BREVET_PORT_DYNAMODB') or 8000}", region_name="us-east-1",
        aws_access_key_id="observer", aws_secret_access_key="observer",
    )  # fmt: skip
    arn = admin().describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    found = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        iterator = at["ShardIterator"]
        while iterator:
            page = streams.get_records(ShardIterator=iterator, Limit=1000)
            found += [record for record in page["Records"] if record["eventName"] == "REMOVE"
                      and record["dynamodb"]["Keys"]["pk"]["S"] == f"BACKSTOP#{hold.grant}"]  # fmt: skip
            iterator = page["NextShardIterator"] if page["Records"] else None
    return found


def heartbeat() -> str:
    """The body of the reaper's heartbeat item."""
    (found,) = (item["body"] for item in store.items() if item["pk"] == "HEARTBEAT#reap")
    return found


class Outage:
    """Takes everything down, waits, and brings it back, in this order. The record is in `seen`."""

    def __init__(self, world: World, tasks: Tasks) -> None:
        self._world, self._tasks = world, tasks
        self.seen = Stillness()

    def run(self) -> Stillness:
        """Runs the whole outage. In any case everything runs again at the end."""
        try:
            # Turned off first: a TTL scan that is already under way would delay the removal of later expiries.
            time_to_live(enabled=False)
            self._all_down()
            self._wait()
            self._by_standby_ticks()
        finally:
            for one in self.seen.vended.values():
                one.trying.stop()
            self._all_back()
        self.seen.log = tries.calls()
        for hold in self.seen.holds.values():
            hold.over = True
        return self.seen

    # ------------------------------------------------------------------------------------------------- going down
    def _all_down(self) -> None:
        """Begins the grants and takes everything down before the first deadline; retries with a longer term if late."""
        for times in range(MAX_ATTEMPTS):
            self._begin(TERM_S * 2**times)
            for driver in runner.DRIVERS:
                runner.turn(driver, False)
            for function in FUNCTIONS:
                runner.stack("kill", function)
            self.seen.down_at = time.time()
            if self.seen.down_at < min(self.seen.deadlines()) - 1:
                return
            for one in self.seen.vended.values():
                one.trying.stop()
            self._all_back()
        raise AssertionError(f"the first deadline passed before everything was down, with a term of {TERM_S * 2**times} s")

    def _begin(self, term_s: int) -> None:
        gate.disarm()
        # Both faults must have fired: that on the inline policy and that on the session policy.
        strike("no-time-limit", "naked", "issue", "strip_time_limit", "PutRolePolicy", times=2)
        with ThreadPoolExecutor(len(PRINCIPALS)) as pool:
            asked = pool.map(lambda principal: self._tasks.ask(principal, term_s=term_s), PRINCIPALS)
            self.seen.holds = dict(zip(PRINCIPALS, asked, strict=True))
            list(pool.map(Hold.await_active, self.seen.holds.values()))
        assert gate.fired()["no-time-limit"] >= 1
        self.seen.vended["guarded"] = self._vend(term_s)
        gate.arm({"id": "no-time-deny", "kind": "strip_time_deny", "service": "sts", "resource": "release-deploy"})
        try:
            self.seen.vended["naked"] = self._vend(term_s)
            assert gate.fired()["no-time-deny"] >= 1
        finally:
            gate.disarm()

    def _vend(self, term_s: int) -> Vended:
        grant = self._world.approved(PIPELINE, term_s=term_s)
        session = self._world.session(PIPELINE, grant)
        trying = Tries(lambda: PIPELINE.use(session))
        deadline = trying.around = instant(self._world.show(PIPELINE, grant)["deadline"])
        return Vended(grant, session, deadline, trying)

    # ------------------------------------------------------------------------------------------------ while down
    def _wait(self) -> None:
        """Waits until every deadline has passed and DynamoDB has deleted the backstop. Meanwhile only AWS acts."""
        seen = self.seen
        lose_from_due(seen.holds["backstop"])
        expire_backstop(seen.holds["backstop"])
        time_to_live(enabled=True)
        sleep_until(max(seen.deadlines()))
        # Every holder makes at least one call after its deadline.
        for hold in seen.holds.values():
            hold.use()
        for one in seen.vended.values():
            PIPELINE.use(one.session)
        seen.states = {name: hold.show()["state"] for name, hold in seen.holds.items()}
        seen.states |= {f"{name} session": self._world.show(PIPELINE, one.grant)["state"] for name, one in seen.vended.items()}
        seen.stood = {name: hold.stands for name, hold in seen.holds.items()}
        restart("issue")
        seen.fetched = self._world.fetch(PIPELINE, seen.vended["guarded"].grant).status
        # DynamoDB Local's TTL job checks twenty items, then pauses for ten seconds.
        within_s = PATIENCE_S + len(store.items())
        until(lambda: backstop_is_gone(seen.holds["backstop"]), "DynamoDB deletes the backstop", within_s=within_s, every_s=1)
        seen.backstop_gone_at = time.time()
        seen.removals = removals(seen.holds["backstop"])

    # ----------------------------------------------------------------------------------------------- coming back
    def _by_standby_ticks(self) -> None:
        """Turns on the standby ticks while the sweep is refused, then the stream, and at last allows the sweep."""
        seen = self.seen
        with runner.settings("reap", BREVET_STANDBY_AFTER_S=str(STANDBY_AFTER_S)):
            seen.back_at = time.time()
            gate.arm(NO_SWEEP)
            # The control: without a driver the reaper does nothing.
            seen.holds["standby"].use()
            seen.standby_at = time.time()
            runner.turn("standby", True, "reap")
            seen.holds["standby"].await_state("Ended")
            # Passes that had already begun do not count.
            before = gate.fired()["no-sweep"] + 2
            until(lambda: gate.fired()["no-sweep"] >= before + 2, "two more passes by standby ticks")
            seen.holds["backstop"].use()
            seen.stream_at = time.time()
            runner.turn("pump", True, "reap")
            seen.holds["backstop"].await_state("Revoking", "Ended")
            seen.holds["backstop"].await_use("denied")
            seen.holds["backstop"].await_state("Ended")
            gate.disarm()
            self._issue_during_the_outage()
            seen.on_meanwhile = [driver for driver in runner.DRIVERS if runner.is_on(driver, "reap")]

    def _issue_during_the_outage(self) -> None:
        seen, beats = self.seen, [heartbeat()]

        def has_moved() -> bool:
            beats.extend(latest for latest in (heartbeat(),) if latest != beats[-1])
            return len(beats) >= 4

        until(has_moved, "three heartbeats while the schedule is off")
        seen.heartbeats = beats
        seen.health = self._world.api.health().status
        grant = self._world.approved(ONCALL)
        seen.issued = self._world.fetch(ONCALL, grant).status
        self._world.release(ONCALL, grant)

    def _all_back(self) -> None:
        gate.disarm()
        time_to_live(enabled=True)
        for function in FUNCTIONS:
            if not runner.pids(function):
                restart(function)
        for driver in runner.DRIVERS:
            runner.turn(driver, True)
        self._world.await_ready()

