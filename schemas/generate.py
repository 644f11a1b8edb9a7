"""What is generated from the models: a JSON Schema per event type and version, `asyncapi.yaml`.

`python -m schemas.generate` writes them beside this module; with `--check` it only compares,
and fails when what is committed differs from the models.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.asyncapi import as_yaml, asyncapi
from schemas.events import EVENT_TYPES
from schemas.json_schemas import schema_of

FOLDER = Path(__file__).parent / "json"


def documents() -> dict[str, str]:
    """Path below the folder to text."""
    schemas = {
        f"events/{name}/{version}.json": as_json(schema_of(model))
        for (name, version), model in EVENT_TYPES.items()
    }
    return {**schemas, "asyncapi.yaml": as_yaml(asyncapi())}


def as_json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path, wanted: Mapping[str, str]) -> None:
    for path, text in wanted.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def differences(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """What is wrong with `folder`, a line each: a document missing, outdated, or of no model."""
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in [*folder.glob("events/*/*.json"), *folder.glob("*.yaml")]
    }
    missing = [f"{path} is missing" for path in wanted.keys() - found.keys()]
    strays = [f"{path} belongs to no event" for path in found.keys() - wanted.keys()]
    outdated = [
        f"{path} is outdated"
        for path in wanted.keys() & found.keys()
        if wanted[path] != found[path]
    ]
    return sorted(missing + strays + outdated)


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; fail on a difference")
    if not parser.parse_args(arguments).check:
        write(folder, documents())
        return 0
    faults = differences(folder, documents())
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if faults:
        sys.stderr.write("Run `python -m schemas.generate` and commit what it writes.\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
