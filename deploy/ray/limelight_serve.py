"""Limelight on a Ray cluster: `serve run limelight_serve:app`, from this folder.

Each replica runs the whole service of `service/app.py` in one process; batching stays its own. Ray places the replicas,
starts new ones for dead ones, and its HAProxy sends requests to them without a copy through Python.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingContext

from service.app import create_app
from service.registry.registry import Registry
from service.settings import Settings

QUEUE_TOKENS = "queue_tokens"


class NotReady(Exception):
    """A replica whose models do not answer. Ray replaces it after a few of these."""


@serve.deployment(
    name="limelight",
    num_replicas=1,
    max_ongoing_requests=256,  # LIMELIGHT_MAX_REQUESTS: the service itself answers 429
    graceful_shutdown_wait_loop_s=1,
    graceful_shutdown_timeout_s=40,  # longer than LIMELIGHT_TIMEOUT_S
    health_check_period_s=5,
    health_check_timeout_s=10,
)
@serve.ingress()
class Limelight:
    """One replica."""

    def __init__(self, settings: Mapping[str, Any]):
        """settings: as in the environment, without the prefix and in lower case."""
        cores = max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
        self._settings = Settings(**{"threads": cores, **settings})
        self._service: FastAPI | None = None
        self._revision: Any = None

    async def __serve_build_asgi_app__(self) -> FastAPI:  # Ray calls it in the replica, after the constructor
        """The service with its models loaded: a replica gets no request before."""
        self._service = create_app(self._settings)
        await asyncio.to_thread(self._registry.load)
        self.check_health()
        return self._service

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Reload the folder of models if `revision` has changed. Each answer names one version, the old or the new."""
        revision = user_config.get("revision")
        if self._service is not None and revision != self._revision:
            await asyncio.to_thread(self._registry.reload)
        self._revision = revision

    def check_health(self) -> None:
        """Raises NotReady if `/health/ready` would answer 503."""
        if problems := self._registry.problems():
            raise NotReady("; ".join(f"{name}: {problem}" for name, problem in problems.items()))

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Tokens that wait in the queues of this replica, for QueuePolicy."""
        predictors = [entry.predictor for entry in self._registry.entries() if entry.predictor is not None]
        return {QUEUE_TOKENS: float(sum(predictor.scheduler.waiting_tokens for predictor in predictors))}

    @property
    def _registry(self) -> Registry:
        assert self._service is not None
        registry: Registry = self._service.state.registry
        return registry


class QueuePolicy:
    """Replicas by the tokens that wait in their queues."""

    def __init__(self, tokens_per_replica: float = 20_000.0):
        """tokens_per_replica: waiting tokens for which one more replica is worth starting."""
        self._tokens_per_replica = tokens_per_replica

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The number of replicas, and the state for the next call: in how many calls nothing has waited."""
        by_replica = (context.aggregated_metrics or {}).get(QUEUE_TOKENS, {})
        quiet = context.policy_state.get("quiet", 0)
        wanted, quiet = self.decide(sum(by_replica.values()), context.target_num_replicas, quiet)
        minimum, maximum = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
        return min(max(wanted, minimum), maximum), {"quiet": quiet}

    def decide(self, waiting_tokens: float, replicas: int, quiet: int) -> tuple[int, int]:
        """Add the replicas that the queue is worth; remove one after CALLS_UNTIL_FEWER calls with empty queues."""
        if waiting_tokens:
            return replicas + math.floor(waiting_tokens / self._tokens_per_replica), 0
        return (replicas - 1, 0) if quiet + 1 >= CALLS_UNTIL_FEWER else (replicas, quiet + 1)


CALLS_UNTIL_FEWER = 100
"""Ray calls a policy about once in 0.1 s, and averages the metrics over `look_back_period_s`."""


def app(settings: dict[str, Any]) -> Application:
    """The application. `args` of the configuration are settings, such as `models: /models`."""
    Settings(**settings)  # raises ValidationError here, and not in each replica
    return Limelight.bind(settings)
