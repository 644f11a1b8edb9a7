"""A client's journal, outside the system: what was asked, and what was answered.

A request is written down before it is sent, as `unknown`: whatever happens, the checker knows that
it may have led to something. What is answered is written down too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

Outcome = Literal["accepted", "refused", "unknown"]
Facts = Mapping[str, object]
"""`idempotencyKey`, `organizationId`, ids, and of an answer `status` and `requestId`."""


@dataclass
class Journal:
    """Entries as the checker reads them: JSON Lines, each on disk before the call goes on.

    `asked` counts what was sent, repeats included; `unanswered` what got no answer, or a 503;
    `accepted` what was answered 2xx, and `jobs` those of them that started a job.
    """

    path: Path
    asked: int = 0
    accepted: int = 0
    jobs: int = 0
    refused: int = 0
    unanswered: int = 0

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = self.path.open("a", buffering=1)

    def close(self) -> None:
        self._file.close()

    def ask(self, **facts: object) -> None:
        self.asked += 1
        self._write("unknown", facts)

    def accept(self, **facts: object) -> None:
        self.accepted += 1
        self.jobs += "jobId" in facts
        self._write("accepted", facts)

    def refuse(self, **facts: object) -> None:
        self.refused += 1
        self._write("refused", facts)

    def leave_open(self, **facts: object) -> None:
        """It was not answered, or not so that anything is known."""
        self.unanswered += 1
        self._write("unknown", facts)

    def _write(self, outcome: Outcome, facts: Facts) -> None:
        at = datetime.now(UTC).isoformat()
        self._file.write(json.dumps({"outcome": outcome, "at": at, **facts}) + "\n")
