from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from deploy.local.stack import cache_directory


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[LocalPostgres]:
    part = LocalPostgres(tmp_path / "postgres")
    yield part
    part.stop()


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    part = LocalKafka(tmp_path / "kafka", cache=cache_directory())
    yield part
    part.stop()
