"""The HTTP front: the template's HTTP API on a loopback port."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import http_event, places
from .http_event import Request, Response, problem
from .invoke import invoke

MAX_BODY_BYTES = 10 * 1024 * 1024
"""API Gateway's payload limit, which cannot be raised."""

MAX_WAIT_S = 30
"""API Gateway's integration time-out for HTTP APIs."""


class Throttle:
    """A token bucket for each route, as configured by `DefaultRouteSettings`."""

    def __init__(self, rate_per_s: float, burst: int):
        self._rate, self._burst = rate_per_s, float(burst)
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, route: str, now: float) -> bool:
        """Whether one more request on `route` fits at `now` (monotonic seconds)."""
        with self._lock:
            left, since = self._buckets.get(route, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._rate)
            self._buckets[route] = (left - 1 if left >= 1 else left, now)
            return left >= 1


class Front:
    """Answers requests by invoking the route's function."""

    def __init__(self, facts: dict[str, Any]):
        self._facts = facts
        self._functions = {function["id"]: function for function in facts["functions"]}
        self._throttle = Throttle(**facts["throttle"])

    def answer(self, request: Request) -> Response:
        found = http_event.match(self._facts["routes"], request.method, request.target.partition("?")[0])
        if found is None:
            return problem(404, "Not Found")
        route, captured = found
        if not self._throttle.admits(f"{route['method']} {route['path']}", time.monotonic()):
            return problem(429, "Too Many Requests")
        function = self._functions[route["function"]]
        event = http_event.event(request, route, captured, self._facts["account"])
        answer = invoke(function, event, min(function["timeout_s"], MAX_WAIT_S))
        if answer.outcome == "ok":
            return http_event.response(answer.payload)
        print(f"front: {request.method} {route['path']}: {answer.outcome}: {answer.detail}", flush=True)
        if answer.outcome == "timeout":
            return problem(503, "Service Unavailable")
        return problem(500, "Internal Server Error")


def server(facts: dict[str, Any]) -> ThreadingHTTPServer:
    """Creates a listening server; the caller runs it."""
    front = Front(facts)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def _serve(self) -> None:
            reply = self._refusal()
            if reply is None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                reply = front.answer(
                    Request(
                        self.command,
                        self.path,
                        [(name, value) for name, value in self.headers.items() if name.lower() != "connection"],
                        body,
                        self.client_address[0],
                        self.request_version,
                    )
                )
            else:
                # The body stays unread, so the connection cannot be reused.
                self.close_connection = True
            self.send_response(reply.status)
            for name, value in reply.headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            if self.close_connection:
                self.send_header("connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def _refusal(self) -> Response | None:
            length = self.headers.get("content-length") or "0"
            if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
                return problem(411, "Length Required")
            if int(length) > MAX_BODY_BYTES:
                return problem(413, "Request Entity Too Large")
            return None

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve

        def log_message(self, format: str, *args: object) -> None:
            # Method, path and status only; headers may hold tokens.
            print(f"front: {format % args}", flush=True)

    served = ThreadingHTTPServer(("127.0.0.1", places.port("http")), Handler)
    served.daemon_threads = True
    return served
