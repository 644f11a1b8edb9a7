"""Arithmetic on `#rrggbb` colours."""

import math


def channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def from_channels(red: float, green: float, blue: float) -> str:
    return "#" + "".join(f"{min(255, max(0, round(part))):02x}" for part in (red, green, blue))


def mixed(color: str, other: str, share: float) -> str:
    """Return `color` with `share` (0 to 1) of `other` in it."""
    first, second = channels(color), channels(other)
    return from_channels(*(a + (b - a) * share for a, b in zip(first, second, strict=True)))


def darker(color: str, share: float) -> str:
    return mixed(color, "#000000", share)


def lighter(color: str, share: float) -> str:
    return mixed(color, "#ffffff", share)


def luminance(color: str) -> float:
    """Return how bright the colour looks, 0 (black) to 1 (white)."""
    red, green, blue = channels(color)
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def distance(color: str, other: str) -> float:
    """Return how far apart two colours are, 0 to about 1."""
    pairs = zip(channels(color), channels(other), strict=True)
    return math.sqrt(sum((a - b) ** 2 for a, b in pairs) / 3) / 255


def contrast(color: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2, from 1 (none) to 21 (black and white)."""
    brighter, darker_one = sorted(map(_relative_luminance, (color, other)), reverse=True)
    return (brighter + 0.05) / (darker_one + 0.05)


def _relative_luminance(color: str) -> float:
    red, green, blue = (_linear(part / 255) for part in channels(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
