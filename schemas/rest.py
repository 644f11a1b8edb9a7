"""REST bodies, as `rest-api.md` has them."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.base import Storable, StrictBody
from schemas.ids import AnyAssetId, AnyInfluencerId
from schemas.profile import Gender, PersonalityBody

_WHITE_SPACE = "\\t-\\r \\x85\\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NAME_PATTERN = rf"^[^\x00]*[^\x00{_WHITE_SPACE}][^\x00]*$"

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=128),
    Storable,
    Field(json_schema_extra={"pattern": _NAME_PATTERN}),
]
Brief = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1024),
    Storable,
    Field(json_schema_extra={"pattern": _NAME_PATTERN}),
]
Text16 = Annotated[str, StringConstraints(max_length=16), Storable]
Text64 = Annotated[str, StringConstraints(max_length=64), Storable]
Text128 = Annotated[str, StringConstraints(max_length=128), Storable]
Text256 = Annotated[str, StringConstraints(max_length=256), Storable]
Text1024 = Annotated[str, StringConstraints(max_length=1024), Storable]


class ReferenceImagesBody(StrictBody):
    """Uploaded images."""

    asset_ids: list[AnyAssetId] = Field(min_length=1, max_length=20)


class ProfileBody(StrictBody):
    """What a client may say of an influencer; everything optional here."""

    gender: Gender | None = None
    age_range: Text16 | None = None
    ethnicity: Text128 | None = None
    body_type: Text128 | None = None
    hair_style: Text128 | None = None
    hair_color: Text64 | None = None
    style: Text256 | None = None
    vibe: Text256 | None = None
    voice_description: Text1024 | None = None
    personality: PersonalityBody | None = None


class CreateInfluencerBody(ProfileBody):
    """Who the influencer is; `referenceImages` are photos to make it from."""

    name: Name
    influencer_id: AnyInfluencerId | None = None
    reference_images: ReferenceImagesBody | None = None


class PatchInfluencerBody(ProfileBody):
    """Only the fields that are there change: null clears, `personality` merges key by key."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    # A factory's default shows up in no schema: a name may be left out, but is never null.
    name: Name = Field(default_factory=str)

    @model_validator(mode="after")
    def _has_a_field(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("At least one field is needed")
        return self


class DeleteInfluencerBody(StrictBody):
    """Why it is deleted, for the record."""

    reason: Text1024 | None = None


class CloneInfluencerBody(StrictBody):
    """`overrides` changes the copied profile as a PATCH would."""

    name: Name
    new_influencer_id: AnyInfluencerId | None = None
    overrides: ProfileBody | None = None


class RequestContentBody(StrictBody):
    """A picture of an influencer, for `brief` and with it as text on it."""

    influencer_id: AnyInfluencerId
    brief: Brief


class EmptyBody(StrictBody):
    """A route that takes no fields."""
