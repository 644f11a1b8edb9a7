"""Who is drawn: held across views, different between ids, true to the description."""

from dataclasses import astuple
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.profile import Gender, Personality, Profile
from services.core.rendering.appearance import appear, resting_mood
from services.core.rendering.backdrop import SCENES
from services.core.rendering.colors import distance
from services.core.rendering.figure import load_style, style_options
from services.core.rendering.identity import Palette, identify
from services.core.rendering.vocabulary import (
    FACIAL_HAIR_OF_WORD,
    GREY_HAIR_COLORS,
    HAIR_COLOR_OF_WORD,
    HAIR_RULES,
    SKIN_OF_WORD,
    SKIN_TONES,
)
from services.core.rendering.wardrobe import SERIOUS, WARDROBE_OF_WORD, WARM

VIEWS = ("portrait", "smiling", "casual", "evening")
IDS = tuple(f"inf_{number:026d}" for number in range(200))
GENDERS: tuple[Gender, ...] = ("male", "female", "nonbinary", "unspecified")

AVA = Profile(
    name="Ava Chen",
    gender="female",
    age_range="25-34",
    hair_color="dark brown",
    hair_style="long wavy",
    style="minimalist streetwear",
    vibe="warm and curious",
    personality=Personality(traits=("curious", "warm", "direct")),
)

texts = st.none() | st.text(max_size=80)
profiles = st.builds(
    Profile,
    name=st.text(min_size=1, max_size=20),
    gender=st.none() | st.sampled_from(GENDERS),
    age_range=texts,
    ethnicity=texts,
    body_type=texts,
    hair_color=texts,
    hair_style=texts,
    style=texts,
    vibe=texts,
)


def profile(**described: Any) -> Profile:
    return Profile(name="Somebody", **described)


def options_of(influencer_id: str, described: Profile, view: str) -> dict[str, Any]:
    identity = identify(influencer_id, described)
    return style_options(identity, appear(influencer_id, described, identity, view))


def test_the_person_is_the_same_in_every_view() -> None:
    views = [options_of(IDS[0], AVA, view) for view in VIEWS]

    for held in ("skinColor", "hairColor", "topVariant", "facialHairProbability", "hatColor"):
        assert len({view[held] for view in views}) == 1


def test_the_views_differ_in_expression_clothes_and_scene() -> None:
    identity = identify(IDS[0], AVA)
    looks = [appear(IDS[0], AVA, identity, view) for view in VIEWS]

    assert len({look.scene for look in looks}) == 4
    assert len({look.tint for look in looks}) == 4
    assert len({(look.eyes, look.eyebrows, look.mouth) for look in looks}) >= 3
    assert len({(look.clothes, look.clothes_color) for look in looks}) >= 3


def test_different_ids_are_different_people() -> None:
    people = {astuple(identify(influencer_id, AVA)) for influencer_id in IDS}

    assert len(people) == len(IDS)


def test_the_choice_is_the_same_on_every_machine() -> None:
    chosen = repr([sorted(options_of(IDS[1], AVA, view).items()) for view in VIEWS])

    assert sha256(chosen.encode()).hexdigest()[:16] == "a518a16505a2dbc9"


@settings(max_examples=150)
@given(profiles, st.text(max_size=30), st.sampled_from(VIEWS) | st.text(max_size=30))
def test_any_description_and_view_gives_a_complete_choice(
    described: Profile, influencer_id: str, view: str
) -> None:
    first = options_of(influencer_id, described, view)

    assert first == options_of(influencer_id, described, view)
    assert all(value is not None for value in first.values())


