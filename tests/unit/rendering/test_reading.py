"""Descriptions are understood coarsely, and no text breaks the reading of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.rendering.reading import (
    age_in_years,
    first_mention,
    hair_rule,
    mentions,
    normalized,
)
from services.core.rendering.vocabulary import HAIR_COLOR_OF_WORD, SKIN_OF_WORD

STRANGE_TEXTS = ["", " \t\n", "長い髪", "شعر طويل", "💇🏽‍♀️", "\x00\ud800", "a\u0301" * 80, "((((["]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25-34", 29),
        ("18+", 18),
        ("in her 20s", 25),
        ("late 40s", 45),
        ("65 to 75 years", 70),
        ("teenager", 15),
        ("senior", 68),
        ("", None),
        ("ageless", None),
    ],
)
def test_ages_are_read(text: str, expected: int | None) -> None:
    assert age_in_years(text) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Dark  Brown", "dark brown"),
        ("brown with blond highlights", "brown"),
        ("curly red", "red"),
        ("SILVER bob", "silver"),
        ("blonde", "blond"),
    ],
)
def test_the_first_and_longest_color_counts(text: str, word: str) -> None:
    assert first_mention(normalized(text), HAIR_COLOR_OF_WORD) == HAIR_COLOR_OF_WORD[word]


def test_words_are_matched_at_their_start_only() -> None:
    assert first_mention("colored", {"red": 1}) is None
    assert first_mention("tangerine", {"tan.": 1}) is None
    assert first_mention("a tan, then", {"tan.": 1}) == 1


def test_all_origins_are_found_once() -> None:
    found = mentions(normalized("South Asian and Irish"), SKIN_OF_WORD)

    assert found == [SKIN_OF_WORD["south asian"], SKIN_OF_WORD["irish"]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("long wavy", "curvy"),
        ("silver bob", "bob"),
        ("bald", ""),
        ("balding", "sides"),
        ("curly red", "curly"),
        ("hijab", "hijab"),
        ("messy bun", "bun"),
        ("big afro", "fro"),
    ],
)
def test_hair_styles_are_understood(text: str, shape: str) -> None:
    rule = hair_rule(text)

    assert rule is not None
    assert shape in rule.shapes


@given(st.text(max_size=200) | st.sampled_from(STRANGE_TEXTS))
def test_no_text_breaks_the_reading(text: str) -> None:
    told = normalized(text)

    mentions(told, SKIN_OF_WORD)
    hair_rule(told)
    age_in_years(told)
