"""Attachments: each put and each removal, each reading that evidence names, and each check of what was left.

What a reading must have shown is not taken from evidence: it is replayed from the writes in the log.
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
SEEN = ("PresenceObserved", "AbsenceObserved", "DriftObserved", "HandedOver")
# Two writes that landed closer together than this may have landed in either order.
CLOSE_S = 0.1

Place = tuple[str, str, str]


def digest_of(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def place_of_call(call: Call) -> Place:
    """How a write is delivered, on which role, and which policy it writes."""
    wrote = call["wrote"] or {}
    delivery = (PUTS | REMOVALS)[call["operation"]]
    return delivery, wrote.get("role", ""), wrote.get("policy_name" if delivery == "inline" else "policy_arn") or ""


def succeeded(call: Call) -> bool:
    """Whether AWS did it, whatever its caller got to know."""
    return bool(call["forwarded"]) and 200 <= (call["upstream_status"] or 0) < 300


def sighting(entry: Entry) -> dict[str, Any]:
    """The reading that an entry tells of."""
    return entry["detail"]["seen"] if entry["event"] == "HandedOver" else entry["detail"]


class Attachments(Comparison):
    """Every grant whose access is attached to a principal."""

    @cached_property
    def writes(self) -> dict[Place, list[Call]]:
        """What was put and taken by anybody, place by place, in order of arrival."""
        found: dict[Place, list[Call]] = {}
        for call in self.calls:
            if call["operation"] in PUTS | REMOVALS and succeeded(call):
                found.setdefault(place_of_call(call), []).append(call)
        return found

    def grants(self) -> dict[str, tuple[Place, dict[str, Any]]]:
        """Each of them, with the one place where it may be attached."""
        found = {}
        for grant, body in self.snapshot.grants.items():
            delivery = body["delivery"]
            if delivery["delivery"] in READINGS:
                policy = delivery.get("policy_name") or delivery["policy_arn"]
                found[grant] = ((delivery["delivery"], delivery["principal_arn"], policy), body)
        return found

    # ------------------------------------------------------------------------------------------- activations
    def activations(self) -> None:
        """Each put was recorded first, with its digest, on its grant's place; each record has its put."""
        records: list[tuple[str, Place, Entry, list[Call]]] = []
        for grant, (place, _) in self.grants().items():
            for entry in self.entries(grant, "ActivationRecorded"):
                self.report.counts["activations recorded"] += 1
                records.append((grant, place, entry, []))
        for call in self.of("issue", *PUTS):
            self.report.counts["puts on principals"] += 1
            wrote, place = call["wrote"] or {}, place_of_call(call)
            digest = wrote.get("document_sha256") or digest_of(place[2])
            # The latest attempt of each grant whose attempt it can be.
            latest = {
                grant: (entry, calls)
                for grant, there, entry, calls in records
                if there == place and entry["at"] <= call["at"]
            }
            fits = [
                calls
                for entry, calls in sorted(latest.values(), key=lambda one: one[0]["at"])
                if entry["detail"]["plan_digest"] == digest and call["at"] <= entry["detail"]["fence"]
            ]
            if not fits:
                self.find(f"call {call['n']}: {call['operation']} of {place[2]} on {place[1]} was not recorded first")
                continue
            # Of two grants that put the same policy at one time, each has its own call.
            next((calls for calls in reversed(fits) if not calls), fits[-1]).append(call)
        for grant, _, entry, calls in records:
            self.once(f"{grant}: the activation of {entry['at']}", calls)
            self.attempt(grant, entry, calls)

    def attempt(self, grant: str, record: Entry, calls: list[Call]) -> None:
        """What came of a recorded attempt, up to the next one, fits what was called."""
        chain = self.snapshot.evidence[grant][record["seq"] :]
        after = []
        for entry in chain:
            if entry["event"] == "ActivationRecorded":
                break
            after.append(entry["event"])
        if "AttemptNotDone" in after and any(map(succeeded, calls)):
            done = next(filter(succeeded, calls))["n"]
            self.find(f"{grant}: the attempt of {record['at']} is told as not made, but call {done} made it")
        # Without a call, evidence must say itself that nothing was called or came of it.
        explained = {"AttemptNotDone", "ActivationFailed"} & set(after) or self.faulty_after("issue", record["at"])
        if not calls and not explained:
            self.find(f"{grant}: the activation of {record['at']} was recorded, but no call followed")

    def once(self, what: str, calls: list[Call]) -> None:
        """A call is made again only where its caller cannot know that it was made."""
        for call in calls[:-1]:
            if succeeded(call) and call["answered"] and not call["fault"]:
                self.find(f"call {calls[-1]['n']}: {what} had its call already, {call['n']}")

    # ---------------------------------------------------------------------------------------------- removals
    def removals(self) -> None:
        """Each removal was recorded first, on its grant's own place; each record has its call."""
        records: list[tuple[str, Place, Entry, str, list[Call]]] = []
        for grant, (place, body) in self.grants().items():
            for entry in self.entries(grant, "RemovalRecorded"):
                self.report.counts["removals recorded"] += 1
                detail, bounds = entry["detail"], body["bounds"]
                operation = detail["operation"].removeprefix("iam:")
                if (REMOVALS.get(operation), detail["target"], detail["policy"]) != place:
                    self.find(f"{grant}: the removal of {entry['at']} is not of what the grant attached")
                # The claim: until then its caller has been answered, and nobody else calls.
                until = later(entry["at"], 2 * bounds["call_s"] + bounds["skew_s"])
                records.append((grant, place, entry, until, []))
        for finding in self.snapshot.findings:
            if finding["act"] == "removal_recorded":
                where = finding["place"]
                place = (where["delivery"], where["principal_arn"], where.get("policy_name") or where["policy_arn"])
                records.append((f"finding {finding['seq']}", place, finding, later(finding["at"], SOON_S), []))
        for call in self.of("reap", *REMOVALS):
            place = place_of_call(call)
            if place[2] == self.reserved:
                continue
            self.report.counts["removals from principals"] += 1
            fits = [calls for _, there, entry, until, calls in records if there == place and entry["at"] <= call["at"] <= until]
            if not fits:
                self.find(f"call {call['n']}: {call['operation']} of {place[2]} on {place[1]} was not recorded first")
                continue
            fits[-1].append(call)
        for grant, _, entry, _, calls in records:
            self.once(f"{grant}: the removal of {entry['at']}", calls)
            if not calls and not self.faulty_after("reap", entry["at"]):
                self.find(f"{grant}: a removal of {entry['at']} was recorded, but no call followed")

    # ---------------------------------------------------------------------------------------------- readings
    def sightings(self) -> None:
        """Each reading that an entry tells of was made, about that principal, and can have shown what is told."""
        for grant, (place, body) in self.grants().items():
            for entry in self.entries(grant, *SEEN):
                call = self.reading(entry["by"], place, sighting(entry)["request_id"])
                self.report.counts[f"{entry['event']} compared"] += 1
                if call is None:
                    self.find(f"{grant}: entry {entry['seq']} names a reading of {place[1]} that the log does not know")
                    continue
                told, call_s = sighting(entry)["at"], body["bounds"]["call_s"]
                if not later(call["at"], -call_s) <= told <= later(call["done_at"], call_s):
                    self.find(f"{grant}: entry {entry['seq']} tells of {told}, but call {call['n']} read at {call['at']}")
                self.agreement(grant, place, entry, call)

    def reading(self, function: str, place: Place, request_id: str) -> Call | None:
        """The answered call of `function` that read `place` under this id."""
        return next(
            (
                c
                for c in self.of(function, READINGS[place[0]])
                if c["request_id"] == request_id and c["answered"] and c["actions"][0]["resource"] == place[1]
            ),
            None,
        )

    def agreement(self, grant: str, place: Place, entry: Entry, call: Call) -> None:
        """What AWS answered, and what the writes before it say that it can have answered, is what the entry tells."""
        status, event = call["upstream_status"], entry["event"]
        absent = event == "AbsenceObserved"
        if (absent and place[0] == "inline" and status != 404) or (event in ("PresenceObserved", "HandedOver") and status != 200):
            self.find(f"{grant}: entry {entry['seq']} tells {event}, but call {call['n']} was answered {status}")
        plan = {e["detail"]["plan_digest"] for e in self.entries(grant, "ActivationRecorded")}
        possible = self.standing(place, call)
        match event:
            case "AbsenceObserved":
                agrees = None in possible
            # Before its end, presence is that of the very document.
            case "PresenceObserved" if entry["state"] == "Active":
                agrees = bool(possible & plan)
            case "DriftObserved":
                agrees = bool(possible - plan)
            case _:
                agrees = possible != {None}
        if not agrees:
            self.find(f"{grant}: entry {entry['seq']} tells {event}, which the writes before call {call['n']} exclude")

    def standing(self, place: Place, read: Call) -> set[str | None]:
        """What can have stood at `place` when it was read, by the writes of everybody: a digest, or nothing."""
        effects = []
        for call in self.writes.get(place, []):
            wrote = call["wrote"]
            digest = wrote.get("forwarded_document_sha256") or wrote.get("document_sha256") or digest_of(place[2])
            effects.append((call["landed_at"], call["at"], digest if call["operation"] in PUTS else None))
        effects.sort(key=lambda effect: effect[0])
        before = [effect for effect in effects if effect[0] <= read["at"]]
        last = before[-1] if before else ("", "", None)
        close = [e for e in before if e[0] and last[0] and e[0] >= later(last[0], -CLOSE_S)]
        during = [e for e in effects if e[0] > read["at"] and e[1] <= (read["landed_at"] or read["done_at"])]
        return {digest for _, _, digest in [last, *close, *during]}

    # ------------------------------------------------------------------------------------------------ proofs
    def proofs(self) -> None:
        """Each end is proved as its delivery can be, by the readings that its evidence tells."""
        for grant, (place, body) in self.grants().items():
            state = body["state"]
            if state["name"] != "ended":
                continue
            proof = state["proof"]
            self.report.counts[f"ended {proof['kind']}"] += 1
            self.report.counts[f"{place[0]} ended {proof['kind']}"] += 1
            if proof["kind"] == "observed":
                self.observed(grant, place, body, proof)
            elif proof["kind"] == "handed_over" and place[0] == "managed":
                self.handed_over(grant, place, body, proof)
            else:
                self.find(f"{grant}: an attachment ({place[0]}) ended with proof {proof['kind']}")

    def observed(self, grant: str, place: Place, body: dict[str, Any], proof: dict[str, Any]) -> None:
        told = {(e["detail"]["request_id"], e["detail"]["at"]) for e in self.entries(grant, "AbsenceObserved")}
        for one in (proof["first"], proof["second"]):
            if (one["request_id"], one["at"]) not in told:
                self.find(f"{grant}: the proof names reading {one['request_id']}, which no entry tells")
        first, second = (self.reading("reap", place, proof[which]["request_id"]) for which in ("first", "second"))
        fences = [e["detail"]["fence"] for e in self.entries(grant, "ActivationRecorded")]
        if proof["second"]["at"] < max(fences, default=""):
            self.find(f"{grant}: the second reading came before the fence")
        # Judged by the log's times, not by what the proof says of itself.
        if first and second and second["at"] < later(first["landed_at"], body["bounds"]["quiet_s"]):
            self.find(f"{grant}: the second reading came before the quiet period was over")
        # Once AWS showed it gone, nothing may have put it there until the second reading.
        for call in self.writes.get(place, []) if first and second else ():
            if call["operation"] in PUTS and first["landed_at"] < call["landed_at"] < second["at"]:
                self.find(f"{grant}: call {call['n']} put it there between the two readings of the proof")

    def handed_over(self, grant: str, place: Place, body: dict[str, Any], proof: dict[str, Any]) -> None:
        told = [e["detail"] for e in self.entries(grant, "HandedOver")]
        if [proof["holders"], proof["seen"]] not in [[one["holders"], one["seen"]] for one in told]:
            self.find(f"{grant}: it was handed over to {proof['holders']}, which no entry tells")
        for holder in proof["holders"]:
            there, _ = self.grants().get(holder, (None, None))
            begun = min((e["at"] for e in self.entries(holder, "ActivationRecorded")), default="9")
            ended = min((e["at"] for e in self.snapshot.evidence.get(holder, []) if e["state"] == "Ended"), default="9")
            if there != place or not begun <= body["state"]["verified_at"] <= ended:
                self.find(f"{grant}: it was handed over to {holder}, which did not hold it then")

    # -------------------------------------------------------------------------------------------------- uses
    def uses(self) -> None:
        """What a grant alone allows to a principal was let through only while such a grant was there.

        A principal to which the administrator gave something meanwhile, or whose limits a test took away, is left out.
        """
        begun = min((c["n"] for c in self.calls if self.by("issue", c) or self.by("reap", c)), default=0)
        odd = {
            (c["wrote"] or {}).get("role")
            for c in self.calls
            if c["operation"] in PUTS
            and ((c["principal"] == "bootstrap" and c["n"] > begun) or (c["fault"] or {}).get("kind") == "strip_time_limit")
        }
        spans: dict[str, list[tuple[str, str, str, str, str]]] = {}
        for grant, (place, body) in self.grants().items():
            if place[1] in odd:
                continue
            records = self.entries(grant, "ActivationRecorded")
            starts = records[0]["at"] if records else "9"
            ends = body["state"].get("verified_at", "9")
            if place[0] == "inline" and records:
                ends = min(ends, later(starts, body["term"])[:-4] + "000Z")
            name = place[1].rsplit("/", 1)[-1]
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
                told = sorted({f"{grant} ended by {ends}" for *_, ends, grant in by_grant})
                self.find(f"call {call['n']} ({call['operation']}) was allowed at {call['at']} to {name}; {', '.join(told)}")

    # ------------------------------------------------------------------------------------------------ checks
    def checks(self) -> None:
        """Each check of effective permissions was made, probe by probe, and answered as is told; none is untold."""
        tries = self.of("reap", "SimulatePrincipalPolicy")
        explained: set[int] = set()
        for grant, (place, body) in self.grants().items():
            probes = [(one["action"], one["resource"]) for one in body["delivery"]["probes"]]
            within_s = body["bounds"]["call_s"] * max(1, len(probes))
            for entry in self.entries(grant, "EffectiveAccessChecked"):
                self.report.counts["checks of what is left"] += 1
                near = [
                    c
                    for c in tries
                    if c["actions"]
                    and c["actions"][0]["resource"] == place[1]
                    and later(entry["at"], -within_s) <= c["at"] <= later(entry["at"], within_s)
                ]
                explained |= {c["n"] for c in near}
                before = [c for c in near if c["done_at"] <= entry["at"] and c["answered"]]
                self.check(grant, entry, probes, before)
        for call in tries:
            self.report.counts["tries of what is left"] += 1
            if call["n"] not in explained and not self.faulty_after("reap", call["at"]):
                self.find(f"call {call['n']}: what is left was tried, but no entry tells what came of it")

    def check(self, grant: str, entry: Entry, probes: list[tuple[str, str]], calls: list[Call]) -> None:
        """The outcome is that of the latest answer to each probe."""
        answers = {(one["action"], one["resource"]): one["decision"] for c in calls for one in c.get("simulated") or []}
        tried = {probe: answers[probe] for probe in probes if probe in answers}
        outcome, allowed = entry["detail"]["outcome"], "allowed" in tried.values()
        if outcome == "undetermined":
            return
        if outcome == "not_allowed" and len(tried) < len(set(probes)):
            self.find(f"{grant}: entry {entry['seq']} tells a check of {len(set(probes))} probes, but {len(tried)} were tried")
        # What other grants hold is no residual access, and is told with their names.
        expected = outcome == "residual" or bool(entry["detail"].get("but_by"))
        if allowed != expected:
            self.find(f"{grant}: entry {entry['seq']} tells {outcome}, but the answers were {sorted(tried.values())}")
