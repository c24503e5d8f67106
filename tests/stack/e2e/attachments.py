"""Attachments as an observer sees them: the suite's own principals, and the running tasks that hold their credentials.

Each scenario has its own principal, so that many run at once and each fault hits its own. A task assumes its role once,
before any policy is attached, and keeps those credentials: only the role changes.
"""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from observer import gate, runner, store
from observer.aws import ACCOUNT, Seen, Session
from observer.patience import PATIENCE_S, until
from observer.targets import unless_there
from observer.world import Case, World, instant

OUT, EXPORTS = "acme-batch-out", "acme-exports"
SHARED_KEY = "partner/day.csv"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/brevet/dev/attachment"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/brevet/dev/brevet-dev-boundary"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/brevet/dev/managed/brevet-dev-vendor-sync"
TASK = "the-running-task"
TERM_S = 600
"""The term of grants whose deadline no test waits for; long enough for a slow machine."""

INLINE = ("kills", "stalled", "throttled", "refused", "down", "naked", "altered", "unbound", "denying", "others",
          "night", "killed", "swept")  # fmt: skip
MANAGED = ("attach-before", "attach-after", "detach-before", "detach-after", "detach-between", "shared", "detached",
           "taken", "backstop", "standby")  # fmt: skip
# A principal whose holder is not the requester.
NOT_THEIRS = "others"
# A principal whose holder also holds sessions.
KILLED = "killed"
HOLDERS = {NOT_THEIRS: "acme-sync", KILLED: "release-pipeline"}
# An inline Deny of the principal's own, which preflight must refuse.
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}]}


def extend(catalogue: Path) -> Path:
    """Adds an entitlement for each of the suite's principals to a run's catalogue, as copies of its examples."""
    for example, names in (("legacy-batch", INLINE), ("third-party-sync", MANAGED)):
        pattern = yaml.safe_load((catalogue / "entitlements" / f"{example}.yaml").read_text())
        pattern.pop("approval", None)
        identity = pattern["holder"]
        for name in names:
            holder = HOLDERS.get(name, identity)
            entitlement = {**pattern, "id": f"on-{name}", "principal": name, "holder": holder}
            (catalogue / "entitlements" / f"on-{name}.yaml").write_text(yaml.safe_dump(entitlement, sort_keys=False))
            permits = [
                f'@id("on-{name}-needs-no-approval-for-{who}")\npermit (\n  principal == Brevet::Identity::"{who}",\n'
                '  action in [Brevet::Action::"request", Brevet::Action::"autoApprove"],\n'
                f'  resource == Brevet::Entitlement::"on-{name}"\n);\n'
                for who in sorted({holder, identity})
            ]
            (catalogue / "policies" / f"on-{name}.cedar").write_text("\n".join(permits))
    return catalogue


