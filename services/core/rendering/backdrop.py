"""Backdrops as SVG: flat shapes only, because a true gradient costs more than the whole figure.

Scenes are drawn in image units: the figure stands in a square of 1024, x and y from 0 to 1024;
the canvas may reach further to the left, the right and the top.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from services.core.rendering.colors import darker, lighter, mixed
from services.core.rendering.dice import Dice
from services.core.rendering.wardrobe import Tint

SQUARE = 1024
_BANDS = 48


@dataclass(frozen=True, slots=True)
class Canvas:
    """The visible part in image units; its lower edge is always at 1024."""

    left: float
    top: float
    width: float
    height: float


def canvas_for(width: float, height: float) -> Canvas:
    """Return the canvas of the image's proportions whose shorter side is the square's."""
    scale = SQUARE / min(width, height)
    across, down = round(width * scale, 2), round(height * scale, 2)
    return Canvas(round((SQUARE - across) / 2, 2), round(SQUARE - down, 2), across, down)


def backdrop(scene: str, tint: Tint, canvas: Canvas, dice: Dice) -> str:
    """Return the SVG elements of `scene`; they cover the whole canvas, opaquely."""
    return _ground(canvas, tint.middle) + _SCENES[scene](tint, canvas, dice)


def _halo(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    return (
        _bands(canvas, lighter(tint.light, 0.35), tint.light)
        + _circle(512, 590, 434, tint.middle)
        + _circle(512, 590, 346, mixed(tint.middle, tint.strong, 0.55))
        + _ring(512, 590, 470, tint.strong, 5)
        + _orbiting(dice, tint)
    )


def _orbiting(dice: Dice, tint: Tint) -> str:
    angles = [dice.between(f"orbit {index}", 190, 350) for index in range(3)]
    sizes = (17, 11, 8)
    return "".join(
        _circle(
            512 + 470 * math.cos(math.radians(angle)),
            590 + 470 * math.sin(math.radians(angle)),
            size,
            tint.accent,
        )
        for angle, size in zip(angles, sizes, strict=True)
    )


def _rays(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    reach = 2 * (canvas.width + canvas.height)
    turn = dice.between("turn", 0, 15)
    wedges = "".join(_wedge(512, 600, reach, turn + 30 * index, 15) for index in range(12))
    return (
        _fill(canvas, tint.middle)
        + f'<path d="{wedges}" fill="{mixed(tint.middle, tint.light, 0.6)}"/>'
        + _circle(512, 600, 400, mixed(tint.strong, tint.middle, 0.35))
        + _circle(512, 600, 352, tint.light)
    )


def _wedge(x: float, y: float, reach: float, start: float, sweep: float) -> str:
    corners = (math.radians(start), math.radians(start + sweep))
    points = (f"{x + reach * math.cos(a):.1f} {y + reach * math.sin(a):.1f}" for a in corners)
    return f"M{x} {y}L{'L'.join(points)}Z"


def _arches(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    colors = (tint.strong, mixed(tint.strong, tint.middle, 0.5), tint.middle, tint.light)
    widths = (980, 820, 660, 500)
    return _fill(canvas, mixed(tint.light, "#ffffff", 0.3)) + "".join(
        _arch(512, 30 + (980 - width) / 2, width, color)
        for width, color in zip(widths, colors, strict=True)
    )


def _arch(x: float, top: float, width: float, color: str) -> str:
    left, right, radius = x - width / 2, x + width / 2, width / 2
    return (
        f'<path d="M{left} 1100V{top + radius}A{radius} {radius} 0 0 1 {right} {top + radius}'
        f'V1100Z" fill="{color}"/>'
    )


def _confetti(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    colors = (tint.accent, tint.strong, "#ffffff", mixed(tint.accent, "#ffd166", 0.6))
    pieces = []
    for index in range(46):
        x = canvas.left + canvas.width * dice.fraction(f"x {index}")
        y = canvas.top + canvas.height * dice.fraction(f"y {index}")
        color, size = dice.pick(f"color {index}", colors), dice.between(f"size {index}", 15, 36)
        pieces.append(_confetto(x, y, size, color, dice.between(f"turn {index}", 0, 180)))
    return (
        _bands(canvas, tint.light, tint.middle)
        + "".join(pieces)
        + _circle(512, 620, 400, lighter(tint.light, 0.45))
    )


def _confetto(x: float, y: float, size: float, color: str, turn: float) -> str:
    if turn < 60:
        return _circle(x, y, size / 2, color)
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size * 0.45:.1f}" rx="3" '
        f'fill="{color}" transform="rotate({turn:.0f} {x:.1f} {y:.1f})"/>'
    )


def _park(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    sun_x = dice.pick("sun", (780.0, 830.0, 860.0))
    return (
        _bands(canvas, mixed("#bfe3f7", tint.middle, 0.25), mixed("#fdf4e3", tint.light, 0.5))
        + _circle(sun_x, 210, 120, "#fff1c4")
        + _circle(sun_x, 210, 84, "#ffd97a")
        + _cloud(dice.between("cloud", 90, 180), 190, 1.0)
        + _cloud(dice.between("cloud two", 560, 640), 330, 0.6)
        + _hill(canvas, 690, 120, 0.9, mixed("#bcd9a8", tint.middle, 0.35))
        + _hill(canvas, 770, 90, 2.6, mixed("#93c08c", tint.strong, 0.25))
        + _hill(canvas, 880, 60, 4.4, mixed("#6fa57a", tint.accent, 0.2))
    )


def _cloud(x: float, y: float, size: float) -> str:
    parts = ((0, 0, 46), (58, -26, 58), (122, -6, 48), (60, 14, 44))
    return "".join(
        _circle(x + dx * size, y + dy * size, radius * size, "#ffffff") for dx, dy, radius in parts
    )


def _hill(canvas: Canvas, y: float, swing: float, phase: float, color: str) -> str:
    left, right = canvas.left - 10, canvas.left + canvas.width + 10
    steps = 12 + int(canvas.width // 256)
    xs = [left + (right - left) * index / steps for index in range(steps + 1)]
    line = "L".join(f"{x:.1f} {y + swing * math.sin(x / 190 + phase):.1f}" for x in xs)
    return f'<path d="M{left} 1100L{line}L{right} 1100Z" fill="{color}"/>'


def _room(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    wall = mixed(tint.light, tint.middle, 0.45)
    return (
        _fill(canvas, wall)
        + _window(600, 110, tint)
        + _picture(110, 150, tint, dice)
        + _shelf(70, 520, tint)
        + _plant(890, 960, mixed("#4f8a63", tint.accent, 0.15))
        + _pot(890, 790, lighter(tint.accent, 0.25))
    )


def _window(x: float, y: float, tint: Tint) -> str:
    frame = lighter(tint.light, 0.6)
    return (
        f'<rect x="{x}" y="{y}" width="330" height="430" rx="165" fill="{frame}"/>'
        f'<rect x="{x + 20}" y="{y + 20}" width="290" height="390" rx="145" fill="#cfe9f5"/>'
        + _circle(x + 220, y + 120, 44, "#fff3cd")
        + f'<rect x="{x + 158}" y="{y + 20}" width="14" height="390" fill="{frame}"/>'
        f'<rect x="{x + 20}" y="{y + 208}" width="290" height="14" fill="{frame}"/>'
    )


def _picture(x: float, y: float, tint: Tint, dice: Dice) -> str:
    radius = dice.between("picture", 38, 56)
    return (
        f'<rect x="{x}" y="{y}" width="190" height="240" rx="10" fill="{tint.accent}"/>'
        f'<rect x="{x + 16}" y="{y + 16}" width="158" height="208" rx="4" fill="#fffaf2"/>'
        + _circle(x + 95, y + 100, radius, tint.strong)
        + f'<rect x="{x + 46}" y="{y + 168}" width="98" height="12" rx="6" fill="{tint.middle}"/>'
    )


def _shelf(x: float, y: float, tint: Tint) -> str:
    books = ((0, 26, 92), (32, 20, 76), (58, 30, 104), (94, 22, 84))
    colors = (tint.accent, tint.strong, darker(tint.accent, 0.25), "#fffaf2")
    wood = darker(tint.strong, 0.22)
    return f'<rect x="{x}" y="{y}" width="240" height="16" rx="4" fill="{wood}"/>' + "".join(
        f'<rect x="{x + 24 + dx}" y="{y - height}" width="{width}" height="{height}" rx="3" '
        f'fill="{color}"/>'
        for (dx, width, height), color in zip(books, colors, strict=True)
    )


def _plant(x: float, y: float, color: str) -> str:
    leaves = ((-58, -300, -40), (0, -350, 0), (58, -300, 40), (-90, -210, -62), (90, -210, 62))
    return "".join(
        f'<ellipse cx="{x + dx}" cy="{y + dy}" rx="34" ry="104" fill="{darker(color, shade)}" '
        f'transform="rotate({turn} {x + dx} {y + dy})"/>'
        for (dx, dy, turn), shade in zip(leaves, (0.12, 0, 0.06, 0.18, 0.1), strict=True)
    )


def _pot(x: float, y: float, color: str) -> str:
    return (
        f'<path d="M{x - 78} {y}h156l-22 250h-112z" fill="{color}"/>'
        f'<rect x="{x - 88}" y="{y - 14}" width="176" height="44" rx="10" '
        f'fill="{darker(color, 0.1)}"/>'
    )


def _skyline(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    return (
        _bands(canvas, tint.strong, mixed(tint.light, tint.accent, 0.35))
        + _stars(canvas, dice)
        + _crescent(190, 200, 86, mixed(tint.accent, "#ffffff", 0.45))
        + _houses(canvas, dice, 560, 130, tint.middle, tint.accent, "far")
        + _houses(canvas, dice, 700, 170, tint.strong, tint.accent, "near")
    )


def _crescent(x: float, y: float, radius: float, color: str) -> str:
    inner = radius * 0.84
    return (
        f'<path d="M{x} {y - radius}A{radius} {radius} 0 1 0 {x + radius} {y}'
        f'A{inner} {inner} 0 0 1 {x} {y - radius}Z" fill="{color}"/>'
    )


def _stars(canvas: Canvas, dice: Dice) -> str:
    return "".join(
        _circle(
            canvas.left + canvas.width * dice.fraction(f"star x {index}"),
            canvas.top + (canvas.height - 550) * dice.fraction(f"star y {index}"),
            dice.between(f"star {index}", 1.8, 4.2),
            "#fff6df",
        )
        for index in range(34)
    )


def _houses(
    canvas: Canvas, dice: Dice, top: float, step: int, wall: str, light: str, row: str
) -> str:
    count = int(canvas.width // step) + 2
    drawn = []
    for index in range(count):
        x = canvas.left - 30 + index * step
        y = top + dice.between(f"{row} house {index}", -130, 110)
        drawn.append(_rectangle(x, y, step - 8, SQUARE - y + 60, wall))
        drawn.append(_windows(x, y, step, mixed(wall, light, 0.75), dice, f"{row} {index}"))
    return "".join(drawn)


def _windows(x: float, y: float, step: int, color: str, dice: Dice, house: str) -> str:
    places = [(column, line) for column in range(3) for line in range(7)]
    return "".join(
        _rectangle(x + 20 + column * (step - 40) / 3, y + 26 + line * 46, 16, 22, color)
        for column, line in places
        if dice.chance(f"{house} window {column} {line}", 0.45)
    )


def _lights(tint: Tint, canvas: Canvas, dice: Dice) -> str:
    colors = (tint.accent, mixed(tint.accent, "#ffffff", 0.5), mixed(tint.accent, "#e4567a", 0.5))
    blurs = []
    for index in range(26):
        x = canvas.left + canvas.width * dice.fraction(f"x {index}")
        y = canvas.top + (canvas.height - 200) * dice.fraction(f"y {index}")
        radius = dice.between(f"radius {index}", 18, 66)
        opacity = dice.between(f"opacity {index}", 0.1, 0.38)
        blurs.append(_circle(x, y, radius, dice.pick(f"color {index}", colors), opacity))
    glow = mixed(tint.light, tint.accent, 0.3)
    return (
        _bands(canvas, tint.strong, tint.middle)
        + _circle(512, 560, 430, tint.light, 0.45)
        + _circle(512, 560, 340, glow, 0.5)
        + "".join(blurs)
    )


def _bands(canvas: Canvas, top_color: str, bottom_color: str) -> str:
    """Paint a vertical gradient as bands on whole units, which stay crisp and compress well."""
    height = math.ceil(canvas.height / _BANDS)
    return "".join(
        _rectangle(
            canvas.left,
            canvas.top + index * height,
            canvas.width,
            height + 4,
            mixed(top_color, bottom_color, index / (_BANDS - 1)),
        )
        for index in range(_BANDS)
    )


def _ground(canvas: Canvas, color: str) -> str:
    """Reach beyond every edge, so that no softened border of a shape lets the void through."""
    margin = 64
    return _rectangle(
        canvas.left - margin,
        canvas.top - margin,
        canvas.width + 2 * margin,
        canvas.height + 2 * margin,
        color,
    )


def _fill(canvas: Canvas, color: str) -> str:
    return _rectangle(canvas.left, canvas.top, canvas.width, canvas.height + 1, color)


def _rectangle(x: float, y: float, width: float, height: float, color: str) -> str:
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{color}"/>'
    )


def _circle(x: float, y: float, radius: float, color: str, opacity: float = 1) -> str:
    faint = "" if opacity == 1 else f' fill-opacity="{opacity}"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{color}"{faint}/>'


def _ring(x: float, y: float, radius: float, color: str, width: float) -> str:
    return (
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="none" stroke="{color}" '
        f'stroke-width="{width}"/>'
    )


_SCENES: dict[str, Callable[[Tint, Canvas, Dice], str]] = {
    "halo": _halo,
    "rays": _rays,
    "arches": _arches,
    "confetti": _confetti,
    "park": _park,
    "room": _room,
    "skyline": _skyline,
    "lights": _lights,
}

SCENES = frozenset(_SCENES)
