"""GET /metrics, for Prometheus."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service import observability
from service.api.access import check_operator
from service.api.body import RegistryOf
from service.api.errors import responses

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **responses("/metrics", "unauthorized", "forbidden")},
)
async def metrics(request: Request, registry: RegistryOf) -> Response:
    """Requests, phases, batches, queues, tokens and models; no text, no address, no key. If API keys are set, an API
    key or the admin token is needed. With several processes, these are the sums of all.
    """
    check_operator(request)
    states = [(entry.name, entry.version, entry.ready) for entry in registry.entries()]
    return Response(observability.render_metrics(states, registry.provider), media_type=CONTENT_TYPE_LATEST)
