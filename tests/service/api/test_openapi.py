"""Schemathesis: requests made up from the documentation, right and wrong ones, get the answers it promises."""

import re
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.conftest import REAL_MODELS
from tests.fakes import PICTURE, until

# The document does not depend on what is served; the requests go to the fakes.
schema = schemathesis.openapi.from_dict(create_app(Settings(models=REAL_MODELS, device="cpu")).openapi())

INFER = {
    "parameters": {},
    "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["wind"]}],
    "outputs": [],
}
KNOWN: dict[str, dict[str, Any]] = {
    "/huggingface/{name}": {"parameters": {}},
    "/v2/models/{name}/infer": INFER,
    "/v2/models/{name}/versions/{version}/infer": INFER,
    "/classify": {},
    "/translate": {"source": "en", "target": "xx", "glossary": {"wind": "vent"}},
    "/admin/glossaries/{name}": {},
    "/admin/memories/{name}": {},
    "/detect": {},
    "/translate_file": {"source": "en", "target": "xx", "filename": "a.txt", "beam_size": 1},
    "/v2/translate": {"source_lang": "EN", "target_lang": "XX", "tag_handling": "html", "ignore_tags": ["x"]},
    "/v2/document": {"source_lang": "EN", "target_lang": "XX", "filename": "a.txt", "output_format": "txt"},
    "/v2/document/{document_id}": {},
    "/v2/document/{document_id}/result": {},
    "/explain": {"text": "wind and rain", "target": None, "evaluations": None, "output": None},
    "/v1/models/{name}:predict": {"instances": ["wind and rain"], "parameters": {}},
    "/v1/models/{name}:explain": {"instances": ["wind and rain"], "parameters": {}},
    "/generate": {"prompt": "wind", "max_tokens": 9, "attention": "summary"},
}
"""Values of a valid request that depend on the served models."""


TERMS: dict[str, Any] = {
    "application/json": {"wind": "vent"},
    "text/csv": "wind,vent",
    "text/tab-separated-values": "wind\tvent",
}
UNTYPED = re.compile("/document|/translate_file|/admin/glossaries|/admin/memories")
TMX = b"""<tmx version="1.4"><body><tu><tuv xml:lang="en"><seg>wind</seg></tuv>
<tuv xml:lang="xx"><seg>vent</seg></tuv></tu></body></tmx>"""


@pytest.fixture
def statuses() -> Iterator[set[int]]:
    """The statuses of all answers of an operation. One is a success: errors alone would prove little."""
    found: set[int] = set()
    yield found
    assert found & {200, 204}


def finished_document(client: TestClient) -> dict[str, Any]:
    """The id and key of a translated document."""
    form = {"source_lang": "EN", "target_lang": "XX"}
    handle: dict[str, Any] = client.post("/v2/document", data=form, files={"file": ("a.txt", b"wind")}).json()
    until(lambda: client.post(f"/v2/document/{handle['document_id']}", json=handle).json()["status"] == "done")
    return handle


def check(case: schemathesis.Case, client: TestClient, statuses: set[int]) -> None:
    async def running(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("it is running already, and goes on when this test has ended")
        scope["client"] = ("127.0.0.1", 7)  # whom /admin lets in
        await client.app(scope, receive, send)

    app: Any
    right = case.meta is not None and case.meta.generation.mode.is_positive
    if right and isinstance(case.body, dict):
        case.body = {**case.body, **KNOWN[case.path]}
        case.body.pop("model", None)
        case.body.pop("version", None)
        case.body.pop("memory", None)
    if right and case.path.startswith(("/v1/models/{name}", "/v2/models/{name}", "/huggingface/")):
        case.path_parameters = {**case.path_parameters, "name": "toy"}
        case.path_parameters.update({"version": 1} if "version" in case.path_parameters else {})
        case.query = {}
    if right and case.path == "/models/{name}":
        case.path_parameters = {"name": "toy"}
    if right and case.path == "/models/{name}/pictures/{file}":
        case.path_parameters, case.query = {"name": "toy", "file": PICTURE}, {}
    if right and case.path.startswith(("/download_file/", "/v2/document/{document_id}")):
        job = finished_document(client)
        names = {"document_id": job["document_id"], "job_name": job["document_id"], "file_name": "a.txt"}
        case.path_parameters = {name: names[name] for name in case.path_parameters}
        case.body = {"document_key": job["document_key"]} if case.method == "POST" else case.body
    if right and case.path == "/admin/glossaries/{name}":
        case.path_parameters, case.query = {"name": "sea"}, {}
        if case.method == "PUT":
            case.body = TERMS[str(case.media_type)]
        else:
            app = client.app
            app.state.registry.glossaries.add("sea", {"wind": "vent"})
    if right and case.path == "/admin/memories/{name}":
        case.path_parameters, case.query = {"name": "sea"}, {}
        if case.method == "PUT":
            case.body = TMX
        else:
            app = client.app
            app.state.registry.memories.add("sea", TMX)
    response = case.call(app=running, base_url="http://testserver")
    statuses.add(response.status_code)
    # A text that fits the schema can still be blank or too long for its model.
    # A form with a file and a body in CSV have no types: the number 1 is the text "1".
    untyped = [negative_data_rejection] if UNTYPED.search(case.path) else []
    case.validate_response(response, excluded_checks=[positive_data_acceptance, *untyped])
    if right and response.status_code >= 400:
        problem = response.json()
        # JSON Schema takes 4.0 for an integer, which the service does not.
        whole = "Input should be a valid integer" in problem["detail"]
        assert problem["error_type"] != "invalid_input" or whole, problem["detail"]


def make_test(method: str, path: str) -> Callable[..., None]:
    @schema.include(method=method, path=path).parametrize()
    @settings(
        max_examples=20,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
    )
    def test(case: schemathesis.Case, client: TestClient, statuses: set[int]) -> None:
        check(case, client, statuses)

    return test


# One function for each operation: the tests of one function have the same id, and pytest-xdist runs only one of them.
for found in schema.get_all_operations():
    assert isinstance(found, Ok), found
    operation = found.ok()
    name = re.sub(r"\W+", "_", f"test_{operation.method}{operation.path}")
    globals()[name] = make_test(operation.method, operation.path)
