"""A while in which nobody is there to end anything, and how one thing after the other comes back.

Grants run past their deadlines while issue and reap are dead and nothing calls them. Then the reaper comes back and hears
its own standby ticks alone, then the table's stream, and last of all the schedule. Several tests look at what the gate
recorded of that one while, so that no test waits for a deadline of its own.
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

# An inline grant, one whose policy is enforced without its time limit, and two managed ones; each with its principal.
PRINCIPALS = {"down": "down", "naked": "naked", "backstop": "fuse", "standby": "echo"}
FUNCTIONS = ("issue", "reap")
TERM_S = 80
TIMES_TRIED = 3
# How long ago the last pass must have begun for a standby tick to make one.
AFTER_S = 3
GONE_FROM_DUE = ("due_pk", "next_at")
BLIND = {"id": "blind", "service": "iam", "operation": "ListRoles", "principal": "brevet-dev-reap", "kind": "refuse", "times": 10_000}


@dataclass
class Vended:
    """A session's grant, whose holder tries the granted call all the time."""

    grant: str
    session: Session
    deadline: float
    trying: Tries


@dataclass
class Stillness:
    """What was seen, and when what came back. All instants are by the wall clock."""

    holds: dict[str, Hold] = field(default_factory=dict)
    vended: dict[str, Vended] = field(default_factory=dict)
    # From when on everything was down.
    down_at: float = 0.0
    # Once every deadline was over: states as they read, what stood, and what a fetch was answered.
    states: dict[str, str] = field(default_factory=dict)
    stood: dict[str, bool] = field(default_factory=dict)
    fetched: int = 0
    # Who removed the TTL backstop, as the table's stream tells, and when it was seen to be gone.
    removals: list[dict[str, Any]] = field(default_factory=list)
    backstop_gone_at: float = 0.0
    # When the reaper was back; when it heard its own standby ticks again, and then the table's stream.
    back_at: float = 0.0
    standby_at: float = 0.0
    stream_at: float = 0.0
    on_meanwhile: list[str] = field(default_factory=list)
    heartbeats: list[str] = field(default_factory=list)
    health: int = 0
    issued: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    def deadlines(self) -> list[float]:
        """When each of them is over."""
        return [hold.deadline() for hold in self.holds.values()] + [one.deadline for one in self.vended.values()]

    def held(self, name: str) -> Judged:
        """What the gate made of the calls of an attachment's task."""
        hold = self.holds[name]
        call = ("s3:GetObject", f"{EXPORTS}/{SHARED_KEY}") if hold.is_managed else ("s3:PutObject", f"{OUT}/{hold.own_key}")
        return tries.judged(self.log, hold.task.access_key, call[0], f"arn:aws:s3:::{call[1]}")

    def passes_between(self, start: float, end: float) -> int:
        """How many passes the reaper made, by how often it looked for what its sweep could find."""
        calls = [call for call in self.log if made_by("reap", call) and call["operation"] == "ListRoles"]
        return sum(start <= instant(call["at"]) and instant(call["done_at"]) <= end for call in calls)

    def used(self, name: str) -> Judged:
        """What the gate made of the calls of a session's holder."""
        return tries.uses(self.log, PIPELINE, self.vended[name].session.access_key)


def time_to_live(enabled: bool) -> None:
    """Turns DynamoDB's own deletions on or off."""
    known = admin().describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if known != ("ENABLED" if enabled else "DISABLED"):
        wanted = {"Enabled": enabled, "AttributeName": "ttl"}
        admin().update_time_to_live(TableName=TABLE, TimeToLiveSpecification=wanted)


def lose_from_due(hold: Hold) -> None:
    """The grant is missing from the to-do list: its item stays as it is, without its place in the index."""
    admin().update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"GRANT#{hold.grant}"}, "sk": {"S": "META"}},
        UpdateExpression=f"REMOVE {', '.join(GONE_FROM_DUE)}",
        ConditionExpression="attribute_exists(due_pk)",
    )


def expire_backstop(hold: Hold) -> None:
    """Its TTL backstop expires. DynamoDB Local deletes no item that lacks an attribute of any index: it gets them all."""
    indexed = {"due_pk": "-", "next_at": "-", "identity_id": "-", "created_at": "-"}
    admin().update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"FUSE#{hold.grant}"}, "sk": {"S": "-"}},
        UpdateExpression="SET #ttl = :past, " + ", ".join(f"{name} = :{name}" for name in indexed),
        ConditionExpression="attribute_exists(#ttl)",
        ExpressionAttributeNames={"#ttl": "ttl"},
        ExpressionAttributeValues={
            ":past": {"N": str(int(time.time()) - 5)},
            **{f":{name}": {"S": value} for name, value in indexed.items()},
        },
    )


