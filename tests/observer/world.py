"""A caller's view of Brevet: requests with signed tokens, and the calls that AWS then allows or denies."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import runner, targets
from .aws import Seen, Session
from .client import Answer, Api
from .patience import PATIENCE_S, until
from .tokens import Forge


@dataclass(frozen=True)
class Case:
    """A use case of the example catalogue: the request, the call that it allows, and one that it must not allow."""

    identity: str
    body: dict[str, Any]
    role: str
    uses: str
    neighbour: str
    # Attachments only: a call that the principal may make by itself.
    own: str = ""

    def use(self, session: Session) -> Seen:
        """Makes the granted call."""
        return getattr(_Uses, self.uses)(session)

    def use_neighbour(self, session: Session) -> Seen:
        """Makes the same call on a neighbouring resource; for a session, one that the role's base rights allow."""
        return getattr(_Uses, self.neighbour)(session)

    def use_own(self, session: Session) -> Seen:
        """Makes a call that the principal may make without any grant."""
        return getattr(_Uses, self.own)(session)

    @staticmethod
    def asks(uses: str) -> tuple[str, str]:
        """The action and resource of a call above, as in the call log (`*` for the parts that AWS adds)."""
        return getattr(_Uses, uses)(_Named())

    def principal(self) -> Session:
        """Attachments only: a session of the principal, on credentials that no grant vended."""
        role = runner.role_arn(self.role)
        if self.role == "vendor-sync":
            return targets.vendor().assume(role, "sync", ExternalId=targets.EXTERNAL_ID)
        return Session.assumed(role, "task")


class _Uses:
    version = "v1.4.2"

    @staticmethod
    def release(session: Session) -> Seen:
        return session.put_object(targets.BUCKET, f"{_Uses.version}/app.tar")

    @staticmethod
    def other_release(session: Session) -> Seen:
        return session.put_object(targets.BUCKET, "v1.4.3/app.tar")

    @staticmethod
    def secret(session: Session) -> Seen:
        return session.get_secret(targets.SECRET)

    @staticmethod
    def other_secret(session: Session) -> Seen:
        return session.get_secret(targets.OTHER_SECRET)

    @staticmethod
    def orders(session: Session) -> Seen:
        return session.get_item(targets.TABLE)

    @staticmethod
    def orders_archive(session: Session) -> Seen:
        return session.get_item(targets.NEIGHBOUR_TABLE)

    run = "2026-11-22"

    @staticmethod
    def partner_export(session: Session) -> Seen:
        return session.get_object(targets.EXPORTS, "partner/orders.csv")

    @staticmethod
    def internal_export(session: Session) -> Seen:
        return session.get_object(targets.EXPORTS, "internal/margins.csv")

    @staticmethod
    def public_export(session: Session) -> Seen:
        return session.get_object(targets.EXPORTS, "public/index.csv")

    @staticmethod
    def batch_output(session: Session) -> Seen:
        return session.put_object(targets.BATCH_OUT, f"{_Uses.run}/orders.csv")

    @staticmethod
    def other_output(session: Session) -> Seen:
        return session.put_object(targets.BATCH_OUT, "2026-11-21/orders.csv")

    @staticmethod
    def batch_input(session: Session) -> Seen:
        return session.get_object(targets.BATCH_IN, "orders.csv")


class _Named:
    """Stands in for a session: returns a call's action and resource instead of making the call."""

    @staticmethod
    def put_object(bucket: str, key: str) -> tuple[str, str]:
        return "s3:PutObject", f"arn:aws:s3:::{bucket}/{key}"

    @staticmethod
    def get_object(bucket: str, key: str) -> tuple[str, str]:
        return "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"

    @staticmethod
    def get_secret(name: str) -> tuple[str, str]:
        return "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:*:secret:{name}-??????"

    @staticmethod
    def get_item(table: str) -> tuple[str, str]:
        return "dynamodb:GetItem", f"arn:aws:dynamodb:*:table/{table}"


PIPELINE = Case(
    "release-pipeline",
    {"entitlement": "deploy-release", "parameters": {"version": _Uses.version}, "term_s": 60},
    "release-deploy", "release", "other_release",
)
AGENT = Case(
    "remediation-agent",
    {"entitlement": "read-secret", "parameters": {"secret": "payments/db"}, "term_s": 60, "ticket": "INC-4711"},
    "agent-secret", "secret", "other_secret",
)
ONCALL = Case(
    "ana",
    {"entitlement": "read-orders-table", "term_s": 60, "ticket": "INC-4712"},
    "oncall-read", "orders", "orders_archive",
)
ARCHIVE = Case(
    "ana",
    {"entitlement": "read-orders-archive", "term_s": 60, "ticket": "INC-4713"},
    "oncall-read", "orders_archive", "orders",
)
VENDOR = Case(
    "acme-sync", {"entitlement": "third-party-sync", "term_s": 60},
    "vendor-sync", "partner_export", "internal_export", "public_export",
)
BATCH = Case(
    "nightly-batch", {"entitlement": "legacy-batch", "parameters": {"run": _Uses.run}, "term_s": 60},
    "legacy-batch", "batch_output", "other_output", "batch_input",
)
APPROVER, BYSTANDER = "omar", "dana"


