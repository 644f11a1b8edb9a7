"""Media in the object store: names made from their bytes, and a thumbnail for each image."""

from dataclasses import dataclass
from hashlib import sha256

from services.core.storage.inspection import InspectedImage
from services.core.storage.keys import validated_key
from services.core.storage.store import ObjectStore

_MIME_TYPE_OF_EXTENSION = {
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
}
_EXTENSION_OF_MIME_TYPE = {kind: name for name, kind in _MIME_TYPE_OF_EXTENSION.items()}


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image and its thumbnail as they lie in the store; width and height in pixels."""

    sha256: str
    key: str
    thumbnail_key: str
    width: int
    height: int
    size_bytes: int
    mime_type: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Sound or film as it lies in the store; there is nothing to look at."""

    sha256: str
    key: str
    size_bytes: int
    mime_type: str
    thumbnail_key: None = None
    width: None = None
    height: None = None


def media_key(organization_id: str, project_id: str, digest: str, extension: str) -> str:
    """Name the object `{organization}/{project}/{sha256}.{extension}`.

    `digest` is the SHA-256 of the bytes, in hex. Raises InvalidKey if a part is unfit for a key
    and ValueError for an extension that is none of ours.
    """
    if extension not in _MIME_TYPE_OF_EXTENSION:
        known = ", ".join(_MIME_TYPE_OF_EXTENSION)
        raise ValueError(f"extension must be one of {known}, got {extension!r}")
    return validated_key(f"{organization_id}/{project_id}/{digest}.{extension}")


def mime_type_of(key: str) -> str:
    """Return the MIME type that the extension of a media key stands for."""
    return _MIME_TYPE_OF_EXTENSION.get(key.rpartition(".")[2], "application/octet-stream")


async def store_inspected(
    store: ObjectStore, organization_id: str, project_id: str, image: InspectedImage
) -> StoredImage:
    """Store an image and its WebP thumbnail; both are durable on return.

    The same bytes always get the same names, so storing twice changes nothing. The thumbnail is
    written first: where the image is, its thumbnail is too. Raises StorageUnavailable and
    InvalidKey.
    """
    digest = sha256(image.content).hexdigest()
    key = media_key(organization_id, project_id, digest, image.extension)
    thumbnail_digest = sha256(image.thumbnail).hexdigest()
    thumbnail_key = media_key(organization_id, project_id, thumbnail_digest, "webp")
    await store.put(thumbnail_key, image.thumbnail, "image/webp")
    await store.put(key, image.content, mime_type_of(key))
    return StoredImage(
        sha256=digest,
        key=key,
        thumbnail_key=thumbnail_key,
        width=image.width,
        height=image.height,
        size_bytes=len(image.content),
        mime_type=mime_type_of(key),
    )


async def store_file(
    store: ObjectStore, organization_id: str, project_id: str, content: bytes, mime_type: str
) -> StoredFile:
    """Store sound or film of a type we know; durable on return.

    Raises StorageUnavailable, InvalidKey, and KeyError for another type.
    """
    digest = sha256(content).hexdigest()
    extension = _EXTENSION_OF_MIME_TYPE[mime_type]
    key = media_key(organization_id, project_id, digest, extension)
    await store.put(key, content, mime_type)
    return StoredFile(sha256=digest, key=key, size_bytes=len(content), mime_type=mime_type)
