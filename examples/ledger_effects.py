"""Prints what `ledger.py` has noted down, as the conformance suite asks for it."""

import json
import os
import sqlite3
import sys
from pathlib import Path

FILE = Path(os.environ.get("SUBSCRIBER_STATE", ".")) / "ledger.db"
EFFECTS = "select event_id, stream, sequence from names order by rowid"


def main() -> None:
    if not FILE.exists():
        return
    connection = sqlite3.connect(f"file:{FILE}?mode=ro", uri=True)
    try:
        rows = connection.execute(EFFECTS).fetchall()
    except sqlite3.OperationalError:  # it has only just begun
        rows = []
    for event_id, stream, sequence in rows:
        line = json.dumps({"id": event_id, "stream": stream, "sequence": sequence})
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
