"""Check the alert rules with promtool, and scrape a service with a real Prometheus: `python -m bench.scale.monitoring`.

Needs `prometheus` and `promtool` on the PATH (Debian: apt install prometheus).
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
TIMEOUT_S = 180


def main() -> None:
    """Raises CalledProcessError, AssertionError or TimeoutError if a check fails."""
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        subprocess.run(["promtool", *arguments], cwd=MONITORING, check=True)
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as target:
        call(f"http://{target}/classify", {"text": "Claim your prize"})
        with prometheus(Path(folder), target) as address:
            wait_for(lambda: value(address, 'up{job="limelight"}') == 1, "a scrape")
            assert value(address, 'sum(limelight_requests_total{route="/classify"})') == 1
            assert value(address, "limelight_model_ready") == 1
            [group] = call(f"http://{address}/api/v1/rules")["data"]["groups"]
            wait_for(lambda: all(rule["health"] == "ok" for rule in rules(address)), "an evaluation of the rules")
            assert [rule["state"] for rule in rules(address)] == ["inactive"] * len(group["rules"])
    print(f"promtool: the rules are valid; Prometheus scraped the service and evaluated {len(group['rules'])} rules")


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """The service over sms-spam, at the yielded host and port."""
    models, port = folder / "models", free_port()
    models.mkdir()
    (models / "sms-spam").symlink_to(ROOT / "models" / "sms-spam")
    environment = {"LIMELIGHT_MODELS": str(models), "LIMELIGHT_PORT": str(port), "LIMELIGHT_THREADS": "1"}
    command = [sys.executable, "-m", "service"]
    with running(command, ROOT, environment):
        wait_for(lambda: call(f"http://127.0.0.1:{port}/health/ready"), "the service")
        yield f"127.0.0.1:{port}"


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus with the configuration of `monitoring/` and another target, at the yielded host and port."""
    text = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
    configuration = text.replace("limelight:8000", target).replace("5s", "1s")
    configuration = f"global: {{evaluation_interval: 1s}}\n{configuration}"
    (folder / "prometheus.yml").write_text(configuration, encoding="utf-8")
    (folder / "alerts.yml").symlink_to(MONITORING / "alerts.yml")
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with running([*command, f"--web.listen-address={address}"], folder, {}):
        wait_for(lambda: call(f"http://{address}/api/v1/status/buildinfo"), "Prometheus")
        yield address


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A process, which is ended afterwards."""
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def rules(address: str) -> list[dict[str, Any]]:
    """The rules of a Prometheus and their state."""
    [group] = call(f"http://{address}/api/v1/rules")["data"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def value(address: str, query: str) -> float | None:
    """The value of an instant query; None if it has no result."""
    answer = call(f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    result = answer["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def call(address: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON answer to GET, or to POST with a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait_for(condition: Callable[[], object], awaited: str) -> None:
    """Raises TimeoutError if the condition does not hold in time. A refused connection does not hold."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        try:
            if condition():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    raise TimeoutError(f"no {awaited} within {TIMEOUT_S} s")


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
