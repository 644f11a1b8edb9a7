"""A client of the api; whatever it gets is held to what the contract says of every response."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from types import MappingProxyType
from typing import Any

import aiohttp
import orjson
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from schemas.ids import UlidSource
from services.core.controlplane import Tier, create_key, create_organization, create_project
from services.core.postgres import Pool
from tests.integration.api.description import require_described
from tests.integration.api.serving import Service

STATUS_OF_CODE = MappingProxyType(
    {
        "UNAUTHENTICATED": 401,
        "FORBIDDEN_SCOPE": 403,
        "NOT_FOUND": 404,
        "METHOD_NOT_ALLOWED": 405,
        "CONFLICT": 409,
        "IDEMPOTENCY_CONFLICT": 409,
        "PRECONDITION_FAILED": 412,
        "PAYLOAD_TOO_LARGE": 413,
        "UNSUPPORTED_MEDIA_TYPE": 415,
        "VALIDATION": 422,
        "RATE_LIMITED": 429,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
    }
)
REQUEST_ID = re.compile("req_[0-7][0-9A-HJKMNP-TV-Z]{25}")
JSON = "application/json; charset=utf-8"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str | None:
        """The error's code; None for a success."""
        return self.json["error"]["code"] if self.status >= 400 else None

    @property
    def details(self) -> Any:
        return self.json["error"].get("details")

    @property
    def field_errors(self) -> Any:
        assert (self.status, self.code) == (422, "VALIDATION"), self
        return self.details.get("fieldErrors")

    @property
    def form_errors(self) -> Any:
        assert (self.status, self.code) == (422, "VALIDATION"), self
        return self.details.get("formErrors")


@dataclass(frozen=True)
class Caller:
    """Someone with a key (or without one) of an organization that has one project."""

    http: aiohttp.ClientSession
    base_url: str
    organization_id: str
    project_id: str
    key: str | None
    key_id: str

    @property
    def influencers(self) -> str:
        return f"/v1/projects/{self.project_id}/influencers"

    def at(self, service: Service) -> "Caller":
        return replace(self, base_url=service.base_url)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | CIMultiDict[str] | None = None,
    ) -> Answer:
        """`body` is sent as it is when it is bytes or a stream, else as JSON."""
        sent = CIMultiDict(headers or {})
        if self.key and "X-Api-Key" not in sent:
            sent["X-Api-Key"] = self.key
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            if isinstance(body, dict | list):
                body = orjson.dumps(body)
            if isinstance(body, bytes):
                body = BytesIO(body)
        url = URL(self.base_url + path, encoded=True)
        async with self.http.request(
            method, url, data=body, headers=sent, allow_redirects=False
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        require_contract(answer, is_head=method == "HEAD")
        require_described(method, path, answer.status, answer.headers, answer.body)
        return answer

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, headers=_header_names(headers))

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.send("POST", path, body, headers=_header_names(headers))

    async def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.send("PATCH", path, body, headers=_header_names(headers))

    async def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.send("DELETE", path, body, headers=_header_names(headers))

    async def create(self, **fields: Any) -> Any:
        """The 202's JSON of a new influencer."""
        answer = await self.post(self.influencers, {"name": "Ava Chen", **fields})
        assert answer.status == 202, answer
        return answer.json


def _header_names(arguments: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in arguments.items()}


def require_contract(answer: Answer, *, is_head: bool = False) -> None:
    """What the contract says of every response, and of every error."""
    request_id = answer.headers["X-Request-Id"]
    assert REQUEST_ID.fullmatch(request_id), answer
    if answer.status < 400:
        return
    assert answer.headers["Cache-Control"] == "no-store", answer
    if is_head:
        return
    if answer.headers["Content-Type"] == PROBLEM:
        return
    assert answer.headers["Content-Type"] == JSON, answer
    assert answer.json.keys() == {"error"}
    error = answer.json["error"]
    assert error.keys() - {"details"} == {"code", "message", "requestId"}, answer
    assert error["requestId"] == request_id
    assert error["message"]
    if answer.status not in (400, 416, 417):  # what HTTP itself has a status for
        assert STATUS_OF_CODE[error["code"]] == answer.status, answer


async def new_caller(
    http: aiohttp.ClientSession,
    service: Service,
    *scopes: str,
    organization_id: str | None = None,
    project_id: str | None = None,
    tier: Tier = "internal",
) -> Caller:
    """A caller with a new key; with a new organization and project where none is given."""
    organization_id = organization_id or await _organization(service.pool)
    async with service.pool.acquire() as connection:
        if project_id is None:
            project_id = await create_project(connection, organization_id, "Project")  # type: ignore[arg-type]
        key, key_id = await create_key(
            connection,  # type: ignore[arg-type]
            UlidSource(),
            organization_id=organization_id,
            name="test",
            scopes=scopes or ("*",),
            tier=tier,
        )
    return Caller(http, service.base_url, organization_id, project_id, key, key_id)


async def _organization(pool: Pool) -> str:
    async with pool.acquire() as connection:
        return await create_organization(connection, "Acme")  # type: ignore[arg-type]
