"""What a client would rather have: `Accept` (RFC 9110, 12.5.1)."""

import re

from aiohttp import web

_RANGE = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
USUAL = "application/json"


def prefers(request: web.BaseRequest, media_type: str) -> bool:
    """Whether the client names `media_type`, in lower case, and wants it no less than JSON."""
    qualities = _qualities(", ".join(request.headers.getall("Accept", ())))
    wanted = qualities.get(media_type, 0.0)
    return wanted > 0 and wanted >= _quality_of_usual(qualities)


def _quality_of_usual(qualities: dict[str, float]) -> float:
    """The most specific range that it is in says how much JSON is wanted."""
    ranges = (USUAL, f"{USUAL.partition('/')[0]}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)


def _qualities(accepted: str) -> dict[str, float]:
    """Each range, in lower case; one that nobody can read is left out."""
    qualities: dict[str, float] = {}
    for part in _RANGE.findall(accepted):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        weight = weights[0] if weights else "1"
        if _QUALITY.fullmatch(weight):
            qualities[name] = max(float(weight), qualities.get(name, 0.0))
    return qualities
