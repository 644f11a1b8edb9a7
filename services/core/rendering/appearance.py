"""How the person appears in one view: expression, clothes, backdrop and framing."""

from dataclasses import dataclass

from schemas.profile import Profile
from services.core.rendering.colors import distance
from services.core.rendering.dice import Dice
from services.core.rendering.identity import Identity, Palette
from services.core.rendering.reading import first_mention, normalized
from services.core.rendering.wardrobe import (
    CALM,
    CLOTHES_COLORS_OF_WORD,
    DEFAULT_WARDROBE,
    EVENING_COLORS,
    MOOD_OF_WORD,
    NIGHTS,
    TINTS,
    WARDROBE_OF_WORD,
    WARM,
    Mood,
    Tint,
    Wardrobe,
)

WIDE_HAIR = frozenset({"fro", "froBand", "hat", "bigHair", "dreads", "turban"})
COVERING_HEADWEAR = frozenset({"hijab", "turban", "hat", "winterHat03"})


@dataclass(frozen=True, slots=True)
class Framing:
    """`zoom` of the figure, `shift` to the right in image units, `tilt` in degrees."""

    zoom: float
    shift: float = 0
    tilt: float = 0


@dataclass(frozen=True, slots=True)
class Appearance:
    """Shapes are variants of the drawing style; colours `#rrggbb`."""

    eyes: str
    eyebrows: str
    mouth: str
    clothes: str
    clothes_color: str
    print: str
    scene: str
    tint: Tint
    framing: Framing


@dataclass(frozen=True, slots=True)
class _View:
    """What a view asks for; `mood` None is the person's own."""

    mood: Mood | None
    occasion: str
    scenes: tuple[str, ...]
    framing: Framing


_BEAMING = Mood(("happy",), ("raisedExcitedNatural", "defaultNatural"), ("smile",))
_EASY = Mood(
    ("default", "side", "wink"), ("upDownNatural", "raisedExcitedNatural"), ("smile", "default")
)
_POISED = Mood(("default",), ("defaultNatural", "default"), ("twinkle",))

_VIEWS = {
    "portrait": _View(None, "everyday", ("halo",), Framing(3.3)),
    "smiling": _View(_BEAMING, "everyday", ("rays", "arches", "confetti"), Framing(3.7, 0, -2.5)),
    "casual": _View(_EASY, "relaxed", ("park", "room"), Framing(3.2, -40, 2)),
    "evening": _View(_POISED, "dressed up", ("skyline", "lights"), Framing(3.4, 30)),
}

_OTHER_SCENES = ("halo", "rays", "arches", "confetti", "park", "room")
_OCCASION_OF_WORD = {
    "work": "dressed up", "office": "dressed up", "formal": "dressed up", "party": "dressed up",
    "gala": "dressed up", "night": "dressed up", "beach": "relaxed", "home": "relaxed",
    "gym": "relaxed", "sport": "relaxed", "travel": "relaxed", "outdoor": "relaxed",
    "street": "relaxed", "dinner": "dressed up", "concert": "dressed up", "wedding": "dressed up",
    "summer": "relaxed", "weekend": "relaxed", "coffee": "relaxed", "holiday": "relaxed",
}  # fmt: skip
_SCENE_OF_WORD = {
    "night": "skyline", "city": "skyline", "party": "lights", "gala": "lights", "beach": "park",
    "outdoor": "park", "travel": "park", "nature": "park", "home": "room", "work": "room",
    "office": "room", "studio": "halo", "evening": "skyline", "tonight": "skyline",
    "concert": "lights", "club": "lights", "summer": "park", "picnic": "park", "hik": "park",
    "coffee": "room", "book": "room", "cozy": "room", "cosy": "room", "rain": "room",
    "birthday": "confetti", "celebrat": "confetti", "congrat": "confetti", "giveaway": "confetti",
    "sale": "rays", "launch": "rays",
}  # fmt: skip
_MOOD_OF_VIEW_WORD = MOOD_OF_WORD | {"smil": _BEAMING, "laugh": _BEAMING, "wink": _EASY}
_NIGHT_SCENES = ("skyline", "lights")


