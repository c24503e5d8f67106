"""Recordings with one change each, which reconciliation must find for the expected reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from observer import chain
from observer.calllog import Call, Entry, later
from observer.store import Snapshot
from observer.world import instant

Log = list[Call]


@dataclass
class Doctored:
    """A copy of a recording, to be changed in one place."""

    log: Log
    snapshot: Snapshot

    def call(self, function: str, operation: str, fits: Callable[[Call], bool] = lambda call: True) -> Call:
        """The first such call that AWS answered, without a fault nearby that would explain a missing call."""
        faults = [instant(call["at"]) for call in self.log if call["fault"]]
        return next(
            call
            for call in self.log
            if call["operation"] == operation
            and f"brevet-dev-{function}/" in call["principal"]
            and call["answered"]
            and call["decision"] == "allowed"
            and fits(call)
            and not any(abs(at - instant(call["at"])) < 30 for at in faults)
        )

    def on(self, kind: str, operation: str, function: str) -> Call:
        """The first such call on an attachment principal; `kind` is `inline` or `managed`."""
        roles = {body["delivery"]["principal_arn"] for body in self.attached(kind).values()}
        return self.call(function, operation, lambda call: (call["wrote"] or {}).get("role") in roles)

    def more(self, call: Call, **changes: Any) -> None:
        """Appends a copy of `call`, with `changes`."""
        self.log.append({**copy.deepcopy(call), "n": 10**6, **changes})

    def attached(self, kind: str) -> dict[str, dict[str, Any]]:
        return {grant: body for grant, body in self.snapshot.grants.items() if body["delivery"]["delivery"] == kind}

    def entry(self, kind: str, event: str, nth: int = 0) -> tuple[str, Entry]:
        """The first grant of that kind with such an entry, and the entry."""
        for grant in self.attached(kind):
            entries = [e for e in self.snapshot.evidence[grant] if e["event"] == event]
            if len(entries) > nth:
                return grant, entries[nth]
        raise AssertionError(f"no grant ({kind}) has {nth + 1} entries of {event}")

    def made_attempt(self, kind: str) -> tuple[str, Entry]:
        """A grant of that kind whose only attempt was observed as present, and the entry of that attempt."""
        for grant in self.attached(kind):
            entries = self.snapshot.evidence[grant]
            tried = [e for e in entries if e["event"] == "ActivationRecorded"]
            if len(tried) == 1 and entries[tried[0]["seq"]]["event"] == "PresenceObserved":
                return grant, tried[0]
        raise AssertionError(f"no grant ({kind}) was attached by its first attempt")

    def reading(self, entry: Entry) -> Call:
        """The reading call that an entry names."""
        return next(call for call in self.log if call["request_id"] == entry["detail"]["request_id"])

    def ended(self, kind: str, proof: str) -> tuple[str, dict[str, Any]]:
        """A grant of that kind whose end has that kind of proof, and its state."""
        for grant, body in self.attached(kind).items():
            if body["state"]["name"] == "ended" and body["state"]["proof"]["kind"] == proof:
                return grant, body["state"]
        raise AssertionError(f"no grant ({kind}) ended {proof}")

    def reseal(self, grant: str) -> None:
        """Recomputes the chain's hashes, as an attacker with full write access would."""
        body, head = self.snapshot.grants[grant], {"seq": 0, "hash": chain.ZERO}
        self.snapshot.evidence[grant][-1]["grant_digest"] = chain.digest({**body, "evidence": head})
        for entry in self.snapshot.evidence[grant]:
            entry.update(seq=head["seq"] + 1, prev=head["hash"])
            entry["hash"] = chain.digest({name: value for name, value in entry.items() if name != "hash"})
            head = {"seq": entry["seq"], "hash": entry["hash"]}
        body["evidence"] = head


def _vend(seen: Doctored) -> Call:
    return seen.call("issue", "AssumeRole")


def _deny(seen: Doctored) -> Call:
    return seen.call("reap", "PutRolePolicy")


def _unrecorded_vend(seen: Doctored) -> None:
    seen.more(_vend(seen), wrote={**_vend(seen)["wrote"], "session_policy_sha256": "f" * 64})


def _other_deny(seen: Doctored) -> None:
    _deny(seen)["wrote"]["document_sha256"] = "f" * 64


