"""The document is a promise: every operation is described, and every example keeps to it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import api.schemas
from api.app import make_inner_app
from api.problems import problem
from api.schemas.commands import EXAMPLES, CommandIn
from api.schemas.common import Input, Output
from tests.support.serving import serving

OPEN_OPERATIONS = {"getHealth", "getReadiness", "getMetrics"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with serving(tmp_path_factory.mktemp("openapi")) as served:
            return make_inner_app(served.whole.services).openapi()

    return asyncio.run(main())


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_is_json_and_names_the_version(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document))["openapi"].startswith("3.1")
    assert document["info"]["version"]
    assert "power_w" in document["info"]["description"]


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    seen = []
    for path, method, operation in _operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert not operation["summary"].endswith("."), where
        assert operation["description"], where
        assert re.fullmatch(r"[a-z]+[A-Za-z]+", operation["operationId"]), where
        assert set(operation["tags"]) <= tags, where
        seen.append(operation["operationId"])
    assert len(seen) == len(set(seen)) == 20


def test_every_operation_tells_its_problems(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        where = f"{method} {path}"
        problems = {
            int(status): response
            for status, response in operation["responses"].items()
            if status.isdigit() and int(status) >= 400 and (status != "503" or path != "/readyz")
        }
        other = operation["responses"]["default"]["content"]
        assert list(other) == ["application/problem+json"], where
        needed = {422}
        if operation["operationId"] not in OPEN_OPERATIONS:
            needed |= {401, 403}
        if "{" in path:
            needed |= {404}
        if "requestBody" in operation:
            needed |= {400, 413, 415}
        assert needed <= set(problems), where
        for status, response in problems.items():
            content = response["content"]
            assert set(content) == {"application/problem+json"}, f"{where} {status}"
            assert content["application/problem+json"]["example"]["status"] == status


def test_problems_are_as_the_document_says(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["ProblemBody"]
    sent = json.loads(bytes(problem(404, "nothing here").body))
    assert set(schema["required"]) == set(sent)
    more = problem(422, "x", errors=[{"in": "a", "field": "b", "message": "c"}], retry_after_s=1.0)
    assert set(json.loads(bytes(more.body))) == set(schema["properties"])


def test_what_can_be_asked_for_is_listed(document: dict[str, Any]) -> None:
    for path in ("/v1/events", "/v1/events/stream"):
        parameters = document["paths"][path]["get"]["parameters"]
        kind = next(each for each in parameters if each["name"] == "kind")
        assert "outlet.cut" in kind["schema"]["items"]["enum"]


def test_every_operation_needs_a_token_but_those_for_running_it(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, _method, operation in _operations(document):
        if operation["operationId"] in OPEN_OPERATIONS:
            assert "security" not in operation, path
        else:
            assert operation["security"] == [{"token": []}], path


def test_every_parameter_and_field_is_described(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{method} {path} {parameter['name']}"
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, value in schema.get("properties", {}).items():
            # A part that has a schema of its own is described there.
            assert value.get("description") or "$ref" in json.dumps(value), f"{name}.{field}"


def test_every_success_has_an_example(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, method, operation in _operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2") or status == "204":
                continue
            for kind, content in response["content"].items():
                where = f"{method} {path} {status} {kind}"
                if kind == "application/json":
                    name = content["schema"]["$ref"].rpartition("/")[2]
                    assert schemas[name]["examples"], where
                else:
                    assert content["example"], where


def _models(base: type[Input | Output]) -> Iterator[type[Input | Output]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def test_every_example_keeps_to_its_model() -> None:
    assert api.schemas.__doc__
    count = 0
    for base in (Input, Output):
        for model in _models(base):
            extra = model.model_config.get("json_schema_extra")
            for example in extra["examples"] if isinstance(extra, dict) else []:  # type: ignore[union-attr]
                model.model_validate_json(json.dumps(example))
                count += 1
    assert count > 20
    for example in EXAMPLES.values():
        CommandIn.model_validate(example["value"])


def test_the_document_holds_no_route_that_is_not_described(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            app = make_inner_app(served.whole.services)
            described = set(app.openapi()["paths"])
            assert {route.path for route in app.state.paths} == described | {"/openapi.json"}

    asyncio.run(main())
