"""Access of callers: API keys for routes that cost something, the admin token for routes that change the service."""

import ipaddress

from fastapi import Request

from service.access import Access, same_token
from service.errors import Forbidden, Unauthorized
from service.settings import Settings


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer`, or of DeepL's clients."""
    return token_of(request.headers.get("authorization", ""))


def token_of(authorization: str) -> str | None:
    """The token in the value of an Authorization header."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "deepl-auth-key") else None


def admit_by_header(request: Request, key_in_body: bool = False) -> bool:
    """Admit the caller before its body is read. False if the key may still be in the body (see `admit`).

    A key in the query string counts if the route takes a key in the body, as in LibreTranslate.

    Raises Unauthorized, Forbidden or RateLimited.
    """
    access = _access(request)
    if access.open:
        return True
    key = bearer(request)
    if key is None and key_in_body:
        key = request.query_params.get("api_key")
        if key is None and access.keyed:
            return False
    admit(request, key)
    return True


def admit(request: Request, key: str | None) -> None:
    """Raises Unauthorized, Forbidden or RateLimited."""
    _access(request).admit(key, request.client.host if request.client else "")


def caller_of(request: Request) -> str:
    """The name of the key of an admitted caller; empty if no keys are needed. Raises Unauthorized or Forbidden."""
    return _access(request).name(bearer(request)) if _access(request).keyed else ""


def check_operator(request: Request) -> None:
    """Allow holders of any API key or of the admin token; everyone if there are no keys.

    Raises Unauthorized or Forbidden.
    """
    if _access(request).keyed and not _is_admin(request):
        _access(request).name(bearer(request))


def check_admin(request: Request) -> None:
    """Allow the holder of the admin token; without a token, programs on this machine.

    Raises Unauthorized or Forbidden.
    """
    settings: Settings = request.app.state.settings
    if settings.admin_token is not None:
        if bearer(request) is None:
            raise Unauthorized("the admin token is needed: send it as `Authorization: Bearer`")
        if not _is_admin(request):
            raise Forbidden("this is not the admin token")
    # A page in a browser on this machine is not allowed: browsers send its origin.
    elif not _is_local(request) or "origin" in request.headers:
        raise Forbidden("without LIMELIGHT_ADMIN_TOKEN this is for programs on the service's own machine only")


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def _is_admin(request: Request) -> bool:
    token, sent = request.app.state.settings.admin_token, bearer(request)
    return token is not None and sent is not None and same_token(token.get_secret_value(), sent)


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
