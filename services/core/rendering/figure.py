"""The person as SVG: parts drawn by DiceBear, put together with this person's proportions."""

import re
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dicebear import Avatar, Style

from services.core.rendering.appearance import Appearance
from services.core.rendering.colors import darker, lighter, mixed
from services.core.rendering.identity import Face, Identity

STYLE = "avataaars"
FIGURE_UNITS = 280
"""The figure stands in a square of this size; its lower edge is the picture's."""

_MIDDLE = 140
_PART = re.compile(r'<use transform="([^"]*)" href="#(\w+?)-[^"]*"/>')
_DEFINITION = re.compile(r'<g id="(\w+?)-[^"]*">.*?</g>(?=<g id=|<clipPath|$)', re.DOTALL)
_DRAWING = re.compile(r"<defs>(.*)</defs><g clip-path=[^>]*>(.*)</g></svg>$", re.DOTALL)
_WHITE_GLOSS = re.compile(r'fill="white" fill-opacity="(\.\d+)"')
_INK = re.compile(r'fill="black" fill-opacity="\.[67]"')


@lru_cache(maxsize=1)
def load_style() -> Style:
    """Read and validate the drawing style; the first call takes about a second."""
    definition = files("dicebear_styles").joinpath(f"{STYLE}.json").read_text("utf-8")
    return Style.from_json(definition)


def figure(identity: Identity, appearance: Appearance) -> str:
    """Return the SVG elements of the person, in a square of 280 units."""
    avatar = Avatar(load_style(), style_options(identity, appearance)).to_string()
    drawing = _DRAWING.search(avatar)
    if drawing is None:
        raise ValueError("the drawing style's SVG is not built as expected")
    definitions, body = drawing.groups()
    if appearance.clothes == "overall":
        definitions, body = _with_shirt_below(definitions, body, identity, appearance)
    placed = _PART.sub(lambda part: _placed(part, identity, appearance), body)
    return f"<defs>{_recolored(definitions, identity)}</defs>{_broad(placed, identity)}"


def _with_shirt_below(
    definitions: str, body: str, identity: Identity, appearance: Appearance
) -> tuple[str, str]:
    """Put a shirt under an overall, which the style draws over bare skin."""
    shirt_color = lighter(appearance.tint.light, 0.5)
    dressed = replace(appearance, clothes="shirtCrewNeck", clothes_color=shirt_color)
    avatar = Avatar(load_style(), style_options(identity, dressed)).to_string()
    shirt = next(found for found in _DEFINITION.finditer(avatar) if found.group(1) == "clothes")
    shirt_use = _PART.search(avatar[avatar.index("</defs>") :])
    below = shirt_use.group(0) if shirt_use is not None else ""
    return definitions + shirt.group(0), _PART.sub(
        lambda part: below + part.group(0) if part.group(2) == "clothes" else part.group(0), body
    )


def style_options(identity: Identity, appearance: Appearance) -> dict[str, Any]:
    """Return the DiceBear options that leave nothing to chance."""
    return {
        "seed": "figure",
        "skinColor": identity.skin,
        "hairColor": identity.hair_color,
        "facialHairColor": darker(identity.hair_color, 0.1),
        "hatColor": identity.headwear_color,
        "clothesColor": appearance.clothes_color,
        "clothesVariant": appearance.clothes,
        "clothesGraphicVariant": appearance.print,
        "eyesVariant": appearance.eyes,
        "eyebrowsVariant": appearance.eyebrows,
        "mouthVariant": appearance.mouth,
        **_optional("top", identity.hair),
        **_optional("facialHair", identity.facial_hair),
        **_optional("accessories", identity.glasses),
        "accessoriesColor": identity.glasses_color,
    }


def _optional(part: str, variant: str) -> dict[str, Any]:
    if not variant:
        return {f"{part}Probability": 0}
    return {f"{part}Probability": 100, f"{part}Variant": variant}


def _placed(part: re.Match[str], identity: Identity, appearance: Appearance) -> str:
    """Move and scale one part, and add what belongs under or over it."""
    name, use = part.group(2), part.group(0)
    face = identity.face
    if name == "clothes":
        # An overall leaves the drawn shoulders bare: it has to keep their width.
        width = 1.0 if appearance.clothes == "overall" else identity.build.clothes
        return _scaled(use, _MIDDLE, 280, width, 1)
    if name == "mouth":
        shifted = _scaled(use, _MIDDLE, 150, face.mouth_width, 1, face.mouth_shift)
        return _complexion(identity) + shifted
    if name == "nose":
        return _scaled(use, _MIDDLE, 132, face.nose_size, face.nose_size)
    if name == "eyes":
        return _eyes(use, identity, appearance, face)
    if name == "eyebrows":
        return _scaled(use, _MIDDLE, 94, face.brow_spread, 1, face.brow_shift)
    if name == "accessories":
        return _scaled(use, _MIDDLE, 112, face.eye_spread, 1, face.eye_shift)
    return _earrings(identity) + use if name == "top" else use


