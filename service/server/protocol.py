"""HTTP connections: bounded headers, and an end without a reset."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.errors import MEDIA_TYPE
from service.api.errors import body as problem
from service.api.middleware.requests import MAX_HEADER_BYTES, MAX_HEADERS, header_bytes

HEADERS_TIMEOUT_S = 10.0
"""Maximum time from a connection, or the first byte of a request, to the end of the request's headers."""
FIRST_REQUEST_S = 1.0
"""Time in which a new connection can still send its request after the server has begun to shut down."""
LINGER_S = 2.0
"""Time in which the rest of a refused request is read and dropped. To close earlier would reset the connection before
the client reads the answer."""
TOO_LARGE = f"at most {MAX_HEADERS} headers with {MAX_HEADER_BYTES} bytes are accepted"


class HeadersTooLarge(Exception):
    """The URL and the headers of a request exceed the limit. The parser reports it as an invalid request."""


class Protocol(HttpToolsProtocol):
    """Closes connections whose request does not start, or whose headers do not end in time or exceed the limit."""

    _in_headers = False
    """The first byte of a request has arrived, and its headers are incomplete."""
    _pending_bytes = 0
    """Bytes received since the start of the headers or since the last piece of a body: headers, trailers and frames."""
    _arrived = 0
    """Bytes received since the start of the piece of data in which the request began."""
    _piece = 0
    """Bytes of the last piece of data."""
    _progress = False
    """The last bytes held a piece of a body or the end of a request."""
    _too_large = False
    """The headers exceed the limit."""
    _timer: asyncio.TimerHandle | None = None
    _refused = False
    """The request is answered with 431, and the rest of it is dropped."""
    _is_last = False
    """The server shuts down: the connection closes after its first request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._progress = False
        self._arrived += len(data)
        self._piece = len(data)
        super().data_received(data)
        if self._refused:
            return
        self._pending_bytes = 0 if self._progress else self._pending_bytes + len(data)
        if self._pending_bytes > MAX_HEADER_BYTES:
            self._refuse()
        elif self._in_headers:  # headers usually arrive in one piece, and need no timer
            self._start_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._pending_bytes = 0
        self._arrived = self._piece

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._too_large = len(self.headers) > MAX_HEADERS or self._header_bytes() > MAX_HEADER_BYTES
        if self._too_large:
            raise HeadersTooLarge
        self._in_headers = False
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refused and not self.pipeline:
            self._linger()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed."""
        if self._too_large:
            self._refuse()
        else:
            super().send_400_response(msg)

    def shutdown(self) -> None:
        """Close the connection after its request. A new connection has a short time to send one."""
        if self.cycle is None and not self.transport.is_closing():
            self._is_last = True
            self.loop.call_later(FIRST_REQUEST_S, self._close_unused)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _header_bytes(self) -> int:
        """Size of the URL and the headers, or an upper bound that is within the limit."""
        if self._arrived <= MAX_HEADER_BYTES:
            return self._arrived
        return len(self.url) + header_bytes(self.headers)

    def _close_unused(self) -> None:
        if self.cycle is None:
            self.transport.close()

    def _refuse(self) -> None:
        """Answer with 431, drop the rest of the request, and close the connection."""
        self._refused = True
        self._stop_timer()
        if self.cycle is not None and not self.cycle.response_complete:
            return  # this request, or an earlier one of the connection, is being answered
        if self._in_headers:
            self._write_431()
        self._linger()

    def _write_431(self) -> None:
        content = json.dumps(problem("", 431, "request_header_fields_too_large", TOO_LARGE)).encode()
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)

    def _linger(self) -> None:
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
