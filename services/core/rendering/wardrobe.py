"""Clothes, moods and backdrops: what varies from view to view. Only data; see `appearance.py`."""

from typing import NamedTuple


class Wardrobe(NamedTuple):
    """What someone of a style wears: pieces by occasion, colours, prints."""

    everyday: tuple[str, ...]
    relaxed: tuple[str, ...]
    dressed_up: tuple[str, ...]
    colors: tuple[str, ...]
    prints: tuple[str, ...] = ("bear", "deer", "diamond", "pizza")


BLAZERS = ("blazerAndShirt", "blazerAndSweater")

DEFAULT_WARDROBE = Wardrobe(
    ("shirtCrewNeck", "shirtVNeck", "collarAndSweater"),
    ("hoodie", "graphicShirt"),
    BLAZERS,
    ("#3f6fa8", "#d9695f", "#3c8d7f", "#e0a63f", "#6a5fa8", "#37474f"),
)

MINIMAL_COLORS = ("#2f353c", "#ebe5db", "#8d97a0", "#b8a48c", "#55606a")
BOLD_COLORS = ("#f0ac2f", "#2b3050", "#e8575a", "#2f8d80", "#5a58d2", "#26292e")
JEWEL_COLORS = ("#243d63", "#64294a", "#1f5148", "#2d2e37", "#7a2f35")
EARTH_COLORS = ("#bf6b46", "#d49f3f", "#78824d", "#a6563d", "#8a6a4f")
SPORT_COLORS = ("#1f7ae0", "#ef4b4b", "#1fa37a", "#2a2f3a", "#f28c28")
DARK_COLORS = ("#222327", "#33272f", "#3a3f4a", "#4a1f2a")
PASTEL_COLORS = ("#f3b8c4", "#b8d8e8", "#cfc3ea", "#bfe0c8", "#f6d9a8")

WARDROBE_OF_WORD = {
    "minimalist streetwear": Wardrobe(
        ("shirtCrewNeck", "hoodie"), ("hoodie",), BLAZERS, MINIMAL_COLORS, ("diamond",)
    ),
    "minimal": Wardrobe(
        ("shirtCrewNeck", "shirtVNeck"), ("shirtCrewNeck", "hoodie"), BLAZERS, MINIMAL_COLORS
    ),
    "street": Wardrobe(
        ("hoodie", "graphicShirt"), ("graphicShirt", "hoodie"), BLAZERS, BOLD_COLORS
    ),
    "urban": Wardrobe(("hoodie", "graphicShirt"), ("graphicShirt", "hoodie"), BLAZERS, BOLD_COLORS),
    "hip hop": Wardrobe(("hoodie", "graphicShirt"), ("graphicShirt",), BLAZERS, BOLD_COLORS),
    "business": Wardrobe(BLAZERS, ("collarAndSweater",), BLAZERS, JEWEL_COLORS),
    "corporate": Wardrobe(BLAZERS, ("collarAndSweater",), BLAZERS, JEWEL_COLORS),
    "formal": Wardrobe(BLAZERS, ("collarAndSweater",), BLAZERS, JEWEL_COLORS),
    "professional": Wardrobe(BLAZERS, ("collarAndSweater",), BLAZERS, JEWEL_COLORS),
    "elegan": Wardrobe(("blazerAndSweater",), ("shirtVNeck",), BLAZERS, JEWEL_COLORS),
    "luxur": Wardrobe(BLAZERS, ("shirtVNeck",), BLAZERS, JEWEL_COLORS),
    "chic": Wardrobe(("blazerAndSweater", "shirtVNeck"), ("shirtVNeck",), BLAZERS, MINIMAL_COLORS),
    "classic": Wardrobe(("collarAndSweater",), ("shirtVNeck",), BLAZERS, JEWEL_COLORS),
    "prep": Wardrobe(
        ("collarAndSweater", "blazerAndSweater"), ("collarAndSweater",), BLAZERS, JEWEL_COLORS
    ),
    "academi": Wardrobe(
        ("collarAndSweater", "blazerAndSweater"), ("collarAndSweater",), BLAZERS, EARTH_COLORS
    ),
    "boh": Wardrobe(("shirtScoopNeck", "overall"), ("overall",), ("shirtVNeck",), EARTH_COLORS),
    "hippie": Wardrobe(("shirtScoopNeck", "overall"), ("overall",), ("shirtVNeck",), EARTH_COLORS),
    "cottage": Wardrobe(
        ("overall", "collarAndSweater"), ("overall",), ("collarAndSweater",), PASTEL_COLORS
    ),
    "vintage": Wardrobe(("collarAndSweater", "overall"), ("overall",), BLAZERS, EARTH_COLORS),
    "retro": Wardrobe(("collarAndSweater", "overall"), ("graphicShirt",), BLAZERS, EARTH_COLORS),
    "outdoor": Wardrobe(
        ("shirtCrewNeck", "hoodie"), ("hoodie",), ("collarAndSweater",), EARTH_COLORS
    ),
    "sport": Wardrobe(
        ("shirtCrewNeck", "hoodie"), ("hoodie",), ("blazerAndSweater",), SPORT_COLORS
    ),
    "athlei": Wardrobe(
        ("shirtCrewNeck", "hoodie"), ("hoodie",), ("blazerAndSweater",), SPORT_COLORS
    ),
    "fitness": Wardrobe(("shirtCrewNeck",), ("hoodie",), ("blazerAndSweater",), SPORT_COLORS),
    "goth": Wardrobe(
        ("shirtVNeck", "graphicShirt"), ("graphicShirt",), BLAZERS, DARK_COLORS, ("skull", "bat")
    ),
    "punk": Wardrobe(
        ("graphicShirt",),
        ("graphicShirt", "hoodie"),
        BLAZERS,
        DARK_COLORS,
        ("skull", "skullOutline", "resist"),
    ),
    "grunge": Wardrobe(
        ("graphicShirt", "hoodie"), ("hoodie",), BLAZERS, DARK_COLORS, ("skullOutline",)
    ),
    "rock": Wardrobe(("graphicShirt",), ("graphicShirt",), BLAZERS, DARK_COLORS, ("skull", "bat")),
    "kawaii": Wardrobe(
        ("collarAndSweater", "overall"),
        ("graphicShirt",),
        ("collarAndSweater",),
        PASTEL_COLORS,
        ("bear",),
    ),
    "cute": Wardrobe(
        ("collarAndSweater", "overall"),
        ("graphicShirt",),
        ("collarAndSweater",),
        PASTEL_COLORS,
        ("bear",),
    ),
    "casual": Wardrobe(
        ("shirtCrewNeck", "hoodie"), ("hoodie", "graphicShirt"), BLAZERS, DEFAULT_WARDROBE.colors
    ),
}

