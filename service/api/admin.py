"""POST /admin/reload: serve the present content of the models folder without a restart."""

import asyncio

from fastapi import APIRouter, Request

from service.api.access import check_admin
from service.api.body import RegistryOf
from service.api.errors import responses
from service.errors import BundleNotFound, ModelNotFound
from service.handlers.operation_schemas import Reloaded

router = APIRouter(tags=["operations"])


@router.post(
    "/admin/reload",
    summary="Reload the models folder",
    responses=responses("/admin/reload", "unauthorized", "forbidden", "model_not_found"),
)
async def reload(request: Request, registry: RegistryOf) -> Reloaded:
    """New and changed versions are verified, loaded and checked with their golden inputs; then all are swapped
    together. Running requests finish on the version with which they began. Refused versions are listed with the reason,
    and the version served before them stays. `SIGHUP` does the same. With several processes, this is the report of one
    of them, and the others reload right after it.
    """
    check_admin(request)
    try:
        async with request.app.state.reloading:  # waiting requests would each block a thread
            report = await asyncio.to_thread(registry.reload)
    except BundleNotFound as error:
        raise ModelNotFound(str(error)) from None
    request.app.state.reload_processes()
    return Reloaded(**vars(report))
