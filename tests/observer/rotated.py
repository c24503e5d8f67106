"""Reconciles rotations: each call was recorded first, after its grant's end was proved; each counted one was read."""

from __future__ import annotations

from fnmatch import fnmatchcase

from .calllog import Comparison, later


class Rotations(Comparison):
    """Checks of every grant that names secrets to rotate."""

    def calls_and_records(self) -> None:
        """Each call was recorded first, with its token, and came before the fence; each record has its call."""
        records = [(grant, entry) for grant in self.snapshot.evidence for entry in self.entries(grant, "RotationRecorded")]
        followed: set[tuple[str, int]] = set()
        for call in self.of("reap", "RotateSecret"):
            self.report.counts["rotation calls"] += 1
            wrote = call["wrote"] or {}
            fits = [
                (grant, entry["seq"])
                for grant, entry in records
                if entry["detail"]["token"] == wrote.get("token")
                and fnmatchcase(wrote["secret"], entry["detail"]["secret"])
                and entry["at"] <= call["at"] <= entry["detail"]["fence"]
            ]
            if not fits:
                self.find(f"call {call['n']}: RotateSecret of {wrote.get('secret')} was not recorded first")
            followed.update(fits)
        for grant, entry in records:
            self.report.counts["rotations recorded"] += 1
            proved_at = self.snapshot.grants[grant]["state"].get("verified_at", "9999")
            if entry["state"] != "Ended" or entry["at"] < proved_at:
                self.find(f"{grant}: a rotation was recorded at {entry['at']}, before the grant's end was proved")
            if (grant, entry["seq"]) not in followed and not self.faulty_after("reap", entry["at"]):
                self.find(f"{grant}: the rotation of {entry['at']} was recorded, but no call followed")

    def readings(self) -> None:
        """Each counted rotation names a reading of its secret; the count is the number of observed rotations."""
        reads = {c["request_id"]: c for c in self.of("reap", "DescribeSecret") if c["request_id"] and c["answered"]}
        for grant, body in self.snapshot.grants.items():
            observed = self.entries(grant, "RotationObserved")
            counted = {one["secret"]: one["done"] for one in body.get("rotations", [])}
            for entry in observed:
                self.report.counts["rotations observed"] += 1
                detail = entry["detail"]
                call = reads.get(detail["reading"]["request_id"])
                if call is None:
                    self.find(f"{grant}: entry {entry['seq']} names a reading that the log does not contain")
                elif (
                    call["upstream_status"] != 200
                    or not fnmatchcase(call["actions"][0]["resource"], detail["secret"])
                    or not detail["reading"]["at"] <= call["at"] <= later(entry["at"], 1)
                ):
                    self.find(f"{grant}: call {call['n']} does not support entry {entry['seq']}, which names it")
            for secret, done in counted.items():
                n = sum(entry["detail"]["secret"] == secret for entry in observed)
                if n != done:
                    self.find(f"{grant}: {done} rotations of {secret} are counted, but {n} were observed")
