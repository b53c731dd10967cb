"""Paths of requests behind a reverse proxy."""

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """The path without the prefix of LIMELIGHT_ROOT_PATH."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path
