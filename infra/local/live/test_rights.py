"""Each function's rights, tried for real: its role's credentials, the gate's enforcement, plain boto3 as the observer.

Needs the stack up to the gate (`stack.py up --without functions,driver`). The matrix is written out here and not read
from the template: it is the design's table, and the template must grant exactly that.
"""

import json
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from brevet_local import places, stack

FACTS = stack.facts()
TABLE = FACTS["table"]["name"]
DEPLOYMENT = FACTS["deployment"]
FUNCTIONS = ("intake", "evaluate", "issue", "reap")

# r read, p put, u update, d delete; by leading key, in the order of FUNCTIONS.
RIGHTS = {
    "REQUEST#t": ("rp", "r", "", ""),
    "IDEM#t#t": ("rp", "", "", ""),
    "GRANT#t": ("r", "rpu", "rpu", "rpu"),
    "DECISION#t": ("r", "rpu", "r", "r"),
    "SPONSOR#t": ("", "rpu", "", ""),
    "ACT#t": ("", "", "rp", "r"),
    "FUSE#t": ("", "", "p", "rd"),
    "BLOCK#grant/t": ("p", "rpu", "r", "r"),
    "BLOCK#all": ("", "rpu", "r", "r"),
    "DENY#t": ("", "", "", "rpud"),
    "COUNT#t": ("", "", "pu", "rpud"),
    "HEART#t": ("r", "", "r", "rpu"),
    "BUNDLE#t": ("r", "r", "r", "r"),
    "OTHER#t": ("", "", "", ""),
}


def client(service, credentials=None, patience_s=60):
    keys = credentials or {"AccessKeyId": places.BOOTSTRAP_KEY, "SecretAccessKey": places.BOOTSTRAP_SECRET}
    return boto3.client(
        service,
        endpoint_url=places.url("gate"),
        region_name=places.REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
        config=Config(retries={"total_max_attempts": 1}, read_timeout=patience_s),
    )


@pytest.fixture(scope="module")
def credentials():
    roles = {one["id"]: one["role_arn"] for one in FACTS["functions"]}
    sts = client("sts")
    return {name: sts.assume_role(RoleArn=arn, RoleSessionName="rights")["Credentials"] for name, arn in roles.items()}


def denied(call, **arguments):
    """Whether the call was refused for lack of rights; any other answer, also an error, means that it got through."""
    try:
        call(**arguments)
    except ClientError as problem:
        return problem.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    except ReadTimeoutError:
        # The gate refuses at once: what waits got through to somebody who does not answer.
        return False
    return False


def item_calls(dynamodb, pk):
    key = {"pk": {"S": pk}, "sk": {"S": "-"}}
    change = {
        "UpdateExpression": "SET #b = :b",
        "ExpressionAttributeNames": {"#b": "body"},
        "ExpressionAttributeValues": {":b": {"S": "x"}},
    }
    query = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": pk}}}
    return {
        "r": [
            (dynamodb.get_item, {"TableName": TABLE, "Key": key, "ConsistentRead": True}),
            (dynamodb.query, {"TableName": TABLE, **query}),
        ],
        "p": [
            (dynamodb.put_item, {"TableName": TABLE, "Item": key}),
            (dynamodb.transact_write_items, {"TransactItems": [{"Put": {"TableName": TABLE, "Item": key}}]}),
        ],
        "u": [(dynamodb.update_item, {"TableName": TABLE, "Key": key, **change})],
        "d": [(dynamodb.delete_item, {"TableName": TABLE, "Key": key})],
    }


