"""Our endpoints are what their OpenAPI document says, and nothing sent to them makes them fail."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from gateway_fakes import FakeTask, live
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from monailabel_app.gateway.openapi import DOCUMENT

schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live(tmp_path_factory.mktemp("openapi"), {"fake": FakeTask()}, rate=1e6) as server:
        yield server.url


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation(case: schemathesis.Case, url: str) -> None:
    response = case.call(base_url=url, timeout=100)
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance, response_schema_conformance])


def test_the_document_is_served(url: str) -> None:
    assert httpx.get(f"{url}/radfind/openapi.json").json() == DOCUMENT


def test_every_path_exists(url: str) -> None:
    from monailabel_app.gateway.policy import methods_of

    for path, operations in DOCUMENT["paths"].items():
        methods = methods_of(path.replace("{job}", "0" * 32).replace("{model}", "fake"))
        assert {name.upper() for name in operations if name != "parameters"} <= set(methods), path
