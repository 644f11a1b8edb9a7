"""Records that are parked or were skipped, as `quarantine show` prints them."""

from collections.abc import Sequence

import orjson
from rich.text import Text

from services.ops.quarantine import KeptRecord
from services.ops.terminal import answer_json, console, say

SHOWN = 100


def show_records(parked: Sequence[KeptRecord], skipped: Sequence[KeptRecord], json: bool) -> None:
    if json:
        return answer_json(
            {
                "parked": [record.as_json() for record in parked],
                "skipped": [record.as_json() for record in skipped],
            }
        )
    for record in skipped:
        _print(record, "skipped")
    for record in parked[:SHOWN]:
        _print(record, "parked")
    if len(parked) > SHOWN:
        say(f"{len(parked) - SHOWN:,} more; --json shows all")
    return None


def _print(record: KeptRecord, state: str) -> None:
    out, event = console(), record.event
    heading = Text(f"{state} ", style="yellow" if state == "parked" else "dim")
    heading.append(event.type or "(no type)", style="bold")
    heading.append(f" #{event.attributes.get('ce_sequence', '?')}", style="default")
    heading.append(f"  {event.topic} {event.partition}:{event.offset} {event.id}", style="default")
    out.print(heading)
    out.print(Text(f"  {record.says}", style="red"))
    for name, value in record.facts.items():
        out.print(Text(f"  {name:<20} {value}"))
    out.print(Text(f"  {orjson.dumps(event.data).decode()}"))
