"""One real event, or several, of every type and version: see `schemas/examples/README.md`."""

from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from schemas.base import WireModel

FOLDER = Path(__file__).parent / "examples"


class Example(WireModel):
    """A record of the log; `headers` by name, `value` as JSON."""

    title: str
    topic: str
    key: str
    headers: dict[str, str]
    value: dict[str, JsonValue]


_EXAMPLES = TypeAdapter(tuple[Example, ...])


def examples_of(event_type: str, version: int, folder: Path = FOLDER) -> tuple[Example, ...]:
    """None where nobody has captured one yet."""
    file = folder / event_type / f"{version}.json"
    return read_examples(file) if file.exists() else ()


def read_examples(file: Path) -> tuple[Example, ...]:
    return _EXAMPLES.validate_json(file.read_bytes())
