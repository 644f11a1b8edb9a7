"""Rule group 6: every image that an event names is in the store, and is what it says."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.ops.checker.facts import LoggedEvent, Violation


def check_media(events: Iterable[LoggedEvent], folder: Path) -> list[Violation]:
    """Files are named by their own SHA-256, so the folder is walked once."""
    files = {path.stem: path for path in folder.rglob("*") if path.is_file()}
    violations = []
    verified: dict[str, str | None] = {}
    for event in events:
        for image in _images(event.data):
            digest = str(image.get("sha256", ""))
            if digest not in verified:
                verified[digest] = _fault(files.get(digest), digest)
            fault = verified[digest]
            if fault is not None:
                violations.append(event.violates(fault, f"{image.get('assetId')}, {digest}"))
            thumbnail = Path(str(image.get("thumbnailUrl", ""))).stem
            if len(thumbnail) == 64 and thumbnail not in files:
                violations.append(event.violates("thumbnail-missing", f"{image.get('assetId')}"))
    return violations


def _images(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "assetId" in data and "sha256" in data:  # an uploaded asset is its event
        yield data
    if isinstance(data.get("image"), dict):
        yield data["image"]
    for name in ("images", "referenceImages"):
        yield from (image for image in data.get(name) or () if isinstance(image, dict))


def _fault(file: Path | None, digest: str) -> str | None:
    if file is None:
        return "image-missing"
    return None if sha256(file.read_bytes()).hexdigest() == digest else "image-bytes-differ"
