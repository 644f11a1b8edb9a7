"""Which backend the settings name."""

import pytest

from services.core.rendering.backend_choice import UnknownBackend, open_backend
from tests.faults.backends import TinyBackend


async def test_a_factory_is_named_by_module_and_function() -> None:
    assert isinstance(await open_backend("tests.faults.backends:tiny"), TinyBackend)


@pytest.mark.parametrize(
    "name", ["painting", "no.such.module:factory", "services.renderer:nobody", ":x"]
)
async def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(UnknownBackend, match="names no backend"):
        await open_backend(name)
