"""Text on pictures: whole, wrapped and inside of its room, whatever it is."""

import pytest
import resvg_py
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.core.rendering.backdrop import canvas_for
from services.core.rendering.colors import contrast
from services.core.rendering.lettering import (
    MAX_LINES,
    UNBROKEN,
    Box,
    Lettering,
    breakable,
    is_right_to_left,
    printable,
)
from services.core.rendering.poster import (
    LEGIBLE_CONTRAST,
    panel_color,
    panel_height,
    text_boxes,
    text_width,
)
from services.core.rendering.typesetter import set_text
from services.core.rendering.wardrobe import NIGHTS, TINTS, Tint
from tests.unit.rendering.pictures import decoded

CANVAS = canvas_for(1024, 1024)
AROUND = 120
CUNEIFORM = "\U000103a0"
"""Old Persian: in none of the fonts."""

LONG = {
    "words": "word " * 204,
    "one word": "W" * 1024,
    "one arabic word": "مرحبا" * 204,
    "han": "漢" * 1024,
    "thai": "สวัสดีชาวโลก" * 85,
    "emoji": "😀" * 1024,
    "families": "👩‍👩‍👧" * 200,
    "flags": "🇩🇪" * 512,
    "wide letters": "﷽" * 1024,
    "lines": "a\n" * 512,
    "address": "https://example.com/" + "path/" * 200,
}


def lettering_of(text: str) -> Lettering:
    return set_text(text, text_width(CANVAS), text_boxes(CANVAS))


def drawn(lettering: Lettering) -> Image.Image:
    """The text alone, with room on all sides to see what reaches out of its own."""
    width, height = lettering.width + 2 * AROUND, lettering.height + 2 * AROUND
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}"><g transform="translate({AROUND} {AROUND})">'
        f"{lettering.elements}</g></svg>"
    )
    return decoded(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))


def assert_whole(text: str) -> None:
    lettering = lettering_of(text)
    left, top, right, bottom = drawn(lettering).getchannel("A").getbbox() or (AROUND,) * 4
    assert left >= AROUND - 8, text
    assert top >= AROUND - 24, text
    assert right <= AROUND + lettering.width + 8, text
    assert bottom <= AROUND + lettering.height + 16, text
    assert panel_height(lettering) < CANVAS.height * 0.56, text


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_the_longest_briefs_are_shown_whole(text: str) -> None:
    assert_whole(text[:1024])


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=1024).filter(str.strip))
def test_any_brief_is_shown_whole(text: str) -> None:
    assert_whole(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "Ελληνικά Русский Việt",
        "مرحبا",
        "שלום",
        "नमस्ते",
        "ไทย",
        "週末セール",
        "주말",
        "周末",
        "😀 👩‍👩‍👧 🇩🇪",
        "★ ✓ → ♥",
        "𝓗𝓮𝓵𝓵𝓸",
    ],
)
def test_scripts_have_letters_and_not_empty_boxes(text: str) -> None:
    empty_box = _outlines(CUNEIFORM)

    assert len(empty_box) == 1
    assert not set(_outlines(text)) & set(empty_box)


def test_few_words_are_large_and_take_little_room() -> None:
    few, many = lettering_of("Sale!"), lettering_of(LONG["words"])

    assert few.height < 160
    assert few.height < many.height
    assert panel_height(few) < CANVAS.height * 0.25


def test_the_same_text_is_set_the_same() -> None:
    assert lettering_of("One, 二, ثلاثة") == lettering_of("One, 二, ثلاثة")


def test_text_is_shown_as_it_is_and_never_as_markup() -> None:
    assert len(_outlines('#sale *b* $x$ <i>&"\\')) == len(set('#sale*b*$x$<i>&"\\'))


@pytest.mark.parametrize("tint", [*TINTS, *NIGHTS])
def test_the_text_is_easy_to_read(tint: Tint) -> None:
    assert contrast(panel_color(tint), "#ffffff") >= LEGIBLE_CONTRAST


def test_words_of_usual_length_are_not_broken() -> None:
    usual = "x" * UNBROKEN
    assert breakable(f"{usual} {usual}") == f"{usual} {usual}"
    assert "\u200b" in breakable(usual + "x")


def test_a_break_never_parts_a_character() -> None:
    word = "e\u0301" * 60 + "\u200d".join("xy")
    parts = breakable(word).split("\u200b")

    assert "".join(parts) == word
    assert all(part.startswith(("e", "x")) for part in parts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  two \t words \r\n\n and  a line ", "two words\nand a line"),
        ("\x00\x07\n", "…"),
        ("a" + "\u0301" * 9, "a" + "\u0301" * 3),
        ("a\n" * (MAX_LINES + 1), " ".join("a" * (MAX_LINES + 1))),
    ],
)
def test_what_shows_as_nothing_is_left_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc مرحبا", False), ("123 مرحبا abc", True), ("שלום", True), ("123", False), ("", False)],
)
def test_the_first_letter_tells_the_direction(text: str, expected: bool) -> None:
    assert is_right_to_left(text) is expected


def _outlines(text: str) -> list[str]:
    """The distinct outlines of the letters, all in one size."""
    elements = set_text(text, 2000, [Box(40, 40, 200)]).elements
    definitions = elements.split("<symbol ")[1:]
    return [part.partition(" d=")[2].partition("/>")[0] for part in definitions]