def test_every_shape_of_the_tables_exists_in_the_style() -> None:
    def known(part: str) -> set[str]:
        return {"", *load_style().components()[part].variants()}

    rules = [shape for rule in HAIR_RULES for shape in rule.shapes + rule.short_shapes]
    assert set(rules) <= known("top")
    assert {shape for shapes in FACIAL_HAIR_OF_WORD.values() for shape in shapes} <= known(
        "facialHair"
    )
    for wardrobe in WARDROBE_OF_WORD.values():
        worn = wardrobe.everyday + wardrobe.relaxed + wardrobe.dressed_up
        assert set(worn) <= known("clothes")
        assert set(wardrobe.prints) <= known("clothesGraphic")


@pytest.mark.parametrize(
    ("described", "word"),
    [
        (profile(hair_color="dark brown", ethnicity="Korean"), "dark brown"),
        (profile(hair_style="silver bob", ethnicity="Nigerian"), "silver"),
        (profile(hair_color="Blonde", age_range="70s", ethnicity="Nigerian"), "blond"),
    ],
)
def test_hair_color_is_honoured(described: Profile, word: str) -> None:
    assert {identify(i, described).hair_color for i in IDS} == {HAIR_COLOR_OF_WORD[word]}


def test_hair_stays_apart_from_the_skin() -> None:
    described = profile(hair_color="dark brown", ethnicity="Nigerian")

    for person in (identify(i, described) for i in IDS):
        assert distance(person.hair_color, person.skin) > 0.1


def test_skin_follows_the_origin_and_else_the_id() -> None:
    low, high = SKIN_OF_WORD["nigeria"]

    assert {identify(i, profile(ethnicity="Nigerian")).skin for i in IDS} == set(
        SKIN_TONES[low : high + 1]
    )
    assert {identify(i, profile(ethnicity="Betelgeusian")).skin for i in IDS} == set(SKIN_TONES)


def test_children_and_women_have_no_beard_unless_told() -> None:
    for described in (
        profile(gender="male", age_range="9"),
        profile(gender="male", age_range="teen", hair_style="full beard"),
        profile(gender="female"),
        profile(gender="male", hair_style="short, clean-shaven"),
    ):
        assert {identify(i, described).facial_hair for i in IDS} == {""}
    bearded = profile(gender="male", hair_style="short fade with a full beard")
    assert "" not in {identify(i, bearded).facial_hair for i in IDS}


def test_older_people_grey_unless_told_otherwise() -> None:
    aged = {identify(i, profile(age_range="65+")).hair_color for i in IDS}
    dyed = {identify(i, profile(age_range="65+", hair_color="purple")).hair_color for i in IDS}

    assert aged >= set(GREY_HAIR_COLORS)
    assert HAIR_COLOR_OF_WORD["purple"] in dyed
    assert not dyed & set(GREY_HAIR_COLORS)


def test_glasses_are_worn_when_told() -> None:
    assert "" not in {identify(i, profile(style="round glasses, tweed")).glasses for i in IDS}
    assert {identify(i, profile(style="no glasses")).glasses for i in IDS} == {""}


def test_build_follows_the_body_type() -> None:
    slim, broad = (identify(IDS[0], profile(body_type=text)) for text in ("slim", "muscular"))

    assert slim.build.clothes < broad.build.clothes


def test_the_mood_comes_from_vibe_and_personality() -> None:
    assert resting_mood(AVA) == WARM
    assert resting_mood(profile(personality=Personality(tone="stoic"))) == SERIOUS


def test_seed_colors_win_over_the_description() -> None:
    palette = Palette(skin="#c68642", hair="#101010", clothes="#00aa77")
    identity = identify(IDS[0], AVA, palette)
    look = appear(IDS[0], AVA, identity, "portrait", palette)

    assert (identity.skin, identity.hair_color, look.clothes_color) == (
        "#c68642",
        "#101010",
        "#00aa77",
    )


@pytest.mark.parametrize("view", ["gym", "at_the_beach", "party-night", "", "夜景", "x" * 300])
def test_an_unknown_view_still_has_a_look(view: str) -> None:
    identity = identify(IDS[0], AVA)

    assert appear(IDS[0], AVA, identity, view).scene in SCENES
