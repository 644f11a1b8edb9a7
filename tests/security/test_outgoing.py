"""API7: nobody makes us ask an address of theirs. API10: we ask nobody that we don't know.

Today nothing here asks anybody over HTTP. What will (webhooks) needs a guard of its own, and a
line in ASKING beside the tests of that guard.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import services
from services.api.openapi.pages import DOCUMENT

ASKING: set[str] = set()
CLIENTS = {"ClientSession", "urlopen", "HTTPConnection", "HTTPSConnection"}
MODULES = {"httpx", "requests", "urllib3", "urllib.request", "http.client", "ftplib", "smtplib"}
ROOT = Path(services.__file__).parent


def test_no_service_is_a_client_of_an_address_that_is_given_to_it() -> None:
    asking = {
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        if any(_asks(node) for node in ast.walk(ast.parse(file.read_text())))
    }
    assert asking == ASKING


def test_a_client_would_be_found() -> None:
    for source in (
        "import requests",
        "from urllib.request import urlopen",
        "import aiohttp\naiohttp.ClientSession()",
        "from aiohttp import ClientSession",
    ):
        assert any(_asks(node) for node in ast.walk(ast.parse(source))), source


def test_no_body_names_an_address() -> None:
    document = json.loads(DOCUMENT.read_text())
    bodies = [
        operation["requestBody"]
        for path in document["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict) and "requestBody" in operation
    ]
    assert bodies
    fields = [field for body in bodies for field in _fields(body, document, set())]
    assert ("name", None) in fields
    assert not [
        (name, form)
        for name, form in fields
        if "url" in name.lower() or "uri" in name.lower() or form in ("uri", "url", "hostname")
    ]


def _asks(node: ast.AST) -> bool:
    match node:
        case ast.Import():
            return any(alias.name in MODULES for alias in node.names)
        case ast.ImportFrom():
            return node.module in MODULES or any(alias.name in CLIENTS for alias in node.names)
        case ast.Attribute():
            return node.attr in CLIENTS
    return False


def _fields(value: Any, document: Any, seen: set[str]) -> Iterator[tuple[str, str | None]]:
    """Every property of the schemas that `value` leads to, with its format."""
    if isinstance(value, list):
        for item in value:
            yield from _fields(item, document, seen)
    elif isinstance(value, dict):
        reference = value.get("$ref")
        if reference and reference not in seen:
            seen.add(reference)
            found = document
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]
            yield from _fields(found, document, seen)
        properties = value.get("properties")
        if isinstance(properties, dict):
            yield from ((name, schema.get("format")) for name, schema in properties.items())
        for name, item in value.items():
            if name != "examples":
                yield from _fields(item, document, seen)
