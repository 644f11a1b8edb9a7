"""Operations on media assets."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.faults import Instance
from schemas.records import AssetPage, AssetRecord, PresignedUpload
from schemas.uploads import FinalizeUploadBody, PresignUploadBody, UploadMediaBody
from services.api.openapi import examples
from services.api.openapi.influencers import PAGING, READ
from services.api.openapi.vocabulary import Link, Operation, Reply, RequestBody

_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
_LINKS = MappingProxyType({"asset": Link("getMedia", {"assetId": "$response.body#/assetId"})})
_CREATED = Reply(
    201,
    "The asset; the one there is, if the project has these bytes already.",
    AssetRecord,
    {"uploaded": examples.ASSET_RECORD},
    headers=("RecordLocation", *READ, "Replayed"),
    links=_LINKS,
)

OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("POST", "/v1/projects/{projectId}/media"): Operation(
            "uploadMedia",
            "Media",
            "Upload a small file",
            "Under 256 KiB, as base64. The bytes decide what it is, not what the request says.",
            (_CREATED,),
            RequestBody(
                UploadMediaBody,
                {
                    "a pixel": {
                        "kind": "reference_image",
                        "mimeType": "image/png",
                        "dataBase64": _PIXEL,
                        "filename": "pixel.png",
                    }
                },
            ),
            examples_of_faults={
                "PAYLOAD_TOO_LARGE": {
                    "not small": Instance("The body is larger than 262143 bytes.")
                },
                "VALIDATION": {
                    "no image": Instance(
                        "Invalid body.",
                        {"fieldErrors": {"mimeType": ["The bytes are image/jpeg"]}},
                    )
                },
            },
        ),
        ("POST", "/v1/projects/{projectId}/media/presign"): Operation(
            "presignUpload",
            "Media",
            "Announce a large file",
            "Up to 20 MiB: PUT the bytes to the `url` with the `headers`, then finalize.",
            (
                Reply(
                    201,
                    "Where to send the bytes.",
                    PresignedUpload,
                    {"announced": examples.PRESIGNED},
                    headers=("NoStore", "Replayed"),
                    links={
                        "finalize": Link("finalizeUpload", {"projectId": "$request.path.projectId"})
                    },
                ),
            ),
            RequestBody(
                PresignUploadBody,
                {
                    "a photo": {
                        "kind": "reference_image",
                        "mimeType": "image/png",
                        "sizeBytes": 48213,
                        "checksumSha256": examples.SHA256,
                        "filename": "ava.png",
                    }
                },
            ),
            examples_of_faults={
                "VALIDATION": {
                    "wrong fields": Instance(
                        "Invalid body.",
                        {"fieldErrors": {"kind": ["Required"], "size": ["Unknown field"]}},
                    )
                }
            },
        ),
        ("POST", "/v1/projects/{projectId}/media/finalize"): Operation(
            "finalizeUpload",
            "Media",
            "Finish a large upload",
            "Looks at the bytes that were PUT, and makes them an asset.",
            (_CREATED,),
            RequestBody(FinalizeUploadBody, {"finished": {"uploadId": examples.UPLOAD}}),
            faults=("CONFLICT",),
            examples_of_faults={
                "CONFLICT": {
                    "no bytes yet": Instance(
                        "Nothing was uploaded yet.", {"uploadId": examples.UPLOAD}
                    )
                },
                "VALIDATION": {
                    "unknown upload": Instance(
                        "Invalid body.",
                        {"fieldErrors": {"uploadId": ["Not an upload of this project"]}},
                    )
                },
            },
        ),
        ("GET", "/v1/projects/{projectId}/media"): Operation(
            "listMedia",
            "Media",
            "List media assets",
            "The media assets of a project, newest first.",
            (
                Reply(
                    200,
                    "A page.",
                    AssetPage,
                    examples.pages(examples.ASSET_RECORD),
                    headers=READ,
                    links={
                        "next": Link(
                            "listMedia",
                            {
                                "projectId": "$request.path.projectId",
                                "cursor": "$response.body#/nextCursor",
                            },
                        )
                    },
                ),
            ),
            parameters=("mediaKind", *PAGING),
        ),
        ("GET", "/v1/media/{assetId}"): Operation(
            "getMedia",
            "Media",
            "Get a media asset",
            "The record; `url` leads to the bytes.",
            (
                Reply(
                    200,
                    "The asset.",
                    AssetRecord,
                    {"uploaded": examples.ASSET_RECORD},
                    headers=("ETag", *READ),
                ),
                Reply(304, "The asset is as the client has it.", headers=("ETag", *READ)),
            ),
            parameters=("If-None-Match",),
        ),
    }
)
