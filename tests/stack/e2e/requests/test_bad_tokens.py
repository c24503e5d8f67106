"""Invalid tokens on every route that takes one: each is refused, and nothing is stored."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from observer.tokens import Key
from observer.world import AGENT, PIPELINE, World

from intake import records

Mint = Callable[[World, str, str], str]


def _after(seconds: int) -> int:
    return int(time.time()) + seconds


def _foreign_issuer(world: World, who: str, audience: str) -> str:
    claims = {**world.forge.claims(who, audience), "iss": "https://evil.example"}
    return world.forge.key_of(who).sign(claims)


def _other_issuers_key(world: World, who: str, audience: str) -> str:
    """A token signed by a trusted issuer in the name of another one."""
    return world.forge.keys["agents" if who != AGENT.identity else "okta"].sign(world.forge.claims(who, audience))


def _critical(world: World, who: str, audience: str) -> str:
    return world.forge.key_of(who).sign(world.forge.claims(who, audience), {"crit": ["exp"], "exp": _after(900)})


def _own_jwk(world: World, who: str, audience: str) -> str:
    """A token that carries its own key in the header."""
    key = Key(world.forge.key_of(who).algorithm, "mine")
    return key.sign(world.forge.claims(who, audience), {"jwk": key.jwk})


def _cut(world: World, who: str, audience: str) -> str:
    return world.forge.token(who, audience).rsplit(".", 1)[0] + "."


BAD: dict[str, Mint] = {
    "expired": lambda w, who, aud: w.forge.token(who, aud, iat=_after(-1000), nbf=_after(-1000), exp=_after(-100)),
    "not yet valid": lambda w, who, aud: w.forge.token(who, aud, nbf=_after(300)),
    "issued in the future": lambda w, who, aud: w.forge.token(who, aud, iat=_after(300)),
    "without expiry": lambda w, who, aud: w.forge.token(who, aud, exp=None),
    "without audience": lambda w, who, aud: w.forge.token(who, None),
    "for a stranger": lambda w, who, aud: w.forge.token(who, "sts.amazonaws.com"),
    "for every audience at once": lambda w, who, _: w.forge.token(
        who, [w.ask_audience, w.vote_audience, w.credentials_audience]
    ),
    "signed by another key": lambda w, who, aud: w.forge.signed_by_another_key(who, aud),
    "signed by another issuer": _other_issuers_key,
    "from an unknown issuer": _foreign_issuer,
    "alg none": lambda w, who, aud: w.forge.unsigned(who, aud),
    "HMAC with the public key": lambda w, who, aud: w.forge.hmac_signed(who, aud),
    "critical header": _critical,
    "its own key in the header": _own_jwk,
    "signature cut off": _cut,
    "no token": lambda *_: "not.a.token",
    "too large": lambda w, who, aud: w.forge.token(who, aud, padding="x" * 9000),
}


def routes(world: World, grant: str) -> dict[str, tuple[str, Callable[[str], object]]]:
    """Each route with its audience and a call that succeeds with a valid token."""
    body = PIPELINE.body
    return {
        "ask": (world.ask_audience, lambda token: world.api.ask(token, body)),
        "list": (world.ask_audience, lambda token: world.api.call("GET", "/v1/grants", token)),
        "show": (world.ask_audience, lambda token: world.api.show(token, grant)),
        "evidence": (world.ask_audience, lambda token: world.api.call("GET", f"/v1/grants/{grant}/evidence", token)),
        "release": (world.ask_audience, lambda token: world.api.release(token, grant)),
        "approve": (world.vote_audience, lambda token: world.api.vote(token, grant, "0" * 64)),
        "credentials": (world.credentials_audience, lambda token: world.api.credentials(token, grant)),
    }


@pytest.fixture(scope="module")
def grant(world: World) -> str:
    return world.approved(PIPELINE)


ROUTES = ("ask", "list", "show", "evidence", "release", "approve", "credentials")


@pytest.mark.parametrize("kind", BAD.keys())
def test_invalid_token_is_refused_on_every_route(world: World, grant: str, kind: str) -> None:
    before = records()
    for route, (audience, call) in routes(world, grant).items():
        answer = call(BAD[kind](world, PIPELINE.identity, audience))
        assert (answer.status, answer.problem) == (401, "unauthenticated"), f"{route}: {answer}"
        assert answer.headers.get("WWW-Authenticate", "").startswith("Bearer"), route
    assert records() == before, "a refused token must store no record"
    assert world.show(PIPELINE, grant)["state"] == "Approved"


@pytest.mark.parametrize("route", ROUTES)
def test_a_token_for_another_audience_is_refused(world: World, grant: str, route: str) -> None:
    right_audience, call = routes(world, grant)[route]
    before = records()
    for audience in {world.ask_audience, world.vote_audience, world.credentials_audience} - {right_audience}:
        answer = call(world.forge.token(PIPELINE.identity, audience))
        assert (answer.status, answer.problem) == (401, "unauthenticated"), f"{audience}: {answer}"
    assert records() == before
    assert world.show(PIPELINE, grant)["state"] == "Approved"


@pytest.mark.parametrize("header", [None, "", "Basic dXNlcjpwdw==", "Bearer", "Bearer a b"])
def test_a_call_without_a_bearer_token_is_refused(world: World, header: str | None) -> None:
    before = records()
    headers = {} if header is None else {"Authorization": header}
    answer = world.api.ask(None, PIPELINE.body, headers=headers)
    assert (answer.status, answer.problem) == (401, "unauthenticated"), str(answer)
    assert records() == before


@pytest.mark.parametrize("claim", ["repository_id", "environment", "job_workflow_ref"])
def test_valid_token_of_an_unregistered_identity_is_refused(world: World, grant: str, claim: str) -> None:
    """A token with the issuer's valid signature for another repository, environment or workflow."""
    before = records()
    for audience, call in routes(world, grant).values():
        answer = call(world.forge.token(PIPELINE.identity, audience, **{claim: "another"}))
        assert (answer.status, answer.problem) == (403, "unregistered"), str(answer)
    assert records() == before


def test_valid_token_is_accepted_on_every_route(world: World) -> None:
    """The control: the same calls with a valid token for each route, on a grant that they use up."""
    for route, (audience, call) in routes(world, world.approved(PIPELINE)).items():
        answer = call(world.forge.token(PIPELINE.identity, audience))
        # The approvals route recognises the pipeline, which may not vote; a released grant vends nothing.
        expected = {"ask": {201}, "approve": {403}, "release": {202}, "credentials": {410}}.get(route, {200})
        assert answer.status in expected, f"{route}: {answer}"
