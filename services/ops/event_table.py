"""Events as lines of a table: as many columns as the terminal has room for."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from services.ops.events import ReadEvent

_COLORS = {
    "InfluencerReady": "green",
    "ContentGenerated": "green",
    "InfluencerFailed": "red",
    "ContentFailed": "red",
    "JobCanceled": "yellow",
    "InfluencerDeleted": "yellow",
    "InfluencerCreateRequested": "cyan",
    "InfluencerRenderRequested": "cyan",
    "ContentRequested": "cyan",
}


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    width: int
    cell: Callable[[ReadEvent], str]
    style: Callable[[ReadEvent], str]


def _plain(_: ReadEvent) -> str:
    return "default"


def _dim(_: ReadEvent) -> str:
    return "dim"


def _color(event: ReadEvent) -> str:
    return color_of(event.type)


def color_of(event_type: str) -> str:
    return _COLORS.get(event_type, "default")


TIME = _Column("Time", 24, lambda event: event.time or "-" * 24, _dim)
SHORT_TIME = _Column("Time", 12, lambda event: event.time[11:23] or "-" * 12, _dim)
TYPE = _Column("Event", 25, lambda event: event.type or "(no type)", _color)
STREAM = _Column("Stream", 30, lambda event: event.subject, _plain)
SEQUENCE = _Column("#", 5, lambda event: f"#{event.sequence}", _plain)
JOB = _Column("Job", 30, lambda event: event.job_id or "", _dim)
PLACE = _Column("On", 36, lambda e: f"{e.topic} {e.partition}:{e.offset}", _dim)
SHORT_PLACE = _Column(
    "On", 18, lambda e: f"{e.topic.split('.')[-3]} {e.partition}:{e.offset}", _dim
)
EVENT_ID = _Column("Event id", 30, lambda event: event.id, _dim)

LAYOUTS = (
    (TIME, TYPE, STREAM, SEQUENCE, JOB, PLACE, EVENT_ID),
    (TIME, TYPE, STREAM, SEQUENCE, JOB, SHORT_PLACE),
    (TIME, TYPE, STREAM, SEQUENCE, SHORT_PLACE),
    (SHORT_TIME, TYPE, STREAM, SEQUENCE),
)


class EventTable:
    """Written line by line, as events come; the headings only where somebody looks at them."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._columns = _fitting(out.width) if out.is_terminal else LAYOUTS[0]
        self._headed = not out.is_terminal

    def add(self, event: ReadEvent) -> None:
        if not self._headed:
            self._headed = True
            self._write(Text(style="bold"), [(c.heading, "bold") for c in self._columns])
        self._write(Text(), [(c.cell(event), c.style(event)) for c in self._columns])

    def _write(self, line: Text, cells: list[tuple[str, str]]) -> None:
        for column, (cell, style) in zip(self._columns, cells, strict=True):
            line.append(f"{cell:<{column.width}} ", style)
        line.rstrip()
        self._out.print(line, no_wrap=True, overflow="ignore", crop=False)


def _fitting(width: int) -> tuple[_Column, ...]:
    for layout in LAYOUTS:
        if sum(column.width + 1 for column in layout) <= width + 1:
            return layout
    return LAYOUTS[-1]
