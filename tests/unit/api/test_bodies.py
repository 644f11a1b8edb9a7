"""The parser of bodies: any bytes are a value or a fault, and spelling does not change a digest."""

import json
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from schemas.rest import CreateInfluencerBody
from services.api.bodies import Body, parse_body
from services.api.errors import Invalid
from services.api.idempotency import claim_of

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def spelled(value: Any, **options: Any) -> bytes:
    return json.dumps(value, **options).encode()


def turned(value: Any) -> Any:
    """The same value, its keys in the other order."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


@given(VALUES)
def test_key_order_white_space_and_escapes_do_not_matter(value: Any) -> None:
    body = parse_body(spelled(value))
    assert body.content == value
    other = parse_body(spelled(turned(value), indent=3, ensure_ascii=False))
    assert other.digest == body.digest


@given(VALUES, VALUES)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    digests = parse_body(spelled(one)).digest, parse_body(spelled(other)).digest
    assert (digests[0] == digests[1]) == same


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d8e1-.', max_size=40).map(str.encode))
def test_any_bytes_have_a_digest_or_faults(raw: bytes) -> None:
    try:
        parsed = bool(parse_body(raw).digest)
    except Invalid as fault:
        parsed = bool(fault.details and fault.details["formErrors"])
    assert parsed


@given(st.dictionaries(TEXTS, VALUES, max_size=6), st.data())
def test_any_object_is_a_body_or_has_faults_with_paths(
    content: dict[str, Any], data: st.DataObject
) -> None:
    fields = ["name", "gender", "personality", "referenceImages", "influencerId", "vibe"]
    content = {**content, data.draw(st.sampled_from(fields)): data.draw(VALUES)}
    try:
        right = bool(parse_body(spelled(content)).as_model(CreateInfluencerBody).name)
    except Invalid as fault:
        right = bool(fault.details and all(fault.details["fieldErrors"].values()))
    assert right


VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)


def key_of(header: str) -> str:
    request = make_mocked_request("POST", "/v1/x", headers={"Idempotency-Key": header})
    claim = claim_of(request, "organization", "/v1/x", Body({}, b""))
    assert claim is not None
    assert claim.scope == "POST /v1/x"
    return claim.key


@given(VISIBLE)
def test_a_quoted_idempotency_key_equals_the_bare_one(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert key_of(f'"{escaped}"') == key


@pytest.mark.parametrize("key", ["", '""', " ", "a b", "é", "x" * 256, f'"{"x" * 256}"'])
def test_what_is_no_idempotency_key(key: str) -> None:
    with pytest.raises(Invalid):
        key_of(key)