def _eyes(use: str, identity: Identity, appearance: Appearance, face: Face) -> str:
    size = 1.1 if identity.child else 1.0
    drawn = use + _glints(appearance.eyes)
    drawn += _lashes(appearance.eyes, identity.eye_color) if identity.lashes else ""
    return _scaled(drawn, _MIDDLE, 112, face.eye_spread * size, size, face.eye_shift)


def _scaled(content: str, x: float, y: float, across: float, down: float, shift: float = 0) -> str:
    """Scale about the point (x, y), then move down by `shift`."""
    left, top = x * (1 - across), y * (1 - down) + shift
    return f'<g transform="matrix({across:.4f} 0 0 {down:.4f} {left:.3f} {top:.3f})">{content}</g>'


def _broad(body: str, identity: Identity) -> str:
    return _scaled(body, _MIDDLE, 280, identity.build.figure, 1)


def _recolored(definitions: str, identity: Identity) -> str:
    return _DEFINITION.sub(
        lambda part: _tinted(part.group(1), part.group(0), identity), definitions
    )


def _tinted(name: str, definition: str, identity: Identity) -> str:
    if name == "eyes":
        return _INK.sub(f'fill="{identity.eye_color}"', definition)
    if name == "eyebrows":
        return _INK.sub(f'fill="{identity.brow_color}"', definition)
    if name == "mouth":
        return _INK.sub(f'fill="{darker(identity.skin, 0.72)}"', definition)
    if name == "top" and identity.hair != "hijab":
        # The style's white gloss looks grey on dark hair; a lighter shade of the hair doesn't.
        gloss = lighter(identity.hair_color, 0.16 if identity.hair == "curvy" else 0.07)
        return _WHITE_GLOSS.sub(f'fill="{gloss}" fill-opacity="0.7"', definition)
    return definition


_OPEN_EYES = {"default": (18.2, 70.2), "wink": (18.2,)}


def _glints(eyes: str) -> str:
    return "".join(
        f'<circle cx="{98 + x:.1f}" cy="109.8" r="1.9" fill="#ffffff" fill-opacity="0.85"/>'
        for x in _OPEN_EYES.get(eyes, ())
    )


_LASHES_OPEN = "M{a} 11.2L{b} 8.4M{c} 8.6L{d} 5"
_OPEN_LEFT = _LASHES_OPEN.format(a=10.6, b=6.4, c=12.4, d=9.4)
_OPEN_RIGHT = _LASHES_OPEN.format(a=73.4, b=77.6, c=71.6, d=74.6)
_ARC_LEFT = "M3.2 13.6L-.8 11.4M6 10.4L3 7.2"
_ARC_RIGHT = "M80.8 13.6L84.8 11.4M78 10.4L81 7.2"
_LASHES_OF_EYES = {
    "default": _OPEN_LEFT + _OPEN_RIGHT,
    "happy": _ARC_LEFT + _ARC_RIGHT,
    "wink": _OPEN_LEFT,
}


def _lashes(eyes: str, color: str) -> str:
    path = _LASHES_OF_EYES.get(eyes)
    if path is None:
        return ""
    return (
        f'<path transform="translate(98 98)" d="{path}" stroke="{color}" stroke-width="2" '
        'stroke-linecap="round" fill="none"/>'
    )


def _complexion(identity: Identity) -> str:
    return (
        _blush(identity)
        + (_freckles(identity) if identity.freckles else "")
        + (_beauty_spot(identity) if identity.beauty_spot else "")
        + (_lines(identity) if identity.lines else "")
    )


def _blush(identity: Identity) -> str:
    color = mixed(identity.skin, "#e0455a", 0.75)
    return "".join(
        f'<ellipse cx="{x}" cy="136" rx="11" ry="7" fill="{color}" '
        f'fill-opacity="{identity.blush}"/>'
        for x in (108, 172)
    )


def _freckles(identity: Identity) -> str:
    color = mixed(identity.skin, "#8a3f1c", 0.45)
    spots = ((104, 132), (110, 136), (116, 131), (121, 136), (113, 141))
    mirrored = tuple((2 * _MIDDLE - x + 1, y - 1) for x, y in spots)
    return "".join(
        f'<circle cx="{x}" cy="{y}" r="1.3" fill="{color}"/>' for x, y in spots + mirrored
    )


def _beauty_spot(identity: Identity) -> str:
    return f'<circle cx="164" cy="152" r="1.7" fill="{darker(identity.skin, 0.6)}"/>'


def _lines(identity: Identity) -> str:
    path = "M100 122q6 5 14 4M180 122q-6 5-14 4M118 138q-6 6-7 14M162 138q6 6 7 14M124 72q16-4 32 0"
    return (
        f'<path d="{path}" stroke="{darker(identity.skin, 0.25)}" stroke-width="1.6" '
        'stroke-linecap="round" fill="none"/>'
    )


def _earrings(identity: Identity) -> str:
    if not identity.earring_color:
        return ""
    return "".join(
        f'<circle cx="{x}" cy="138" r="3.6" fill="{identity.earring_color}"/>' for x in (79, 201)
    )
