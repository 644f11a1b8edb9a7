"""REST bodies of uploads, as `rest-api.md` has them."""

import base64
import binascii
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from schemas.base import Storable, StrictBody
from schemas.ids import AnyUploadId

MAXIMUM_UPLOAD = 20 * 1024 * 1024
INLINE_LIMIT = 256 * 1024
"""Bytes that an inline upload stays under."""

# JSON knows one kind of number: 7.0 is as whole as 7.
_Whole = BeforeValidator(
    lambda value: int(value) if isinstance(value, float) and value.is_integer() else value
)

MediaKind = Literal["image", "reference_image", "logo", "video", "audio"]
Filename = Annotated[str, StringConstraints(min_length=1, max_length=255), Storable]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]

_PICTURES = ("image/png", "image/jpeg", "image/webp")
MIME_TYPES: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": _PICTURES,
        "reference_image": _PICTURES,
        "logo": _PICTURES,
        "video": ("video/mp4", "video/webm"),
        "audio": ("audio/mpeg", "audio/wav", "audio/ogg"),
    }
)
_EVERY_MIME_TYPE = tuple(dict.fromkeys(name for names in MIME_TYPES.values() for name in names))

_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("Must be base64 (RFC 4648, section 4)") from None
    return text


class MediaBody(StrictBody):
    """What a client says of a file; the bytes decide whether it is true."""

    kind: MediaKind
    mime_type: str = Field(json_schema_extra={"enum": list(_EVERY_MIME_TYPE)})
    filename: Filename | None = None

    @field_validator("mime_type")
    @classmethod
    def _fits_the_kind(cls, mime_type: str, info: ValidationInfo) -> str:
        possible = MIME_TYPES.get(info.data.get("kind", ""), _EVERY_MIME_TYPE)
        if mime_type not in possible:
            raise ValueError(f"Must be one of {', '.join(possible)}")
        return mime_type


class UploadMediaBody(MediaBody):
    """A file, and what it is said to be."""

    data_base64: Annotated[
        str,
        StringConstraints(min_length=1),
        AfterValidator(_base64),
        Field(json_schema_extra={"contentEncoding": "base64", "pattern": _BASE64}),
    ]

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.data_base64)


class PresignUploadBody(MediaBody):
    """What a file is said to be; its size and SHA-256 are held to where they are told."""

    size_bytes: Annotated[int, Field(ge=1, le=MAXIMUM_UPLOAD), _Whole] | None = None
    checksum_sha256: Sha256 | None = None


class FinalizeUploadBody(StrictBody):
    """An upload whose bytes have been PUT."""

    upload_id: AnyUploadId
