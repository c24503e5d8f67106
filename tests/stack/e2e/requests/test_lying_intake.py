"""A compromised intake with exactly intake's rights: the credentials of its execution role, through the gate.

It obtains nothing. The administrator repeats each denied write on unused keys, which shows that intake's rights stop
the call and not a mistake in it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from observer import runner, store
from observer.aws import Seen, Session
from observer.client import new_key
from observer.tokens import Forge
from observer.store import TABLE
from observer.world import APPROVER, ONCALL, PIPELINE, World

from lives import LONG_S, Lives
from intake import ask_record, forget, invoke, put, records

NOBODY = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV"
# Items that only other functions may write: decisions, grants, evidence, activations, sponsors, blocks, denies,
# holders, backstops, the heartbeat, the bundle, revocations and their progress.
FORBIDDEN = [
    ("DECISION#{}", "-"), ("GRANT#{}", "META"), ("GRANT#{}", "EVD#000001"), ("ACT#{}", "-"), ("SPONSOR#{}", "HOLDINGS"),
    ("BLOCK#all", "-"), ("BLOCK#identity/{}", "-"), ("DENY#{}", "-"), ("HOLDERS#{}", "-"), ("BACKSTOP#{}", "-"),
    ("HEARTBEAT#reap", "-"), ("BUNDLE#current", "-"), ("REVOCATION#latest", "all"), ("PROGRESS#all", "-"),
]  # fmt: skip


@pytest.fixture(scope="module")
def liar(world: World) -> Session:
    return Session.assumed(runner.role_arn("intake"), "brevet-dev-intake")


@pytest.fixture(scope="module")
def admin() -> Session:
    return Session.admin()


def new_id() -> str:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int(new_key()[2:], 16)
    return "grt_01" + "".join(alphabet[(number >> (5 * place)) & 31] for place in range(24))


@pytest.mark.parametrize(("pk", "sk"), FORBIDDEN, ids=[pk.split("#")[0] + "#" + sk for pk, sk in FORBIDDEN])
def test_lying_intake_cannot_write_others_records(liar: Session, admin: Session, pk: str, sk: str) -> None:
    key, scratch = pk.format(NOBODY), pk.split("#")[0] + "#scratch"
    seen = put(liar, key, sk)
    assert seen.outcome == "denied", str(seen)
    control = put(admin, scratch, sk)
    forget(admin, scratch, sk)
    assert control.outcome == "allowed", str(control)


def test_lying_intake_writes_its_own_records(liar: Session, admin: Session) -> None:
    """The other control: the same session and call on the keys that intake may write."""
    for pk in ("REQUEST#scratch", "IDEM#scratch", "BLOCK#grant/scratch"):
        seen = put(liar, pk, "-")
        assert seen.outcome == "allowed", str(seen)
        forget(admin, pk, "-")


@pytest.mark.parametrize("kind", ["update", "delete", "transaction", "scan", "batch"])
def test_lying_intake_cannot_write_by_other_calls(liar: Session, admin: Session, kind: str) -> None:
    def call(session: Session, name: str) -> Seen:
        client, key = session.client("dynamodb"), {"pk": {"S": f"GRANT#{name}"}, "sk": {"S": "META"}}
        calls = {
            "update": lambda: client.update_item(
                TableName=TABLE, Key=key, UpdateExpression="SET #s = :s",
                ExpressionAttributeNames={"#s": "state"}, ExpressionAttributeValues={":s": {"S": "Active"}},
            ),
            "delete": lambda: client.delete_item(TableName=TABLE, Key=key),
            "transaction": lambda: client.transact_write_items(
                TransactItems=[
                    {"Put": {"TableName": TABLE, "Item": {"pk": {"S": f"REQUEST#{name}"}, "sk": {"S": "-"}}}},
                    {"Put": {"TableName": TABLE, "Item": key}},
                ]
            ),
            "scan": lambda: client.scan(TableName=TABLE, Limit=1),
            "batch": lambda: client.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": key}}]}),
        }  # fmt: skip
        return session.probe(kind, calls[kind])

    seen = call(liar, NOBODY)
    assert seen.outcome == "denied", str(seen)
    control = call(admin, "scratch")
    forget(admin, "GRANT#scratch", "META")
    forget(admin, "REQUEST#scratch", "-")
    assert control.outcome == "allowed", str(control)


def test_lying_intake_cannot_rewind_an_ended_grant(world: World, lives: Lives, liar: Session) -> None:
    grant, active = lives.given_back, lives.when_active
    world.await_state(PIPELINE, grant, "Ended")
    ended = next(i for i in store.items() if i["pk"] == f"GRANT#{grant}" and i["sk"] == "META")
    rewound = {"body": {"S": active["body"]}, "state": {"S": "Active"}, "version": {"N": str(ended["version"] + 1)}}
    assert put(liar, f"GRANT#{grant}", "META", **rewound).outcome == "denied"
    assert world.show(PIPELINE, grant)["state"] == "Ended"
    # The release mark cannot be deleted either, so even a grant that reads Active would vend nothing.
    seen = liar.probe("DeleteItem", lambda: forget(liar, f"BLOCK#grant/{grant}", "-"))
    assert seen.outcome == "denied", str(seen)
    fetched = world.fetch(PIPELINE, grant)
    assert (fetched.status, fetched.problem) == (410, "over"), str(fetched)


def test_lying_intake_cannot_assume_session_roles(liar: Session, admin: Session) -> None:
    for role in ("release-deploy", "agent-secret", "oncall-read"):
        def call(session: Session, role: str = role) -> Seen:
            client, arn = session.client("sts"), runner.role_arn(role)
            return session.probe("AssumeRole", lambda: client.assume_role(RoleArn=arn, RoleSessionName="dev.liar"))

        assert call(liar).outcome == "denied", role
        assert call(admin).outcome == "allowed", role


def test_lying_intake_cannot_change_roles(liar: Session, admin: Session) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    admin.client("iam").create_role(RoleName="scratch", AssumeRolePolicyDocument=trust)

    def call(session: Session, role: str) -> Seen:
        put_policy = session.client("iam").put_role_policy
        return session.probe(role, lambda: put_policy(RoleName=role, PolicyName="more", PolicyDocument=document))

    for role in ("brevet-dev-intake", "brevet-dev-issue", "brevet-dev-release-deploy", "scratch"):
        assert call(liar, role).outcome == "denied", role
    assert call(admin, "scratch").outcome == "allowed"


def test_lying_intake_invokes_only_the_evaluator(liar: Session) -> None:
    for function in ("issue", "reap", "intake"):
        seen, _ = invoke(liar, function, {})
        assert seen.outcome == "denied", str(seen)
    # The control: the same session and call on the only function that intake may invoke.
    seen, answer = invoke(liar, "evaluate", {"evaluate": {"id": NOBODY, "proof": "nothing"}})
    assert seen.outcome == "allowed", str(seen)
    assert "decided" not in json.dumps(answer).lower() or "problem" in json.dumps(answer).lower(), answer


@pytest.mark.parametrize("proof", ["none", "unsigned", "own key", "hmac", "for credentials"])
def test_a_forged_request_without_a_proof_is_not_decided(world: World, liar: Session, proof: str) -> None:
    grant = new_id()
    assert put(liar, f"REQUEST#{grant}", "-", **ask_record(grant, PIPELINE.body)).outcome == "allowed"
    forge: Forge = world.forge
    made = {
        "none": "",
        "unsigned": forge.unsigned(PIPELINE.identity, world.ask_audience),
        "own key": forge.signed_by_another_key(PIPELINE.identity, world.ask_audience),
        "hmac": forge.hmac_signed(PIPELINE.identity, world.ask_audience),
        "for credentials": world.credentials_token(PIPELINE.identity),
    }[proof]
    invoke(liar, "evaluate", {"evaluate": {"id": grant, "proof": made}})
    assert store.keys(f"DECISION#{grant}", f"GRANT#{grant}") == set()


def test_captured_token_requests_only_for_its_own_identity(world: World, liar: Session) -> None:
    """A token that intake saw proves only its own identity for a forged request."""
    captured = world.token(PIPELINE.identity)
    grant = new_id()
    body = {"entitlement": "read-orders-table", "parameters": {}, "ticket": "INC-1"}
    assert put(liar, f"REQUEST#{grant}", "-", **ask_record(grant, body)).outcome == "allowed"
    invoke(liar, "evaluate", {"evaluate": {"id": grant, "proof": captured}})
    assert store.snapshot().grants[grant]["identity"] == PIPELINE.identity
    assert world.show(PIPELINE, grant)["state"] == "Denied"
    assert world.api.show(world.token(ONCALL.identity), grant).status == 404


def test_a_captured_token_fetches_no_credentials(world: World) -> None:
    captured = world.token(PIPELINE.identity)
    grant = world.approved(PIPELINE)
    fetched = world.api.credentials(captured, grant)
    assert (fetched.status, fetched.problem) == (401, "unauthenticated"), str(fetched)
    assert store.keys(f"ACT#{grant}") == set()
    # The control: the holder's credentials token, which intake never sees.
    assert world.fetch(PIPELINE, grant).status == 200


def test_a_captured_token_does_not_vote(world: World, liar: Session) -> None:
    """Intake may invoke the evaluator with a forged vote, but it never holds a token for voting."""
    asked = world.ask(ONCALL).body
    captured = world.token(APPROVER)
    ballot = {"approve": True, "digest": asked["digest"]}
    event = vote_event(asked["id"], captured, ballot)
    seen, answer = invoke(liar, "evaluate", event)
    assert seen.outcome == "allowed" and answer["statusCode"] == 401, f"{seen} {answer}"
    assert world.show(ONCALL, asked["id"])["state"] == "ApprovalAwaited"
    # The control: the same event counts with a token for voting, which intake never sees.
    _, answer = invoke(liar, "evaluate", vote_event(asked["id"], world.vote_token(APPROVER), ballot))
    assert answer["statusCode"] == 200, answer
    assert world.show(ONCALL, asked["id"])["state"] == "Approved"


def vote_event(grant: str, token: str, ballot: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/grants/{grant}/approvals"
    return {
        "version": "2.0",
        "routeKey": "POST /v1/grants/{id}/approvals",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"authorization": f"Bearer {token}", "content-type": "application/json"},
        "pathParameters": {"id": grant},
        "requestContext": {
            "accountId": "000000000000", "apiId": "local", "stage": "$default", "requestId": "r", "domainName": "localhost",
            "domainPrefix": "localhost", "routeKey": "POST /v1/grants/{id}/approvals", "time": "22/Nov/2026:00:00:00 +0000",
            "timeEpoch": 0,
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "liar"},
        },
        "body": json.dumps(ballot),
        "isBase64Encoded": False,
    }  # fmt: skip


def test_a_request_changed_after_its_decision_changes_nothing(world: World, liar: Session) -> None:
    grant = world.approved(PIPELINE, term_s=LONG_S)
    wider = ask_record(grant, {"entitlement": "deploy-release", "parameters": {"version": "v1.4.3"}, "term_s": 600})
    assert put(liar, f"REQUEST#{grant}", "-", **wider).outcome == "allowed"
    session = world.session(PIPELINE, grant)
    assert PIPELINE.use(session).outcome == "allowed"
    assert PIPELINE.use_neighbour(session).outcome == "denied"
    view = world.show(PIPELINE, grant)
    assert view["term_s"] == LONG_S and "request" not in view
    assert world.release(PIPELINE, grant).status == 202


def test_a_replayed_request_of_an_ended_grant_gives_nothing(world: World, liar: Session) -> None:
    """One decision, one activation: a repeated evaluation does not revive a grant that is over."""
    token = world.token(PIPELINE.identity)
    asked = world.api.ask(token, PIPELINE.body)
    grant = asked.body["id"]
    assert world.release(PIPELINE, grant).status == 202
    world.await_state(PIPELINE, grant, "Withdrawn")
    before = records()
    assert put(liar, f"REQUEST#{grant}", "-", **ask_record(grant, PIPELINE.body)).outcome == "allowed"
    invoke(liar, "evaluate", {"evaluate": {"id": grant, "proof": token}})
    assert records() == before
    assert world.show(PIPELINE, grant)["state"] == "Withdrawn"
    assert world.fetch(PIPELINE, grant).status == 410
