"""What readers have seen, and what of it can't be: judged without a system."""

from collections.abc import Iterable, Mapping
from typing import Any

from tests.faults.rules import broken

JOBS = "/v1/jobs/"
TERMINAL = ("completed", "failed", "canceled")

Record = Mapping[str, Any]
GONE: Record = {"sequence": 1 << 62, "status": "deleted"}


class Observations:
    """Of records by path; `wrong` is what was seen go back."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._seen: dict[str, Record] = {}

    def latest(self, path: str) -> Record | None:
        """To be taken before a read begins: reads that overlap may end in any order."""
        return self._seen.get(path)

    def saw(self, path: str, before: Record | None, record: Record) -> None:
        latest = self._seen.get(path)
        if latest is None or record["sequence"] >= latest["sequence"]:
            self._seen[path] = record
        if before is None:
            return
        if before is GONE:
            self._say("gone-and-back", path, record["status"])
        elif record["sequence"] < before["sequence"]:
            self._say("read-went-back", path, f"{before['sequence']}, now {record['sequence']}")
        if record.get("progress", 0) < before.get("progress", 0):
            self._say("progress-fell", path, f"{before['progress']}, now {record['progress']}")
        # An influencer that failed may be rendered anew.
        was_ended = path.startswith(JOBS) and before["status"] in TERMINAL
        if was_ended and record["status"] != before["status"]:
            self._say("ended-job-changed", path, f"{before['status']}, now {record['status']}")

    def missed(self, path: str, *, may_be_gone: bool) -> None:
        """A 404; an influencer may be deleted, a job that was accepted is there from then on."""
        if may_be_gone:
            self._seen[path] = GONE
        else:
            self._say("accepted-but-not-there", path, "404")

    def _say(self, rule: str, path: str, detail: object) -> None:
        self.wrong.append(broken(rule, path, detail))


class FeedObservations:
    """Of the events that one reader of the feed was told, in its order."""

    def __init__(self, reader: str) -> None:
        self.wrong: list[str] = []
        self.events: set[str] = set()
        self._reader = reader
        self._sequences: dict[str, int] = {}

    def saw(self, event: Record) -> None:
        """Events of one subject come in sequence, without a gap, and each once."""
        subject, sequence = event["subject"], int(event["sequence"])
        last = self._sequences.get(subject, 0)
        if event["id"] in self.events or sequence <= last:
            self._say("feed-doubled", f"{subject} {sequence} after {last}")
        elif sequence > last + 1:
            self._say("feed-gap", f"{subject} {sequence} after {last}")
        self.events.add(event["id"])
        self._sequences[subject] = max(sequence, last)

    def compare(self, logged: Iterable[str]) -> None:
        """With the ids of all events, once there are no more."""
        missing, unknown = set(logged) - self.events, self.events - set(logged)
        if missing or unknown:
            told = f"{len(missing)} are missing, {len(unknown)} are not on the log"
            self._say("feed-incomplete", f"{told}: {sorted(missing | unknown)[:5]}")

    def _say(self, rule: str, detail: str) -> None:
        self.wrong.append(broken(rule, self._reader, detail))