def _silent_grant_write(seen: Doctored) -> None:
    call = seen.call("reap", "TransactWriteItems")
    call["wrote"]["items"] = [item for item in call["wrote"]["items"] if not item["sk"].startswith("EVD#")]


def _use_after_the_end(seen: Doctored) -> None:
    key = _vend(seen)["wrote"]["access_key_id"]
    use = next(c for c in seen.log if c["decision"] == "allowed" and c["access_key_id"] == key)
    seen.more(use, at="2099-01-01T00:00:00.000Z")


def _forged_proof(seen: Doctored) -> None:
    grant, state = seen.ended("session", "observed")
    state["proof"]["second"]["request_id"] = "nobody-made-this-call"
    seen.reseal(grant)


def _forged_deadline_proof(seen: Doctored) -> None:
    grant, state = seen.ended("session", "by_construction")
    state["proof"]["request_id"] = "nobody-made-this-call"
    seen.reseal(grant)


def _altered_entry(seen: Doctored) -> None:
    next(iter(seen.snapshot.evidence.values()))[0]["detail"]["identity"] = "somebody-else"


def _cut_chain(seen: Doctored) -> None:
    next(entries for entries in seen.snapshot.evidence.values() if len(entries) > 2).pop()


def _altered_grant(seen: Doctored) -> None:
    next(iter(seen.snapshot.grants.values()))["term"] += 1


def _other_document(seen: Doctored) -> None:
    put = seen.on("inline", "PutRolePolicy", "issue")
    put["wrote"]["document_sha256"] = "f" * 64


def _put_on_a_session_role(seen: Doctored) -> None:
    put = seen.on("inline", "PutRolePolicy", "issue")
    seen.more(put, wrote={**put["wrote"], "role": _deny(seen)["wrote"]["role"]})


def _put_by_reap(seen: Doctored) -> None:
    seen.more(seen.on("inline", "PutRolePolicy", "issue"), principal=_deny(seen)["principal"])


def _late_put(seen: Doctored) -> None:
    put = seen.on("managed", "AttachRolePolicy", "issue")
    put["at"] = later(put["at"], 60)


def _done_attempt_recorded_as_not_done(seen: Doctored) -> None:
    grant, record = seen.made_attempt("inline")
    entry = {**copy.deepcopy(record), "event": "AttemptNotDone", "detail": {"event": "attempt_not_done"}}
    seen.snapshot.evidence[grant].insert(record["seq"], entry)
    seen.reseal(grant)


def _other_removal(seen: Doctored) -> None:
    call = seen.on("inline", "DeleteRolePolicy", "reap")
    seen.more(call, wrote={**call["wrote"], "policy_name": "input"})


def _foreign_removal(seen: Doctored) -> None:
    grant, record = seen.entry("managed", "RemovalRecorded")
    record["detail"]["policy"] = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    seen.reseal(grant)


def _unread(kind: str, event: str) -> Callable[[Doctored], None]:
    def change(seen: Doctored) -> None:
        grant, entry = seen.entry(kind, event)
        (entry["detail"].get("reading") or entry["detail"])["request_id"] = "nobody-made-this-call"
        seen.reseal(grant)

    return change


def _read_of_another_time(seen: Doctored) -> None:
    grant, entry = seen.entry("inline", "PresenceObserved")
    entry["detail"]["at"] = later(entry["detail"]["at"], 60)
    seen.reseal(grant)


def _answered(event: str, status: int) -> Callable[[Doctored], None]:
    def change(seen: Doctored) -> None:
        _, entry = seen.entry("inline", event)
        seen.reading(entry)["upstream_status"] = status

    return change


def _present_before_it_was_put(seen: Doctored) -> None:
    """The log does not hold the list's content, so only the writes contradict the entry."""
    put = seen.on("managed", "AttachRolePolicy", "issue")
    put["upstream_status"] = 500


def _absent_while_it_stood(seen: Doctored) -> None:
    seen.on("managed", "DetachRolePolicy", "reap")["upstream_status"] = 500


def _altered_on_the_way(seen: Doctored) -> None:
    seen.on("inline", "PutRolePolicy", "issue")["wrote"]["forwarded_document_sha256"] = "f" * 64


def _proof_without_entry(kind: str) -> Callable[[Doctored], None]:
    def change(seen: Doctored) -> None:
        grant, state = seen.ended(kind, "observed")
        state["proof"]["first"]["request_id"] = "nobody-made-this-call"
        seen.reseal(grant)

    return change


