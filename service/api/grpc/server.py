"""The gRPC server, on the event loop of the app."""

import logging

from grpc import aio
from starlette.datastructures import State

from service.api.grpc import open_inference
from service.settings import Settings

log = logging.getLogger(__name__)

MAX_STREAMS = 1_000
"""Maximum concurrent calls on a connection. Further ones wait in the client."""
HANDSHAKE_TIMEOUT_MS = 10_000
"""Maximum time from a connection to its first frame."""
KEEPALIVE_MS = 60_000
"""Time without a frame after which a client is asked whether it is there."""
IDLE_MS = 600_000
"""Time without a call after which a connection is closed."""


class Server:
    """Serves the Open Inference Protocol on a separate port. `state` is that of the app."""

    def __init__(self, state: State):
        self._state = state
        self._settings: Settings = state.settings
        self._server: aio.Server | None = None
        self.port = 0
        """The port, after the start."""

    async def start(self) -> None:
        """Listen. Raises RuntimeError if the port is in use."""
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._server = aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_concurrent_streams", MAX_STREAMS),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.max_connection_idle_ms", IDLE_MS),
                ("grpc.so_reuseport", 1),  # all processes listen on one port
            ]
        )
        self._server.add_generic_rpc_handlers((open_inference.methods(self._state),))
        self.port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        await self._server.start()
        log.info("gRPC on %s:%d", host, self.port)

    async def stop(self) -> None:
        """Refuse new calls, and wait for those in flight until the drain timeout. Later calls wait for the first."""
        if self._server is not None:
            await self._server.stop(self._settings.drain_timeout_s)
