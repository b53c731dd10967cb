"""The dashboard and the alerts query metrics that exist, and docker-compose.yml mounts files that exist."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.service.api.checks import REQUESTS

ROOT = Path(__file__).parents[1]
DASHBOARD = json.loads((ROOT / "monitoring" / "grafana" / "dashboards" / "limelight.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
[ALERTS] = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
EXPRESSIONS = [rule["expr"] for rule in ALERTS["rules"] if rule["alert"] != "LimelightDown"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def labels(client: TestClient) -> dict[str, set[str]]:
    """Name -> labels of each metric."""
    for route, body in REQUESTS.items():
        client.post(route, json=body)
    families = text_string_to_metric_families(client.get("/metrics").text)
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("query", QUERIES + EXPRESSIONS)
def test_the_dashboard_and_the_alerts_query_existing_metrics(labels: dict[str, set[str]], query: str) -> None:
    names = re.findall(r"\b(?:limelight|process)_\w+", query)
    assert names
    for name in names:
        assert name in labels, query
    grouped = {label for group in re.findall(r"by \(([^)]+)\)", query) for label in group.split(", ")}
    assert grouped - {"instance"} <= set().union(*(labels[name] for name in names))


def test_panels_do_not_overlap() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in DASHBOARD["panels"]})


def test_mounted_files_exist() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), source


@pytest.mark.parametrize("name", ["limelight", "limelight-gpu"])
def test_the_container_has_minimal_rights(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_every_alert_has_a_unit_test() -> None:
    """`make scale-test` runs them with promtool."""
    tests = yaml.safe_load((ROOT / "monitoring" / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    for test in tests:
        assert [one["alertname"] for one in test["alert_rule_test"]] == [rule["alert"] for rule in ALERTS["rules"]]
    assert ["exp_alerts" in one for test in tests for one in test["alert_rule_test"]] == [False] * 6 + [True] * 6


def test_prometheus_scrapes_the_service_and_reads_the_alerts() -> None:
    configuration = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text(encoding="utf-8"))
    mounted = COMPOSE["services"]["prometheus"]["volumes"]
    assert "./monitoring/alerts.yml:/etc/prometheus/alerts.yml:ro" in mounted
    assert configuration["rule_files"] == ["alerts.yml"]
    [job] = configuration["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert COMPOSE["services"][name]["ports"][0].endswith(f":{port}")
