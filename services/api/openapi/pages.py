"""`GET /openapi.json` and `GET /docs`: the description, and a page to read and try it.

The page is Swagger UI from a package: nothing is loaded from elsewhere.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

import schemas
from services.api.answers import JSON, is_current
from services.api.errors import NotFound

DOCUMENT = Path(schemas.__file__).parent / "json" / "openapi.json"
MODIFIABLE: Mapping[str, str] = MappingProxyType({"Cache-Control": "public, no-cache"})
SECURITY: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
            " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
_PACKAGED = files("swagger_ui") / "static"
_OURS = files("services.api.openapi") / "page"
_HTML, _CSS, _SCRIPT = "text/html", "text/css", "text/javascript"
ASSETS = MappingProxyType(
    {
        "": (_OURS / "index.html", _HTML),
        "start.js": (_OURS / "start.js", _SCRIPT),
        "page.css": (_OURS / "page.css", _CSS),
        "swagger-ui.css": (_PACKAGED / "swagger-ui.css", _CSS),
        "swagger-ui-bundle.js": (_PACKAGED / "swagger-ui-bundle.js", _SCRIPT),
        "favicon-32x32.png": (_PACKAGED / "favicon-32x32.png", "image/png"),
    }
)


def add_description(router: web.UrlDispatcher) -> None:
    """Adds the routes; they need no key."""
    pages = _Pages()
    router.add_get("/openapi.json", pages.get_document)
    router.add_get("/docs", pages.get_asset)
    router.add_get("/docs/{name}", pages.get_asset)


class _Pages:
    """Reads each file once, when it is first asked for."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[bytes, str]] = {}

    async def get_document(self, request: web.Request) -> web.Response:
        if "openapi.json" not in self._read:
            self._read["openapi.json"] = _tagged(DOCUMENT.read_bytes())
        return _answer(request, *self._read["openapi.json"], JSON)

    async def get_asset(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "")
        if name not in ASSETS or request.path == "/docs/":
            raise NotFound()
        source, kind = ASSETS[name]
        if name not in self._read:
            self._read[name] = _tagged(source.read_bytes())
        charset = "" if kind.startswith("image/") else "; charset=utf-8"
        return _answer(request, *self._read[name], kind + charset)


def _tagged(content: bytes) -> tuple[bytes, str]:
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _answer(request: web.Request, content: bytes, etag: str, kind: str) -> web.Response:
    headers = {**MODIFIABLE, **SECURITY, "ETag": etag}
    if is_current(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, headers={**headers, "Content-Type": kind})
