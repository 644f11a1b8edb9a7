"""The migration's tables are those of the installed PgQueuer and of the subscriber library."""

from importlib.metadata import version
from pathlib import Path

from pgqueuer.adapters.persistence.schema_ddl import render_install

import services.core
from services.content.task import PLACE
from services.core.subscriber.sql import TABLES

MIGRATION = "20261124000040_create_content_service.sql"


def migration() -> str:
    return (Path(services.core.__file__).parent / "migrations" / MIGRATION).read_text()


def test_the_queue_is_what_the_installed_version_would_make() -> None:
    _, _, statements = render_install(PLACE.settings).partition("\n")
    assert f"pgqueuer {version('pgqueuer')}" in migration()
    assert statements.strip() in migration()


def test_the_subscribers_tables_are_the_librarys() -> None:
    assert TABLES.strip() in migration()
