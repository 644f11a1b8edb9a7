"""The OpenAPI document: in step, complete, valid, and right in each of its examples."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from schemas.faults import FAULTS
from services.api.answers import PROBLEM, error_answer
from services.api.application import ROUTES, Route
from services.api.bodies import MAXIMUM_BODY
from services.api.errors import (
    ApiError,
    BadHttp,
    ForbiddenScope,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    as_api_error,
)
from services.api.openapi import examples
from services.api.openapi.__main__ import main
from services.api.openapi.document import OPERATIONS, document
from services.api.openapi.pages import DOCUMENT
from services.core.domain.errors import (
    InfluencerAlreadyExists,
    JobCancelUnavailable,
    JobStillRunning,
    SequenceMismatch,
)
from services.core.eventlog.requests import IdempotencyClaim, IdempotencyKeyReused

CLAIM = IdempotencyClaim("", "", "k", b"")
CONTENT = json.loads(DOCUMENT.read_text(encoding="utf-8"))


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in CONTENT["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = CONTENT
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything with a schema and examples: bodies, answers, errors; not bytes of files."""
    for name, operation in operations():
        places = {"body": operation.get("requestBody", {})} | operation["responses"]
        for place, holder in places.items():
            for kind, content in resolved(holder).get("content", {}).items():
                if "contentMediaType" not in content["schema"]:
                    yield f"{name} {place} {kind}", content


def test_the_committed_document_is_in_step_with_models_and_routes() -> None:
    assert main(["--check"]) == 0


def test_a_check_of_an_outdated_document_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "openapi.json"
    assert main(["--check"], path) == 1
    assert main([], path) == 0
    assert main(["--check"], path) == 0
    path.write_text("{}")
    assert main(["--check"], path) == 1
    assert "make schemas" in capsys.readouterr().err


def test_every_route_is_described_and_nothing_else() -> None:
    assert OPERATIONS.keys() == {(route.method, route.path) for route in ROUTES}


def test_a_route_without_a_description_is_an_error() -> None:
    stray = Route("GET", "/v1/strays", ROUTES[0].handler, None, "read")
    with pytest.raises(KeyError):
        document([*ROUTES, stray])


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(CONTENT).validate()


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "content"), list(contents()))
def test_every_body_and_answer_has_examples_that_are_right(
    name: str, content: dict[str, Any]
) -> None:
    schema = {**content["schema"], "components": CONTENT["components"]}
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert content["examples"]
    for example in content["examples"].values():
        validator.validate(example["value"])


def test_every_code_of_the_contract_has_an_example() -> None:
    examples = [
        example["value"] for _, content in contents() for example in content["examples"].values()
    ]
    answers = [value for value in examples if isinstance(value, dict)]
    shown = {value["error"]["code"] for value in answers if "code" in (value.get("error") or {})}
    assert shown >= FAULTS.keys()
    problems = {value.get("code") for value in answers}
    assert problems >= FAULTS.keys()


def test_every_parameter_and_header_has_an_example_that_is_right() -> None:
    for parameter in CONTENT["components"]["parameters"].values():
        Draft202012Validator(parameter["schema"]).validate(parameter["example"])
    for header in CONTENT["components"]["headers"].values():
        Draft202012Validator(header["schema"]).validate(header["example"])


def test_links_lead_to_operations_and_fill_parameters_that_they_have() -> None:
    known = {operation["operationId"]: operation for _, operation in operations()}
    for _, operation in operations():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                parameters = map(resolved, known[link["operationId"]]["parameters"])
                names = {parameter["name"] for parameter in parameters}
                assert link["parameters"].keys() <= names


WITHOUT = (
    "oas3-api-servers",  # `/` is what OpenAPI itself takes where no server is named
    "description-duplication",  # what many operations answer says the same of itself
)
# Examples are with the bodies and answers, whole: none for each field, and none of bytes.
NEEDS_NO_EXAMPLE = re.compile(r"(schema|media type) is missing `examples` or `example`")


def test_a_linter_finds_nothing() -> None:
    vacuum = pytest.importorskip("vacuum", reason="no wheel of the linter for this machine")
    rules = {"extends": [["spectral:oas", "recommended"]], "rules": dict.fromkeys(WITHOUT, False)}
    found = [
        (result.rule_id, result.message)
        for result in vacuum.lint(json.dumps(CONTENT), ruleset=json.dumps(rules))
    ]
    assert [one for one in found if not _needs_none(*one)] == []


def _needs_none(rule: str, message: str) -> bool:
    return rule == "oas3-missing-example" and bool(NEEDS_NO_EXAMPLE.fullmatch(message))


ANSWERED = {
    "Unauthenticated": Unauthenticated(),
    "ForbiddenScope": ForbiddenScope("influencers:write"),
    "NotFound": NotFound(),
    "MethodNotAllowed": MethodNotAllowed("PUT", ["GET"]),
    "PayloadTooLarge": PayloadTooLarge(MAXIMUM_BODY),
    "UnsupportedMediaType": UnsupportedMediaType(),
    "IdempotencyConflict": as_api_error(IdempotencyKeyReused(CLAIM)),
    "PreconditionFailed": as_api_error(SequenceMismatch(1, 2)),
    "Internal": ApiError(),
    "Unavailable": Unavailable(),
    "not-as-far-as-minSequence": Unavailable(details={"sequence": 6}),
    "BadRequest": BadHttp(),
    "id-taken": as_api_error(InfluencerAlreadyExists(examples.INFLUENCER)),
    "job-running": as_api_error(JobStillRunning(examples.JOB)),
    "finalizing": as_api_error(JobCancelUnavailable(examples.JOB, "finalizing")),
}


@pytest.mark.parametrize(("name", "error"), ANSWERED.items())
def test_examples_of_errors_are_what_the_code_answers(name: str, error: ApiError) -> None:
    shown = {
        json.dumps(content["examples"][name]["value"], sort_keys=True): kind.endswith(PROBLEM)
        for kind, content in contents()
        if name in content["examples"]
    }
    assert len(shown) == 2
    for value, problem in shown.items():
        answer = error_answer(error, examples.REQUEST, problem=problem)
        assert isinstance(answer.body, bytes)
        assert json.loads(answer.body) == json.loads(value)


def test_a_request_over_a_limit_is_shown_with_each_of_the_limits() -> None:
    content = CONTENT["components"]["responses"]["RateLimited"]["content"]["application/json"]
    shown = [example["value"]["error"].get("details") for example in content["examples"].values()]
    assert shown == [None, {"limit": "concurrentJobs"}]


def test_no_read_shows_the_fault_of_a_body() -> None:
    for name, content in contents():
        if name.startswith("GET") and " 422 " in name:
            told = json.dumps(content["examples"])
            assert "Invalid body" not in told, name
            assert "Invalid query" in told, name
