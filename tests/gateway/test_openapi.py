"""The OpenAPI document against the application: Schemathesis draws requests from it, in this process."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from mmplatform.errors import Unavailable
from mmplatform.gateway.app import create_app
from mmplatform.retrieve.endpoints import search_router
from tests.ingest.gateways import memory_parts

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = 8
OPERATIONS = (
    ("/v1/events/chat", "POST"),
    ("/v1/events/chat/{event_id}", "PUT"),
    ("/v1/events/chat/{event_id}", "DELETE"),
    ("/v1/events/screenshot", "POST"),
    ("/v1/calls/{call_id}/chunks", "POST"),
    ("/v1/calls/{call_id}/end", "POST"),
    ("/v1/search", "POST"),
    ("/healthz", "GET"),
    ("/metrics", "GET"),
)
UPLOADS = frozenset({"/v1/events/screenshot", "/v1/calls/{call_id}/chunks"})
"""A field that the query lacks may be a part of the form: the document cannot say so, so a lack is not always wrong."""


def unavailable():
    raise Unavailable("no index in this test")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    parts, _ = memory_parts(tmp_path_factory.mktemp("gateway"))
    return create_app(parts.ingest.settings, parts, routers=[search_router(unavailable)])


@pytest.fixture(scope="module")
def schema(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_every_operation_of_the_gateway_is_tried(schema):
    found = {(operation.ok().path, operation.ok().method.upper()) for operation in schema.get_all_operations()}
    assert found - {("/readyz", "GET"), ("/readyz/search", "GET")} == set(OPERATIONS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_drawn_request_is_answered_as_the_document_says(schema, path, method, mode):
    if method == "GET" and mode is GenerationMode.NEGATIVE:
        pytest.skip("it has no field that could be wrong")
    checks = [*CHECKS, negative_data_rejection] if path not in UPLOADS and mode is GenerationMode.NEGATIVE else CHECKS

    @settings(
        max_examples=EXAMPLES if method == "POST" else 2,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def answer(case):
        response = case.call()
        case.validate_response(response, checks=[check for check in checks if not expected_503(path, response, check)])

    answer()


def expected_503(path, response, check):
    """The search has no index in this test."""
    return path == "/v1/search" and response.status_code == 503 and check is not_a_server_error


def test_a_field_that_must_be_sent_is_required_in_the_document(app):
    paths = app.openapi()["paths"]
    for path, names in (
        ("/v1/events/screenshot", {"conversation_id", "subject_id"}),
        ("/v1/calls/{call_id}/chunks", {"call_id", "index", "start_s", "subject_id"}),
    ):
        parameters = paths[path]["post"]["parameters"]
        assert {parameter["name"] for parameter in parameters if parameter["required"]} == names
    [speakers] = [
        part for part in paths["/v1/calls/{call_id}/chunks"]["post"]["parameters"] if part["name"] == "speakers"
    ]
    assert speakers["schema"]["type"] == "array"
