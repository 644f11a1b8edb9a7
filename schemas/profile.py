"""Who an influencer is: the description a client gives."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Storable, StrictBody, WireModel

Gender = Literal["male", "female", "nonbinary", "unspecified"]

ShortText = Annotated[str, StringConstraints(max_length=256), Storable]
Texts = tuple[str, ...]


class Personality(WireModel):
    """How the influencer thinks and speaks."""

    traits: Texts | None = None
    tone: str | None = None
    humor: str | None = None
    formality: str | None = None
    values: Texts | None = None
    interests: Texts | None = None
    speaking_style: str | None = None
    catchphrases: Texts | None = None


class Profile(WireModel):
    """Who the influencer is, in the client's words; what was not said is absent."""

    name: str
    gender: Gender | None = None
    age_range: str | None = None
    ethnicity: str | None = None
    body_type: str | None = None
    hair_color: str | None = None
    hair_style: str | None = None
    style: str | None = None
    vibe: str | None = None
    voice_description: str | None = None
    personality: Personality | None = None


TextsBody = Annotated[list[ShortText], Field(max_length=50)]


class PersonalityBody(StrictBody):
    """How the influencer thinks and speaks."""

    traits: TextsBody | None = None
    tone: ShortText | None = None
    humor: ShortText | None = None
    formality: ShortText | None = None
    values: TextsBody | None = None
    interests: TextsBody | None = None
    speaking_style: ShortText | None = None
    catchphrases: TextsBody | None = None
