"""Where schemathesis is told what no schema can say. It loads this module itself."""

import os
import re
from base64 import urlsafe_b64decode
from itertools import count
from typing import Any
from zlib import crc32

import schemathesis

from schemas.ids import Prefix, parse_identifier
from services.api.openapi import examples

UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
WAIT = re.compile("wait", re.IGNORECASE)
VISIBLE = re.compile("[!-~]{1,255}")
COUNT = count()
BASE64 = re.compile("[A-Za-z0-9+/]+={0,2}")
PROJECT = os.environ["FUZZ_PROJECT"]
ASSET = os.environ["FUZZ_ASSET"]
REAL = {
    "influencerId": (examples.INFLUENCER, os.environ["FUZZ_INFLUENCER"]),
    "jobId": (examples.JOB, os.environ["FUZZ_JOB"]),
    "assetId": (examples.ASSET, ASSET),
}
FILE_EXAMPLE = f"{examples.SHA256}.png"
FILE = dict(
    zip(("organizationId", "projectId", "name"), os.environ["FUZZ_FILE"].split("/"), strict=True)
)
PICTURE = os.environ["FUZZ_PICTURE"]

# Valid in form, but only the service knows whether there is such a thing: a cursor is signed, an
# upload was announced, an asset uploaded, and bytes are what they are.
KNOWN_TO_THE_SERVICE = re.compile(
    r"cursor|after|uploadId|dataBase64|mimeType|(referenceImages\.)?assetIds\.\d+"
)


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """Most invented references become real ones, or none."""
    path = case.path_parameters or {}
    if UUID.fullmatch(str(path.get("projectId", ""))) and _mostly(path):
        path["projectId"] = PROJECT
    if case.method != "DELETE" and not case.path.endswith("/events"):
        for name, (example, real) in REAL.items():
            if path.get(name) == example:
                path[name] = real
    if path.get("name") == FILE_EXAMPLE:
        path.update(FILE)
        for name in ("expires", "signature"):
            (case.query or {}).pop(name, None)
    if case.query:
        _map_query(case.query)
    if case.headers:
        _map_headers(case.headers, case.body)
    if isinstance(case.body, dict) and not _is_to_be_refused(case) and _mostly(case.body):
        _map_body(case.body)
    return case


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Nothing renders here: only the stream of a job that has ended ends."""
    path = case.path_parameters or {}
    if case.path.endswith("/jobs/{jobId}/events") and _is_id(Prefix.JOB, path.get("jobId")):
        path["jobId"] = REAL["jobId"][1]


def _map_headers(headers: Any, body: Any) -> None:
    if WAIT.search(headers.get("Prefer", "")):  # few wait, and none long: nothing happens here
        if _mostly(headers):
            del headers["Prefer"]
        else:
            headers["Prefer"] = "wait=1"
    if _mostly(body) and VISIBLE.fullmatch(headers.get("Idempotency-Key", "")):
        headers["Idempotency-Key"] = f"key-{next(COUNT)}"  # or all would be conflicts
    if _mostly(headers):
        headers.pop("Last-Event-ID", None)


def _map_query(query: dict[str, Any]) -> None:
    for name in ("cursor", "after"):
        if name in query and not _is_signed(query[name]) and _mostly(query[name]):
            del query[name]


def _is_signed(cursor: Any) -> bool:
    """Whether it looks like one that a page gave."""
    try:
        return b'["2' in urlsafe_b64decode(f"{cursor}==")
    except ValueError:
        return False


def _map_body(body: dict[str, Any]) -> None:
    if body.get("influencerId") == examples.INFLUENCER:
        if "brief" in body:
            body["influencerId"] = os.environ["FUZZ_INFLUENCER"]
        else:
            del body["influencerId"]  # taken after the first time
    images = body.get("referenceImages")
    for holder in (body, images if isinstance(images, dict) else {}):
        asset_ids = holder.get("assetIds")
        if (
            isinstance(asset_ids, list)
            and len(asset_ids) == 1
            and _is_id(Prefix.ASSET, asset_ids[0])
        ):
            holder["assetIds"] = [ASSET]
    if BASE64.fullmatch(str(body.get("dataBase64", "!"))):
        body["dataBase64"] = PICTURE
        if body.get("mimeType") in ("image/jpeg", "image/webp"):
            body["mimeType"] = "image/png"


def _is_to_be_refused(case: Any) -> bool:
    """Whether something was broken on purpose: it must stay so."""
    return bool(case.meta and case.meta.generation.mode.is_negative)


def _is_id(prefix: Prefix, value: Any) -> bool:
    """What is none stays as it is: it is there to be refused."""
    try:
        parse_identifier(prefix, value)
    except (ValueError, AttributeError):
        return False
    return True


def _mostly(value: Any) -> bool:
    """Seven times of eight, the same each time that this value comes."""
    return crc32(repr(value).encode()) % 8 != 0


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    if response.status_code == 503 and "minSequence" in (case.query or {}):
        # The one 503 that the contract has for a request: the record is not as far.
        return "sequence" not in response.json()["error"].get("details", {})
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 422:
        return True
    details = response.json()["error"]["details"]
    names = set(details.get("fieldErrors", {}))
    if case.path.endswith("/content"):
        names.discard("influencerId")  # whether there is one, only the service knows
    return "formErrors" in details or not all(map(KNOWN_TO_THE_SERVICE.fullmatch, names))
