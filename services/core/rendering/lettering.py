"""A text made ready for a typesetter: what of it is shown, where it may break, where it begins."""

import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

UNBROKEN = 40
"""Letters of a word beyond which it may be broken anywhere."""
JOINED_LETTERS = 8
"""Arabic letters between two such places."""
MAX_MEASURED = 64
"""Words whose widths are looked at; the longest."""
MAX_MARKS = 3
"""Accents on top of each other; more would reach into the next line."""
MAX_LINES = 14
"""Lines that a text may have of its own; those of a longer one are run together."""

# Lines break between these by themselves: Thai, Lao, Burmese, Khmer, Han, kana, hangul, emoji.
_BREAKING = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U0001f000-\U0003ffff"
)
_WORD = re.compile(rf"[^\s{_BREAKING}]+")
_ZERO_WIDTH_SPACE = "\u200b"
_JOINER = "\u200d"
_MATHEMATICAL_LETTERS = re.compile("[\U0001d400-\U0001d7ff]")


class Box(NamedTuple):
    """Sizes from `smallest` to `largest` may fill a box of this `height`; all in image units."""

    smallest: int
    largest: int
    height: int


class Lettering(NamedTuple):
    """SVG elements in a room of `width` x `height` image units; nothing reaches out of it."""

    width: float
    height: float
    elements: str


def printable(text: str) -> str:
    """`text` without what shows as nothing or as an empty box, on at most MAX_LINES of its own."""
    plain = _MATHEMATICAL_LETTERS.sub(lambda letter: unicodedata.normalize("NFKC", letter[0]), text)
    lines = [line for line in map(_without_controls, _modest(plain).splitlines()) if line]
    return (" " if len(lines) > MAX_LINES else "\n").join(lines) or "…"


def breakable(text: str) -> str:
    """Lets words that are longer than any line end anywhere but inside of a character."""
    return _WORD.sub(lambda word: _broken(word[0]) if len(word[0]) > UNBROKEN else word[0], text)


def unbreakable_parts(text: str) -> list[str]:
    """What must fit into a line whole; the longest if there are many."""
    parts = {part for word in _WORD.findall(text) for part in word.split(_ZERO_WIDTH_SPACE)}
    return sorted(parts, key=lambda part: (-len(part), part))[:MAX_MEASURED]


def is_right_to_left(text: str) -> bool:
    """By the first letter that has a direction (UAX #9, rules P2 and P3)."""
    directions = (unicodedata.bidirectional(letter) for letter in text)
    return next((way in ("R", "AL") for way in directions if way in ("L", "R", "AL")), False)


def _without_controls(line: str) -> str:
    shown = "".join(" " if unicodedata.category(letter) in _UNSEEN else letter for letter in line)
    return " ".join(shown.split())


def _modest(text: str) -> str:
    """`text` with at most MAX_MARKS non-spacing marks in a row."""
    kept, marks = [], 0
    for letter in text:
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if marks <= MAX_MARKS:
            kept.append(letter)
    return "".join(kept)


# Controls, lone surrogates, private use, never assigned.
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn"})


def _broken(word: str) -> str:
    broken = word[0]
    for index, (before, letter) in enumerate(pairwise(word), start=1):
        if _JOINER in (before, letter) or unicodedata.category(letter).startswith("M"):
            broken += letter
        elif unicodedata.bidirectional(letter) == "AL":
            # These keep the forms that they have inside of a word.
            parts = f"{_JOINER}{_ZERO_WIDTH_SPACE}{_JOINER}" if index % JOINED_LETTERS == 0 else ""
            broken += parts + letter
        else:
            broken += _ZERO_WIDTH_SPACE + letter
    return broken