@pytest.mark.parametrize("pk", RIGHTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_a_function_reaches_exactly_its_items(credentials, name, pk):
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
def test_a_transaction_is_allowed_only_if_every_item_is(credentials, name):
    ours, foreign = {"intake": ("REQUEST#t", "GRANT#t"), "evaluate": ("DECISION#t", "ACT#t")}.get(
        name, ("GRANT#t", "DECISION#t")
    )
    puts = [{"Put": {"TableName": TABLE, "Item": {"pk": {"S": pk}, "sk": {"S": "tx"}}}} for pk in (ours, foreign)]
    write = client("dynamodb", credentials[name]).transact_write_items
    assert not denied(write, TransactItems=puts[:1])
    assert denied(write, TransactItems=puts)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scan_is_nobodys_and_each_index_has_one_reader(credentials, name):
    dynamodb = client("dynamodb", credentials[name])
    assert denied(dynamodb.scan, TableName=TABLE)
    for index, attribute, reader in (("due", "due_pk", "reap"), ("by_identity", "identity_id", "intake")):
        query = {"KeyConditionExpression": f"{attribute} = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}
        assert denied(dynamodb.query, TableName=TABLE, IndexName=index, **query) == (name != reader), index
        assert denied(dynamodb.scan, TableName=TABLE, IndexName=index)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_only_issue_vends_session_roles_and_nobody_a_functions(credentials, name):
    sts = client("sts", credentials[name])
    session = {"RoleSessionName": f"{DEPLOYMENT}.t", "SourceIdentity": "tt", "Tags": [{"Key": "brevet:grant", "Value": "t"}]}
    roles = {one["path"].split("/")[-2]: one["arn"] for one in FACTS["roles"]}
    assert denied(sts.assume_role, RoleArn=roles["session"], **session) == (name != "issue")
    assert denied(sts.assume_role, RoleArn=roles["function"], **session)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_invariant_08_only_reap_writes_on_session_roles_and_nobody_elsewhere(credentials, name):
    iam = client("iam", credentials[name])
    deny = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})
    session = f"brevet-{DEPLOYMENT}-agent-secret"
    policy = {"RoleName": session, "PolicyName": "rights-test"}
    not_reap = name != "reap"
    assert denied(iam.put_role_policy, **policy, PolicyDocument=deny) == not_reap
    assert denied(iam.get_role_policy, **policy) == not_reap
    assert denied(iam.delete_role_policy, **policy) == not_reap
    assert denied(iam.attach_role_policy, RoleName=session, PolicyArn=FACTS["policies"][0]["arn"])
    assert denied(iam.update_assume_role_policy, RoleName=session, PolicyDocument=deny)
    for one in FUNCTIONS:
        own = {"RoleName": f"brevet-{DEPLOYMENT}-{one}", "PolicyName": "rights-test"}
        assert denied(iam.put_role_policy, **own, PolicyDocument=deny)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_intake_invokes_and_only_evaluate(credentials, name):
    # No function runs here: an invocation that is let through waits in vain.
    invoke = client("lambda", credentials[name], patience_s=8).invoke
    for target in FUNCTIONS:
        refused = denied(invoke, FunctionName=f"brevet-{DEPLOYMENT}-{target}", Payload=b"{}")
        assert refused == ((name, target) != ("intake", "evaluate")), target


def test_reap_ticks_a_mark_off_and_changes_nothing_else_of_it(credentials):
    key = {"pk": {"S": "BLOCK#grant/t"}, "sk": {"S": "-"}}
    client("dynamodb").put_item(TableName=TABLE, Item={**key, "due_pk": {"S": "reap#0"}, "next_at": {"S": "1"}})
    update = client("dynamodb", credentials["reap"]).update_item
    mark = {"TableName": TABLE, "Key": key, "ConditionExpression": "attribute_exists(pk)"}
    assert denied(update, **mark, UpdateExpression="REMOVE due_pk, next_at, #t", ExpressionAttributeNames={"#t": "ttl"})
    assert denied(
        update, **mark, UpdateExpression="SET why = :w", ExpressionAttributeValues={":w": {"S": "never mind"}}
    )
    assert not denied(update, **mark, UpdateExpression="REMOVE due_pk, next_at")


def test_control_without_the_leading_keys_the_observer_sees_the_denial_gone(credentials):
    iam, dynamodb = client("iam"), client("dynamodb", credentials["intake"])
    table = {"RoleName": f"brevet-{DEPLOYMENT}-intake", "PolicyName": "table"}
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
