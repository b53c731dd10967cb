"""POST /explain over HTTP."""

from starlette.testclient import TestClient

from service.handlers.explain_schemas import ExplainResponse
from tests.service.api.checks import check_problem


def test_an_explanation(client: TestClient) -> None:
    answer = client.post("/explain", json={"text": "No rain", "methods": ["occlusion", "attention"], "target": "mild"})
    assert answer.status_code == 200
    found = ExplainResponse.model_validate(answer.json())
    assert (found.model, found.target, [token.text for token in found.tokens]) == ("toy", "mild", ["No", "rain"])
    assert [one.method for one in found.explanations] == ["occlusion", "attention"]


def test_errors(client: TestClient) -> None:
    check_problem(client.post("/explain", json={"text": "wind", "target": "hot"}), 422, "unsupported_option")
    check_problem(client.post("/explain", json={"text": ["wind"]}), 422, "invalid_input")
    check_problem(client.post("/explain", json={"text": "wind", "model": "nope"}), 404, "model_not_found")
