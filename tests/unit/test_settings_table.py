"""docs/operations.md says of every setting what it is, and nothing that isn't so."""

import pytest
from pydantic_settings import BaseSettings

from services.ops.settings import OperationsSettings
from tests.settings_table import PAGE, PLACE, READERS, table


def test_the_page_is_in_step_with_the_classes() -> None:
    found = PLACE.search(PAGE.read_text())
    assert found is not None
    assert found[0] == table(), "python -m tests.settings_table"


@pytest.mark.parametrize("settings", READERS.values())
def test_every_setting_says_what_it_means(settings: type[BaseSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []


def test_what_an_operator_sets_is_what_the_services_have() -> None:
    known = {name for settings in READERS.values() for name in settings.model_fields}
    assert OperationsSettings.model_fields.keys() <= known
