"""Reconciles the call log with the evidence: an entry explains every write in AWS, and a call every entry.

This module compares chains, the table, sessions and their reserved deny. `attached` compares attachments, `rotated`
rotations.
"""

from __future__ import annotations

from . import chain
from .attached import Attachments
from .calllog import SOON_S, Call, Comparison, Entry, Report, later
from .rotated import Rotations
from .store import Snapshot

CLOCKS_S = 1
"""Tolerated difference in seconds between times of the gate and of a function; both use this machine's clock."""
READS = ("Get", "List", "Describe", "Simulate")


def _is_over(call: Call, at: str) -> bool:
    """Whether the gate had answered a call by `at`."""
    return call["done_at"] <= later(at, CLOCKS_S)


def _begins(call: Call, at: str) -> bool:
    """Whether a call arrived at `at` or soon after."""
    return at <= later(call["at"], CLOCKS_S) and call["at"] <= later(at, SOON_S)


class Sessions(Comparison):
    """Checks that apply to every grant, and checks of grants with vended credentials."""

    # ------------------------------------------------------------------------------------------------ chains
    def chains(self) -> None:
        for grant, body in self.snapshot.grants.items():
            entries = self.snapshot.evidence.get(grant, [])
            self.report.counts["chains"] += 1
            self.report.counts["entries"] += len(entries)
            try:
                chain.verify(grant, body["evidence"], entries)
            except chain.BrokenChain as broken:
                self.find(str(broken))
                continue
            start = {**body, "evidence": {"seq": 0, "hash": chain.ZERO}}
            if chain.digest(start) != entries[-1]["grant_digest"]:
                self.find(f"{grant}: the stored grant differs from the digest in its last entry")
        for grant in self.snapshot.evidence.keys() - self.snapshot.grants.keys():
            self.find(f"{grant}: evidence exists, but the grant does not")

    def findings(self) -> None:
        """The sweep's findings form a chain: each holds the digest of the one before."""
        before = chain.ZERO
        for number, finding in enumerate(self.snapshot.findings, 1):
            self.report.counts["sweep findings"] += 1
            if finding["seq"] != number or finding["prev"] != before:
                self.find(f"finding {finding['seq']}: it does not link to the finding before it")
            before = chain.digest(finding)

    def drills(self) -> None:
        """A drill's records form a chain, and the gate decided each of its probes as recorded."""
        outcomes = {"allowed": "allowed", "denied": "denied"}
        calls = {call["request_id"]: call for call in self.calls if call["request_id"]}
        for drilled, records in self.snapshot.drills.items():
            before = chain.ZERO
            for number, record in enumerate(records, 1):
                self.report.counts["drill records"] += 1
                if record["seq"] != number or record["prev"] != before:
                    self.find(f"drill {drilled} {record['seq']}: it does not link to the record before it")
                before = chain.digest(record)
                stage = record["stage"]
                for probe in filter(None, (stage.get(when) for when in ("before", "during", "after", "last"))):
                    if (expected := outcomes.get(probe["outcome"])) is None:
                        continue
                    call = calls.get(probe["request_id"])
                    if call is None or (call["operation"], call["decision"]) != ("GetItem", expected):
                        self.find(f"drill {drilled} {number}: call {probe['request_id']} was not {expected}")

    # ------------------------------------------------------------------------------------------------- table
    def transactions(self) -> None:
        """Each write of a grant's item also writes its evidence entry, and each entry came with such a write."""
        written: set[tuple[str, int]] = set()
        for call in self.calls:
            if call["service"] != "dynamodb" or call["principal"] == "bootstrap":
                continue
            items = (call["wrote"] or {}).get("items") or []
            writes = {(i["pk"], i["sk"]) for i in items if i["action"] not in ("ConditionCheckItem", "GetItem")}
            grants = {pk for pk, sk in writes if pk.startswith("GRANT#") and sk == "META"}
            entries = {(pk, sk) for pk, sk in writes if pk.startswith("GRANT#") and sk != "META"}
            if not call["forwarded"]:
                continue
            for pk in grants:
                self.report.counts["grant writes"] += 1
                mine = [sk for owner, sk in entries if owner == pk]
                if call["operation"] != "TransactWriteItems" or len(mine) != 1 or not mine[0].startswith("EVD#"):
                    self.find(f"call {call['n']}: {pk} was written by {call['operation']} with entries {mine}")
                elif call["upstream_status"] == 200:
                    written.add((pk.removeprefix("GRANT#"), int(mine[0].removeprefix("EVD#"))))
            for pk, sk in entries:
                if pk not in grants:
                    self.find(f"call {call['n']}: {pk} {sk} was written without its grant")
        stored = {(grant, e["seq"]) for grant, entries in self.snapshot.evidence.items() for e in entries}
        for grant, seq in sorted(stored - written):
            self.find(f"{grant}: no logged write explains entry {seq}")
        for grant, seq in sorted(written - stored):
            self.find(f"{grant}: entry {seq} was written, but the table lacks it")

    # ------------------------------------------------------------------------------------------------- vends
    def vends(self) -> None:
        calls_of: dict[tuple[str, int], list[Call]] = {}
        for call in self.of("issue", "AssumeRole"):
            self.report.counts["AssumeRole calls"] += 1
            wrote = call["wrote"] or {}
            grant = "grt_" + str(wrote.get("session_name", "")).removeprefix(f"{self.deployment}.")
            records = self.records(grant)
            fits = [
                seq
                for seq, entry in enumerate(records, 1)
                if entry["at"] <= call["at"] and entry["detail"]["policy_digest"] == wrote.get("session_policy_sha256")
            ]
            if not fits:
                self.find(f"call {call['n']}: AssumeRole {wrote.get('session_name')} was not recorded first")
                continue
            calls_of.setdefault((grant, fits[-1]), []).append(call)
            body = self.snapshot.grants.get(grant, {})
            if wrote["role"] != body.get("delivery", {}).get("role_arn"):
                self.find(f"call {call['n']}: AssumeRole on {wrote['role']}, but the grant's role is another")
            if wrote["source_identity"] != body.get("identity"):
                self.find(f"call {call['n']}: AssumeRole for {wrote['source_identity']}, but another identity holds the grant")
        for grant in self.snapshot.grants:
            for seq, entry in enumerate(self.records(grant), 1):
                self.vend(grant, seq, entry, calls_of.get((grant, seq), []))

    def records(self, grant: str) -> list[Entry]:
        return self.entries(grant, "VendRecorded")

    def vend(self, grant: str, seq: int, record: Entry, calls: list[Call]) -> None:
        self.report.counts["vends"] += 1
        answers = [
            e["detail"]["answer"]
            for e in self.snapshot.evidence[grant]
            if e["event"] == "VendAnswered" and e["detail"]["seq"] == seq
        ]
        keys = [c["wrote"]["access_key_id"] for c in calls if "access_key_id" in c["wrote"]]
        issued = [a["access_key_id"] for a in answers if a["kind"] == "issued"]
        failed = any(a["kind"] == "failed" for a in answers)
        for key in issued:
            self.report.counts["vends answered"] += 1
            if key not in keys:
                self.find(f"{grant}: vend {seq} says that {key} was issued, but no call issued it")
        for call in calls:
            key = call["wrote"].get("access_key_id")
            # A caller that hung up before the answer never had the key: its SDK calls again.
            is_known = key and call["answered"] and not call["fault"] and not self.faulty_after("issue", call["at"])
            if is_known and key not in issued:
                self.find(f"{grant}: vend {seq} does not name {key}, which call {call['n']} issued")
        if not calls and not failed and not self.faulty_after("issue", record["at"]):
            self.find(f"{grant}: vend {seq} was recorded, but no AssumeRole followed")

    # ---------------------------------------------------------------------------------------------- removals
    def removals(self) -> None:
        """Each write of a reserved deny was recorded first, and each record is followed by its write."""
        recorded = [
            (entry["detail"]["target"], entry["detail"]["policy"], entry["detail"].get("document_digest"), entry["at"], grant)
            for grant in self.snapshot.evidence
            for entry in self.entries(grant, "RemovalRecorded")
            if entry["detail"]["policy"] == self.reserved
        ]
        swept = [(one["target"]["principal_arn"], one["at"]) for one in self.snapshot.findings if one["action"] == "deny_recorded"]
        called = []
        for call in self.of("reap", "PutRolePolicy", "DeleteRolePolicy"):
            wrote = call["wrote"]
            if wrote["policy_name"] != self.reserved:
                # `attached` compares what reap deletes from attachment principals.
                if call["operation"] == "PutRolePolicy":
                    self.find(f"call {call['n']}: reap put {wrote['policy_name']}, not the reserved policy")
                continue
            self.report.counts["deny writes"] += 1
            write = (wrote["role"], wrote["policy_name"], wrote["document_sha256"])
            called.append((write, call["at"]))
            is_swept = any(role == wrote["role"] and at <= call["at"] <= later(at, SOON_S) for role, at in swept)
            if not is_swept and not any(entry[:3] == write and entry[3] <= call["at"] for entry in recorded):
                self.find(f"call {call['n']}: {call['operation']} on {wrote['role']} was not recorded first")
        for *write, at, grant in recorded:
            self.report.counts["deny writes recorded"] += 1
            follows = any(call == tuple(write) and at <= called_at <= later(at, SOON_S) for call, called_at in called)
            if not follows and not self.faulty_after("reap", at):
                self.find(f"{grant}: the removal of {at} was recorded, but no call followed")

    def nothing_else(self) -> None:
        """No function made a write outside the table other than those above."""
        explained = {
            "intake": {"Invoke"},
            "issue": {"AssumeRole", "PutRolePolicy", "AttachRolePolicy"},
            "reap": {"PutRolePolicy", "DeleteRolePolicy", "DetachRolePolicy", "RotateSecret"},
            "drill": {"AssumeRole"},
        }
        for function in ("intake", "evaluate", "issue", "reap", "drill"):
            for call in self.calls:
                if not self.by(function, call) or call["service"] == "dynamodb" or not call["forwarded"]:
                    continue
                read = call["operation"].startswith(READS)
                if not read and call["operation"] not in explained.get(function, set()):
                    self.find(f"call {call['n']}: {function} made {call['service']}:{call['operation']}")

    # ------------------------------------------------------------------------------------------------ proofs
    def proofs(self) -> None:
        reads = {c["request_id"]: c for c in self.of("reap", "GetRolePolicy") if c["request_id"] and c["answered"]}
        for grant, body in self.snapshot.grants.items():
            state = body["state"]
            if state["name"] != "ended" or body["delivery"]["delivery"] != "session":
                continue
            proof, role = state["proof"], body["delivery"]["role_arn"]
            self.report.counts[f"ended {proof['kind']}"] += 1
            if proof["kind"] == "observed":
                # Calls take time: the first reading counts from its answer on, the second only up to its request.
                readings = [(proof["first"], _is_over), (proof["second"], _begins)]
                if proof["first"]["request_id"] == proof["second"]["request_id"]:
                    self.find(f"{grant}: the proof names the same reading twice")
                quiet_s = body["bounds"]["quiet_s"] + body["bounds"]["skew_s"]
                if proof["second"]["at"] < later(proof["first"]["at"], quiet_s):
                    self.find(f"{grant}: the second reading came before the quiet period was over")
            elif proof["kind"] == "by_construction":
                readings = [({"request_id": proof["request_id"], "at": state["verified_at"]}, _is_over)]
                if proof["aws_date"] <= proof["deadline"]:
                    self.find(f"{grant}: AWS's date {proof['aws_date']} is not past the deadline")
            else:
                self.find(f"{grant}: a session ended with proof {proof['kind']}")
                continue
            for reading, holds in readings:
                call = reads.get(reading["request_id"])
                if call is None:
                    self.find(f"{grant}: the proof names reading {reading['request_id']}, which the log does not contain")
                elif call["actions"][0]["resource"] != role or not holds(call, reading["at"]):
                    self.find(f"{grant}: call {call['n']} does not support the proof that names it")

    # -------------------------------------------------------------------------------------------------- uses
    def uses(self) -> None:
        """No call with vended credentials was allowed from the grant's deadline or verified end on."""
        issued: dict[str, tuple[str, str]] = {}
        for call in self.of("issue", "AssumeRole"):
            wrote = call["wrote"] or {}
            if "access_key_id" not in wrote or (call["fault"] or {}).get("kind") == "strip_time_deny":
                continue
            grant = "grt_" + wrote["session_name"].removeprefix(f"{self.deployment}.")
            records = self.records(grant)
            if not records:
                continue
            end = records[0]["detail"]["deadline"]
            state = self.snapshot.grants[grant]["state"]
            issued[wrote["access_key_id"]] = (grant, min(end, state.get("verified_at", end)))
        for call in self.calls:
            grant, end = issued.get(call["access_key_id"] or "", (None, ""))
            if grant is None:
                continue
            self.report.counts["uses of vended credentials"] += 1
            if call["decision"] == "allowed" and call["at"] >= end:
                self.find(f"{grant}: call {call['n']} ({call['operation']}) was allowed at {call['at']}, after {end}")


def reconcile(calls: list[Call], snapshot: Snapshot, deployment: str = "dev") -> Report:
    """Compares the gate's call log with the table's grants and evidence."""
    report = Report()
    sessions = Sessions(calls, snapshot, deployment, report)
    attached = Attachments(calls, snapshot, deployment, report)
    rotations = Rotations(calls, snapshot, deployment, report)
    for step in (
        sessions.chains,
        sessions.findings,
        sessions.drills,
        sessions.transactions,
        sessions.vends,
        sessions.removals,
        sessions.nothing_else,
        sessions.proofs,
        sessions.uses,
        attached.activations,
        attached.removals,
        attached.readings,
        attached.proofs,
        attached.uses,
        attached.checks,
        rotations.calls_and_records,
        rotations.readings,
    ):
        step()
    return report