def _hasty_proof(seen: Doctored) -> None:
    _, state = seen.ended("inline", "observed")
    first, second = ({"detail": state["proof"][which]} for which in ("first", "second"))
    seen.reading(second)["at"] = seen.reading(first)["landed_at"]


def _put_between(seen: Doctored) -> None:
    grant, state = seen.ended("managed", "observed")
    at = later(seen.reading({"detail": state["proof"]["first"]})["landed_at"], 0.5)
    delivery = seen.snapshot.grants[grant]["delivery"]
    put = seen.on("managed", "AttachRolePolicy", "issue")
    wrote = {**put["wrote"], "role": delivery["principal_arn"], "policy_arn": delivery["policy_arn"]}
    seen.more(put, wrote=wrote, at=at, landed_at=at, done_at=at, principal="bootstrap")


def _proof_of_a_session(seen: Doctored) -> None:
    grant, state = seen.ended("managed", "observed")
    state["proof"]["kind"] = "by_construction"
    seen.reseal(grant)


def _handed_to_a_non_holder(seen: Doctored) -> None:
    grant, state = seen.ended("managed", "handed_over")
    other = next(iter(seen.attached("inline")))
    state["proof"]["holders"] = [other]
    seen.entry("managed", "HandedOver")[1]["detail"]["holders"] = [other]
    seen.reseal(grant)


def _use_of_another_time(seen: Doctored) -> None:
    role = seen.on("inline", "PutRolePolicy", "issue")["wrote"]["role"].rsplit("/", 1)[-1]
    use = next(c for c in seen.log if f"/{role}/" in c["principal"] and c["decision"] == "allowed" and c["operation"] == "PutObject")
    seen.more(use, at="2099-01-01T00:00:00.000Z")


def _unmade_check(seen: Doctored) -> None:
    seen.log[:] = [call for call in seen.log if call["operation"] != "SimulatePrincipalPolicy"]


def _unrecorded_check(seen: Doctored) -> None:
    call = seen.call("reap", "SimulatePrincipalPolicy")
    seen.more(call, at="2099-01-01T00:00:00.000Z", done_at="2099-01-01T00:00:00.000Z")


def _hidden_residual_access(seen: Doctored) -> None:
    """Hides residual access. An entry depends on the last answers before it, so every answer is changed."""
    batch = seen.call("reap", "SimulatePrincipalPolicy", lambda call: "legacy-batch" in str(call["actions"]))
    for call in seen.log:
        if call["operation"] == batch["operation"] and call["actions"] == batch["actions"]:
            for one in call.get("simulated") or []:
                one["decision"] = "allowed"


def _rotation(seen: Doctored) -> Call:
    return seen.call("reap", "RotateSecret")


def _unrecorded_rotation(seen: Doctored) -> None:
    seen.more(_rotation(seen), wrote={**_rotation(seen)["wrote"], "token": "f" * 64})


def _rotation_before_the_end(seen: Doctored) -> None:
    grant, entry = seen.entry("session", "RotationRecorded")
    entry["state"] = "Revoking"
    seen.reseal(grant)


def _rotation_without_reading(seen: Doctored) -> None:
    grant, _ = seen.entry("session", "RotationObserved")
    seen.snapshot.grants[grant]["rotations"][0]["done"] += 1
    seen.reseal(grant)


def _drop(call: Callable[[Doctored], Call]) -> Callable[[Doctored], None]:
    return lambda seen: seen.log.remove(call(seen))


def _again(call: Callable[[Doctored], Call]) -> Callable[[Doctored], None]:
    return lambda seen: seen.more(call(seen))


def _put(seen: Doctored) -> Call:
    return seen.on("inline", "PutRolePolicy", "issue")


def _attaching(seen: Doctored) -> Call:
    return seen.on("managed", "AttachRolePolicy", "issue")


def _deletion(seen: Doctored) -> Call:
    return seen.on("inline", "DeleteRolePolicy", "reap")


def _detaching(seen: Doctored) -> Call:
    return seen.on("managed", "DetachRolePolicy", "reap")


