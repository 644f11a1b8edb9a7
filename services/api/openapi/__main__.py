"""Writes the OpenAPI document: `python -m services.api.openapi [--check]`.

With `--check` it only compares, and fails when what is committed is not what the models and
routes say.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from services.api.application import ROUTES
from services.api.openapi.document import document
from services.api.openapi.pages import DOCUMENT


def text() -> str:
    return json.dumps(document(ROUTES), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None, path: Path = DOCUMENT) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.api.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; fail on a difference")
    if not parser.parse_args(arguments).check:
        path.write_text(text(), encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text():
        return 0
    sys.stderr.write(f"{path.name} is outdated: run `make schemas` and commit what it writes.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
