"""Headers of a request. `request.headers` takes several times as long, which counts for a short text."""

from starlette.requests import Request


def header(request: Request, name: bytes) -> str | None:
    """The value of the first header of this name, which is in lower case."""
    for key, value in request.scope["headers"]:
        if key == name:
            found: str = value.decode("latin-1")
            return found
    return None
