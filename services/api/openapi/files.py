"""The bytes of media, where the api itself is the store: read by URL, and PUT to a signed one."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.faults import Instance
from schemas.uploads import MIME_TYPES
from services.api.openapi.vocabulary import Operation, Reply

TYPES = tuple(dict.fromkeys(name for names in MIME_TYPES.values() for name in names))
_HEADERS = ("FileTag", "Immutable", "Vary", "AcceptRanges")

FILES: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("GET", "/media/{organizationId}/{projectId}/{name}"): Operation(
            "getFile",
            "Media",
            "Read the bytes of an image or a file",
            "The `url` and `thumbnailUrl` of records lead here, where the local store is used;"
            " with a bucket they lead to the bucket. The name is made from the bytes, so these"
            " never change. A signature is made anew on every read of a record.",
            (
                Reply(200, "All of it.", headers=_HEADERS, files=TYPES),
                Reply(206, "The part.", headers=(*_HEADERS, "ContentRange"), files=TYPES),
                Reply(304, "The client has these bytes.", headers=_HEADERS),
            ),
            parameters=("expires", "signature", "Range", "If-Range", "If-None-Match-File"),
            faults=("UNAUTHENTICATED", "FORBIDDEN_SCOPE", "RATE_LIMITED", "RangeNotSatisfiable"),
            needs="Needs the signature in the URL, or a key with the scope `media:read`; only with"
            " a key it counts, as read. A signature that is wrong or too old is 404.",
        ),
        ("PUT", "/media/uploads/{organizationId}/{projectId}/{uploadId}"): Operation(
            "putFile",
            "Media",
            "Send the bytes of an announced upload",
            "The `url` of `presign`, where the local store is used; with a bucket it leads to the"
            " bucket. Up to 20 MiB, with the `headers` that were answered; other bytes may be PUT"
            " until the upload is finalized. They are looked at then.",
            (Reply(200, "The bytes are here; finalize them.", headers=("NoStore",)),),
            parameters=("expires", "signature"),
            faults=("PAYLOAD_TOO_LARGE", "VALIDATION"),
            examples_of_faults={
                "PAYLOAD_TOO_LARGE": {
                    "TooLarge": Instance("The body is larger than 20971520 bytes.")
                },
                "VALIDATION": {
                    "Nothing": Instance("Invalid body.", {"formErrors": ["The body is empty"]})
                },
            },
            takes=TYPES,
            needs="Needs the signature in the URL, and no key. One that is wrong or too old is"
            " 404.",
        ),
    }
)
