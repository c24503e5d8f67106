"""HTTP to payload format 2.0 and back, and the throttle of the HTTP front."""

import base64
import json

import pytest

from brevet_local.front import Throttle
from brevet_local.http_event import Request, event, match, response

ROUTES = [
    {"method": "GET", "path": "/v1/grants", "function": "intake"},
    {"method": "GET", "path": "/v1/grants/{id}", "function": "intake"},
    {"method": "POST", "path": "/v1/grants/{id}/release", "function": "intake"},
    {"method": "GET", "path": "/v1/grants/newest", "function": "issue"},
]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/grants", ("/v1/grants", {})),
        ("GET", "/v1/grants/g%2F1", ("/v1/grants/{id}", {"id": "g/1"})),
        ("GET", "/v1/grants/newest", ("/v1/grants/newest", {})),
        ("POST", "/v1/grants/g/release", ("/v1/grants/{id}/release", {"id": "g"})),
        ("POST", "/v1/grants", None),
        ("GET", "/v1/grants/", None),
        ("GET", "/v1/grants/g/", None),
        ("GET", "/V1/grants", None),
        ("GET", "/", None),
    ],
)
def test_match_returns_the_route_or_none(method, path, expected):
    found = match(ROUTES, method, path)
    assert (found and (found[0]["path"], found[1])) == expected


def made(body=b"", headers=(), target="/v1/grants"):
    return event(Request("GET", target, list(headers), body), ROUTES[0], {}, "000000000000")


def test_event_has_lower_case_joined_headers_and_separate_cookies():
    seen = made(headers=[("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1; b=2")])
    assert seen["headers"] == {"x-a": "1,2"}
    assert seen["cookies"] == ["a=1", "b=2"]


def test_event_has_decoded_joined_query_parameters_and_the_raw_query():
    seen = made(target="/v1/grants?a=1&a=2&b=%20&c")
    assert seen["queryStringParameters"] == {"a": "1,2", "b": " ", "c": ""}
    assert seen["rawQueryString"] == "a=1&a=2&b=%20&c"
    assert seen["rawPath"] == "/v1/grants"


def test_event_has_no_authorizer_and_no_body_key_without_a_body():
    seen = made(headers=[("authorization", "Bearer x")])
    assert "authorizer" not in seen["requestContext"]
    assert "body" not in seen
    assert seen["headers"]["authorization"] == "Bearer x"
    assert seen["version"] == "2.0" and seen["routeKey"] == "GET /v1/grants"


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("application/json", b'{"a":1}', False),
        ("Application/JSON; charset=utf-8", b"{", False),
        ("text/plain", "é".encode(), False),
        ("application/json", b"\xff\xfe", True),
        ("application/octet-stream", b"abc", True),
        ("", b"abc", True),
    ],
)
def test_body_is_text_only_for_a_textual_media_type(content_type, body, encoded):
    seen = made(body, [("Content-Type", content_type)])
    assert seen["isBase64Encoded"] is encoded
    assert (base64.b64decode(seen["body"]) if encoded else seen["body"].encode()) == body


def test_response_takes_status_headers_cookies_and_body_from_the_payload():
    seen = response({"statusCode": 409, "headers": {"content-type": "a/b"}, "cookies": ["x=1"], "body": "no"})
    assert (seen.status, seen.body) == (409, b"no")
    assert ("content-type", "a/b") in seen.headers and ("set-cookie", "x=1") in seen.headers
    assert response({"statusCode": 200, "body": "YWI=", "isBase64Encoded": True}).body == b"ab"
    assert response({"a": 1}).status == 200 and json.loads(response({"a": 1}).body) == {"a": 1}


@pytest.mark.parametrize(
    "payload",
    [{"statusCode": "200"}, {"statusCode": 99}, {"statusCode": 200, "body": {}}, {"statusCode": 200, "body": "!", "isBase64Encoded": True}],
)
def test_response_is_500_for_an_unreadable_payload(payload):
    assert response(payload).status == 500


def test_throttle_admits_a_burst_and_then_the_rate():
    throttle = Throttle(rate_per_s=2, burst=3)
    assert [throttle.admits("r", 10.0) for _ in range(4)] == [True, True, True, False]
    assert throttle.admits("other", 10.0)
    assert [throttle.admits("r", 10.5), throttle.admits("r", 10.5)] == [True, False]
