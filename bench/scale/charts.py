"""Render the Helm chart with Helm's own library and validate it: `.venv/charts/bin/python -m bench.scale.charts`.

Each case of CASES must be equal to its file in `deploy/helm/rendered/`; `--write` writes the files. The schemas are
those of Kubernetes in the package kubernetes-validate; it has none for KEDA, Prometheus's operator and KServe.
"""

import sys
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "limelight"
RENDERED = ROOT / "deploy" / "helm" / "rendered"
ADDRESS = f"https://files.example.org/models.tar.gz#sha256={'0' * 64}"
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "volume": {
        "models": {"source": "volume", "claim": "limelight-models"},
        "autoscaling": {"kind": "queue"},
        "existingSecret": "limelight-keys",
        "serviceMonitor": {"enabled": True, "tokenKey": "LIMELIGHT_ADMIN_TOKEN", "labels": {"release": "prometheus"}},
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"team": "search"}}}]},
    },
    "address": {
        "models": {"source": "address", "address": ADDRESS},
        "autoscaling": {"kind": "cpu"},
        "settings": {"PROCESSES": "2", "LOG_LEVEL": "warning"},
        "service": {"type": "LoadBalancer", "port": 8080},
        "nodeSelector": {"disk": "fast"},
    },
}
REFUSED: dict[str, dict[str, Any]] = {
    "a claim is missing": {"models": {"source": "volume"}},
    "an address without a hash": {
        "models": {"source": "address", "address": "https://files.example.org/models.tar.gz"}
    },
    "an unknown value": {"replica": 3},
    "a setting with its prefix": {"settings": {"LIMELIGHT_PORT": "1"}},
}
VERSIONS = ("1.27.0", "1.37.0")
OWN_KINDS = {"ScaledObject", "ServiceMonitor"}


def main(write: bool) -> None:
    """Raises AssertionError, or an error of Helm or of the validation."""
    report = helm_python.lint(CHART, strict=True)
    assert not report["errors"], report
    chart, checked = helm_python.Chart.load(CHART), 0
    for name, values in CASES.items():
        rendered = render(chart, values)
        path = RENDERED / f"{name}.yaml"
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(rendered, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == rendered, f"{path} differs; run with --write"
        for document in yaml.safe_load_all(rendered):
            if document["kind"] not in OWN_KINDS:
                for version in VERSIONS:
                    kubernetes_validate.validate(document, version, strict=True)
                checked += 1
    for reason, values in REFUSED.items():
        try:
            chart.validate_schema(values)
        except helm_python.HelmError:
            continue
        raise AssertionError(f"accepted: {reason}")
    print(
        f"Helm {helm_python.helm_sdk_version()}: {len(CASES)} cases rendered, {checked} resources valid in Kubernetes "
        f"{' and '.join(VERSIONS)}, {len(REFUSED)} values refused"
    )


def render(chart: helm_python.Chart, values: dict[str, Any]) -> str:
    """The resources of a chart in the order of their files."""
    chart.validate_schema(values)
    files = chart.render(values, name="limelight", namespace="nlp")
    kept = [text.strip("\n") for name, text in sorted(files.items()) if name.endswith(".yaml") and text.strip()]
    return "---\n" + "\n---\n".join(kept) + "\n"


if __name__ == "__main__":
    main("--write" in sys.argv)
