"""Brevet's HTTP API as a caller sees it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import requests

from .patience import PATIENCE_S, until


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `body` is parsed JSON, or text if it is not JSON."""

    status: int
    body: Any
    headers: Any

    @property
    def problem(self) -> str | None:
        """The slug of the problem type, if the body is a problem document."""
        kind = self.body.get("type", "") if isinstance(self.body, dict) else ""
        prefix = "urn:brevet:problem:"
        media = self.headers.get("Content-Type", "").split(";")[0]
        return kind[len(prefix) :] if kind.startswith(prefix) and media == "application/problem+json" else None

    def __str__(self) -> str:
        # Never prints the whole body: it may hold credentials.
        if not isinstance(self.body, dict):
            return f"{self.status} {str(self.body)[:200]}"
        keep = ("state", "type", "code", "detail", "title", "message", "id")
        return f"{self.status} { {k: self.body[k] for k in keep if k in self.body} }"


def new_key() -> str:
    """A fresh idempotency key."""
    return f"k-{uuid.uuid4().hex}"


class Api:
    """The API at `url`. Every call takes the token to send; `None` sends no token."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def call(self, method: str, path: str, token: str | None, body: Any = None, *, raw: bytes | str | None = None,
             headers: dict[str, str] | None = None, timeout_s: float = 120) -> Answer:
        """Sends `body` as JSON, or `raw` as it is."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        # Each call has its own connection, since calls come from many threads.
        answer = requests.request(method, self.url + path, json=body, data=raw, headers=sent, timeout=timeout_s)
        try:
            parsed = answer.json()
        except ValueError:
            parsed = answer.text
        return Answer(answer.status_code, parsed, answer.headers)

    def ask(self, token: str | None, body: Any = None, *, key: str | None = None, **more: Any) -> Answer:
        """Requests a grant, with a fresh idempotency key unless `key` is given."""
        headers = {"Idempotency-Key": key or new_key(), **more.pop("headers", {})}
        return self.call("POST", "/v1/grants", token, body, headers=headers, **more)

    def show(self, token: str | None, grant: str) -> Answer:
        """Reads a grant."""
        return self.call("GET", f"/v1/grants/{grant}", token)

    def vote(self, token: str | None, grant: str, digest: str, approve: bool = True) -> Answer:
        """Votes on a grant and sends the digest of the decision that the voter saw."""
        return self.call("POST", f"/v1/grants/{grant}/approvals", token, {"approve": approve, "digest": digest})

    def review(self, token: str | None, grant: str, digest: str, outcome: str = "justified") -> Answer:
        """Reviews a use of break-glass and sends the digest of the decision that the reviewer saw."""
        body = {"outcome": outcome, "note": "the shop was down", "digest": digest}
        return self.call("POST", f"/v1/grants/{grant}/review", token, body)

    def reviews(self, token: str | None) -> Answer:
        """Lists the grants that await the caller's review."""
        return self.call("GET", "/v1/reviews", token)

    def acknowledge(self, token: str | None, grant: str, reason: str = "IAM is down") -> Answer:
        """Acknowledges an overdue grant."""
        return self.call("POST", f"/v1/grants/{grant}/acknowledge", token, {"reason": reason})

    def credentials(self, token: str | None, grant: str) -> Answer:
        """Fetches credentials."""
        return self.call("POST", f"/v1/grants/{grant}/credentials", token)

    def release(self, token: str | None, grant: str) -> Answer:
        """Releases a grant."""
        return self.call("POST", f"/v1/grants/{grant}/release", token)

    def health(self) -> Answer:
        """Reads the health route, which needs no token."""
        return self.call("GET", "/v1/health", None)

    def evidence(self, token: str | None, grant: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Reads a grant's whole evidence chain page by page; returns the head and the entries."""
        entries: list[dict[str, Any]] = []
        after, head = 0, {}
        while after is not None:
            answer = self.call("GET", f"/v1/grants/{grant}/evidence?after={after}", token)
            if answer.status != 200:
                raise AssertionError(f"evidence of {grant}: expected 200, saw {answer}")
            entries += answer.body["entries"]
            head, after = answer.body["head"], answer.body.get("next")
        return head, entries

    def wait_for(self, token_of: Any, grant: str, states: set[str], within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Polls until the grant is in one of `states`. `token_of()` makes a token for each read.

        Raises `AssertionError` that names the last answer.
        """
        seen: list[Answer] = []

        def is_there() -> bool:
            seen[:] = [self.show(token_of(), grant)]
            return seen[0].status == 200 and seen[0].body["state"] in states

        try:
            until(is_there, f"{grant}: one of {sorted(states)}", within_s=within_s)
        except AssertionError:
            raise AssertionError(f"{grant}: expected {sorted(states)} within {within_s:.0f} s, saw {seen[0]}") from None
        return seen[0].body
