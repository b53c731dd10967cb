"""GET /health (LibreTranslate's), /health/live and /health/ready."""

from fastapi import APIRouter

from service.api.body import RegistryOf
from service.api.errors import responses
from service.errors import ModelNotReady
from service.handlers.operation_schemas import Health, Ready
from service.registry.registry import Registry

router = APIRouter(tags=["health"])


@router.get("/health", summary="LibreTranslate's health check")
@router.get("/health/live", summary="Liveness of the process", name="live")
async def health() -> Health:
    return Health(status="ok")


@router.get("/health/ready", summary="Readiness of the models", responses=responses("/health/ready", "model_not_ready"))
async def ready(registry: RegistryOf) -> Ready:
    """200 once every model is loaded or refused; else 503 with the reasons. GET /models lists refused models."""
    check_ready(registry)
    return Ready(status="ok", provider=registry.provider)


def check_ready(registry: Registry) -> None:
    """Raises ModelNotReady with the reasons."""
    if problems := registry.problems():
        raise ModelNotReady("; ".join(f"{model}: {problem}" for model, problem in problems.items()))
