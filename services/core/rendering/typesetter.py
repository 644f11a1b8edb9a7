"""Sets text as outlines: wrapped, as large as its room allows, in any script that Noto knows.

Typst shapes, orders (right to left too) and breaks lines. The fonts are Noto's, from packages, so
that a picture is the same on every machine. Runs in a worker process: the text is a stranger's.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import typst

from services.core.rendering.lettering import (
    Box,
    Lettering,
    breakable,
    is_right_to_left,
    printable,
    unbreakable_parts,
)

FONT_PACKAGES = ("manimgx_fonts", "manimgx_fonts_cjk")
FONTS = ("Noto Sans", "Noto Emoji", "Noto Sans Symbols")
HAN_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR")

_TEMPLATE = files(__package__).joinpath("typesetter.typ").read_bytes()
_DOCUMENT = re.compile(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*)</svg>\s*$', re.DOTALL)

_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")


def set_text(text: str, width: float, boxes: Sequence[Box]) -> Lettering:
    """`text` centred and wrapped, in white, in the first of `boxes` that takes it whole."""
    shown = breakable(printable(text))
    inputs = {
        "text": shown,
        "unbreakable": "\n".join(unbreakable_parts(shown)),
        "width": str(width),
        "boxes": " ".join(f"{box.smallest}:{box.largest}:{box.height}" for box in boxes),
        "direction": "rtl" if is_right_to_left(shown) else "ltr",
        "fonts": ",".join((*FONTS, *_han_fonts(shown))),
    }
    svg = _compiler().compile(_TEMPLATE, format="svg", sys_inputs=inputs)
    assert isinstance(svg, bytes)
    document = _DOCUMENT.search(svg.decode())
    if document is None:
        raise ValueError("the typesetter's SVG is not built as expected")
    return Lettering(float(document[1]), float(document[2]), document[3])


def _han_fonts(text: str) -> tuple[str, ...]:
    """Han characters look different in Japanese, Korean and Chinese; kana or hangul tell."""
    simplified, japanese, korean = HAN_FONTS
    if _KANA.search(text):
        return (japanese, korean)
    return (korean,) if _HANGUL.search(text) else (simplified, korean)


@cache
def _compiler() -> typst.Compiler:
    folders = [str(files(package)) for package in FONT_PACKAGES]
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=folders
    )
    return typst.Compiler(font_paths=fonts)
