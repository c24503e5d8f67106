"""Converts an HTTP request to the event of API Gateway's HTTP API (payload format 2.0), and the function's answer back.

<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

_TEXT_TYPES = ("application/json", "application/javascript", "application/xml")


@dataclass(frozen=True)
class Request:
    """An HTTP request as received."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"


@dataclass(frozen=True)
class Response:

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def problem(status: int, message: str) -> Response:
    """An answer of API Gateway itself, in its own format."""
    return Response(status, [("content-type", "application/json")], json.dumps({"message": message}).encode())


def match(routes: list[dict[str, str]], method: str, path: str) -> tuple[dict[str, str], dict[str, str]] | None:
    """Finds the route for a request and its path parameters (decoded). A literal segment wins over a parameter."""
    segments = path.split("/")
    best: tuple[int, dict[str, str], dict[str, str]] | None = None
    for route in routes:
        pattern = route["path"].split("/")
        if route["method"] != method or len(pattern) != len(segments):
            continue
        captured: dict[str, str] = {}
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{") and expected.endswith("}") and segment:
                captured[expected[1:-1]] = unquote(segment)
            elif expected != segment:
                break
        else:
            if best is None or len(captured) < best[0]:
                best = (len(captured), route, captured)
    return None if best is None else (best[1], best[2])


def event(request: Request, route: dict[str, str], captured: dict[str, str], account: str) -> dict[str, Any]:
    """Builds the function's event. It has no authorizer: the functions verify tokens themselves."""
    path, _, query = request.target.partition("?")
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        if name.lower() == "cookie":
            cookies.extend(part.strip() for part in value.split(";"))
        else:
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
    now = time.time()
    route_key = f"{route['method']} {route['path']}"
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": account,
            "apiId": "local",
            "domainName": headers.get("host", "localhost"),
            "domainPrefix": headers.get("host", "localhost").split(".")[0],
            "http": {
                "method": request.method,
                "path": unquote(path),
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": route_key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        made["cookies"] = cookies
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    if parameters:
        made["queryStringParameters"] = parameters
    if captured:
        made["pathParameters"] = captured
    if request.body:
        made["body"], made["isBase64Encoded"] = _body(request.body, headers.get("content-type", ""))
    return made


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as text if its media type is textual and it decodes as UTF-8; otherwise in base 64."""
    kind = content_type.split(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def response(payload: Any) -> Response:
    """Converts a function's payload to an HTTP response. API Gateway answers 500 if it cannot read the payload."""
    if not isinstance(payload, dict) or "statusCode" not in payload:
        # Format 2.0 takes any other JSON as the body of a 200 response.
        return Response(200, [("content-type", "application/json")], json.dumps(payload).encode())
    headers: list[tuple[str, str]] = []
    status, body = payload["statusCode"], payload.get("body")
    body = "" if body is None else body
    if not isinstance(status, int) or not 100 <= status <= 599 or not isinstance(body, str):
        return problem(500, "Internal Server Error")
    for name, value in (payload.get("headers") or {}).items():
        headers.append((name, str(value)))
    for name, values in (payload.get("multiValueHeaders") or {}).items():
        headers.extend((name, str(value)) for value in values if name not in (payload.get("headers") or {}))
    headers.extend(("set-cookie", cookie) for cookie in payload.get("cookies") or [])
    if not payload.get("isBase64Encoded"):
        return Response(status, headers, body.encode())
    try:
        return Response(status, headers, base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError):
        return problem(500, "Internal Server Error")
