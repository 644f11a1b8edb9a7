"""What a client would rather have, by its `Accept`."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from services.api.accept import prefers

PROBLEM = "application/problem+json"
STREAM = "text/event-stream"


def wants(media_type: str, *lines: str) -> bool:
    headers = CIMultiDict([("Accept", line) for line in lines])
    return prefers(make_mocked_request("GET", "/", headers=headers), media_type)


@pytest.mark.parametrize(
    "lines",
    [
        [PROBLEM],
        ["Application/Problem+JSON"],
        [f"{PROBLEM}; charset=utf-8"],
        [f"application/json, {PROBLEM}"],
        [f"{PROBLEM};q=0.5"],
        [f"{PROBLEM}; Q=1.0, application/json;q=0.9"],
        [f"application/json ; q=0.3 , {PROBLEM} ; q=0.4"],
        ["application/json", PROBLEM],
        ["text/html", f"*/*;q=0.1,{PROBLEM};q=0.2"],
        [f"{PROBLEM}, */*"],
        [f'text/plain;x="a,b";q=0.2, {PROBLEM}'],
        [f"{PROBLEM};q=0.1, */*;q=0.8, application/json;q=0"],
    ],
)
def test_what_is_named_and_wanted_no_less_than_json_is_preferred(lines: list[str]) -> None:
    assert wants(PROBLEM, *lines)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["*/*"],
        ["application/*"],
        ["application/json"],
        [f"{PROBLEM};q=0"],
        [f"{PROBLEM};q=0.000, application/json"],
        [f"{PROBLEM};q=0.5, application/json"],
        [f"{PROBLEM};q=0.5", "application/json;q=0.6"],
        [f"{PROBLEM};q=0.5, application/*"],
        [f"{PROBLEM};q=0.5, */*;q=0.8"],
        [f"{PROBLEM};q=2"],
        [f"{PROBLEM};q=nonsense"],
        [f"{PROBLEM}x"],
        [f"x{PROBLEM}"],
        [f'text/plain;note="{PROBLEM}"'],
        [f'text/plain;note="a, {PROBLEM}"'],
    ],
)
def test_anything_else_is_not(lines: list[str]) -> None:
    assert not wants(PROBLEM, *lines)


def test_other_types_are_found_the_same_way() -> None:
    assert wants(STREAM, "text/event-stream")
    assert not wants(STREAM, "text/*")
    assert not wants(STREAM, "application/json, text/event-stream;q=0.9")