def backstop_is_gone(hold: Hold) -> bool:
    """Whether the grant has no TTL backstop any more."""
    key = {"pk": {"S": f"FUSE#{hold.grant}"}, "sk": {"S": "-"}}
    return "Item" not in admin().get_item(TableName=TABLE, Key=key, ConsistentRead=True)


def removals(hold: Hold) -> list[dict[str, Any]]:
    """Who removed its TTL backstop, as the table's stream tells; read past the gate, as Lambda's pollers do."""
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
                      and record["dynamodb"]["Keys"]["pk"]["S"] == f"FUSE#{hold.grant}"]  # fmt: skip
            iterator = page["NextShardIterator"] if page["Records"] else None
    return found


def heartbeat() -> str:
    """What the reaper last wrote of its own good passes."""
    (found,) = (item["body"] for item in store.items() if item["pk"] == "HEART#reap")
    return found


class Course:
    """Takes everything down, waits, and brings it back, in this order. What it saw is in `seen`."""

    def __init__(self, world: World, tasks: Tasks) -> None:
        self._world, self._tasks = world, tasks
        self.seen = Stillness()

    def run(self) -> Stillness:
        """The whole course; whatever happens, everything runs in the end as it did before."""
        try:
            # What expires later is looked for from then on, not at the end of a look round the table that began before.
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
        """Begins the grants and takes everything down before the first deadline; with more time, if that was missed."""
        for times in range(TIMES_TRIED):
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
        raise AssertionError(f"everything was to be down before the first deadline, with a term of {TERM_S * 2**times} s")

    def _begin(self, term_s: int) -> None:
        gate.disarm()
        # Both are looked for in what was recorded: that of the policy and that of the session.
        strike("no-time-limit", "naked", "issue", "strip_time_limit", "PutRolePolicy", times=2)
        with ThreadPoolExecutor(len(PRINCIPALS)) as pool:
            asked = pool.map(lambda principal: self._tasks.ask(principal, term_s=term_s), PRINCIPALS.values())
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
        """Nothing is done by anybody but AWS, until every deadline is over and DynamoDB has deleted the backstop."""
        seen = self.seen
        lose_from_due(seen.holds["backstop"])
        expire_backstop(seen.holds["backstop"])
        time_to_live(enabled=True)
        sleep_until(max(seen.deadlines()))
        # Each has been tried after its deadline.
        for hold in seen.holds.values():
            hold.use()
        for one in seen.vended.values():
            PIPELINE.use(one.session)
        seen.states = {name: hold.show()["state"] for name, hold in seen.holds.items()}
        seen.states |= {f"{name} session": self._world.show(PIPELINE, one.grant)["state"] for name, one in seen.vended.items()}
        seen.stood = {name: hold.stands for name, hold in seen.holds.items()}
        restart("issue")
        seen.fetched = self._world.fetch(PIPELINE, seen.vended["guarded"].grant).status
        # DynamoDB Local looks at twenty items, then rests for ten seconds.
        within_s = PATIENCE_S + len(store.items())
        until(lambda: backstop_is_gone(seen.holds["backstop"]), "DynamoDB deletes the backstop", within_s=within_s, every_s=1)
        seen.backstop_gone_at = time.time()
        seen.removals = removals(seen.holds["backstop"])

    # ----------------------------------------------------------------------------------------------- coming back
    def _by_standby_ticks(self) -> None:
        """The reaper hears its standby ticks again, blind to what its sweep would find; then the stream; then it sees."""
        seen = self.seen
        with runner.settings("reap", BREVET_ECHO_AFTER_S=str(AFTER_S)):
            seen.back_at = time.time()
            gate.arm(BLIND)
            # The control: with nobody to call it, it does nothing by itself.
            seen.holds["standby"].use()
            seen.standby_at = time.time()
            runner.turn("echo", True, "reap")
            seen.holds["standby"].await_state("Ended")
            # Passes that had begun before do not count.
            before = gate.fired()["blind"] + 2
            until(lambda: gate.fired()["blind"] >= before + 2, "two more passes by standby ticks")
            seen.holds["backstop"].use()
            seen.stream_at = time.time()
            runner.turn("pump", True, "reap")
            seen.holds["backstop"].await_state("Revoking", "Ended")
            seen.holds["backstop"].await_use("denied")
            seen.holds["backstop"].await_state("Ended")
            gate.disarm()
            self._goes_on_being_issued()
            seen.on_meanwhile = [driver for driver in runner.DRIVERS if runner.is_on(driver, "reap")]

    def _goes_on_being_issued(self) -> None:
        seen, beats = self.seen, [heartbeat()]

        def has_moved() -> bool:
            beats.extend(beat for beat in (heartbeat(),) if beat != beats[-1])
            return len(beats) >= 4

        until(has_moved, "three heartbeats while the schedule stands still")
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

