"""Attachments as an observer sees them: principals of the suite's own, and the running tasks that hold their credentials.

Each scenario has a principal to itself, so that many run at once and a fault strikes the one it is meant for. A task
assumes its role once, before anything is attached, and keeps those credentials: what changes is the role.
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
from observer.targets import _unless_there
from observer.world import Case, World, instant

OUT, EXPORTS = "acme-batch-out", "acme-exports"
SHARED_KEY = "partner/day.csv"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/brevet/dev/attachment"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/brevet/dev/brevet-dev-boundary"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/brevet/dev/managed/brevet-dev-vendor-sync"
TASK = "the-running-task"
TERM_S = 600
"""The term that is asked for where no test waits for the deadline: a slow machine is done by then."""

INLINE = ("kills", "stalled", "throttled", "refused", "down", "naked", "altered", "unbound", "denying", "others",
          "night", "killed", "swept")  # fmt: skip
MANAGED = ("attach-before", "attach-after", "detach-before", "detach-after", "detach-between", "shared", "detached",
           "taken", "fuse", "echo")  # fmt: skip
# Held by somebody else than whoever asks.
NOT_THEIRS = "others"
# Held by an identity that holds sessions as well.
KILLED = "killed"
HOLDERS = {NOT_THEIRS: "acme-sync", KILLED: "release-pipeline"}
# A statement of its own under which the boundary would be no boundary.
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}]}


def extend(catalogue: Path) -> Path:
    """Adds an entitlement on each of the suite's principals to a run's catalogue: as its examples, but for the names."""
    for example, names in (("legacy-batch", INLINE), ("third-party-sync", MANAGED)):
        pattern = yaml.safe_load((catalogue / "entitlements" / f"{example}.yaml").read_text())
        pattern.pop("approval", None)
        identity = pattern["holder"]
        for name in names:
            holder = HOLDERS.get(name, identity)
            entitlement = {**pattern, "id": f"on-{name}", "principal": name, "holder": holder}
            (catalogue / "entitlements" / f"on-{name}.yaml").write_text(yaml.safe_dump(entitlement, sort_keys=False))
            permits = [
                f'@id("on-{name}-needs-nobody-for-{who}")\npermit (\n  principal == Brevet::Identity::"{who}",\n'
                '  action in [Brevet::Action::"request", Brevet::Action::"autoApprove"],\n'
                f'  resource == Brevet::Entitlement::"on-{name}"\n);\n'
                for who in sorted({holder, identity})
            ]
            (catalogue / "policies" / f"on-{name}.cedar").write_text("\n".join(permits))
    return catalogue


def build() -> None:
    """Makes the principals and what they may be let to, with the administrator's key; what is there already stays."""
    admin = Session.admin()
    s3, iam = admin.client("s3"), admin.client("iam")
    for bucket in (OUT, EXPORTS):
        _unless_there(lambda: s3.create_bucket(Bucket=bucket), "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
    s3.put_object(Bucket=EXPORTS, Key=SHARED_KEY, Body=b"1;2;3")
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for name in (*INLINE, *MANAGED):
        more = {} if name == "unbound" else {"PermissionsBoundary": BOUNDARY}
        _unless_there(
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
    """Every policy on a principal, inline by name and managed by ARN, read with plain calls."""
    iam, role = Session.admin().client("iam"), f"brevet-dev-{name}"
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return {*iam.list_role_policies(RoleName=role)["PolicyNames"], *(one["PolicyArn"] for one in attached)}


@dataclass
class Hold:
    """One grant on one principal, with the task that gains by it."""

    world: World
    case: Case
    grant: str
    principal: str
    run: str
    task: Session
    # The last call in the gate's log before it was asked for.
    since: int
    # Its end was seen: nobody needs to look out any more.
    over: bool = False

    @property
    def is_managed(self) -> bool:
        return self.principal in MANAGED

    @property
    def policy(self) -> str:
        """What is attached: an inline policy's name, a managed policy's ARN."""
        return POLICY if self.is_managed else f"brevet-dev-{self.grant.removeprefix('grt_')}"

    @property
    def stands(self) -> bool:
        """Whether it is on the principal."""
        return self.policy in standing(self.principal)

    def use(self) -> Seen:
        """The granted call, by the running task."""
        if self.is_managed:
            return self.task.get_object(EXPORTS, SHARED_KEY)
        return self.task.put_object(OUT, self.own_key)

    @property
    def own_key(self) -> str:
        """The object that only a grant of this run may write."""
        return f"{self.run}/part-1"

    def allowed(self) -> list[dict[str, Any]]:
        """The granted calls by the running task that were let through, as the gate logged them."""
        resource = f"{EXPORTS}/{SHARED_KEY}" if self.is_managed else f"{OUT}/{self.own_key}"
        return [
            call
            for call in gate.log(self.since, whole_within_s=0)
            if (call["decision"], call["access_key_id"]) == ("allowed", self.task.access_key)
            and any(asked["resource"].endswith(resource) for asked in call["actions"])
        ]

    def last_allowed_at(self) -> float:
        """When the last of them reached the gate."""
        return max(instant(call["at"]) for call in self.allowed())

    def show(self) -> dict[str, Any]:
        return self.world.show(self.case, self.grant)

    def release(self) -> None:
        answer = self.world.release(self.case, self.grant)
        assert answer.status == 202, f"release of {self.grant}: expected 202, saw {answer}"

    def await_state(self, *states: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        return self.world.await_state(self.case, self.grant, *states, within_s=within_s)

    def await_revoking(self, what: str) -> Any:
        """Waits until its removal is under way and `what` is known of it."""
        return until(lambda: self.show().get("revoking", {}).get(what), f"{what} of the removal from {self.principal}")

    def await_use(self, outcome: str, within_s: float = PATIENCE_S) -> Seen:
        """Tries the granted call until it gets `outcome`."""
        seen: list[Seen] = []

        def fits() -> bool:
            seen.append(self.use())
            return seen[-1].outcome == outcome

        try:
            until(fits, outcome, within_s=within_s)
        except AssertionError:
            raise AssertionError(f"{self.principal}: expected {outcome}, last seen {seen[-1]}") from None
        return seen[-1]

    def await_active(self, within_s: float = PATIENCE_S) -> Hold:
        """Waits until it was seen to stand, and uses it."""
        self.await_state("Active", within_s=within_s)
        self.await_use("allowed")
        return self

    def events(self) -> list[str]:
        """Its evidence, by the names of what happened."""
        return [entry["event"] for entry in store.snapshot().evidence[self.grant]]

    def ended(self, cause: str, kind: str = "observed", *, is_late: bool = False) -> dict[str, Any]:
        """Waits for its end and checks it: proof, principal, table, and what the task was let to. The end's view.

        Where a test took the protection away (`is_late`), how long the task was let through is not checked.
        """
        end = self.await_state("Ended")["end"]
        self.over = True
        assert (end["cause"], end["proof"]["kind"]) == (cause, kind), f"{self.principal}: {end}"
        assert end["effective"]["outcome"] == "not_allowed", f"{self.principal}: {end['effective']}"
        self.nothing_left()
        if kind == "observed":
            first, second = end["proof"]["first"], end["proof"]["second"]
            assert first["request_id"] != second["request_id"]
            quiet_s = int(runner.setting("reap", "BREVET_QUIET_S"))
            assert instant(second["at"]) >= instant(first["at"]) + quiet_s
            assert not self.stands, f"{self.grant} has ended, and {self.policy} stands on {self.principal}"
            seen = self.use()
            assert seen.outcome == "denied", f"after the end of {self.grant} on {self.principal}: {seen}"
            # Its own time limit bounds an inline policy; only the proof bounds a managed one.
            bounds = [instant(end["verified_at"])] + ([] if self.is_managed else [self.deadline()])
            late = [] if is_late else [call for call in self.allowed() if instant(call["at"]) >= min(bounds)]
            assert not late, f"{self.grant} on {self.principal} was still allowed past {bounds}: {late}"
        return end

    def deadline(self) -> float:
        """When access must be gone, as the record of its activation says."""
        item = next(i for i in store.items() if i["pk"] == f"ACT#{self.grant}")
        body = json.loads(item["body"]) if "body" in item else item
        return instant(body["deadline"])

    def nothing_left(self) -> None:
        """Nothing in the table waits for it any more, and it holds nothing."""
        for item in store.items():
            if self.grant in item["pk"]:
                assert "due_pk" not in item, f"still on a to-do list: {item['pk']} {item['due_pk']}"
                assert not item["pk"].startswith("FUSE#"), "its TTL backstop is still there"
            if item["pk"].startswith("COUNT#"):
                assert self.grant not in item["body"], f"still counted: {item['pk']}"


class Tasks:
    """The running tasks, one a principal, and a lookout that lets each try its call all the time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: dict[str, Session] = {}
        self._watched: list[Hold] = []
        self._last = 0
        self._stopping = threading.Event()
        self._lookout = threading.Thread(target=self._look, daemon=True)
        self._lookout.start()

    def ask(self, principal: str, **changes: Any) -> Hold:
        """Asks for the entitlement on `principal`, on behalf of a task that has run for a while."""
        if principal not in self._tasks:
            self._tasks[principal] = Session.assumed(f"{ROLES}/brevet-dev-{principal}", TASK)
        run = f"run-{uuid.uuid4().hex[:12]}"
        body: dict[str, Any] = {"entitlement": f"on-{principal}", "term_s": changes.pop("term_s", TERM_S)}
        if principal in MANAGED:
            case = Case("acme-sync", body, principal, "", "")
        else:
            asks = "release-pipeline" if principal == KILLED else "nightly-batch"
            case = Case(asks, {**body, "parameters": {"run": run}}, principal, "", "")
        for call in gate.log(self._last, whole_within_s=0):
            self._last = max(self._last, call["n"])
        hold = Hold(self._world, case, self._world.approved(case), principal, run, self._tasks[principal], self._last)
        self._watched.append(hold)
        return hold

    def _look(self) -> None:
        while not self._stopping.wait(1.5):
            for hold in [one for one in self._watched if not one.over]:
                hold.use()

    @staticmethod
    def nobody_holds(principals: list[str]) -> None:
        """No grant is counted among the holders of anything on `principals`, and nothing is being detached."""
        counts = {item["pk"]: json.loads(item["body"]) for item in store.items() if item["pk"].startswith("COUNT#")}
        for principal in principals:
            count = counts[f"COUNT#{ROLES}/brevet-dev-{principal}#{POLICY}"]
            assert not count["holders"] and not count["is_detaching"], f"{principal}: {count}"

    def stop(self) -> None:
        self._stopping.set()
        self._lookout.join(timeout=60)


