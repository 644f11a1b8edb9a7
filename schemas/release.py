"""Releases of the events' schemas, frozen: `python -m schemas.release` adds one.

A release is a folder `schemas/releases/<number>`: the JSON Schema and the examples of every type
and version, the headers, the channels, and the SHA-256 of each file. It is refused while the
present state breaks with an earlier release, or when an earlier one was altered; with `--check`
only that is looked at. Nothing that was released is ever written again.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.asyncapi import headers_schema
from schemas.channels import CHANNELS, EVENT_PARTITIONS, RETENTION
from schemas.compatibility import breaks
from schemas.events import EVENT_TYPES
from schemas.examples import FOLDER as EXAMPLES
from schemas.generate import as_json, write
from schemas.json_schemas import schema_of

FOLDER = Path(__file__).parent / "releases"
SUMS = "SHA256SUMS"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Edition:
    """What subscribers are told at one time; schemas by `<type>/<version>`, channels by topic."""

    schemas: Mapping[str, Document]
    headers: Document
    channels: Mapping[str, Document]
    examples: Mapping[str, Any]


def present() -> Edition:
    """As the code and the examples have it now."""
    return Edition(
        schemas={f"{name}/{version}": schema_of(m) for (name, version), m in EVENT_TYPES.items()},
        headers=headers_schema(),
        channels={
            channel.topic: {
                "keyEndsIn": f"{channel.subject}_",
                "partitions": EVENT_PARTITIONS,
                "configuration": dict(RETENTION),
                "types": sorted(model.event_type for model in channel.models),
            }
            for channel in CHANNELS
        },
        examples=_read(EXAMPLES),
    )


def released(folder: Path) -> Edition:
    """The release in `folder`."""
    return Edition(
        schemas=_read(folder / "events"),
        headers=json.loads((folder / "headers.json").read_bytes()),
        channels=json.loads((folder / "channels.json").read_bytes()),
        examples=_read(folder / "examples"),
    )


def releases(folder: Path = FOLDER) -> list[Path]:
    """Their folders, oldest first."""
    return sorted(folder.glob("[0-9]*"), key=lambda release: int(release.name))


def faults(folder: Path = FOLDER, now: Edition | None = None) -> list[str]:
    """What is wrong with `now` (the present) in view of each release, and with the releases."""
    edition = now or present()
    found = list(_missing_examples(edition))
    for number, release in enumerate(releases(folder), start=1):
        if int(release.name) != number:
            return [*found, f"release {number} is missing"]
        found += [f"release {release.name}: {fault}" for fault in _alterations(release)]
        incompatible = incompatibilities(released(release), edition)
        found += [f"against release {release.name}: {fault}" for fault in incompatible]
    return found


def incompatibilities(old: Edition, new: Edition) -> Iterator[str]:
    """Why readers of the one can't read what is written by the other, a line each."""
    for name, schema in old.schemas.items():
        if name not in new.schemas:
            yield f"{name} is gone, and its events stay on the log for ever"
        else:
            yield from (f"{name}, {fault}" for fault in breaks(schema, new.schemas[name]))
    yield from (f"headers, {fault}" for fault in breaks(old.headers, new.headers))
    for topic, channel in old.channels.items():
        yield from (f"{topic}, {fault}" for fault in _moved(channel, new.channels.get(topic, {})))


def freeze(folder: Path = FOLDER) -> Path:
    """Writes the present as a new release, and returns its folder.

    Raises Refused when there are `faults`, or when nothing has changed.
    """
    now = present()
    if found := faults(folder, now):
        raise Refused(found)
    earlier = releases(folder)
    if earlier and released(earlier[-1]) == now:
        raise Refused([f"nothing has changed since release {earlier[-1].name}"])
    release = folder / str(len(earlier) + 1)
    release.mkdir(parents=True)
    write(release, _files(now))
    digests = sorted(_digests(release).items())
    write(release, {SUMS: "".join(f"{digest}  {path}\n" for path, digest in digests)})
    return release


class Refused(Exception):
    """There is no new release; `reasons` say why."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


def _moved(old: Document, new: Document) -> Iterator[str]:
    if not new:
        yield "the topic is gone"
        return
    for name in ("keyEndsIn", "partitions", "configuration"):
        if old[name] != new[name]:
            yield f"{name} was {old[name]}, is {new[name]}"
    for event_type in sorted({*old["types"]} - {*new["types"]}):
        yield f"{event_type} is no more on it"


def _missing_examples(edition: Edition) -> Iterable[str]:
    return [f"{n} has no example" for n in sorted(edition.schemas.keys() - edition.examples.keys())]


def _alterations(release: Path) -> Iterator[str]:
    sums = release / SUMS
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.exists() else []
    frozen = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    found = _digests(release)
    for path in sorted(frozen.keys() | found.keys()):
        if frozen.get(path) != found.get(path):
            yield f"{path} was altered"


def _digests(release: Path) -> dict[str, str]:
    files = [path for path in release.rglob("*") if path.is_file() and path.name != SUMS]
    return {
        path.relative_to(release).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _files(edition: Edition) -> dict[str, str]:
    documents = {
        **{f"events/{name}.json": schema for name, schema in edition.schemas.items()},
        **{f"examples/{name}.json": examples for name, examples in edition.examples.items()},
        "headers.json": edition.headers,
        "channels.json": edition.channels,
    }
    return {path: as_json(document) for path, document in documents.items()}


def _read(folder: Path) -> dict[str, Any]:
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_bytes())
        for path in sorted(folder.glob("*/*.json"))
    }


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas.release", description=__doc__)
    parser.add_argument("--check", action="store_true", help="freeze nothing; fail on a break")
    if parser.parse_args(arguments).check:
        reasons: Sequence[str] = faults(folder)
    else:
        try:
            sys.stdout.write(f"Release {freeze(folder).name} is frozen.\n")
            return 0
        except Refused as refusal:
            reasons = refusal.reasons
    for reason in reasons:
        sys.stderr.write(f"{reason}\n")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
