"""GET /health (LibreTranslate's), /health/live and /health/ready."""

from fastapi import APIRouter

from service.api.body import RegistryOf
from service.api.errors import responses
from service.errors import ModelNotReady
from service.handlers.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/health", summary="LibreTranslate's health check")
@router.get("/health/live", summary="Is the process alive?", name="live")
async def health() -> Health:
    return Health(status="ok")


@router.get(
    "/health/ready", summary="Can every default model answer?", responses=responses("/health/ready", "model_not_ready")
)
async def ready(registry: RegistryOf) -> Health:
    """200 only when every default model has answered its golden inputs; else 503 with the reasons."""
    if problems := registry.problems():
        raise ModelNotReady("; ".join(f"{model}: {problem}" for model, problem in problems.items()))
    return Health(status="ok")
