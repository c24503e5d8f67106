"""Invalid requests: the right status, a problem that says why, and no stored record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from observer.world import AGENT, ONCALL, PIPELINE, World

from intake import records

GOOD = PIPELINE.body
def changed(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def version(text: Any) -> str:
    return changed(parameters={"version": text})


MALFORMED = {
    "no JSON": "{",
    "empty body": "",
    "an array": "[]",
    "a text": '"deploy-release"',
    "two documents": json.dumps(GOOD) + "{}",
    "unknown field": changed(identity="ana"),
    "unknown field that looks like a claim": changed(principal="arn:aws:iam::000000000000:role/admin"),
    "field twice": '{"entitlement":"deploy-release","term_s":60,"term_s":600,"parameters":{"version":"v1.4.2"}}',
    "parameter twice": '{"entitlement":"deploy-release","term_s":60,"parameters":{"version":"v1.4.2","version":"v1.4.3"}}',
    "term as text": changed(term_s="60"),
    "no term": json.dumps({k: v for k, v in GOOD.items() if k != "term_s"}),
    "no entitlement": json.dumps({k: v for k, v in GOOD.items() if k != "entitlement"}),
    "entitlement as number": changed(entitlement=7),
    "parameters as list": changed(parameters=["v1.4.2"]),
    "parameter as number": version(142),
    "parameter as object": version({"v": 1}),
    "ticket as number": changed(ticket=4711),
    "nested too deep": changed(parameters={}).replace("{}", '{"version":' + "[" * 500 + "]" * 500 + "}"),
    "broken UTF-8": b'{"entitlement":"\xff\xfe"}',
}
INVALID = {
    "unknown entitlement": changed(entitlement="deploy-everything"),
    "entitlement that is not a name": changed(entitlement="../../admin"),
    "term of zero": changed(term_s=0),
    "term as fraction": changed(term_s=60.5),
    "negative term": changed(term_s=-60),
    "term below the minimum": changed(term_s=59),
    "term above the entitlement's limit": changed(term_s=601),
    "term above every limit": changed(term_s=43_201),
    "term beyond the number range": changed(term_s=10**18),
    "parameter outside its pattern": version("latest"),
    "parameter with a wildcard": version("v1.*.2"),
    "parameter that is a wildcard": version("*"),
    "parameter with a question mark": version("v1.4.?"),
    "parameter with a policy variable": version("${aws:username}"),
    "parameter with a parent path": version("v1.4.2/../v1.4.3"),
    "parameter with a line break": version("v1.4.2\n"),
    "parameter that is too long": version("v1.4." + "2" * 64),
    "parameter that is empty": version(""),
    "parameter missing": changed(parameters={}),
    "parameter that the entitlement does not have": changed(parameters={"version": "v1.4.2", "bucket": "acme-release-notes"}),
    "ticket with spaces": changed(ticket="INC 4711; drop"),
    "ticket that is empty": changed(ticket=""),
    "justification that is too long": changed(justification="x" * 1001),
}


def refused(world: World, raw: str | bytes, status: set[int], problems: set[str], **more: Any) -> str:
    before = records()
    answer = world.api.ask(world.token(PIPELINE.identity), raw=raw, **more)
    assert answer.status in status and answer.problem in problems, f"expected {status} {problems}, saw {answer}"
    assert answer.body["detail"] and answer.body["code"]
    assert records() == before, "a refused request must store no record"
    return answer.body["detail"]


def test_valid_request_is_granted_and_stored(world: World) -> None:
    """The control of every case below: the same request without its mistake."""
    before = records()
    answer = world.api.ask(world.token(PIPELINE.identity), raw=json.dumps(GOOD))
    assert answer.status == 201, str(answer)
    grant = answer.body["id"]
    new = {(pk, sk) for pk, sk in records() - before if not pk.startswith("IDEM#")}
    assert new == {(f"REQUEST#{grant}", "-"), (f"DECISION#{grant}", "-"), (f"GRANT#{grant}", "META")}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_unreadable_request_is_malformed(world: World, raw: str | bytes) -> None:
    refused(world, raw, {400}, {"malformed"})


@pytest.mark.parametrize("raw", INVALID.values(), ids=INVALID.keys())
def test_invalid_request_is_refused(world: World, raw: str) -> None:
    # A number that cannot be a term may be refused as malformed or as invalid.
    refused(world, raw, {400, 422}, {"invalid", "malformed"})


@pytest.mark.parametrize(("field", "expected"), [("term_s", "60"), ("parameters", "version"), ("entitlement", "deploy-everything")])
def test_problem_detail_names_the_wrong_value(world: World, field: str, expected: str) -> None:
    wrong = {"term_s": 0, "parameters": {"version": "latest"}, "entitlement": "deploy-everything"}
    detail = refused(world, changed(**{field: wrong[field]}), {400, 422}, {"invalid", "malformed"})
    assert expected in detail


def test_too_large_body_is_refused(world: World) -> None:
    for size in (17_000, 2_000_000):
        refused(world, changed(justification="x" * size), {413}, {"too-large"})


def test_another_media_type_is_refused(world: World) -> None:
    refused(world, json.dumps(GOOD), {415}, {"unsupported-media"}, headers={"Content-Type": "text/xml"})


@pytest.mark.parametrize("key", ["", "with space", "x" * 65, "ümlaut".encode().decode("latin-1"), "a/b"])
def test_malformed_idempotency_key_is_refused(world: World, key: str) -> None:
    refused(world, json.dumps(GOOD), {400}, {"malformed"}, headers={"Idempotency-Key": key.encode("latin-1")})


def test_missing_idempotency_key_is_refused(world: World) -> None:
    before = records()
    answer = world.api.call("POST", "/v1/grants", world.token(PIPELINE.identity), raw=json.dumps(GOOD))
    assert (answer.status, answer.problem) == (400, "malformed"), str(answer)
    assert records() == before


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "sort=up", "limit=5&limit=6", "cursor=%00", "cursor=made-up"])
def test_invalid_query_is_refused(world: World, query: str) -> None:
    answer = world.api.call("GET", f"/v1/grants?{query}", world.token(PIPELINE.identity))
    expected = (422, "invalid") if query.startswith("cursor") else (400, "malformed")
    assert (answer.status, answer.problem) == expected, str(answer)


@pytest.mark.parametrize("grant", ["x", "grt_", "grt_01ARZ3NDEKTSV4RRFFQ69G5FA", "GRT_01ARZ3NDEKTSV4RRFFQ69G5FAV", "grt_..%2f..", "%00"])
@pytest.mark.parametrize("route", [("GET", ""), ("GET", "/evidence"), ("POST", "/release"), ("POST", "/credentials"), ("POST", "/approvals")])
def test_malformed_grant_id_is_refused(world: World, route: tuple[str, str], grant: str) -> None:
    method, tail = route
    body = {"approve": True, "digest": "0" * 64} if tail == "/approvals" else None
    token = world.credentials_token("ana") if tail == "/credentials" else world.token("ana")
    token = world.vote_token("ana") if tail == "/approvals" else token
    before = records()
    answer = world.api.call(method, f"/v1/grants/{grant}{tail}", token, body)
    assert (answer.status, answer.problem) == (400, "malformed"), str(answer)
    assert records() == before


def test_unknown_grant_is_not_found(world: World) -> None:
    answer = world.api.show(world.token("ana"), "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (answer.status, answer.problem) == (404, "not-found"), str(answer)


def test_unknown_route_is_not_found(world: World) -> None:
    assert world.api.call("POST", "/v1/admin", world.token("ana")).status == 404
    assert world.api.call("DELETE", "/v1/grants", world.token("ana")).status == 404


def test_missing_ticket_is_refused(world: World) -> None:
    before = records()
    answer = world.ask(ONCALL, ticket=None)
    assert (answer.status, answer.problem) == (422, "invalid"), str(answer)
    assert records() == before


def test_policy_denies_a_request_that_no_rule_allows(world: World) -> None:
    """A request for another identity's entitlement is denied and recorded, and vends no credentials."""
    answer = world.api.ask(world.token(AGENT.identity), GOOD)
    assert (answer.status, answer.problem) == (403, "denied"), str(answer)
    grant = answer.body["grant"]
    assert world.show(AGENT, grant)["state"] == "Denied"
    fetched = world.fetch(AGENT, grant)
    assert (fetched.status, fetched.problem) == (403, "denied"), str(fetched)