TAMPERINGS: dict[str, tuple[Callable[[Doctored], None], str]] = {
    "a vend that was not recorded": (_unrecorded_vend, "was not recorded first"),
    "a vend without a call": (_drop(_vend), "but no call issued it"),
    "a deny with another document": (_other_deny, "was not recorded first"),
    "an unexpected kind of write": (lambda seen: seen.more(_deny(seen), operation="CreateRole"), "reap made iam:CreateRole"),
    "a grant written without evidence": (_silent_grant_write, "with entries []"),
    "a use after the end": (_use_after_the_end, "was allowed at 2099"),
    "a proof of a reading without a call": (_forged_proof, "which the log does not contain"),
    "a proof of an AWS date without a call": (_forged_deadline_proof, "which the log does not contain"),
    "an entry that was altered": (_altered_entry, "was altered"),
    "a chain that was cut": (_cut_chain, "the chain ends at"),
    "a grant that was altered": (_altered_grant, "differs from the digest in its last entry"),
    # Puts by issue.
    "a recorded put without a call": (_drop(_put), "was recorded, but no call followed"),
    "a recorded attach without a call": (_drop(_attaching), "was recorded, but no call followed"),
    "a put of another document": (_other_document, "was not recorded first"),
    "a repeated put": (_again(_put), "repeats call"),
    "a repeated attach": (_again(_attaching), "repeats call"),
    "an attach past its fence": (_late_put, "was not recorded first"),
    "a put on a session role": (_put_on_a_session_role, "was not recorded first"),
    "a put by the reaper": (_put_by_reap, "not the reserved policy"),
    "a done attempt recorded as not done": (_done_attempt_recorded_as_not_done, "is recorded as not done"),
    # Removals by reap.
    "a recorded deletion without a call": (_drop(_deletion), "was recorded, but no call followed"),
    "a recorded detach without a call": (_drop(_detaching), "was recorded, but no call followed"),
    "a deletion of the principal's own policy": (_other_removal, "DeleteRolePolicy of input"),
    "a repeated detach": (_again(_detaching), "repeats call"),
    "a removal of a policy that no grant attached": (_foreign_removal, "does not name what the grant attached"),
    # Readings.
    "a presence without a reading": (_unread("managed", "PresenceObserved"), "names a reading"),
    "an absence without a reading": (_unread("inline", "AbsenceObserved"), "names a reading"),
    "a hand-over without a reading": (_unread("managed", "HandedOver"), "names a reading"),
    "a presence read at another time": (_read_of_another_time, "read at"),
    "a presence that AWS answered with 404": (_answered("PresenceObserved", 404), "was answered 404"),
    "an absence that AWS answered with 200": (_answered("AbsenceObserved", 200), "was answered 200"),
    "a presence of a policy that was never attached": (_present_before_it_was_put, "records PresenceObserved, which the writes"),
    "an absence of a policy that was never detached": (_absent_while_it_stood, "records AbsenceObserved, which the writes"),
    "a presence of another document": (_altered_on_the_way, "records PresenceObserved, which the writes"),
    # Proofs of ending.
    "an inline end by a reading that no entry records": (_proof_without_entry("inline"), "which no entry records"),
    "a managed end by a reading that no entry records": (_proof_without_entry("managed"), "which no entry records"),
    "an end whose second reading came too soon": (_hasty_proof, "before the quiet period was over"),
    "an end with a put between its readings": (_put_between, "between the two readings"),
    "an end with a proof of another delivery": (_proof_of_a_session, "ended with proof by_construction"),
    "an end handed over to a grant that did not hold it": (_handed_to_a_non_holder, "which did not hold it then"),
    "a use of attached access after its end": (_use_of_another_time, "was allowed at 2099"),
    # Effective-permission checks.
    "a recorded check without a call": (_unmade_check, "but 0 were simulated"),
    "a check without an entry": (_unrecorded_check, "no entry records this effective-permission check"),
    # Rotations.
    "a rotation that was not recorded": (_unrecorded_rotation, "was not recorded first"),
    "a recorded rotation without a call": (_drop(_rotation), "was recorded, but no call followed"),
    "a rotation before the end": (_rotation_before_the_end, "before the grant's end was proved"),
    "an observed rotation without a reading": (_unread("session", "RotationObserved"), "names a reading"),
    "a counted rotation that was not observed": (_rotation_without_reading, "rotations of"),
    "residual access recorded as none": (_hidden_residual_access, "records not_allowed, but the answers were"),
}
