"""413, 415 and 422: what may be sent, and that every fault of it is told at once."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from services.api.bodies import MAXIMUM_BODY
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.scenes import AUDIO, add_asset
from tests.integration.api.serving import Service


async def create(caller: Caller, body: Any) -> Answer:
    return await caller.post(caller.influencers, body)


async def require_nothing_happened(caller: Caller) -> None:
    assert (await caller.get(caller.influencers)).json["items"] == []


async def test_every_fault_is_told_at_once_under_its_path(caller: Caller) -> None:
    answer = await create(
        caller,
        {
            "gender": "robot",
            "ageRange": "x" * 17,
            "hair_color": "black",
            "vibe": 7,
            "influencerId": "nonsense",
            "personality": {"traits": [1, "ok", None], "tone": ["dry"], "mood": "good"},
            "referenceImages": {"assetIds": [], "urls": []},
        },
    )
    assert answer.json["error"]["message"] == "Invalid body."
    errors = answer.field_errors
    assert errors["name"] == ["Required"]
    assert errors["hair_color"] == ["Unknown field"]
    assert errors["personality.mood"] == ["Unknown field"]
    assert errors["referenceImages.urls"] == ["Unknown field"]
    assert set(errors) == {
        "name",
        "gender",
        "ageRange",
        "hair_color",
        "vibe",
        "influencerId",
        "personality.traits.0",
        "personality.traits.2",
        "personality.tone",
        "personality.mood",
        "referenceImages.assetIds",
        "referenceImages.urls",
    }
    assert all(isinstance(text, str) for messages in errors.values() for text in messages)
    await require_nothing_happened(caller)


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("name", 128),
        ("ageRange", 16),
        ("ethnicity", 128),
        ("bodyType", 128),
        ("hairStyle", 128),
        ("hairColor", 64),
        ("style", 256),
        ("vibe", 256),
        ("voiceDescription", 1024),
    ],
)
async def test_a_text_may_be_as_long_as_the_contract_says(
    caller: Caller, field: str, longest: int
) -> None:
    letter = "💃"  # characters are counted, not bytes or UTF-16 units
    created = await caller.create(**{field: letter * longest})
    record = await caller.get(f"/v1/influencers/{created['influencerId']}")
    assert record.json[field] == letter * longest
    answer = await create(caller, {"name": "Ava", field: letter * (longest + 1)})
    assert answer.field_errors == {field: [f"At most {longest} characters"]}


async def test_a_name_is_trimmed_and_then_has_one_character_at_least(caller: Caller) -> None:
    created = await caller.create(name=" \t\u00a0\u3000Ava  Chen\n" + " " * 200)
    record = await caller.get(f"/v1/influencers/{created['influencerId']}")
    assert record.json["name"] == "Ava  Chen"
    for empty in ("", " ", "\t\r\n\u00a0\u3000"):
        assert (await create(caller, {"name": empty})).field_errors == {
            "name": ["Must not be empty"]
        }


@pytest.mark.parametrize("wrong", [None, 1, True, 1.5, [], ["Ava"], {}])
async def test_a_name_is_a_string(caller: Caller, wrong: Any) -> None:
    assert list((await create(caller, {"name": wrong})).field_errors) == ["name"]


@pytest.mark.parametrize("gender", ["male", "female", "nonbinary", "unspecified"])
async def test_a_gender_of_the_contract(caller: Caller, gender: str) -> None:
    created = await caller.create(gender=gender)
    record = await caller.get(f"/v1/influencers/{created['influencerId']}")
    assert record.json["gender"] == gender


@pytest.mark.parametrize("gender", ["", "Female", "robot", 1, ["female"], {}])
async def test_another_gender_is_validation(caller: Caller, gender: Any) -> None:
    assert list((await create(caller, {"name": "Ava", "gender": gender})).field_errors) == [
        "gender"
    ]


async def test_null_is_as_good_as_absent_for_what_is_optional(caller: Caller) -> None:
    optional = ["influencerId", "gender", "ageRange", "style", "personality", "referenceImages"]
    created = await caller.create(**dict.fromkeys(optional))
    record = (await caller.get(f"/v1/influencers/{created['influencerId']}")).json
    assert (record["gender"], record["personality"], record["referenceImages"]) == (None, None, [])


async def test_a_personality_comes_back_as_it_was_given(caller: Caller) -> None:
    personality = {
        "traits": ["curious"],
        "tone": "dry",
        "humor": "",
        "formality": "low",
        "values": [],
        "interests": ["chess", "tea"],
        "speakingStyle": "short",
        "catchphrases": ["Well."],
    }
    created = await caller.create(personality=personality)
    record = await caller.get(f"/v1/influencers/{created['influencerId']}")
    assert record.json["personality"] == personality
    answer = await create(caller, {"name": "Ava", "personality": {"speaking_style": "short"}})
    assert answer.field_errors == {"personality.speaking_style": ["Unknown field"]}


@pytest.mark.parametrize("wrong", ["kind", 1, True, ["kind"]])
async def test_a_personality_is_an_object(caller: Caller, wrong: Any) -> None:
    answer = await create(caller, {"name": "Ava", "personality": wrong})
    assert answer.field_errors == {"personality": ["Must be an object"]}


@pytest.mark.parametrize(
    ("images", "path"),
    [
        ({}, "referenceImages.assetIds"),
        ({"assetIds": []}, "referenceImages.assetIds"),
        ({"assetIds": ["ast_01HXZ9G7KMV2QX8Y1S5RJW3B7T"] * 21}, "referenceImages.assetIds"),
        ({"assetIds": "ast_01HXZ9G7KMV2QX8Y1S5RJW3B7T"}, "referenceImages.assetIds"),
        ({"assetIds": ["inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T"]}, "referenceImages.assetIds.0"),
        ([], "referenceImages"),
    ],
)
async def test_reference_images_name_1_to_20_assets(caller: Caller, images: Any, path: str) -> None:
    answer = await create(caller, {"name": "Ava", "referenceImages": images})
    assert list(answer.field_errors) == [path]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" ", id="white space"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"name": "Ava"', id="cut off at the end"),
        pytest.param(b'{"name": "Ava"}{}', id="two values"),
        pytest.param(b'{"name": "Ava",}', id="a trailing comma"),
        pytest.param(b"{'name': 'Ava'}", id="single quotes"),
        pytest.param(b'{"name": "A\nva"}', id="a bare line break"),
        pytest.param(b'{"name": "Ava", "vibe": NaN}', id="NaN"),
        pytest.param(b'{"name": "Ava", "vibe": -Infinity}', id="infinity"),
        pytest.param(b'{"name": "Ava", "vibe": 01}', id="a leading zero"),
        pytest.param(b'{"name": "Ava", "vibe": ' + b"9" * 5000 + b"}", id="a big integer"),
        pytest.param(b'{"name": "Ava", "vibe": -9223372036854775809}', id="a small integer"),
        pytest.param(b'{"name": "Ava", "vibe": 1e400}', id="a number beyond all"),
        pytest.param(b'{"name": "Ava", "name": "Bea"}', id="a key twice"),
        pytest.param(b'{"name": "Ava", "personality": {"tone": "a", "tone": "a"}}', id="deep"),
        pytest.param(b'{"name": "Av\xe9"}', id="Latin-1"),
        pytest.param(b'{"name": "\xed\xa0\x80"}', id="an encoded surrogate"),
        pytest.param(b'{"name": "\xc0\x80"}', id="an overlong NUL"),
        pytest.param('{"name": "Ava"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"name": "Ava"}', id="a byte order mark"),
        pytest.param(b'{"name": "Ava \\ud800"}', id="a lone surrogate"),
        pytest.param(b'{"name": "Ava", "\\udc00": 1}', id="a lone surrogate for a key"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="brackets"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="braces"),
        pytest.param(
            b'{"name": "Ava", "vibe": ' + b"[" * 600 + b"]" * 600 + b"}", id="some brackets"
        ),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'[{"name": "Ava"}]', id="an object in a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"name"', id="a string"),
        pytest.param(b"1", id="a number"),
    ],
)
async def test_what_is_no_json_object_is_a_fault_of_the_whole_body(
    caller: Caller, raw: bytes
) -> None:
    answer = await create(caller, raw)
    assert answer.field_errors is None
    assert answer.form_errors
    await require_nothing_happened(caller)


@pytest.mark.parametrize("path", ["name", "style", "personality.tone", "personality.traits.0"])
async def test_nul_is_refused_in_every_text(caller: Caller, path: str) -> None:
    text = "a\x00b"
    body: dict[str, Any] = {"name": "Ava"}
    match path.split("."):
        case [field]:
            body[field] = text
        case [field, "tone"]:
            body[field] = {"tone": text}
        case [field, "traits", _]:
            body[field] = {"traits": [text]}
    answer = await create(caller, body)
    assert list(answer.field_errors) == [path]
    await require_nothing_happened(caller)


async def test_characters_beyond_the_first_plane_may_be_escaped_in_pairs(caller: Caller) -> None:
    answer = await create(caller, b'{"name": "\\ud83d\\udc83"}')
    record = await caller.get(f"/v1/influencers/{answer.json['influencerId']}")
    assert record.json["name"] == "💃"


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"],
)
async def test_a_body_that_is_not_declared_json_is_refused(caller: Caller, kind: str) -> None:
    answer = await caller.post(caller.influencers, b'{"name": "Ava"}', Content_Type=kind)
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    await require_nothing_happened(caller)


@pytest.mark.parametrize("kind", ["application/json;charset=utf-8", "Application/JSON"])
async def test_json_may_be_declared_in_any_case_and_with_parameters(
    caller: Caller, kind: str
) -> None:
    answer = await caller.post(caller.influencers, b'{"name": "Ava"}', Content_Type=kind)
    assert answer.status == 202


async def test_a_body_may_be_a_mebibyte_and_no_more(caller: Caller) -> None:
    body = orjson.dumps({"name": "Ava"})
    fits = body + b" " * (MAXIMUM_BODY - len(body))
    assert (await create(caller, fits)).status == 202
    answer = await create(caller, fits + b" ")
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_chunked_body_may_not_be_larger_either(caller: Caller) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(2 * MAXIMUM_BODY // 2**16):
            yield b" " * 2**16

    answer = await create(caller, chunks())
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")
    await require_nothing_happened(caller)


async def test_a_compressed_bomb_is_too_large(caller: Caller) -> None:
    bomb = gzip.compress(b" " * 8 * MAXIMUM_BODY)
    assert len(bomb) < MAXIMUM_BODY
    answer = await caller.post(caller.influencers, bomb, Content_Encoding="gzip")
    assert answer.code == "PAYLOAD_TOO_LARGE"


async def test_order_of_the_checks_404_413_415_422_409(caller: Caller, service: Service) -> None:
    created = await caller.create()
    elsewhere = "/v1/projects/018f3c9a-0000-7000-8000-000000000001/influencers"
    large, taken = b"x" * (MAXIMUM_BODY + 1), created["influencerId"]
    assert (await caller.post(elsewhere, large, Content_Type="text/plain")).status == 404
    assert (await caller.post(caller.influencers, large)).status == 413
    assert (await caller.post(caller.influencers, b"{", Content_Type="text/plain")).status == 415
    both = {"name": "", "influencerId": taken}
    assert (await caller.post(caller.influencers, both)).status == 422
    assert (await caller.post(caller.influencers, {**both, "name": "Ava"})).status == 409


async def test_a_hundred_thousand_keys_cost_little(caller: Caller) -> None:
    many = {f"{number:x}": 0 for number in range(90_000)}
    raw = orjson.dumps(many)[:-1] + b',"zz":1,"zz":2}'
    answer = await create(caller, raw)
    assert answer.form_errors


async def test_references_are_told_with_every_other_fault(caller: Caller, service: Service) -> None:
    image = await add_asset(caller, service)
    audio = await add_asset(caller, service, AUDIO)
    unknown = f"ast_{7:026d}"
    body = {"referenceImages": {"assetIds": [unknown, image, audio, "x"]}, "vibe": 1, "y": 1}
    errors = (await create(caller, body)).field_errors
    assert errors.pop("referenceImages.assetIds.3")
    assert errors == {
        "name": ["Required"],
        "vibe": ["Must be a string"],
        "y": ["Unknown field"],
        "referenceImages.assetIds.0": ["Not a media asset of this project"],
        "referenceImages.assetIds.2": ["Not an image"],
    }
    await require_nothing_happened(caller)


async def test_too_many_references_are_not_looked_up(caller: Caller) -> None:
    body = {"name": "Ava", "referenceImages": {"assetIds": [f"ast_{n:026d}" for n in range(40)]}}
    errors = (await create(caller, body)).field_errors
    assert errors == {"referenceImages.assetIds": ["At most 20 items"]}
