"""The migration's tables are those of the installed PgQueuer."""

from importlib.metadata import version
from pathlib import Path

from pgqueuer.adapters.persistence.schema_ddl import render_install

import services.core
from services.core.work.render_queue import PLACE

MIGRATION = "20261123000004_create_render_queue.sql"


def migration() -> str:
    folder = Path(services.core.__file__).parent / "migrations"
    return (folder / MIGRATION).read_text()


def test_the_migration_names_the_installed_version() -> None:
    assert f"pgqueuer {version('pgqueuer')}" in migration()


def test_the_migration_makes_what_the_installed_version_would() -> None:
    _, _, statements = render_install(PLACE.settings).partition("\n")
    assert statements.strip() in migration()
