"""One api and one database for all attacks; each test is an organization of its own."""

from tests.integration.api.conftest import (
    caller,
    http,
    new,
    replica,
    service,
    shared_database_url,
)

__all__ = ["caller", "http", "new", "replica", "service", "shared_database_url"]
