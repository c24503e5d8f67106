"""Reconciles attachments: each put and removal, each reading in evidence, and each effective-permission check.

The expected result of a reading does not come from evidence: it is replayed from the writes in the log.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from .calllog import SOON_S, Call, Comparison, Entry, later

PUTS = {"PutRolePolicy": "inline", "AttachRolePolicy": "managed"}
REMOVALS = {"DeleteRolePolicy": "inline", "DetachRolePolicy": "managed"}
READINGS = {"inline": "GetRolePolicy", "managed": "ListAttachedRolePolicies"}
READING_EVENTS = ("PresenceObserved", "AbsenceObserved", "DriftObserved", "HandedOver")
# Two writes that landed within this many seconds of each other may have landed in either order.
CLOSE_S = 0.1

Target = tuple[str, str, str]


def digest_of(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def target_of_call(call: Call) -> Target:
    """The delivery, role and policy of a write."""
    wrote = call["wrote"] or {}
    delivery = (PUTS | REMOVALS)[call["operation"]]
    return delivery, wrote.get("role", ""), wrote.get("policy_name" if delivery == "inline" else "policy_arn") or ""


def succeeded(call: Call) -> bool:
    """Whether AWS carried out the call, even if its caller got no answer."""
    return bool(call["forwarded"]) and 200 <= (call["upstream_status"] or 0) < 300


def reading_of(entry: Entry) -> dict[str, Any]:
    """The reading that an entry records."""
    return entry["detail"]["reading"] if entry["event"] == "HandedOver" else entry["detail"]


class Attachments(Comparison):
    """Checks of every grant that attaches access to a principal."""

    @cached_property
    def writes(self) -> dict[Target, list[Call]]:
        """Every successful put and removal by any caller, by target, in order of arrival."""
        found: dict[Target, list[Call]] = {}
        for call in self.calls:
            if call["operation"] in PUTS | REMOVALS and succeeded(call):
                found.setdefault(target_of_call(call), []).append(call)
        return found

    def grants(self) -> dict[str, tuple[Target, dict[str, Any]]]:
        """Each attachment grant with its target and its body."""
        found = {}
        for grant, body in self.snapshot.grants.items():
            delivery = body["delivery"]
            if delivery["delivery"] in READINGS:
                policy = delivery.get("policy_name") or delivery["policy_arn"]
                found[grant] = ((delivery["delivery"], delivery["principal_arn"], policy), body)
        return found

    # ------------------------------------------------------------------------------------------- activations
    def activations(self) -> None:
        """Each put was recorded first, with its digest and its grant's target; each record has its put."""
        records: list[tuple[str, Target, Entry, list[Call]]] = []
        for grant, (target, _) in self.grants().items():
            for entry in self.entries(grant, "ActivationRecorded"):
                self.report.counts["activations recorded"] += 1
                records.append((grant, target, entry, []))
        for call in self.of("issue", *PUTS):
            self.report.counts["puts on principals"] += 1
            wrote, target = call["wrote"] or {}, target_of_call(call)
            digest = wrote.get("document_sha256") or digest_of(target[2])
            # The latest attempt of each grant that can have made this call.
            latest = {
                grant: (entry, calls)
                for grant, recorded_target, entry, calls in records
                if recorded_target == target and entry["at"] <= call["at"]
            }
            fits = [
                calls
                for entry, calls in sorted(latest.values(), key=lambda one: one[0]["at"])
                if entry["detail"]["plan_digest"] == digest and call["at"] <= entry["detail"]["fence"]
            ]
            if not fits:
                self.find(f"call {call['n']}: {call['operation']} of {target[2]} on {target[1]} was not recorded first")
                continue
            # If two grants put the same policy at the same time, each has its own call.
            next((calls for calls in reversed(fits) if not calls), fits[-1]).append(call)
        for grant, _, entry, calls in records:
            self.once(f"{grant}: the activation of {entry['at']}", calls)
            self.attempt(grant, entry, calls)

    def attempt(self, grant: str, record: Entry, calls: list[Call]) -> None:
        """The entries after a recorded attempt, up to the next one, agree with its calls."""
        chain = self.snapshot.evidence[grant][record["seq"] :]
        after = []
        for entry in chain:
            if entry["event"] == "ActivationRecorded":
                break
            after.append(entry["event"])
        if "AttemptNotDone" in after and any(map(succeeded, calls)):
            done = next(filter(succeeded, calls))["n"]
            self.find(f"{grant}: the attempt of {record['at']} is recorded as not done, but call {done} did it")
        # If no call was made, evidence must say that the attempt was not done or failed, or that the grant was stopped
        # between the record and the call: issue reads the blocks again in between.
        explained = {"AttemptNotDone", "ActivationFailed"} & set(after) or self.faulty_after("issue", record["at"])
        explained = explained or after[:1] == ["Stopped"]
        if not calls and not explained:
            self.find(f"{grant}: the activation of {record['at']} was recorded, but no call followed")

    def once(self, what: str, calls: list[Call]) -> None:
        """A call is repeated only if its caller got no answer."""
        for call in calls[:-1]:
            if succeeded(call) and call["answered"] and not call["fault"]:
                self.find(f"call {calls[-1]['n']}: {what} repeats call {call['n']}, which was answered")

    # ---------------------------------------------------------------------------------------------- removals
    def removals(self) -> None:
        """Each removal was recorded first, on its grant's own target; each record has its call."""
        records: list[tuple[str, Target, Entry, str, list[Call]]] = []
        for grant, (target, body) in self.grants().items():
            for entry in self.entries(grant, "RemovalRecorded"):
                self.report.counts["removals recorded"] += 1
                detail, bounds = entry["detail"], body["bounds"]
                operation = detail["operation"].removeprefix("iam:")
                if (REMOVALS.get(operation), detail["target"], detail["policy"]) != target:
                    self.find(f"{grant}: the removal of {entry['at']} does not name what the grant attached")
                # The claim's expiry: by then its owner has its answer, and no other reaper calls before.
                until = later(entry["at"], 2 * bounds["call_s"] + bounds["skew_s"])
                records.append((grant, target, entry, until, []))
        for finding in self.snapshot.findings:
            if finding["action"] == "removal_recorded":
                at = finding["target"]
                target = (at["delivery"], at["principal_arn"], at.get("policy_name") or at["policy_arn"])
                records.append((f"finding {finding['seq']}", target, finding, later(finding["at"], SOON_S), []))
        for call in self.of("reap", *REMOVALS):
            target = target_of_call(call)
            if target[2] == self.reserved:
                continue
            self.report.counts["removals from principals"] += 1
            fits = [
                calls
                for _, recorded_target, entry, until, calls in records
                if recorded_target == target and entry["at"] <= call["at"] <= until
            ]
            if not fits:
                self.find(f"call {call['n']}: {call['operation']} of {target[2]} on {target[1]} was not recorded first")
                continue
            fits[-1].append(call)
        for grant, _, entry, _, calls in records:
            self.once(f"{grant}: the removal of {entry['at']}", calls)
            if not calls and not self.faulty_after("reap", entry["at"]):
                self.find(f"{grant}: the removal of {entry['at']} was recorded, but no call followed")

    # ---------------------------------------------------------------------------------------------- readings
    def readings(self) -> None:
        """Each recorded reading was made, of that principal, and can have had the recorded result."""
        for grant, (target, body) in self.grants().items():
            for entry in self.entries(grant, *READING_EVENTS):
                call = self.reading(entry["by"], target, reading_of(entry)["request_id"])
                self.report.counts[f"{entry['event']} compared"] += 1
                if call is None:
                    self.find(f"{grant}: entry {entry['seq']} names a reading of {target[1]} that the log does not contain")
                    continue
                recorded_at, call_s = reading_of(entry)["at"], body["bounds"]["call_s"]
                if not later(call["at"], -call_s) <= recorded_at <= later(call["done_at"], call_s):
                    self.find(f"{grant}: entry {entry['seq']} says {recorded_at}, but call {call['n']} read at {call['at']}")
                self.agreement(grant, target, entry, call)

    def reading(self, function: str, target: Target, request_id: str) -> Call | None:
        """The answered call of `function` that read `target` with this request id."""
        return next(
            (
                c
                for c in self.of(function, READINGS[target[0]])
                if c["request_id"] == request_id and c["answered"] and c["actions"][0]["resource"] == target[1]
            ),
            None,
        )

    def agreement(self, grant: str, target: Target, entry: Entry, call: Call) -> None:
        """The entry agrees with AWS's answer, and with the answers that the writes before it allow."""
        status, event = call["upstream_status"], entry["event"]
        absent = event == "AbsenceObserved"
        if (absent and target[0] == "inline" and status != 404) or (event in ("PresenceObserved", "HandedOver") and status != 200):
            self.find(f"{grant}: entry {entry['seq']} records {event}, but call {call['n']} was answered {status}")
        plan = {e["detail"]["plan_digest"] for e in self.entries(grant, "ActivationRecorded")}
        possible = self.standing(target, call)
        match event:
            case "AbsenceObserved":
                agrees = None in possible
            # While Active, presence means that of the planned document.
            case "PresenceObserved" if entry["state"] == "Active":
                agrees = bool(possible & plan)
            case "DriftObserved":
                agrees = bool(possible - plan)
            case _:
                agrees = possible != {None}
        if not agrees:
            self.find(f"{grant}: entry {entry['seq']} records {event}, which the writes before call {call['n']} exclude")

    def standing(self, target: Target, read: Call) -> set[str | None]:
        """The possible contents of `target` when it was read, from all callers' writes: digests, or None for absent."""
        effects = []
        for call in self.writes.get(target, []):
            wrote = call["wrote"]
            digest = wrote.get("forwarded_document_sha256") or wrote.get("document_sha256") or digest_of(target[2])
            effects.append((call["landed_at"], call["at"], digest if call["operation"] in PUTS else None))
        effects.sort(key=lambda effect: effect[0])
        before = [effect for effect in effects if effect[0] <= read["at"]]
        last = before[-1] if before else ("", "", None)
        close = [e for e in before if e[0] and last[0] and e[0] >= later(last[0], -CLOSE_S)]
        during = [e for e in effects if e[0] > read["at"] and e[1] <= (read["landed_at"] or read["done_at"])]
        return {digest for _, _, digest in [last, *close, *during]}

    # ------------------------------------------------------------------------------------------------ proofs
    def proofs(self) -> None:
        """Each end has a proof that its delivery allows, with readings that evidence records."""
        for grant, (target, body) in self.grants().items():
            state = body["state"]
            if state["name"] != "ended":
                continue
            proof = state["proof"]
            self.report.counts[f"ended {proof['kind']}"] += 1
            self.report.counts[f"{target[0]} ended {proof['kind']}"] += 1
            if proof["kind"] == "observed":
                self.observed(grant, target, body, proof)
            elif proof["kind"] == "handed_over" and target[0] == "managed":
                self.handed_over(grant, target, body, proof)
            else:
                self.find(f"{grant}: an attachment ({target[0]}) ended with proof {proof['kind']}")

    def observed(self, grant: str, target: Target, body: dict[str, Any], proof: dict[str, Any]) -> None:
        absences = {(e["detail"]["request_id"], e["detail"]["at"]) for e in self.entries(grant, "AbsenceObserved")}
        for reading in (proof["first"], proof["second"]):
            if (reading["request_id"], reading["at"]) not in absences:
                self.find(f"{grant}: the proof names reading {reading['request_id']}, which no entry records")
        first, second = (self.reading("reap", target, proof[which]["request_id"]) for which in ("first", "second"))
        fences = [e["detail"]["fence"] for e in self.entries(grant, "ActivationRecorded")]
        if proof["second"]["at"] < max(fences, default=""):
            self.find(f"{grant}: the second reading came before the fence")
        # By the log's times, not by those in the proof.
        if first and second and second["at"] < later(first["landed_at"], body["bounds"]["quiet_s"]):
            self.find(f"{grant}: the second reading came before the quiet period was over")
        # No put may have landed between the two readings.
        for call in self.writes.get(target, []) if first and second else ():
            if call["operation"] in PUTS and first["landed_at"] < call["landed_at"] < second["at"]:
                self.find(f"{grant}: call {call['n']} attached it between the two readings of the proof")

    def handed_over(self, grant: str, target: Target, body: dict[str, Any], proof: dict[str, Any]) -> None:
        recorded = [e["detail"] for e in self.entries(grant, "HandedOver")]
        if [proof["holders"], proof["reading"]] not in [[one["holders"], one["reading"]] for one in recorded]:
            self.find(f"{grant}: the proof hands over to {proof['holders']}, which no entry records")
        for holder in proof["holders"]:
            holder_target, _ = self.grants().get(holder, (None, None))
            begun = min((e["at"] for e in self.entries(holder, "ActivationRecorded")), default="9")
            ended = min((e["at"] for e in self.snapshot.evidence.get(holder, []) if e["state"] == "Ended"), default="9")
            if holder_target != target or not begun <= body["state"]["verified_at"] <= ended:
                self.find(f"{grant}: the proof hands over to {holder}, which did not hold it then")

    # -------------------------------------------------------------------------------------------------- uses
    def uses(self) -> None:
        """Calls that only a grant allows were allowed only while such a grant was in force.

        It skips principals to which the administrator attached policies meanwhile, or whose time limits a test removed.
        """
        begun = min((c["n"] for c in self.calls if self.by("issue", c) or self.by("reap", c)), default=0)
        skipped = {
            (c["wrote"] or {}).get("role")
            for c in self.calls
            if c["operation"] in PUTS
            and ((c["principal"] == "bootstrap" and c["n"] > begun) or (c["fault"] or {}).get("kind") == "strip_time_limit")
        }
        spans: dict[str, list[tuple[str, str, str, str, str]]] = {}
        for grant, (target, body) in self.grants().items():
            if target[1] in skipped:
                continue
            records = self.entries(grant, "ActivationRecorded")
            starts = records[0]["at"] if records else "9"
            ends = body["state"].get("verified_at", "9")
            if target[0] == "inline" and records:
                ends = min(ends, later(starts, body["term"])[:-4] + "000Z")
            name = target[1].rsplit("/", 1)[-1]
            for probe in body["delivery"]["probes"]:
                spans.setdefault(name, []).append((probe["action"], probe["resource"], starts, ends, grant))
        for call in self.calls:
            name = call["principal"].partition(":assumed-role/")[2].partition("/")[0]
            if call["decision"] != "allowed" or name not in spans or not call["actions"]:
                continue
            asked = call["actions"][0]
            by_grant = [s for s in spans[name] if s[0] == asked["action"] and fnmatchcase(asked["resource"], s[1])]
            self.report.counts["uses of attached access"] += bool(by_grant)
            if by_grant and not any(starts <= call["at"] < ends for _, _, starts, ends, _ in by_grant):
                ended = sorted({f"{grant} ended by {ends}" for *_, ends, grant in by_grant})
                self.find(f"call {call['n']} ({call['operation']}) was allowed at {call['at']} to {name}; {', '.join(ended)}")

    # ------------------------------------------------------------------------------------------------ checks
    def checks(self) -> None:
        """Each recorded effective-permission check was made, probe by probe, with that outcome; none is unrecorded."""
        simulations = self.of("reap", "SimulatePrincipalPolicy")
        explained: set[int] = set()
        for grant, (target, body) in self.grants().items():
            probes = [(one["action"], one["resource"]) for one in body["delivery"]["probes"]]
            within_s = body["bounds"]["call_s"] * max(1, len(probes))
            for entry in self.entries(grant, "EffectiveAccessChecked"):
                self.report.counts["effective-permission checks"] += 1
                near = [
                    c
                    for c in simulations
                    if c["actions"]
                    and c["actions"][0]["resource"] == target[1]
                    and later(entry["at"], -within_s) <= c["at"] <= later(entry["at"], within_s)
                ]
                explained |= {c["n"] for c in near}
                before = [c for c in near if c["done_at"] <= entry["at"] and c["answered"]]
                self.check(grant, entry, probes, before)
        for call in simulations:
            self.report.counts["effective-permission simulations"] += 1
            if call["n"] not in explained and not self.faulty_after("reap", call["at"]):
                self.find(f"call {call['n']}: no entry records this effective-permission check")

    def check(self, grant: str, entry: Entry, probes: list[tuple[str, str]], calls: list[Call]) -> None:
        """The recorded outcome agrees with the latest answer to each probe."""
        answers = {(one["action"], one["resource"]): one["decision"] for c in calls for one in c.get("simulated") or []}
        tried = {probe: answers[probe] for probe in probes if probe in answers}
        outcome, allowed = entry["detail"]["outcome"], "allowed" in tried.values()
        if outcome == "undetermined":
            return
        if outcome == "not_allowed" and len(tried) < len(set(probes)):
            self.find(f"{grant}: entry {entry['seq']} records a check of {len(set(probes))} probes, but {len(tried)} were simulated")
        # Access through other grants is not residual access; the entry names those grants.
        expected = outcome == "residual" or bool(entry["detail"].get("but_by"))
        if allowed != expected:
            self.find(f"{grant}: entry {entry['seq']} records {outcome}, but the answers were {sorted(tried.values())}")
