"""Keys, rates, and pages of other origins, as a caller meets them."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.access import new_key
from service.app import create_app
from service.settings import Settings
from tests.fakes import serving
from tests.service.api.checks import REQUESTS, check_problem

KEY, LINE = new_key("alice")
OTHER, OTHER_LINE = new_key("bob")
ROUTES = sorted(REQUESTS)
ORIGIN = {"Origin": "https://page.example"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("route", ROUTES)
def test_with_keys_other_callers_are_refused(models: Path, route: str) -> None:
    with serving(models, api_keys=LINE) as client:
        unknown = client.post(route, json=REQUESTS[route])
        check_problem(unknown, 401, "unauthorized")
        assert unknown.headers["www-authenticate"] == "Bearer"
        check_problem(client.post(route, json=REQUESTS[route], headers=bearer("wrong")), 403, "forbidden")
        # A wrong key is refused before the body is read.
        check_problem(client.post(route, content=b"{", headers=bearer("wrong")), 403, "forbidden")
        assert client.post(route, json=REQUESTS[route], headers=bearer(KEY)).status_code == 200
        for path in ("/health/ready", "/models", "/languages", "/"):
            assert client.get(path).status_code == 200


def test_libretranslates_field(models: Path) -> None:
    body = REQUESTS["/translate"]
    with serving(models, api_keys=LINE) as client:
        assert client.post("/translate", json={**body, "api_key": KEY}).status_code == 200
        assert client.post("/translate", data={**body, "api_key": KEY}).status_code == 200
        check_problem(client.post("/translate", json={**body, "api_key": "wrong"}), 403, "forbidden")
        check_problem(client.post("/translate", data={**body, "api_key": ""}), 401, "unauthorized")
        check_problem(client.post("/translate", json={**body, "api_key": KEY}, headers=bearer("no")), 403, "forbidden")
    with serving(models) as client:
        assert client.post("/translate", json={**body, "api_key": "whatever"}).status_code == 200


def test_keys_in_a_file(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# two\n{LINE}\n", encoding="utf-8")
    with serving(models, api_keys_file=path, api_keys=OTHER_LINE) as client:
        for key in (KEY, OTHER):
            assert client.post("/classify", json=REQUESTS["/classify"], headers=bearer(key)).status_code == 200


def test_every_route_with_a_body_needs_a_key(models: Path) -> None:
    """Every route with a body is refused without a key."""
    app = create_app(Settings(models=models, device="cpu", threads=1, api_keys=LINE))
    client = TestClient(app)
    # The list of models is public.
    open_ = {"/v2/repository/index"}
    paths = {path for path, methods in app.openapi()["paths"].items() if "post" in methods} - open_
    assert paths >= {*ROUTES, "/admin/reload"}
    for path in paths:
        body = {**REQUESTS, "/huggingface/{name}": {"inputs": "wind"}}.get(path, {})
        asked = path.format(name="toy", version=1, document_id="x") if "{" in path else path
        assert client.post(asked, json=body).status_code in (401, 403), path


@pytest.mark.parametrize("route", ROUTES)
def test_rates(models: Path, route: str) -> None:
    with serving(models, rate_limit="2/hour", api_keys=f"{LINE} {OTHER_LINE}") as client:
        for _ in range(2):
            assert client.post(route, json=REQUESTS[route], headers=bearer(KEY)).status_code == 200
        slow = client.post(route, json=REQUESTS[route], headers=bearer(KEY))
        check_problem(slow, 429, "rate_limited")
        assert int(slow.headers["retry-after"]) > 3000
        assert client.post(route, json=REQUESTS[route], headers=bearer(OTHER)).status_code == 200
        assert client.get("/models", headers=bearer(KEY)).status_code == 200


def test_pages_of_other_origins_are_refused(client: TestClient) -> None:
    answer = client.post("/classify", json=REQUESTS["/classify"], headers=ORIGIN)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST"}
    check_problem(client.options("/classify", headers=asked), 405, "method_not_allowed")


def test_pages_of_a_listed_origin_are_allowed(models: Path) -> None:
    with serving(models, cors_origins="https://page.example https://other.example") as client:
        for route in ROUTES:
            answer = client.post(route, json=REQUESTS[route], headers=ORIGIN)
            assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
            assert "cross-origin-resource-policy" not in answer.headers
        asked = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        assert client.options("/classify", headers=asked).status_code == 200
        foreign = client.post("/classify", json=REQUESTS["/classify"], headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers


def test_access_to_the_metrics(models: Path) -> None:
    token = "a token of sixteen characters"
    with serving(models, api_keys=LINE, admin_token=token) as client:
        check_problem(client.get("/metrics"), 401, "unauthorized")
        check_problem(client.get("/metrics", headers=bearer("wrong")), 403, "forbidden")
        assert client.get("/metrics", headers=bearer(KEY)).status_code == 200
        assert client.get("/metrics", headers=bearer(token)).status_code == 200
    with serving(models, admin_token=token) as client:
        assert client.get("/metrics").status_code == 200
