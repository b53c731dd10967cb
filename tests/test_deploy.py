"""Files of deploy/ agree with the service and with each other. `make scale-test` renders and runs them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from service import __version__
from service.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
RENDERED = sorted((DEPLOY / "helm" / "rendered").glob("*.yaml"))
SETTINGS = {f"LIMELIGHT_{name.upper()}" for name in Settings.model_fields}
RAY = DEPLOY / "ray"


def read(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pod_of(path: Path) -> dict[str, Any]:
    """The pod of the deployment in a rendered chart."""
    [deployment] = [each for each in read(path) if each["kind"] == "Deployment"]
    pod: dict[str, Any] = deployment["spec"]["template"]
    return pod


def containers() -> list[Any]:
    """The container of each rendered chart and of KServe's runtime."""
    [runtime] = read(DEPLOY / "kserve" / "servingruntime.yaml")
    found = [pytest.param(pod_of(path)["spec"]["containers"][0], id=path.stem) for path in RENDERED]
    return [*found, pytest.param(runtime["spec"]["containers"][0], id="kserve")]


@pytest.mark.parametrize("container", containers())
def test_a_container_has_known_settings_and_minimal_rights(container: dict[str, Any]) -> None:
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment.keys() <= SETTINGS
    assert environment["LIMELIGHT_HOST"] == "0.0.0.0"
    ports = {"LIMELIGHT_PORT": container["ports"][0], "LIMELIGHT_GRPC_PORT": dict(enumerate(container["ports"])).get(1)}
    for setting, port in ports.items():
        assert environment.get(setting) == (port and str(port["containerPort"]))
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["image"] == f"limelight:{__version__}"
    assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize("container", containers())
def test_probes_have_routes_that_answer(container: dict[str, Any], client: TestClient) -> None:
    port = container["ports"][0]
    for name in ("readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert client.get(probe["path"]).status_code == 200
        assert probe["path"].startswith("/health/")  # never limited, unlike /v2/health
        assert probe["port"] in (port["name"], port["containerPort"])


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_resources_of_a_chart_select_its_pods(path: Path) -> None:
    labels = pod_of(path)["metadata"]["labels"].items()
    selectors = {
        each["kind"]: each["spec"].get("podSelector", each["spec"].get("selector"))
        for each in read(path)
        if "selector" in each["spec"] or "podSelector" in each["spec"]
    }
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= selectors.keys()
    for kind, selector in selectors.items():
        assert selector.get("matchLabels", selector).items() <= labels, kind
    names = {each["metadata"]["name"] for each in read(path)}
    assert names == {"limelight"}


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_a_pod_has_time_to_drain(path: Path) -> None:
    pod = pod_of(path)["spec"]
    environment = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    drain = float(environment["LIMELIGHT_DRAIN_DELAY_S"]) + float(environment["LIMELIGHT_DRAIN_TIMEOUT_S"])
    assert pod["terminationGracePeriodSeconds"] > drain + 2
    probe = pod["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < float(environment["LIMELIGHT_DRAIN_DELAY_S"])
    assert pod["enableServiceLinks"] is False
    mounted = {each["name"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}


def test_models_of_a_chart_come_from_three_sources() -> None:
    models = {}
    for path in RENDERED:
        environment = pod_of(path)["spec"]["containers"][0]["env"]
        models[path.stem] = {each["name"]: each["value"] for each in environment}.get("LIMELIGHT_MODELS", "")
    assert models["default"] == ""
    assert models["volume"] == "/models"
    assert re.fullmatch(r"https://.+#sha256=0{64}", models["address"])
    assert yaml.safe_load((DEPLOY / "helm" / "limelight" / "Chart.yaml").read_text())["appVersion"] == __version__


def test_kserve_finds_the_runtime_of_the_models() -> None:
    [runtime] = read(DEPLOY / "kserve" / "servingruntime.yaml")
    [inference] = read(DEPLOY / "kserve" / "inferenceservice.yaml")
    model = inference["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"].items() <= runtime["spec"]["supportedModelFormats"][0].items()
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert "h2c" in {port["name"] for port in runtime["spec"]["containers"][0]["ports"]}  # KServe's name for grpc-v2
    environment = {each["name"]: each["value"] for each in runtime["spec"]["containers"][0]["env"]}
    assert environment["LIMELIGHT_MODELS"] == "/mnt/models"


def test_ray_has_one_configuration_with_known_settings() -> None:
    [service] = read(RAY / "rayservice.yaml")
    [alone] = read(RAY / "serve.yaml")
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == alone
    [application] = alone["applications"]
    module, name = application["import_path"].split(":")
    assert f"def {name}(" in (RAY / f"{module}.py").read_text(encoding="utf-8")
    assert application["args"].keys() <= Settings.model_fields.keys()
    cluster = service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        [container] = group["template"]["spec"]["containers"]
        assert {each["name"]: each["value"] for each in container["env"]} == {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        }


NOT_PURE = {"/translate_file", "/v2/document", "/v2/glossaries", "/v3/glossaries", "/admin/reload"}
"""POST routes that change something, or whose answer is kept by one replica."""


def test_the_edge_repeats_requests_of_pure_routes_only(client: TestClient) -> None:
    configuration = (RAY / "haproxy.cfg").read_text(encoding="utf-8")
    exact = set(" ".join(re.findall(r"acl pure path (.+)", configuration)).split())
    patterns = re.findall(r"acl pure path_reg (.+)", configuration)
    posts = {path for path, methods in client.get("/openapi.json").json()["paths"].items() if "post" in methods}
    assert posts, "no route"
    for path in posts:
        concrete = re.sub(r"\{[^}]+\}", "7", path)
        pure = concrete in exact or any(re.search(pattern, concrete) for pattern in patterns)
        changes = any(path.startswith(one) for one in NOT_PURE)
        assert pure != changes, path
