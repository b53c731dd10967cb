"""Pictures of a model card: their list, and GET /models/{name}/pictures/{file}."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import FileResponse

from service.api.body import RegistryOf
from service.api.errors import responses
from service.bundle.manifest import CARD
from service.errors import excerpt
from service.handlers.schemas import Picture
from service.registry.entry import Entry

router = APIRouter(tags=["models"])

# A file name without a folder: a card cannot name files outside its bundle.
IN_CARD = re.compile(r"^!\[(?P<caption>.*)\]\((?P<file>\w[\w.-]*\.png)\)$", re.MULTILINE | re.ASCII)


def captions(folder: Path) -> dict[str, str]:
    """File -> caption of the pictures that a card shows and the bundle contains."""
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}  # a bundle without a card is served too
    found = {match["file"]: match["caption"] for match in IN_CARD.finditer(card)}
    # A symbolic link can point outside the bundle.
    return {file: caption for file, caption in found.items() if _is_plain(folder / file)}


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


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
    """Serve the files that `pictures` of GET /models/{name} lists, and no other file of the bundle."""
    entry = registry.entry(name, version)
    if file not in captions(entry.folder):
        raise HTTPException(404, f"the card of {entry.name}/{entry.version} has no picture {excerpt(file)!r}")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=300"}
    return FileResponse(entry.folder / file, media_type="image/png", headers=headers)
