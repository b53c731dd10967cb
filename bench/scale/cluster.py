# ruff: noqa: E402
"""Check Limelight on a Ray cluster of three nodes on this machine: `.venv/ray/bin/python -m bench.scale.cluster`.

A single process gives the reference answers. 20 clients then ask the cluster without a pause while a node is killed
with SIGKILL, a node is drained, and the replicas are scaled 3 -> 1 -> 3; each answer must equal the reference, byte for
byte. The edge is HAProxy with deploy/ray/haproxy.cfg. Prints a table, then one JSON document on the last line.

Ray listens on the address of the machine. Run it in a network namespace that has the loopback interface alone:
`unshare -n sh -c 'ip link set lo up && ...'`.

Settings of Ray must be in the environment before its import, so this file sets them first.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "ray"
os.environ |= {
    "RAY_SERVE_ENABLE_HA_PROXY": "0" if "--python-proxy" in sys.argv else "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Other work on the machine may delay a start.
    "RAY_worker_niceness": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",
    "PYTHONPATH": f"{ROOT}:{DEPLOY}",
    "OMP_NUM_THREADS": "1",
}
sys.path.insert(0, str(DEPLOY))

import json
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

import ray
from limelight_serve import app
from ray import serve
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.serve.config import HTTPOptions

from bench.scale.edge import haproxy
from bench.scale.monitoring import call, free_port, running, wait_for

CLIENTS = 20
MODELS = ("sms-spam", "en-fr")
DRAIN_S = 30
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/classify", {"text": "Claim your prize"}),
    ("/classify", {"text": ["See you at noon", "FREE entry! Text WIN to 80086"], "attention_unit": "word"}),
    ("/translate", {"q": "A dog runs.", "source": "en", "target": "fr"}),
    ("/translate", {"q": "Two men are playing guitar.", "source": "en", "target": "fr", "beam_size": 1}),
    ("/explain", {"text": "Claim your prize now", "methods": ["occlusion"]}),
]
Answers = list[bytes]


@dataclass
class Tally:
    """Answers and failures that the clients of one situation saw."""

    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        return f"{self.answered} answered, {sum(self.failures.values())} failed {dict(self.failures) or ''}"


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in MODELS:
            (folder / name).symlink_to(ROOT / "models" / name)
        single = stack.enter_context(single_process(folder))
        reference = [post(HTTPConnection("127.0.0.1", single), *request) for request in REQUESTS]
        nodes = stack.enter_context(cluster())
        direct = free_port()
        serve.start(http_options=HTTPOptions(port=direct, location="HeadOnly"))
        deploy(folder, 3)
        edge = stack.enter_context(haproxy(direct))
        report = situations(folder, nodes, direct, edge, reference)
        report["latency"] = {
            name: latency_ms(port) for name, port in (("one process", single), ("Ray", direct), ("edge", edge))
        }
    for name, value in report.items():
        print(f"{name:<40} {value}")
    print(json.dumps(report))
    if any(report[name]["failures"] for name in report if name.startswith("edge:")):
        raise SystemExit(1)


def situations(folder: Path, nodes: "Nodes", direct: int, edge: int, reference: Answers) -> dict[str, Any]:
    """Situation -> what clients saw, through the edge and, for a killed node, without it."""

    def scale() -> None:
        deploy(folder, 1)
        deploy(folder, 3)

    report: dict[str, Any] = {}
    for name, port, act in (
        ("edge: nothing happens", edge, lambda: time.sleep(5)),
        ("edge: a node is killed", edge, nodes.kill),
        ("without the edge: a node is killed", direct, nodes.kill),
        ("edge: a node is drained", edge, nodes.drain),
        ("edge: 3 -> 1 -> 3 replicas", edge, scale),
    ):
        wait_for(lambda: replicas() == 3, "three replicas")
        tally = under_load(port, reference, act)
        print(f"{name:<40} {tally.line()}", flush=True)
        report[name] = {"answered": tally.answered, "failures": dict(tally.failures)}
    return report


# The single process, the cluster and the edge


@contextmanager
def single_process(models: Path) -> Iterator[int]:
    """The service in one process with one thread, at the yielded port."""
    port = free_port()
    environment = {"LIMELIGHT_MODELS": str(models), "LIMELIGHT_PORT": str(port), "LIMELIGHT_THREADS": "1"}
    with running([sys.executable, "-m", "service"], ROOT, environment):
        wait_for(lambda: call(f"http://127.0.0.1:{port}/health/ready"), "the single process")
        yield port


class Nodes:
    """The nodes of a cluster besides its head, each with room for one replica."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._workers: list[Any] = []
        for _ in range(3):
            self._add()
        cluster.wait_for_nodes(timeout=120)

    def _add(self, attempts: int = 3) -> None:
        """Add a node. Ray gives it 30 seconds, which other work on the machine may take."""
        try:
            self._workers.append(self._cluster.add_node(num_cpus=1))
        except Exception:
            if attempts == 1:
                raise
            self._add(attempts - 1)

    def kill(self) -> None:
        """Kill a node with SIGKILL, and add another one."""
        node = self._workers.pop(0)
        self._cluster.remove_node(node, allow_graceful=False)
        self._add()

    def drain(self) -> None:
        """Add a node, drain another one, and stop it when it has no replica or after DRAIN_S."""
        self._add()
        node = self._workers.pop(0)
        gcs = GcsClient(address=self._cluster.address)
        accepted, reason = gcs.drain_node(
            node.node_id,
            2,  # DRAIN_NODE_REASON_PREEMPTION: Serve moves the replicas before the deadline
            "check",
            int((time.time() + DRAIN_S) * 1000),
        )
        assert accepted, reason
        time.sleep(DRAIN_S)
        with suppress(Exception):  # the node may have ended itself
            self._cluster.remove_node(node, allow_graceful=True)


