"""Listening sockets: bind them with clear errors, and close them without resetting connections."""

import ctypes
import errno
import socket
import struct

SO_ATTACH_FILTER = 26
"""An option of Linux that the socket module lacks."""
DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # if only SYN is set:
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else accept it
)
"""A classic BPF program. Each instruction is (code, jump if true, jump if false, constant)."""


class CannotBind(Exception):
    """The address cannot be used. The message names the setting."""


def bind(count: int, host: str, port: int, setting: str = "LIMELIGHT_PORT") -> list[socket.socket]:
    """Bind sockets to one address, without listening. Port 0 is any free port.

    Raises CannotBind with the name of the setting.
    """
    sockets: list[socket.socket] = []
    try:
        family, address = _resolve(host)
        for _ in range(count):
            sock = socket.socket(family)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if len(sockets) > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((address, port))
            if count > 1:
                # The first socket binds without it, which fails if another program has the port.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            port = sock.getsockname()[1]
    except (OSError, UnicodeError) as error:
        for sock in sockets:
            sock.close()
        raise cannot_bind(host, port, error, setting) from None
    return sockets


def reserve(host: str, port: int, setting: str) -> socket.socket:
    """Bind a socket that never listens: only sockets with SO_REUSEPORT can have its address. Raises CannotBind."""
    [sock] = bind(1, host, port, setting)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def cannot_bind(host: str, port: int, error: OSError | UnicodeError, setting: str = "LIMELIGHT_PORT") -> CannotBind:
    """Return an error that names the setting to change."""
    of_host = isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL
    shown = f"LIMELIGHT_HOST={host}" if of_host else f"{setting}={port}"
    reason = "no valid name" if isinstance(error, UnicodeError) else error.strerror
    return CannotBind(f"{shown}: {address_of(host, port)}: {reason}")


def address_of(host: str, port: int) -> str:
    """Return host and port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def refuse_new_connections(sock: socket.socket) -> bool:
    """Drop the first packet of new connections. Connections that are already established can still be accepted.

    To close a listening socket resets the connections in its queue. If the queue is emptied after this call, a
    connection is either accepted or refused: the client repeats the dropped packet after a second, when the socket
    is closed. Returns False if the system has no socket filters.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in DROP_SYN))
    try:
        sock.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(DROP_SYN), ctypes.addressof(program))
        )
    except OSError:
        return False
    return True


def _resolve(host: str) -> tuple[socket.AddressFamily, str]:
    """Return family and address of a host, IPv4 first. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, str(address[0])
