"""The table of settings in docs/operations.md, from the classes that read them.

`python -m tests.settings_table` writes it anew.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from services.api.settings import ApiSettings
from services.content.settings import ContentSettings
from services.projector.settings import ProjectorSettings
from services.renderer.settings import RendererSettings

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
PLACE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)
HEAD = ("| setting | default | of | meaning |", "| --- | --- | --- | --- |")
READERS: dict[str, type[BaseSettings]] = {
    "api": ApiSettings,
    "renderer": RendererSettings,
    "content": ContentSettings,
    "projector": ProjectorSettings,
}


def table() -> str:
    """One row per variable: default, who reads it, what it means."""
    fields: dict[str, FieldInfo] = {}
    readers: dict[str, list[str]] = {}
    for reader, settings in READERS.items():
        for name, field in settings.model_fields.items():
            fields.setdefault(name, field)
            readers.setdefault(name, []).append(reader)
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {_who(readers[name])} | {field.description} |"
        for name, field in fields.items()
    ]
    return "\n".join(
        ["| setting | default | of | meaning |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined and field.default_factory is None:
        return "required"
    if value is PydanticUndefined:
        extra = field.json_schema_extra
        assert isinstance(extra, dict), "a default that is made needs a description"
        return f"`{extra['default']}`"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _who(readers: list[str]) -> str:
    return "all" if len(readers) == len(READERS) else ", ".join(readers)


def main() -> None:
    PAGE.write_text(PLACE.sub(lambda _: table(), PAGE.read_text()))


if __name__ == "__main__":
    main()