CLOTHES_COLORS_OF_WORD: dict[str, tuple[str, ...]] = {
    "black": DARK_COLORS,
    "monochrome": ("#26282c", "#6b7077", "#e6e6e4"),
    "pastel": PASTEL_COLORS,
    "colorful": BOLD_COLORS,
    "colourful": BOLD_COLORS,
    "neon": ("#16c79a", "#f72585", "#7209b7", "#ffb703"),
    "earth": EARTH_COLORS,
    "white": ("#f0eeea", "#dcdcdc"),
    "beige": ("#d8c6ab", "#c4ab88"),
    "neutral": MINIMAL_COLORS,
    "denim": ("#3d5f8c", "#5b7fab"),
}

EVENING_COLORS = (
    "#7a2f42",
    "#1f6459",
    "#35538f",
    "#6f3f74",
    "#8a5f33",
    "#3b3f4a",
    "#a0465a",
    "#2f7387",
)


class Mood(NamedTuple):
    """Resting expressions of a temperament."""

    eyes: tuple[str, ...]
    eyebrows: tuple[str, ...]
    mouth: tuple[str, ...]


WARM = Mood(("default",), ("defaultNatural", "default"), ("smile", "twinkle"))
CALM = Mood(("default",), ("defaultNatural", "default"), ("twinkle",))
BOLD = Mood(("default", "side"), ("upDownNatural", "defaultNatural"), ("twinkle", "default"))
SERIOUS = Mood(("default",), ("flatNatural", "default"), ("serious",))

MOOD_OF_WORD = {
    "warm": WARM, "kind": WARM, "friend": WARM, "cheer": WARM, "happy": WARM, "joy": WARM,
    "fun": WARM, "optimis": WARM, "energ": WARM, "enthusias": WARM, "sunny": WARM, "bubbl": WARM,
    "playful": WARM, "sweet": WARM, "caring": WARM, "curious": WARM, "outgoing": WARM,
    "calm": CALM, "gentle": CALM, "serene": CALM, "quiet": CALM, "thoughtful": CALM, "shy": CALM,
    "relax": CALM, "chill": CALM, "zen": CALM, "dream": CALM, "laid": CALM,
    "bold": BOLD, "confiden": BOLD, "edgy": BOLD, "fierce": BOLD, "sass": BOLD, "witty": BOLD,
    "sarcas": BOLD, "rebel": BOLD, "cheeky": BOLD, "mischie": BOLD, "adventur": BOLD,
    "serious": SERIOUS, "stoic": SERIOUS, "myster": SERIOUS, "stern": SERIOUS, "dark": SERIOUS,
    "brood": SERIOUS, "authorit": SERIOUS, "formal": SERIOUS, "dry": SERIOUS, "intens": SERIOUS,
    "moody": SERIOUS, "melanchol": SERIOUS,
}  # fmt: skip


class Tint(NamedTuple):
    """The colours of a backdrop, from the lightest to the strongest."""

    light: str
    middle: str
    strong: str
    accent: str


TINTS = (
    Tint("#fde9dc", "#f9cdb3", "#f2a98a", "#e4765c"),
    Tint("#e2f2ec", "#b7dfd0", "#86c5b0", "#2f8f7d"),
    Tint("#ece8fa", "#cfc6f1", "#ab9de3", "#6f5fc4"),
    Tint("#e1eefa", "#b6d6f2", "#83b7e6", "#3b7fc4"),
    Tint("#fbf0d6", "#f6dc9f", "#edc064", "#d98f2b"),
    Tint("#fbe4ec", "#f5bfd0", "#e994b0", "#cf5a86"),
    Tint("#eaf1de", "#cbdcae", "#a5c07b", "#6d8f3f"),
    Tint("#e3f1f4", "#b3dbe3", "#7cbecb", "#2f8a9d"),
)

NIGHTS = (
    Tint("#51467f", "#3b3468", "#2a264f", "#f5b971"),
    Tint("#3d5a80", "#2c4468", "#1e3050", "#ffd28f"),
    Tint("#6d4470", "#4d315c", "#352345", "#f7a6a0"),
    Tint("#2f6470", "#224b59", "#173643", "#f2c879"),
)