def instant(text: str) -> float:
    """Parses an RFC 3339 instant to seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def sleep_until(at: float) -> None:
    """Sleeps until the wall clock shows `at`."""
    time.sleep(max(0.0, at - time.time()))


class World:
    """The running stack, and tokens for every identity of the catalogue."""

    def __init__(self, forge: Forge) -> None:
        self.forge, self.api = forge, Api(runner.api_url())
        self.ask_audience = runner.setting("intake", "BREVET_ASK_AUDIENCE")
        self.vote_audience = runner.setting("evaluate", "BREVET_APPROVALS_AUDIENCE")
        self.credentials_audience = runner.setting("issue", "BREVET_CREDENTIALS_AUDIENCE")

    def token(self, identity: str, **changes: Any) -> str:
        """A token for asking and reading."""
        return self.forge.token(identity, self.ask_audience, **changes)

    def vote_token(self, identity: str, **changes: Any) -> str:
        """A token for voting."""
        return self.forge.token(identity, self.vote_audience, **changes)

    def credentials_token(self, identity: str, **changes: Any) -> str:
        """A token for fetching credentials."""
        return self.forge.token(identity, self.credentials_audience, **changes)

    def ask(self, case: Case, **changes: Any) -> Answer:
        """Sends the request of `case`. `changes` replaces fields of the body; `None` drops a field."""
        key, task = changes.pop("key", None), changes.pop("task", None)
        body = {name: value for name, value in {**case.body, **changes}.items() if value is not None}
        return self.api.ask(self.token(case.identity, task=task), body, key=key)

    def approve(self, grant: dict[str, Any], by: str = APPROVER, approve: bool = True, **claims: Any) -> Answer:
        """Votes on the decision in the grant's view, with a token that also carries `claims`."""
        return self.api.vote(self.vote_token(by, **claims), grant["id"], grant["digest"], approve)

    def approved(self, case: Case, **changes: Any) -> str:
        """Gets an approved grant of `case`; returns its id."""
        answer = self.ask(case, **changes)
        assert answer.status in (201, 202), f"ask: expected 201 or 202, saw {answer}"
        if answer.status == 202:
            voted = self.approve(answer.body)
            assert voted.status == 200, f"approve: expected 200, saw {voted}"
        return answer.body["id"]

    def fetch(self, case: Case, grant: str) -> Answer:
        """Fetches credentials as the holder."""
        return self.api.credentials(self.credentials_token(case.identity), grant)

    def session(self, case: Case, grant: str) -> Session:
        """Fetches credentials as the holder; returns a session that uses them."""
        answer = self.fetch(case, grant)
        assert answer.status == 200, f"credentials of {grant}: expected 200, saw {answer}"
        return Session.vended(answer.body)

    def attached(self, case: Case, **changes: Any) -> str:
        """Gets a grant of `case` and waits until its access is attached; returns its id."""
        grant = self.approved(case, **changes)
        self.await_state(case, grant, "Active")
        return grant

    def show(self, case: Case, grant: str) -> dict[str, Any]:
        """Reads the grant as its holder."""
        answer = self.api.show(self.token(case.identity), grant)
        assert answer.status == 200, f"read {grant}: expected 200, saw {answer}"
        return answer.body

    def release(self, case: Case, grant: str) -> Answer:
        """Releases the grant as its holder."""
        return self.api.release(self.token(case.identity), grant)

    def await_state(self, case: Case, grant: str, *states: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Polls until the grant is in one of `states`; returns its view."""
        return self.api.wait_for(lambda: self.token(case.identity), grant, set(states), within_s)

    def await_use(self, case: Case, session: Session, outcome: str, within_s: float = PATIENCE_S) -> Seen:
        """Probes the granted call until its outcome is `outcome`."""
        seen: list[Seen] = []

        def matches() -> bool:
            seen[:] = [case.use(session)]
            return seen[0].outcome == outcome

        until(matches, f"{case.uses} is {outcome}", within_s=within_s)
        return seen[0]

    def await_ready(self, within_s: float = PATIENCE_S) -> None:
        """Waits until the reaper has made a good pass: nothing is issued before its first."""
        until(lambda: self.api.health().status == 200, "the health route answers 200", within_s=within_s)
