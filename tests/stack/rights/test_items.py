"""Each function's rights on the table, tried with real calls under its own role.

The matrix is the design's table and not read from the template: the template must grant exactly these rights.
"""

from __future__ import annotations

import json

import pytest
from enforcement import STANDBY, FUNCTIONS, OTHER, TABLE, client, denied, role

# r read, p put, c check in a transaction, u update, d delete; by leading key, in the order of FUNCTIONS.
RIGHTS = {
    "REQUEST#t": ("rp", "r", "", "", ""),
    "IDEM#t#t": ("rp", "", "", "", ""),
    "GRANT#t": ("r", "rp", "rp", "rp", ""),
    "DECISION#t": ("r", "rp", "r", "r", ""),
    "SPONSOR#t": ("", "rpc", "", "", ""),
    "DELEGATION#t": ("", "rpc", "", "", ""),
    "REVIEW#t": ("", "rpd", "", "", ""),
    "ACT#t": ("", "", "rp", "r", ""),
    "BACKSTOP#t": ("", "", "p", "rd", ""),
    "BLOCK#grant/t": ("p", "rp", "r", "r", ""),
    "BLOCK#all": ("", "rpd", "r", "r", ""),
    "BLOCK#identity/t": ("", "rpd", "r", "r", ""),
    "BLOCK#sponsor/t": ("", "rpd", "r", "r", ""),
    "BLOCK#class/t": ("", "rpd", "r", "r", ""),
    "BLOCK#entitlement/t": ("", "rpd", "r", "r", ""),
    "BLOCK#account/t": ("", "rpd", "r", "r", ""),
    "REVOCATION#all": ("", "rp", "", "", ""),
    "REVOCATION#latest": ("", "rp", "", "r", ""),
    "PROGRESS#t": ("", "r", "", "rp", ""),
    "DENY#t": ("", "", "", "rpd", ""),
    "HOLDERS#t": ("", "", "rp", "rpd", ""),
    "HEARTBEAT#t": ("r", "r", "r", "rp", ""),
    "BUNDLE#t": ("r", "r", "r", "r", ""),
    "FINDING#t": ("", "", "", "rp", ""),
    "DRILL#t": ("", "", "", "r", "rp"),
    "TABLE#confirmed": ("", "", "r", "r", ""),
    "OTHER#t": ("", "", "", "", ""),
}

# The functions that read each list of an index.
LISTS = {
    ("due", "due_pk", "reap#0"): {"reap"},
    ("due", "due_pk", "issue#0"): {"issue", "reap"},
    ("due", "due_pk", "rotate#0"): {"reap"},
    ("due", "due_pk", "deny"): {"reap"},
    ("due", "due_pk", "review"): {"evaluate", "reap"},
    ("due", "due_pk", "other#0"): set(),
    ("by_identity", "identity_id", "somebody"): {"intake"},
}


def item_calls(dynamodb, pk, table=TABLE):
    key = {"pk": {"S": pk}, "sk": {"S": "-"}}
    change = {
        "UpdateExpression": "SET #b = :b",
        "ExpressionAttributeNames": {"#b": "body"},
        "ExpressionAttributeValues": {":b": {"S": "x"}},
    }
    check = {"TableName": table, "Key": key, "ConditionExpression": "attribute_exists(pk) OR attribute_not_exists(pk)"}
    query = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": pk}}}
    return {
        "r": [
            (dynamodb.get_item, {"TableName": table, "Key": key, "ConsistentRead": True}),
            (dynamodb.query, {"TableName": table, **query}),
        ],
        "p": [
            (dynamodb.put_item, {"TableName": table, "Item": key}),
            (dynamodb.transact_write_items, {"TransactItems": [{"Put": {"TableName": table, "Item": key}}]}),
        ],
        "c": [(dynamodb.transact_write_items, {"TransactItems": [{"ConditionCheck": check}]})],
        "u": [(dynamodb.update_item, {"TableName": table, "Key": key, **change})],
        "d": [(dynamodb.delete_item, {"TableName": table, "Key": key})],
    }


