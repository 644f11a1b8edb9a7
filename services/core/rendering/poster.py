"""A picture with a text: the person above, the text on a panel below.

The panel is as high as the text needs, and the person stands on it: a face is never covered.
"""

from services.core.rendering.backdrop import Canvas
from services.core.rendering.colors import contrast, darker
from services.core.rendering.lettering import Box, Lettering
from services.core.rendering.wardrobe import Tint

MARGIN = 52
"""Around the text, in image units."""
LEGIBLE_CONTRAST = 7.0
"""Of the text to its panel: WCAG 2.2, success criterion 1.4.6."""

_STRIPE = 10


def text_width(canvas: Canvas) -> float:
    return canvas.width - 2 * MARGIN


def text_boxes(canvas: Canvas) -> tuple[Box, ...]:
    """Large letters for few words; the more there are, the more of the picture they may take."""
    heights = (int(canvas.height * share) for share in (0.22, 0.31, 0.44))
    sizes = ((58, 108), (40, 58), (6, 40))
    return tuple(
        Box(smallest, largest, height)
        for (smallest, largest), height in zip(sizes, heights, strict=True)
    )


def panel_height(lettering: Lettering) -> float:
    return round(lettering.height + 2 * MARGIN, 2)


def ground(tint: Tint, canvas: Canvas) -> str:
    """Return the SVG element below everything, in the panel's colour: no seam shows through."""
    return (
        f'<rect x="{canvas.left - 1}" y="{canvas.top - 1}" width="{canvas.width + 2}" '
        f'height="{canvas.height + 2}" fill="{panel_color(tint)}"/>'
    )


def panel(lettering: Lettering, tint: Tint, canvas: Canvas) -> str:
    """Return the SVG elements of the text, at the lower edge of `canvas`, and a stripe above it."""
    top = canvas.top + canvas.height - panel_height(lettering)
    return (
        f'<rect x="{canvas.left}" y="{top:.2f}" width="{canvas.width}" height="{_STRIPE}" '
        f'fill="{tint.accent}"/>'
        f'<svg x="{canvas.left + MARGIN}" y="{top + MARGIN:.2f}" width="{lettering.width}" '
        f'height="{lettering.height}" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'overflow="visible">{lettering.elements}</svg>'
    )


def panel_color(tint: Tint) -> str:
    """Return a dark shade of the picture's own colours, on which white is easy to read."""
    color = (
        tint.accent
        if contrast(tint.accent, "#ffffff") > contrast(tint.strong, "#ffffff")
        else tint.strong
    )
    while contrast(color, "#ffffff") < LEGIBLE_CONTRAST:
        color = darker(color, 0.08)
    return color
