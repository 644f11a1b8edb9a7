"""The whole picture as SVG: the figure in front of its backdrop."""

from schemas.profile import Profile
from services.core.rendering.appearance import Appearance, Framing, appear
from services.core.rendering.backdrop import SQUARE, Canvas, backdrop, canvas_for
from services.core.rendering.dice import Dice
from services.core.rendering.figure import FIGURE_UNITS, figure
from services.core.rendering.identity import Identity, Palette, identify
from services.core.rendering.lettering import Lettering
from services.core.rendering.poster import ground, panel, panel_height

_TILT_RESERVE = 16
"""How far a tilted figure is lowered, in image units, so that its base stays out of sight."""


def compose(
    influencer_id: str,
    profile: Profile,
    view: str,
    width: int,
    height: int,
    palette: Palette | None = None,
) -> str:
    """Return the picture as an SVG document of `width` x `height` pixels."""
    identity = identify(influencer_id, profile, palette)
    appearance = appear(influencer_id, profile, identity, view, palette)
    canvas = canvas_for(width, height)
    return _document(
        canvas, width, height, _person(influencer_id, view, canvas, identity, appearance)
    )


def compose_poster(
    influencer_id: str,
    profile: Profile,
    brief: str,
    lettering: Lettering,
    width: int,
    height: int,
    palette: Palette | None = None,
) -> str:
    """Return the picture for `brief`: the same person, as suits it, above the text set from it."""
    identity = identify(influencer_id, profile, palette)
    appearance = appear(influencer_id, profile, identity, brief, palette)
    canvas = canvas_for(width, height)
    above = round(canvas.height - panel_height(lettering), 2)
    window = canvas_for(canvas.width, above)
    return _document(
        canvas,
        width,
        height,
        f"{ground(appearance.tint, canvas)}"
        f'<svg x="{canvas.left}" y="{canvas.top}" width="{canvas.width}" height="{above}" '
        f'viewBox="{_view_box(window)}" preserveAspectRatio="none">'
        f"{_person(influencer_id, brief, window, identity, appearance)}</svg>"
        f"{panel(lettering, appearance.tint, canvas)}",
    )


def _document(canvas: Canvas, width: int, height: int, elements: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="{_view_box(canvas)}" preserveAspectRatio="none">{elements}</svg>'
    )


def _view_box(canvas: Canvas) -> str:
    return f"{canvas.left} {canvas.top} {canvas.width} {canvas.height}"


def _person(
    influencer_id: str, view: str, canvas: Canvas, identity: Identity, appearance: Appearance
) -> str:
    scenery = Dice(f"{influencer_id}/{view}/{appearance.scene}")
    return (
        f"{backdrop(appearance.scene, appearance.tint, canvas, scenery)}"
        f'<g fill="none" transform="{placement(appearance.framing)}">'
        f"{figure(identity, appearance)}</g>"
    )


def placement(framing: Framing) -> str:
    """Return the SVG transform from figure units to image units."""
    left = SQUARE / 2 - FIGURE_UNITS / 2 * framing.zoom + framing.shift
    top = max(SQUARE - FIGURE_UNITS * framing.zoom, 8) + (_TILT_RESERVE if framing.tilt else 0)
    return (
        f"translate({left:.2f} {top:.2f}) scale({framing.zoom}) "
        f"rotate({framing.tilt} {FIGURE_UNITS / 2} {FIGURE_UNITS})"
    )
