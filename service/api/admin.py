"""POST /admin/reload: what lies in the folder of models, served without a restart."""

import asyncio

from fastapi import APIRouter, Request

from service.api.access import check_admin
from service.api.body import RegistryOf
from service.api.errors import responses
from service.errors import BundleNotFound, ModelNotFound
from service.handlers.schemas import Reloaded

router = APIRouter(tags=["operations"])


@router.post(
    "/admin/reload",
    summary="Serve what lies in the folder of models now",
    responses=responses("/admin/reload", "unauthorized", "forbidden", "model_not_found"),
)
async def reload(request: Request, registry: RegistryOf) -> Reloaded:
    """New and changed versions are verified, loaded, and asked their golden inputs; then all are swapped at once.
    Requests in flight end on the version they began with. What is refused is named with its reason, and what was
    served under its name before goes on. `SIGHUP` does the same. Where several processes serve, this tells what one of
    them did, and the others do it right after.
    """
    check_admin(request)
    try:
        report = await asyncio.to_thread(registry.reload)
    except BundleNotFound as error:
        raise ModelNotFound(str(error)) from None
    request.app.state.tell_all_to_reload()
    return Reloaded(**vars(report))
