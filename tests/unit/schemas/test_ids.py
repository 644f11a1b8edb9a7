"""Ids: three spellings are read, one is written, anything else is refused."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from ulid import ULID

from schemas.ids import (
    AnyInfluencerId,
    InvalidIdentifier,
    PlainUuid,
    Prefix,
    UlidSource,
    parse_identifier,
    parse_plain_uuid,
)

BARE = "01HXZ9G7KMV2QX8Y1S5RJW3B7T"
CANONICAL = f"inf_{BARE}"
AS_UUID = str(ULID.from_str(BARE).to_uuid())
LARGEST = "7" + "Z" * 25


def mixed_case(text: str) -> str:
    return "".join(
        letter.upper() if place % 2 else letter.lower() for place, letter in enumerate(text)
    )


@pytest.mark.parametrize("spelling", [CANONICAL, BARE, AS_UUID])
@pytest.mark.parametrize("case", [str, str.lower, str.upper, mixed_case])
def test_each_spelling_in_any_case_is_the_same_id(spelling: str, case: type[str] | object) -> None:
    assert callable(case)
    assert parse_identifier(Prefix.INFLUENCER, case(spelling)) == CANONICAL


@pytest.mark.parametrize("bits", [0, 1, 2**64, 2**128 - 1], ids=str)
def test_every_128_bits_are_an_id(bits: int) -> None:
    canonical = parse_identifier(Prefix.JOB, str(UUID(int=bits)))
    assert ULID.from_str(canonical.removeprefix("job_")) == ULID.from_int(bits)
    assert parse_identifier(Prefix.JOB, canonical) == canonical


@settings(deadline=None, max_examples=200)
@given(uuid=st.uuids(), prefix=st.sampled_from(list(Prefix)), upper=st.booleans())
def test_all_spellings_of_any_id_agree(uuid: UUID, prefix: Prefix, upper: bool) -> None:
    bare = str(ULID.from_uuid(uuid))
    for spelling in (str(uuid), bare, f"{prefix}_{bare}"):
        text = spelling.upper() if upper else spelling.lower()
        assert parse_identifier(prefix, text) == f"{prefix}_{bare}"


WRONG = {
    "empty": "",
    "only a prefix": "inf_",
    "another prefix": f"job_{BARE}",
    "no underscore": f"inf{BARE}",
    "a hyphen for the underscore": f"inf-{BARE}",
    "the prefix twice": f"inf_{CANONICAL}",
    "25 characters": CANONICAL[:-1],
    "27 characters": f"{CANONICAL}0",
    "25 bare characters": BARE[:-1],
    "27 bare characters": f"{BARE}0",
    "more than 128 bits": f"inf_8{BARE[1:]}",
    "more than 128 bare bits": "Z" * 26,
    "the letter I": f"inf_{BARE[:-1]}I",
    "the letter L": f"inf_{BARE[:-1]}L",
    "the letter O": f"inf_{BARE[:-1]}O",
    "the letter U": f"inf_{BARE[:-1]}U",
    "a UUID behind the prefix": f"inf_{AS_UUID}",
    "a UUID without hyphens": AS_UUID.replace("-", ""),
    "a UUID in braces": f"{{{AS_UUID}}}",
    "a UUID as URN": f"urn:uuid:{AS_UUID}",
    "a UUID with a hyphen astray": AS_UUID.replace("-", "", 1) + "-",
    "a UUID of 37 characters": f"{AS_UUID}0",
    "a UUID with a letter beyond f": f"g{AS_UUID[1:]}",
    "a space before": f" {CANONICAL}",
    "a space after": f"{CANONICAL} ",
    "a line end": f"{CANONICAL}\n",
    "a line end after a UUID": f"{AS_UUID}\n",
    "a space within": f"inf_ {BARE[1:]}",
    "a NUL": f"{CANONICAL[:-1]}\x00",
    "Arabic digits": f"inf_{BARE[:-1]}\u0663",
    "fullwidth digits": f"\uff10{BARE[1:]}",
    "fullwidth digits in a UUID": f"\uff10{AS_UUID[1:]}",
    "a long s, whose upper case is S": f"inf_{BARE[:-1]}\u017f",
    "a sharp s, whose upper case is SS": f"inf_{BARE[:-2]}\u00df",
    "a dotless i in the prefix": f"\u0131nf_{BARE}",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdentifier) as refusal:
        parse_identifier(Prefix.INFLUENCER, text)
    assert refusal.value.text == text
    with pytest.raises(ValidationError):
        TypeAdapter(AnyInfluencerId).validate_python(text)


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=40) | st.from_regex(r"(?i)(inf_)?[0-9a-zſß]{24,28}", fullmatch=True))
def test_what_is_read_is_canonical_and_anything_else_refused(text: str) -> None:
    try:
        canonical = parse_identifier(Prefix.INFLUENCER, text)
    except InvalidIdentifier:
        return
    assert text.upper() in (canonical.upper(), canonical.removeprefix("inf_"))
    assert parse_identifier(Prefix.INFLUENCER, canonical) == canonical


@pytest.mark.parametrize("value", [None, 7, 1.5, b"bytes", [CANONICAL], {"id": CANONICAL}])
def test_an_id_is_a_string(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyInfluencerId).validate_python(value)


def test_a_model_reads_any_spelling_and_holds_the_canonical_one() -> None:
    reader = TypeAdapter[str](AnyInfluencerId)
    assert reader.validate_python(AS_UUID) == CANONICAL
    assert reader.validate_json(f'"{CANONICAL.lower()}"') == CANONICAL


def test_an_organization_id_is_a_lower_case_uuid() -> None:
    assert parse_plain_uuid(AS_UUID.upper()) == AS_UUID
    assert TypeAdapter[str](PlainUuid).validate_python(AS_UUID.upper()) == AS_UUID


@pytest.mark.parametrize("text", ["", BARE, CANONICAL, AS_UUID.replace("-", ""), f"{AS_UUID} "])
def test_an_organization_id_has_no_other_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        parse_plain_uuid(text)


def test_new_ids_are_canonical_and_all_different() -> None:
    made = [UlidSource().new(Prefix.EVENT) for _ in range(100)]
    assert len(set(made)) == 100
    assert all(parse_identifier(Prefix.EVENT, identifier) == identifier for identifier in made)


def test_the_largest_id_is_still_one() -> None:
    assert parse_identifier(Prefix.KEY, LARGEST) == f"key_{LARGEST}"
