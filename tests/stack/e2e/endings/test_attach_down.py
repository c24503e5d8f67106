"""Nobody is there to end anything: AWS ends an inline attachment at its deadline, and DynamoDB itself calls the reaper.

Both functions of attachments are dead and nothing ticks. Beside each protection runs its control, without it.
"""

from __future__ import annotations

import os
import time
from typing import Any

import boto3
import pytest

from observer import gate, runner, store
from observer.store import TABLE, admin
from observer.world import sleep_until

from attachments import Hold, Tasks
from doomed import Doomed, time_to_live
from faulting import restart

GONE_FROM_DUE = ("due_pk", "next_at")
# DynamoDB Local looks at twenty items, then rests for ten seconds; and a table of a young suite is small.
BURNS_WITHIN_S = 240


def lose_from_due(hold: Hold) -> None:
    """The grant is missing from the to-do list: its item stays as it is, without its place in the index."""
    admin().update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"GRANT#{hold.grant}"}, "sk": {"S": "META"}},
        UpdateExpression=f"REMOVE {', '.join(GONE_FROM_DUE)}",
        ConditionExpression="attribute_exists(due_pk)",
    )


def light(hold: Hold) -> None:
    """Its fuse has burnt down. DynamoDB Local deletes no item that lacks an attribute of any index: it gets them all."""
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


def burnt(hold: Hold) -> bool:
    return not any(item["pk"] == f"FUSE#{hold.grant}" for item in store.items())


def removals(hold: Hold) -> list[dict[str, Any]]:
    """Who removed its fuse, as the table's stream tells; read past the gate, as Lambda's pollers do."""
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


@pytest.fixture(scope="module")
def doomed(tasks: Tasks) -> Doomed:
    """Grants that run to their deadlines while there is nobody to end them."""
    return Doomed(tasks)


@pytest.fixture(scope="module")
def left(doomed: Doomed) -> dict[str, Hold]:
    """What stands when issue and reap are dead, and neither a clock nor the stream calls them."""
    holds = doomed.while_they_live()
    for driver in runner.DRIVERS:
        runner.stack(driver, "off")
    for function in ("issue", "reap"):
        runner.stack("kill", function)
        assert not runner.pids(function)
    assert time.time() < doomed.first_deadline() - 1, "everything was to be down before the first deadline"
    return holds


def test_an_inline_attachment_stops_at_its_deadline_by_itself_and_without_its_time_limit_it_does_not(
    doomed: Doomed, left: dict[str, Hold]
) -> None:
    guarded, naked = left["down"], left["naked"]
    for hold in (guarded, naked):
        assert hold.use().outcome == "allowed"
    sleep_until(doomed.last_deadline() + 0.5)
    assert guarded.use().outcome == "denied"
    # The observer turns red where the protection is gone.
    assert naked.use().outcome == "allowed"
    # Nobody but AWS did it: both policies stand, and both grants read Active.
    assert guarded.stands and naked.stands
    assert [hold.show()["state"] for hold in (guarded, naked)] == ["Active", "Active"]


def test_dynamodb_s_own_deletion_of_a_fuse_calls_the_reaper_and_without_the_stream_nothing_ends(
    left: dict[str, Hold],
) -> None:
    hold = left["fuse"]
    assert not any(runner.is_on(driver, "reap") for driver in runner.DRIVERS)
    restart("reap")
    lose_from_due(hold)
    light(hold)
    time_to_live(enabled=True)
    until = time.monotonic() + BURNS_WITHIN_S
    while not burnt(hold):
        assert time.monotonic() < until, "DynamoDB did not delete the fuse"
        time.sleep(1)
    # The control: the deletion alone ends nothing, and no tick finds the grant whose sweep is blind.
    blind = {"id": "blind", "service": "iam", "operation": "ListRoles", "principal": "brevet-dev-reap", "kind": "refuse", "times": 100}
    with gate.faults(blind):
        runner.stack("tick", "once", "reap")
    assert (hold.show()["state"], hold.use().outcome) == ("Active", "allowed")
    (removed,) = removals(hold)
    identity = {name.lower(): value for name, value in removed["userIdentity"].items()}
    assert identity == {"type": "Service", "principalid": "dynamodb.amazonaws.com"}, removed
    # The test: the stream is read again, and the clock still stands still.
    runner.stack("pump", "on", "reap")
    hold.await_state("Revoking", "Ended", within_s=60)
    hold.await_use("denied")
    assert not runner.is_on("tick", "reap")
    # It is on the list again: whatever comes next finds it.
    runner.stack("tick", "on", "reap")
    hold.ended("deadline")
    assert hold.events().count("DeadlinePassed") == 1
    (passed,) = (one for one in store.snapshot().evidence[hold.grant] if one["event"] == "DeadlinePassed")
    assert passed["detail"]["with"] == {"found_by": "fuse"}, "its evidence says what led to its end"


def test_what_was_left_lying_meanwhile_is_cleaned_up(left: dict[str, Hold]) -> None:
    restart("issue")
    for driver in runner.DRIVERS:
        runner.stack(driver, "on")
    for name in ("down", "naked"):
        hold = left[name]
        if name == "naked":
            # What it did past its deadline is what the control showed.
            hold.allowed_at.clear()
        assert hold.ended("deadline")["ended_by"] == "time_limit"
