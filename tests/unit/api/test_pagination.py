"""Cursors: what was made is read, and nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import assume, given
from hypothesis import strategies as st
from yarl import URL

from services.api.errors import Invalid
from services.api.pagination import PageRequest, Paginator, Position

PAGINATOR = Paginator(b"a secret of ours")
FILTER = "influencers/018f3c9a-0000-7000-8000-000000000001"
MOMENTS = st.datetimes(timezones=st.just(UTC))
POSITIONS = st.builds(Position, MOMENTS, st.text(alphabet="0123456789ABCDEFabcdef_-", max_size=40))


def requested(cursor: str, list_filter: str = FILTER) -> PageRequest:
    request = make_mocked_request("GET", str(URL("/").with_query(cursor=cursor)))
    return PAGINATOR.requested(request, list_filter)


def cursor_of(position: Position) -> str:
    page = PAGINATOR.page(
        [position, position],
        PageRequest(1, None),
        FILTER,
        item=lambda row: row.identifier,
        position=lambda row: row,
    )
    assert page["items"] == [position.identifier]
    return str(page["nextCursor"])


@given(POSITIONS)
def test_a_cursor_is_read_as_it_was_made(position: Position) -> None:
    assert requested(cursor_of(position)) == PageRequest(25, position)


@given(POSITIONS, st.data())
def test_a_cursor_with_any_character_changed_is_refused(
    position: Position, data: st.DataObject
) -> None:
    cursor = cursor_of(position)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    assume(other != cursor[place])
    with pytest.raises(Invalid):
        requested(cursor[:place] + other + cursor[place + 1 :])


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_no_text_of_a_client_is_a_cursor(text: str) -> None:
    with pytest.raises(Invalid):
        requested(text)


@given(POSITIONS, st.text(st.characters(codec="utf-8"), max_size=50))
def test_a_cursor_is_bound_to_its_filter(position: Position, other: str) -> None:
    assume(other != FILTER)
    with pytest.raises(Invalid):
        requested(cursor_of(position), other)


def test_the_last_page_has_no_cursor() -> None:
    rows = [Position(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n), "x") for n in range(3)]
    page = PAGINATOR.page(rows, PageRequest(3, None), FILTER, lambda row: row, lambda row: row)
    assert page == {"items": rows, "nextCursor": None}
