"""Finding the words of a table in free text, whatever that text is."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from services.core.rendering.vocabulary import AGE_OF_WORD, HAIR_RULES, HairRule

Value = TypeVar("Value")

_NUMBER = re.compile(r"(?<!\d)(\d{1,3})(s?)(?!\d)", re.ASCII)


def normalized(*texts: str | None) -> str:
    """Join what there is of `texts` to one lower-case line with single spaces."""
    return " ".join(" ".join(text for text in texts if text).casefold().split())


def mentions(text: str, table: Mapping[str, Value]) -> list[Value]:
    """Return the values of the table's words in `text`, in the order they occur.

    Where several words start at the same place the longest counts. `text` is normalized.
    """
    return [table[_as_listed(found, table)] for found in _pattern(tuple(table)).findall(text)]


def first_mention(text: str, table: Mapping[str, Value]) -> Value | None:
    """Return the value of the first of the table's words in `text`, if any occurs."""
    return next(iter(mentions(text, table)), None)


def hair_rule(text: str) -> HairRule | None:
    """Return the first rule all of whose words occur in `text`."""
    return next((rule for rule in HAIR_RULES if _contains_all(text, rule.words)), None)


def age_in_years(text: str) -> int | None:
    """Return the middle of an age range such as "25-34", "late 40s", "18+", "teen"."""
    numbers = _NUMBER.findall(text)
    if not numbers:
        return first_mention(text, AGE_OF_WORD)
    ages = [int(digits) + (5 if decade else 0) for digits, decade in numbers[:2]]
    return sum(ages) // len(ages)


def _contains_all(text: str, words: Iterable[str]) -> bool:
    return all(_pattern((word,)).search(text) for word in words)


@lru_cache(maxsize=512)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(_expression(word) for word in longest_first)})")


def _expression(word: str) -> str:
    if word.endswith("."):
        return re.escape(word[:-1]) + r"(?!\w)"
    return re.escape(word)


def _as_listed(found: str, table: Mapping[str, object]) -> str:
    return found if found in table else found + "."