@pytest.mark.parametrize("pk", RIGHTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_function_reaches_exactly_its_items(credentials, name, pk):
    allowed = RIGHTS[pk][FUNCTIONS.index(name)]
    calls = item_calls(client("dynamodb", credentials[name]), pk)
    wrong = [
        f"{call.__name__} {'allowed' if right not in allowed else 'denied'}"
        for right, tried in calls.items()
        for call, arguments in tried
        if denied(call, **arguments) == (right in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_cannot_reach_the_table_of_another_deployment(credentials, name):
    dynamodb = client("dynamodb", credentials[name])
    for pk in ("GRANT#t", "REQUEST#t", "DECISION#t", "DENY#t"):
        for tried in item_calls(dynamodb, pk, f"brevet-{OTHER}").values():
            assert all(denied(call, **arguments) for call, arguments in tried), pk


@pytest.mark.parametrize("name", FUNCTIONS)
def test_standby_table_allows_only_reaps_own_tick_to_be_put(credentials, name):
    dynamodb = client("dynamodb", credentials[name])
    key = {"TableName": STANDBY, "Key": {"pk": {"S": "STANDBY#reap"}}}
    assert denied(dynamodb.put_item, TableName=STANDBY, Item=key["Key"]) == (name != "reap")
    assert denied(dynamodb.put_item, TableName=STANDBY, Item={"pk": {"S": "STANDBY#another"}})
    assert denied(dynamodb.get_item, **key) and denied(dynamodb.delete_item, **key)
    assert denied(dynamodb.scan, TableName=STANDBY) and denied(dynamodb.describe_table, TableName=STANDBY)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_transaction_is_allowed_only_if_every_item_is(credentials, name):
    ours, foreign = {
        "intake": ("REQUEST#t", "GRANT#t"), "evaluate": ("DECISION#t", "ACT#t"), "drill": ("DRILL#t", "GRANT#t"),
    }.get(name, ("GRANT#t", "DECISION#t"))  # fmt: skip
    puts = [{"Put": {"TableName": TABLE, "Item": {"pk": {"S": pk}, "sk": {"S": "tx"}}}} for pk in (ours, foreign)]
    write = client("dynamodb", credentials[name]).transact_write_items
    assert not denied(write, TransactItems=puts[:1])
    assert denied(write, TransactItems=puts)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_cannot_scan_and_each_index_list_has_its_readers(credentials, name):
    dynamodb = client("dynamodb", credentials[name])
    assert denied(dynamodb.scan, TableName=TABLE)
    for (index, attribute, value), readers in LISTS.items():
        query = {"KeyConditionExpression": f"{attribute} = :v", "ExpressionAttributeValues": {":v": {"S": value}}}
        assert denied(dynamodb.query, TableName=TABLE, IndexName=index, **query) == (name not in readers), value
        assert denied(dynamodb.query, TableName=f"brevet-{OTHER}", IndexName=index, **query), value
        assert denied(dynamodb.scan, TableName=TABLE, IndexName=index)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_issue_and_reap_describe_the_table(credentials, name):
    describe = client("dynamodb", credentials[name]).describe_table
    assert denied(describe, TableName=TABLE) == (name not in ("issue", "reap"))
    assert denied(describe, TableName=f"brevet-{OTHER}")


def test_reap_updates_only_the_due_attributes_of_a_mark(credentials):
    key = {"pk": {"S": "BLOCK#grant/t"}, "sk": {"S": "-"}}
    client("dynamodb").put_item(TableName=TABLE, Item={**key, "due_pk": {"S": "reap#0"}, "next_at": {"S": "1"}})
    update = client("dynamodb", credentials["reap"]).update_item
    mark = {"TableName": TABLE, "Key": key, "ConditionExpression": "attribute_exists(pk)"}
    assert denied(update, **mark, UpdateExpression="REMOVE due_pk, next_at, #t", ExpressionAttributeNames={"#t": "ttl"})
    assert denied(
        update, **mark, UpdateExpression="SET why = :w", ExpressionAttributeValues={":w": {"S": "never mind"}}
    )
    assert not denied(update, **mark, UpdateExpression="REMOVE due_pk, next_at")


@pytest.mark.control
def test_control_intake_writes_decisions_once_the_leading_keys_are_removed(credentials):
    iam, dynamodb = client("iam"), client("dynamodb", credentials["intake"])
    table = {"RoleName": role("intake"), "PolicyName": "table"}
    kept = iam.get_role_policy(**table)["PolicyDocument"]
    key = {"pk": {"S": "DECISION#control"}, "sk": {"S": "-"}}
    assert denied(dynamodb.put_item, TableName=TABLE, Item=key)
    opened = json.loads(json.dumps(kept))
    for statement in opened["Statement"]:
        statement.pop("Condition", None)
    iam.put_role_policy(**table, PolicyDocument=json.dumps(opened))
    try:
        assert not denied(dynamodb.put_item, TableName=TABLE, Item=key)
    finally:
        iam.put_role_policy(**table, PolicyDocument=json.dumps(kept))
    assert denied(dynamodb.put_item, TableName=TABLE, Item=key)
