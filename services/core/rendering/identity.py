"""Who is drawn: everything about a person that is the same in every image of the set."""

from dataclasses import dataclass

from schemas.profile import Profile
from services.core.rendering.colors import darker, distance, luminance, mixed
from services.core.rendering.dice import Dice
from services.core.rendering.reading import (
    age_in_years,
    first_mention,
    hair_rule,
    mentions,
    normalized,
)
from services.core.rendering.vocabulary import (
    ANY_HAIR,
    BUILD_OF_WORD,
    FACIAL_HAIR_OF_WORD,
    GLASSES_OF_WORD,
    GREY_HAIR_COLORS,
    HAIR_COLOR_OF_WORD,
    LONGER_HAIR,
    NATURAL_HAIR_COLORS_DEEP_SKIN,
    NATURAL_HAIR_COLORS_LIGHT_SKIN,
    SHORT_HAIR,
    SKIN_OF_WORD,
    SKIN_TONES,
    Build,
)
from services.core.rendering.wardrobe import EARTH_COLORS, JEWEL_COLORS, PASTEL_COLORS

ADULT_AGE = 18
BEARD_AGE = 20
GREYING_AGE = 55
LINED_AGE = 52
TYPICAL_AGE = 30

EYE_COLORS = ("#2a1c15", "#332017", "#3b2618", "#2c3a2a", "#23384d", "#33404a")
FRAME_COLORS = ("#24272d", "#5f3a25", "#b68a3f", "#7a2f38", "#33507a", "#dfe3e8")
EARRING_COLORS = ("#e8b54a", "#f4f1ea", "#d9dde3", "#c96f5b", "#3f8f88")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours (`#rrggbb`) taken from a seed image; None where it gave no usable one."""

    skin: str | None = None
    hair: str | None = None
    clothes: str | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """Proportions relative to the drawn face, and shifts in its units."""

    eye_spread: float
    eye_shift: float
    brow_shift: float
    brow_spread: float
    nose_size: float
    mouth_width: float
    mouth_shift: float


@dataclass(frozen=True, slots=True)
class Identity:
    """The person. Shapes are variants of the drawing style, "" for none; colours `#rrggbb`."""

    skin: str
    hair: str
    hair_color: str
    headwear_color: str
    facial_hair: str
    glasses: str
    glasses_color: str
    eye_color: str
    brow_color: str
    earring_color: str
    lashes: bool
    freckles: bool
    beauty_spot: bool
    lines: bool
    blush: float
    child: bool
    build: Build
    face: Face


def identify(influencer_id: str, profile: Profile, palette: Palette | None = None) -> Identity:
    """Derive the person from the id and the description; `palette` overrides its colours."""
    dice = Dice(influencer_id)
    colors = palette or Palette()
    age = age_in_years(normalized(profile.age_range))
    skin = colors.skin or _skin(dice, profile)
    hair_color = colors.hair or _hair_color(dice, profile, skin, age)
    feminine = profile.gender == "female"
    return Identity(
        skin=skin,
        hair=_hair(dice, profile),
        hair_color=_apart_from(hair_color, skin),
        headwear_color=dice.pick("headwear", JEWEL_COLORS + EARTH_COLORS + PASTEL_COLORS),
        facial_hair=_facial_hair(dice, profile, age),
        glasses=_glasses(dice, profile),
        glasses_color=_frame_color(dice, skin),
        eye_color=dice.pick("eye color", EYE_COLORS if luminance(skin) > 0.6 else EYE_COLORS[:3]),
        brow_color=_brow_color(hair_color, skin),
        earring_color=_earring_color(dice, profile, age),
        lashes=feminine,
        freckles=luminance(skin) > 0.55 and dice.chance("freckles", 0.22),
        beauty_spot=dice.chance("beauty spot", 0.15),
        lines=age is not None and age >= LINED_AGE,
        blush=_blush(dice, skin, feminine),
        child=age is not None and age < 13,
        build=first_mention(normalized(profile.body_type), BUILD_OF_WORD) or Build(1.0, 1.02),
        face=_face(dice),
    )


def _skin(dice: Dice, profile: Profile) -> str:
    ranges = mentions(normalized(profile.ethnicity), SKIN_OF_WORD)
    if not ranges:
        return dice.pick("skin", SKIN_TONES)
    # Several origins meet in the middle.
    low = sum(tones[0] for tones in ranges) // len(ranges)
    high = sum(tones[1] for tones in ranges) // len(ranges)
    return dice.pick("skin", SKIN_TONES[low : high + 1])


def _hair_color(dice: Dice, profile: Profile, skin: str, age: int | None) -> str:
    told = normalized(profile.hair_color, profile.hair_style)
    color = first_mention(told, HAIR_COLOR_OF_WORD)
    if color is not None:
        return color
    if age is not None and age >= GREYING_AGE:
        return dice.pick("hair color", GREY_HAIR_COLORS)
    if luminance(skin) > 0.6:
        return dice.pick("hair color", NATURAL_HAIR_COLORS_LIGHT_SKIN)
    return dice.pick("hair color", NATURAL_HAIR_COLORS_DEEP_SKIN)


def _apart_from(hair_color: str, skin: str) -> str:
    """Darken hair that would melt into the face."""
    return hair_color if distance(hair_color, skin) > 0.12 else darker(hair_color, 0.22)


def _hair(dice: Dice, profile: Profile) -> str:
    rule = hair_rule(normalized(profile.hair_style, profile.hair_color))
    if rule is None:
        return dice.pick("hair", _usual_hair(profile))
    wants_short = profile.gender == "male" and rule.short_shapes
    return dice.pick("hair", rule.short_shapes if wants_short else rule.shapes)


def _usual_hair(profile: Profile) -> tuple[str, ...]:
    if profile.gender == "female":
        return LONGER_HAIR
    return SHORT_HAIR if profile.gender == "male" else ANY_HAIR


def _facial_hair(dice: Dice, profile: Profile, age: int | None) -> str:
    if age is not None and age < BEARD_AGE:
        return ""
    told = normalized(profile.hair_style, profile.hair_color, profile.style, profile.vibe)
    shapes = first_mention(told, FACIAL_HAIR_OF_WORD)
    if shapes is not None:
        return dice.pick("facial hair", shapes)
    if profile.gender != "male" or not dice.chance("has facial hair", _beard_chance(age)):
        return ""
    return dice.pick("facial hair", ("beardLight", "beardLight", "beardMedium"))


def _beard_chance(age: int | None) -> float:
    years = TYPICAL_AGE if age is None else age
    return min(0.6, 0.2 + max(0, years - 25) * 0.012)


def _glasses(dice: Dice, profile: Profile) -> str:
    told = normalized(profile.style, profile.vibe, profile.hair_style, profile.body_type)
    shapes = first_mention(told, GLASSES_OF_WORD)
    if shapes is not None:
        return dice.pick("glasses", shapes)
    if not dice.chance("has glasses", 0.14):
        return ""
    return dice.pick("glasses", ("round", "prescription01", "prescription02"))


def _frame_color(dice: Dice, skin: str) -> str:
    visible = [color for color in FRAME_COLORS if distance(color, skin) > 0.22]
    return dice.pick("glasses color", visible or FRAME_COLORS)


def _brow_color(hair_color: str, skin: str) -> str:
    brow = darker(hair_color, 0.4)
    if luminance(brow) > luminance(skin) - 0.18:
        brow = darker(mixed(hair_color, skin, 0.5), 0.6)
    return brow


def _earring_color(dice: Dice, profile: Profile, age: int | None) -> str:
    grown = age is None or age >= ADULT_AGE
    likely = {"female": 0.55, "nonbinary": 0.4}.get(profile.gender or "", 0.08)
    if not grown or not dice.chance("has earrings", likely):
        return ""
    return dice.pick("earring color", EARRING_COLORS)


def _blush(dice: Dice, skin: str, feminine: bool) -> float:
    strength = dice.between("blush", 0.12, 0.26) if feminine else dice.between("blush", 0, 0.12)
    # On deep skin the same red looks like a rash.
    return strength if luminance(skin) > 0.45 else round(strength * 0.4, 3)


def _face(dice: Dice) -> Face:
    return Face(
        eye_spread=dice.between("eye spread", 0.93, 1.09),
        eye_shift=dice.between("eye shift", -2, 2.5),
        brow_shift=dice.between("brow shift", -2, 1.5),
        brow_spread=dice.between("brow spread", 0.93, 1.08),
        nose_size=dice.between("nose size", 0.85, 1.3),
        mouth_width=dice.between("mouth width", 0.84, 1.1),
        mouth_shift=dice.between("mouth shift", -1, 2),
    )
