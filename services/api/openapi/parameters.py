"""Parameters of operations and headers of answers, by the names that descriptions use."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from schemas.ids import Prefix, any_spelling_pattern
from schemas.jobs import JobKind, JobStatus
from schemas.uploads import MediaKind
from services.api.feed_query import TYPES
from services.api.openapi import examples
from services.api.pagination import DEFAULT_LIMIT, MAXIMUM_LIMIT

_SPELLINGS = "As it was answered, as a bare ULID, or as a UUID; in any letter case."


def _path(name: str, description: str, schema: Mapping[str, Any], example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": dict(schema),
        "example": example,
    }


def _identifier(name: str, prefix: Prefix, of: str, example: str) -> dict[str, Any]:
    return _path(name, f"The {of}'s id. {_SPELLINGS}", _any(prefix), example)


def _any(prefix: Prefix) -> dict[str, Any]:
    return {"type": "string", "pattern": any_spelling_pattern(prefix)}


def _query(name: str, description: str, schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": dict(schema),
        "example": example,
    }


def _header(name: str, description: str, schema: Mapping[str, Any], example: str) -> dict[str, Any]:
    return {**_query(name, description, schema, example), "in": "header"}


_UUID = {"type": "string", "format": "uuid"}
_TEXT = {"type": "string"}
_INFLUENCER_STATUSES = ["draft", "pending", "training", "ready", "failed"]
_KEY_PATTERN = r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$'
_FILE_TAG = f'"{examples.SHA256}"'
_ETAG_LIST = "ETags of the record, or `*`."

PARAMETERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "projectId": _path("projectId", "The project's id: a UUID.", _UUID, examples.PROJECT),
        "influencerId": _identifier(
            "influencerId", Prefix.INFLUENCER, "influencer", examples.INFLUENCER
        ),
        "jobId": _identifier("jobId", Prefix.JOB, "job", examples.JOB),
        "assetId": _identifier("assetId", Prefix.ASSET, "media asset", examples.ASSET),
        "limit": _query(
            "limit",
            "How many items a page has at most.",
            {
                "type": "integer",
                "minimum": 1,
                "maximum": MAXIMUM_LIMIT,
                "default": DEFAULT_LIMIT,
            },
            DEFAULT_LIMIT,
        ),
        "cursor": _query(
            "cursor",
            "The `nextCursor` of the page before, of the same list and filter.",
            {"type": "string", "minLength": 1},
            examples.CURSOR,
        ),
        "influencerStatus": _query(
            "status",
            "Only influencers of this status.",
            {"type": "string", "enum": _INFLUENCER_STATUSES},
            "ready",
        ),
        "draft": _query(
            "draft",
            "Only describe the influencer: no job is started.",
            {"type": "boolean", "enum": [True]},
            True,
        ),
        "minSequence": _query(
            "minSequence",
            "Answer once the record has reached this `sequence`: within 5 s, else 503.",
            {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
            7,
        ),
        "jobProjectId": _query("projectId", "Only jobs of this project.", _UUID, examples.PROJECT),
        "jobInfluencerId": _query(
            "influencerId",
            f"Only jobs of this influencer. {_SPELLINGS}",
            _any(Prefix.INFLUENCER),
            examples.INFLUENCER,
        ),
        "kind": _query(
            "kind",
            "Only jobs of this kind.",
            {"type": "string", "enum": list(get_args(JobKind))},
            "influencer_create",
        ),
        "mediaKind": _query(
            "kind",
            "Only assets of this kind.",
            {"type": "string", "enum": list(get_args(MediaKind))},
            "reference_image",
        ),
        "jobStatus": _query(
            "status",
            "Only jobs of this status.",
            {"type": "string", "enum": list(get_args(JobStatus))},
            "running",
        ),
        "afterEvent": _query(
            "after",
            "The id of the last event seen; as `Last-Event-ID`, which decides.",
            _any(Prefix.EVENT),
            examples.EVENT,
        ),
        "Last-Event-ID": _header(
            "Last-Event-ID",
            "The id of the last event seen: the stream goes on behind it, without a gap.",
            _any(Prefix.EVENT),
            examples.EVENT,
        ),
        "after": _query(
            "after",
            "The `nextCursor` of the page before, or `latest`: only what happens from now on."
            " Without it: from the first event on.",
            {"type": "string", "minLength": 1},
            examples.FEED_CURSOR,
        ),
        "lastCursor": _header(
            "Last-Event-ID",
            "The last `id` of a stream that broke off: it goes on behind it, without a gap.",
            {"type": "string"},
            examples.FEED_CURSOR,
        ),
        "types": {
            **_query(
                "types",
                "Only events of these types, with commas between them.",
                {"type": "array", "minItems": 1, "items": {"type": "string", "enum": [*TYPES]}},
                ["InfluencerReady", "InfluencerFailed"],
            ),
            "style": "form",
            "explode": False,
        },
        "feedProjectId": _query(
            "projectId", "Only events of this project.", _UUID, examples.PROJECT
        ),
        "feedPrefer": _header(
            "Prefer",
            "`wait=N`, 1 to 60 seconds: hold until there is an event. Anything else is ignored.",
            _TEXT,
            "wait=25",
        ),
        "organizationId": _path(
            "organizationId", "The organization's id.", _UUID, examples.ORGANIZATION
        ),
        "name": _path(
            "name",
            "As `url` or `thumbnailUrl` of a record has it.",
            {"type": "string", "pattern": r"^[0-9a-f]{64}\.[a-z0-9]+$"},
            f"{examples.SHA256}.png",
        ),
        "uploadId": _path(
            "uploadId",
            "The announced upload.",
            {"type": "string", "pattern": "^upl_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
            examples.UPLOAD,
        ),
        "expires": _query(
            "expires", "Unix seconds, as the URL has it.", {"type": "string"}, "1795516200"
        ),
        "signature": _query(
            "signature", "As the URL has it.", {"type": "string"}, examples.SIGNATURE
        ),
        "Range": _header(
            "Range",
            "One range of bytes; of more than one, or of something else, the whole is answered.",
            {"type": "string"},
            "bytes=0-1023",
        ),
        "If-Range": _header(
            "If-Range", "The range only if this is still the ETag.", {"type": "string"}, _FILE_TAG
        ),
        "If-None-Match-File": _header(
            "If-None-Match", "ETags of bytes that are there already.", _TEXT, _FILE_TAG
        ),
        "Idempotency-Key": _header(
            "Idempotency-Key",
            "Makes the request safe to repeat for 24 hours: a repetition gets the first answer"
            " again. 1 to 255 visible ASCII characters, bare or as a quoted string (RFC 8941).",
            {"type": "string", "pattern": _KEY_PATTERN},
            "0b9c1c0e-create-ava",
        ),
        "If-Match": _header(
            "If-Match",
            f"The record must be at this state, else 412. {_ETAG_LIST}",
            _TEXT,
            '"7"',
        ),
        "If-None-Match": _header(
            "If-None-Match",
            f"Answer 304 when the record is still at this state. {_ETAG_LIST}",
            _TEXT,
            '"7"',
        ),
        "Prefer": _header(
            "Prefer",
            "`wait=N`, 1 to 60 seconds: with `If-None-Match` hold until the record has another"
            " ETag; without, until there is nothing more to wait for. Anything else is ignored.",
            _TEXT,
            "wait=25",
        ),
    }
)

_COUNT = {"type": "integer", "minimum": 0}
_SECONDS = {"type": "integer", "minimum": 1}


def _answered(
    description: str, schema: Mapping[str, Any], example: Any, *, required: bool = True
) -> dict[str, Any]:
    return {
        "description": description,
        "required": required,
        "schema": dict(schema),
        "example": example,
    }


def _optional(description: str, schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    return _answered(description, schema, example, required=False)


HEADERS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "RequestId": (
            "X-Request-Id",
            _answered(
                "The request's id; logs and events carry it too.",
                {"type": "string", "pattern": "^req_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
                examples.REQUEST,
            ),
        ),
        "Private": (
            "Cache-Control",
            _answered(
                "Keep it for this key alone, and ask before each use.",
                {"type": "string", "const": "private, no-cache"},
                "private, no-cache",
            ),
        ),
        "NoStore": (
            "Cache-Control",
            _answered("Not to be kept.", {"type": "string", "const": "no-store"}, "no-store"),
        ),
        "Vary": (
            "Vary",
            _answered(
                "What the answer depends on.",
                {"type": "string", "const": "X-Api-Key, Authorization"},
                "X-Api-Key, Authorization",
            ),
        ),
        "ETag": (
            "ETag",
            _answered(
                "Follows the record alone, never the key or a signature in a URL.",
                {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
                '"7"',
            ),
        ),
        "Immutable": (
            "Cache-Control",
            _answered(
                "Bytes never change under their name: keep them, for this key alone.",
                {"type": "string", "const": "private, max-age=31536000, immutable"},
                "private, max-age=31536000, immutable",
            ),
        ),
        "FileTag": (
            "ETag",
            _answered("Follows the bytes.", {"type": "string", "pattern": '^"[^"]+"$'}, _FILE_TAG),
        ),
        "AcceptRanges": (
            "Accept-Ranges",
            _answered("A part can be had.", {"type": "string", "const": "bytes"}, "bytes"),
        ),
        "ContentRange": (
            "Content-Range",
            _answered(
                "Which part it is, and the size of the whole.",
                {"type": "string", "pattern": "^bytes [0-9]+-[0-9]+/[0-9]+$"},
                "bytes 0-1023/48213",
            ),
        ),
        "WholeSize": (
            "Content-Range",
            _answered(
                "The size of the whole.",
                {"type": "string", "pattern": r"^bytes \*/[0-9]+$"},
                "bytes */48213",
            ),
        ),
        "JobLocation": (
            "Location",
            _answered(
                "The job, as `locationUrl`.",
                {"type": "string", "pattern": "^/v1/jobs/job_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
                f"/v1/jobs/{examples.JOB}",
            ),
        ),
        "RecordLocation": (
            "Location",
            _answered(
                "The new record.",
                {"type": "string", "format": "uri-reference", "pattern": "^/v1/"},
                f"/v1/influencers/{examples.INFLUENCER}",
            ),
        ),
        "RetryAfter": (
            "Retry-After",
            _answered("Seconds after which asking again is worth while.", _SECONDS, 2),
        ),
        "RetryAfterWhileRunning": (
            "Retry-After",
            _optional("While the job runs: seconds until it may have changed.", _SECONDS, 1),
        ),
        "RetryAfterWhileBusy": (
            "Retry-After",
            _optional("Where the first request with that key is still running.", _SECONDS, 1),
        ),
        "Replayed": (
            "Idempotent-Replayed",
            _optional(
                "This is the answer to an earlier request with the same `Idempotency-Key`.",
                {"type": "string", "const": "true"},
                "true",
            ),
        ),
        "PreferenceApplied": (
            "Preference-Applied",
            _optional(
                "The preference that was honoured.",
                {"type": "string", "pattern": "^wait=([1-9]|[1-5][0-9]|60)$"},
                "wait=25",
            ),
        ),
        "Challenge": (
            "WWW-Authenticate",
            _answered("How to authenticate.", {"type": "string", "const": "Bearer"}, "Bearer"),
        ),
        "Allow": (
            "Allow",
            _answered("The methods of this path.", {"type": "string"}, "GET, HEAD, POST"),
        ),
        "EndpointClass": (
            "X-RateLimit-Endpoint-Class",
            _optional(
                "What the request counts as.",
                {"type": "string", "enum": ["read", "write", "long-running"]},
                "long-running",
            ),
        ),
        "Limit": (
            "X-RateLimit-Limit",
            _optional("Requests of this class that the key may make in a minute.", _COUNT, 20),
        ),
        "Remaining": (
            "X-RateLimit-Remaining",
            _optional("How many of them are left now.", _COUNT, 19),
        ),
        "Reset": (
            "X-RateLimit-Reset",
            _optional("Seconds until more are left.", _COUNT, 60),
        ),
        "RateLimitPolicy": (
            "RateLimit-Policy",
            _optional(
                "The limit as the IETF draft has it.",
                {"type": "string", "pattern": '^"[a-z-]+";q=[0-9]+;w=[0-9]+$'},
                '"long-running";q=20;w=60',
            ),
        ),
        "RateLimit": (
            "RateLimit",
            _optional(
                "What is left of it, as the IETF draft has it.",
                {"type": "string", "pattern": '^"[a-z-]+";r=[0-9]+;t=[0-9]+$'},
                '"long-running";r=19;t=60',
            ),
        ),
    }
)
OF_EVERY_ANSWER = (
    "RequestId",
    "EndpointClass",
    "Limit",
    "Remaining",
    "Reset",
    "RateLimitPolicy",
    "RateLimit",
)
