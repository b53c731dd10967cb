"""Pictures of a model card: their list, and GET /models/{name}/pictures/{file}."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import FileResponse

from service.api.body import RegistryOf
from service.api.errors import responses
from service.bundle.files import open_file, read_file
from service.bundle.manifest import CARD
from service.errors import BundleCorrupt, excerpt
from service.handlers.model_schemas import Picture
from service.registry.entry import Entry

router = APIRouter(tags=["models"])

# A file name without a folder: a card cannot name files outside its bundle.
IN_CARD = re.compile(r"^!\[(?P<caption>.*)\]\((?P<file>\w[\w.-]*\.png)\)$", re.MULTILINE | re.ASCII)

MAX_CARD_BYTES = 2**20


def captions(folder: Path) -> dict[str, str]:
    """File -> caption of the pictures that a card shows and the bundle contains."""
    try:
        card = read_file(folder, CARD, MAX_CARD_BYTES).decode()
    except (BundleCorrupt, UnicodeDecodeError):
        return {}  # a bundle without a card is served too
    found = {match["file"]: match["caption"] for match in IN_CARD.finditer(card)}
    return {file: caption for file, caption in found.items() if _is_regular(folder, file)}


def _is_regular(folder: Path, file: str) -> bool:
    """Return whether a picture is a regular file of the folder. It can be replaced after the bundle was verified."""
    try:
        with open_file(folder, file):
            return not (folder / file).is_symlink()
    except BundleCorrupt:
        return False


def pictures(entry: Entry) -> list[Picture]:
    """The pictures of a model card, in its order."""
    at = f"/models/{quote(entry.name)}/pictures"
    found = captions(entry.folder).items()
    return [Picture(caption=caption, path=f"{at}/{file}?version={entry.version}") for file, caption in found]


@router.get(
    "/models/{name}/pictures/{file}",
    summary="A picture of a model card",
    response_class=FileResponse,
    responses={
        200: {"content": {"image/png": {}}},
        **responses("/models/nope/pictures/learning.png", "model_not_found", "invalid_input"),
    },
)
def get_picture(
    registry: RegistryOf,
    name: str,
    file: str,
    version: Annotated[int | None, Query(ge=1, description="Version; the highest by default.")] = None,
) -> FileResponse:
    """Serve a picture of a bundle. Only files listed in `pictures` of GET /models/{name} are served."""
    entry = registry.entry(name, version)
    if file not in captions(entry.folder):
        raise HTTPException(404, f"the card of {entry.name}/{entry.version} has no picture {excerpt(file)!r}")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=300"}
    return FileResponse(entry.folder / file, media_type="image/png", headers=headers)