def appear(
    influencer_id: str,
    profile: Profile,
    identity: Identity,
    view: str,
    palette: Palette | None = None,
) -> Appearance:
    """Choose how the person appears in `view`, which may be any text: a brief as well."""
    asked = _VIEWS.get(view) or _unknown_view(influencer_id, view)
    dice = Dice(f"{influencer_id}/{view}")
    mood = asked.mood or resting_mood(profile)
    wardrobe = _wardrobe(profile)
    scene = dice.pick("scene", asked.scenes)
    tint = _tint(influencer_id, view, scene, identity)
    return Appearance(
        eyes=dice.pick("eyes", mood.eyes),
        eyebrows=dice.pick("eyebrows", mood.eyebrows),
        mouth=dice.pick("mouth", mood.mouth),
        clothes=dice.pick("clothes", _pieces(wardrobe, asked.occasion)),
        clothes_color=_clothes_color(dice, profile, identity, asked.occasion, tint, palette),
        print=dice.pick("print", wardrobe.prints),
        scene=scene,
        tint=tint,
        framing=_fitting(asked.framing, identity),
    )


def resting_mood(profile: Profile) -> Mood:
    """Read the temperament from the vibe, then from the personality."""
    personality = profile.personality
    traits = () if personality is None else (personality.traits or ())
    tone = None if personality is None else personality.tone
    return first_mention(normalized(profile.vibe, *traits, tone), MOOD_OF_WORD) or CALM


def _unknown_view(influencer_id: str, view: str) -> _View:
    dice = Dice(f"{influencer_id}/{view}")
    text = normalized(view.replace("_", " ").replace("-", " "))
    scene = first_mention(text, _SCENE_OF_WORD)
    return _View(
        mood=first_mention(text, _MOOD_OF_VIEW_WORD) or dice.pick("mood", (WARM, CALM, _EASY)),
        occasion=first_mention(text, _OCCASION_OF_WORD) or dice.pick("o", ("everyday", "relaxed")),
        scenes=_OTHER_SCENES if scene is None else (scene,),
        framing=Framing(dice.between("zoom", 3.1, 3.6), dice.between("shift", -40, 40)),
    )


def _wardrobe(profile: Profile) -> Wardrobe:
    text = normalized(profile.style)
    wardrobe = first_mention(text, WARDROBE_OF_WORD) or DEFAULT_WARDROBE
    colors = first_mention(text, CLOTHES_COLORS_OF_WORD)
    return wardrobe if colors is None else wardrobe._replace(colors=colors)


def _pieces(wardrobe: Wardrobe, occasion: str) -> tuple[str, ...]:
    if occasion == "everyday":
        return wardrobe.everyday
    return wardrobe.relaxed if occasion == "relaxed" else wardrobe.dressed_up


def _clothes_color(
    dice: Dice,
    profile: Profile,
    identity: Identity,
    occasion: str,
    tint: Tint,
    palette: Palette | None,
) -> str:
    if palette is not None and palette.clothes is not None and occasion == "everyday":
        return palette.clothes
    colors = EVENING_COLORS if occasion == "dressed up" else _wardrobe(profile).colors
    around = (identity.skin, tint.middle)
    distinct = [color for color in colors if all(distance(color, c) > 0.14 for c in around)]
    return dice.pick("clothes color", distinct or colors)


def _tint(influencer_id: str, view: str, scene: str, identity: Identity) -> Tint:
    """Give each view its own tint of one person's series, apart from skin and hair."""
    if scene in _NIGHT_SCENES:
        return Dice(influencer_id).pick("night", NIGHTS)
    distinct = [tint for tint in TINTS if _sets_off(tint, identity)] or list(TINTS)
    first = int(Dice(influencer_id).fraction("tint") * len(distinct))
    known = tuple(_VIEWS).index(view) if view in _VIEWS else int(Dice(view).fraction("tint") * 8)
    return distinct[(first + known * 3) % len(distinct)]


def _sets_off(tint: Tint, identity: Identity) -> bool:
    covered = identity.hair in COVERING_HEADWEAR
    around_face = identity.headwear_color if covered else identity.hair_color
    return all(distance(tint.middle, color) > 0.1 for color in (identity.skin, around_face))


def _fitting(framing: Framing, identity: Identity) -> Framing:
    zoom = framing.zoom * (0.93 if identity.child else 1)
    if identity.hair not in WIDE_HAIR:
        return Framing(round(zoom, 3), framing.shift, framing.tilt)
    return Framing(round(min(zoom, 3.3), 3), framing.shift / 4, framing.tilt)