def build() -> None:
    """Creates the principals, buckets and objects with the administrator's key; existing ones stay."""
    admin = Session.admin()
    s3, iam = admin.client("s3"), admin.client("iam")
    for bucket in (OUT, EXPORTS):
        unless_there(lambda: s3.create_bucket(Bucket=bucket), "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
    s3.put_object(Bucket=EXPORTS, Key=SHARED_KEY, Body=b"1;2;3")
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for name in (*INLINE, *MANAGED):
        more = {} if name == "unbound" else {"PermissionsBoundary": BOUNDARY}
        unless_there(
            lambda: iam.create_role(
                RoleName=f"brevet-dev-{name}",
                Path="/brevet/dev/attachment/",
                AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
                **more,
            ),
            "EntityAlreadyExists",
        )
    iam.put_role_policy(RoleName="brevet-dev-denying", PolicyName="standing", PolicyDocument=json.dumps(DENY))


def standing(name: str) -> set[str]:
    """Every policy on a principal: inline policies by name, managed ones by ARN."""
    iam, role = Session.admin().client("iam"), f"brevet-dev-{name}"
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return {*iam.list_role_policies(RoleName=role)["PolicyNames"], *(one["PolicyArn"] for one in attached)}


@dataclass
class Hold:
    """One grant on one principal, with the task that gets its access."""

    world: World
    case: Case
    grant: str
    principal: str
    run: str
    task: Session
    # The number of the last call in the gate's log before the request.
    since: int
    # Whether the observation is over, so that the task stops making calls.
    over: bool = False

    @property
    def is_managed(self) -> bool:
        return self.principal in MANAGED

    @property
    def policy(self) -> str:
        """The attached policy: an inline policy's name or a managed policy's ARN."""
        return POLICY if self.is_managed else f"brevet-dev-{self.grant.removeprefix('grt_')}"

    @property
    def stands(self) -> bool:
        """Whether the policy is on the principal."""
        return self.policy in standing(self.principal)

    def use(self) -> Seen:
        """Makes the granted call as the running task."""
        if self.is_managed:
            return self.task.get_object(EXPORTS, SHARED_KEY)
        return self.task.put_object(OUT, self.own_key)

    @property
    def own_key(self) -> str:
        """The object that only this grant allows to write."""
        return f"{self.run}/part-1"

    def allowed(self) -> list[dict[str, Any]]:
        """The log entries of the running task's granted calls that were allowed."""
        resource = f"{EXPORTS}/{SHARED_KEY}" if self.is_managed else f"{OUT}/{self.own_key}"
        return [
            call
            for call in gate.log(self.since, whole_within_s=0)
            if (call["decision"], call["access_key_id"]) == ("allowed", self.task.access_key)
            and any(asked["resource"].endswith(resource) for asked in call["actions"])
        ]

    def last_allowed_at(self) -> float:
        """The time at which the last allowed call reached the gate."""
        return max(instant(call["at"]) for call in self.allowed())

    def show(self) -> dict[str, Any]:
        return self.world.show(self.case, self.grant)

    def release(self) -> None:
        answer = self.world.release(self.case, self.grant)
        assert answer.status == 202, f"release of {self.grant}: expected 202, saw {answer}"

    def await_state(self, *states: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        return self.world.await_state(self.case, self.grant, *states, within_s=within_s)

    def await_revoking(self, what: str) -> Any:
        """Waits until the removal is under way and its view has the field `what`; returns that field."""
        return until(lambda: self.show().get("revoking", {}).get(what), f"{what} of the removal from {self.principal}")

    def await_use(self, outcome: str, within_s: float = PATIENCE_S) -> Seen:
        """Repeats the granted call until its outcome is `outcome`."""
        seen: list[Seen] = []

        def matches() -> bool:
            seen.append(self.use())
            return seen[-1].outcome == outcome

        try:
            until(matches, outcome, within_s=within_s)
        except AssertionError:
            raise AssertionError(f"{self.principal}: expected {outcome}, last seen {seen[-1]}") from None
        return seen[-1]

    def await_active(self, within_s: float = PATIENCE_S) -> Hold:
        """Waits until the grant is Active, and uses it."""
        self.await_state("Active", within_s=within_s)
        self.await_use("allowed")
        return self

    def events(self) -> list[str]:
        """The event names of its evidence."""
        return [entry["event"] for entry in store.snapshot().evidence[self.grant]]

    def ended(self, cause: str, kind: str = "observed", *, is_late: bool = False) -> dict[str, Any]:
        """Waits for the end, checks proof, principal, table and the task's calls, and returns the end's view.

        With `is_late` (a test removed the protection) it does not check for how long the task was allowed.
        """
        end = self.await_state("Ended")["end"]
        self.over = True
        assert (end["cause"], end["proof"]["kind"]) == (cause, kind), f"{self.principal}: {end}"
        assert end["effective"]["outcome"] == "not_allowed", f"{self.principal}: {end['effective']}"
        self.assert_nothing_left()
        if kind == "observed":
            first, second = end["proof"]["first"], end["proof"]["second"]
            assert first["request_id"] != second["request_id"]
            quiet_s = int(runner.setting("reap", "BREVET_QUIET_S"))
            assert instant(second["at"]) >= instant(first["at"]) + quiet_s
            assert not self.stands, f"{self.grant} has ended, but {self.policy} is still on {self.principal}"
            seen = self.use()
            assert seen.outcome == "denied", f"after the end of {self.grant} on {self.principal}: {seen}"
            # An inline policy ends at its time limit; a managed one only at the verified end.
            bounds = [instant(end["verified_at"])] + ([] if self.is_managed else [self.deadline()])
            late = [] if is_late else [call for call in self.allowed() if instant(call["at"]) >= min(bounds)]
            assert not late, f"{self.grant} on {self.principal} was still allowed past {bounds}: {late}"
        return end

    def deadline(self) -> float:
        """The deadline of the access, from the record of its activation."""
        item = next(i for i in store.items() if i["pk"] == f"ACT#{self.grant}")
        body = json.loads(item["body"]) if "body" in item else item
        return instant(body["deadline"])

    def assert_nothing_left(self) -> None:
        """Checks that the grant is on no to-do list, has no TTL backstop and holds no attachment."""
        for item in store.items():
            if self.grant in item["pk"]:
                assert "due_pk" not in item, f"still on a to-do list: {item['pk']} {item['due_pk']}"
                assert not item["pk"].startswith("BACKSTOP#"), "its TTL backstop is still there"
            if item["pk"].startswith("HOLDERS#"):
                assert self.grant not in item["body"], f"still a holder: {item['pk']}"


class Tasks:
    """The running tasks, one a principal, and a background thread that makes each repeat its granted call."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: dict[str, Session] = {}
        self._watched: list[Hold] = []
        self._last = 0
        self._stopping = threading.Event()
        self._repeating = threading.Thread(target=self._repeat, daemon=True)
        self._repeating.start()

    def ask(self, principal: str, **changes: Any) -> Hold:
        """Requests the entitlement on `principal`, whose task runs already."""
        if principal not in self._tasks:
            self._tasks[principal] = Session.assumed(f"{ROLES}/brevet-dev-{principal}", TASK)
        run = f"run-{uuid.uuid4().hex[:12]}"
        body: dict[str, Any] = {"entitlement": f"on-{principal}", "term_s": changes.pop("term_s", TERM_S)}
        if principal in MANAGED:
            case = Case("acme-sync", body, principal, "", "")
        else:
            requester = "release-pipeline" if principal == KILLED else "nightly-batch"
            case = Case(requester, {**body, "parameters": {"run": run}}, principal, "", "")
        for call in gate.log(self._last, whole_within_s=0):
            self._last = max(self._last, call["n"])
        hold = Hold(self._world, case, self._world.approved(case), principal, run, self._tasks[principal], self._last)
        self._watched.append(hold)
        return hold

    def _repeat(self) -> None:
        while not self._stopping.wait(1.5):
            for hold in [one for one in self._watched if not one.over]:
                hold.use()

    @staticmethod
    def no_holders_on(principals: list[str]) -> None:
        """Checks that no grant holds an attachment on `principals`, and that no detach is under way."""
        holders_of = {item["pk"]: json.loads(item["body"]) for item in store.items() if item["pk"].startswith("HOLDERS#")}
        for principal in principals:
            attachment = holders_of[f"HOLDERS#{ROLES}/brevet-dev-{principal}#{POLICY}"]
            assert not attachment["holders"] and not attachment["is_detaching"], f"{principal}: {attachment}"

    def stop(self) -> None:
        self._stopping.set()
        self._repeating.join(timeout=60)