@contextmanager
def cluster() -> Iterator[Nodes]:
    """A cluster of a head without room for replicas and three nodes."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = Nodes(made)
        ray.init(address=made.address, log_to_driver=False, logging_level="error")
        yield nodes
    finally:
        with suppress(Exception):
            serve.shutdown()
        ray.shutdown()
        made.shutdown()


def deploy(models: Path, replicas: int) -> None:
    """Run the application with a number of replicas, or change it."""
    made = app({"models": str(models), "threads": 1, "default_classifier": "sms-spam"})
    options = {"num_replicas": replicas, "ray_actor_options": {"num_cpus": 1}, "user_config": {"revision": 1}}
    made._bound_deployment = made._bound_deployment.options(**options)
    serve.run(made, name="limelight", route_prefix="/")


def replicas() -> int:
    """The number of running replicas."""
    deployments = serve.status().applications["limelight"].deployments
    return deployments["limelight"].replica_states.get("RUNNING", 0)


# The clients


def under_load(port: int, reference: Answers, act: Callable[[], object]) -> Tally:
    """Run CLIENTS clients in a closed loop while something happens, and 5 seconds before and after."""
    tally, stop = Tally(), threading.Event()
    clients = [
        threading.Thread(target=client, args=(port, number, reference, tally, stop)) for number in range(CLIENTS)
    ]
    for each in clients:
        each.start()
    try:
        time.sleep(5)
        act()
        time.sleep(5)
    finally:
        stop.set()
        for each in clients:
            each.join()
    return tally


def client(port: int, number: int, reference: Answers, tally: Tally, stop: threading.Event) -> None:
    """Send the requests in turn on one connection, and compare the answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    while not stop.is_set():
        number += 1
        place = number % len(REQUESTS)
        try:
            answer = post(connection, *REQUESTS[place])
            problem = None if answer == reference[place] else f"another answer: {answer[:60]!r}"
        except (HTTPException, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
            connection.close()
        if problem is None:
            tally.answered += 1
        else:
            tally.failures[problem] += 1


def post(connection: HTTPConnection, path: str, body: dict[str, Any]) -> bytes:
    """The body of an answer. Raises HTTPException if its status is not 200."""
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise HTTPException(f"{response.status}")
    return content


def latency_ms(port: int, calls: int = 300) -> dict[str, float]:
    """Median and 99th percentile of short requests of one client."""
    connection, times = HTTPConnection("127.0.0.1", port, timeout=60), []
    for _ in range(calls):
        since = time.perf_counter()
        post(connection, *REQUESTS[0])
        times.append(1000 * (time.perf_counter() - since))
    quantiles: Sequence[float] = statistics.quantiles(times[20:], n=100)
    return {"p50": round(quantiles[49], 2), "p99": round(quantiles[98], 2)}


if __name__ == "__main__":
    main()
