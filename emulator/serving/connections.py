"""uvicorn's HTTP protocol, lending each request the connection that it came in on, for faults that end connections.

uvicorn gives an application no way to its transport. Its protocol class can be chosen, though (`http=` of `uvicorn.Config`),
and it hands the lifespan's state to every request; the connection travels in that state.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from emulator.serving.injection import CONNECTION

READ_BYTES: Final = 16 << 10
"""How much is read from a connection before others get their turn. What is read is parsed at once, and 256 KB of chunks of a
byte each, or of trailers, which asyncio would read, hold everybody else up for a third of a second."""
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`: on, for 0 seconds. Closing a socket then drops what is unsent and sends RST instead of FIN."""


class TcpConnection:
    """A connection as `emulator.injection` wants it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def reset(self) -> None:
        """Drops the connection at once: the client gets a TCP reset."""
        if self.transport is None:
            return
        opened = self.transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def close(self) -> None:
        """Closes the connection once everything that was written has gone out."""
        if self.transport is not None:
            self.transport.close()


class JoiningTransport:
    """A transport that sends an answer's head together with what is written right after it, in one packet.

    uvicorn writes head and body apart, which costs a system call each. A head that nothing follows is sent in the event
    loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(b"HTTP/"):
            self._head = data
            self._loop.call_soon(self._release)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._release()
        self._transport.close()

    def abort(self) -> None:
        self._release()
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _release(self) -> None:
        if self._head:
            self.write(b"")


class LendingProtocol(H11Protocol):
    """uvicorn's protocol on h11, and `CONNECTION` in the state of its requests.

    Not on httptools, where that is installed: it is a third faster, but keeps a request's headers however many they are.
    """

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._lent = TcpConnection()
        super().__init__(config, server_state, {**app_state, CONNECTION: self._lent}, _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        if hasattr(transport, "max_size"):  # asyncio's own, not uvloop's
            transport.max_size = READ_BYTES
        joining: Any = JoiningTransport(transport)
        self._lent.transport = joining
        super().connection_made(joining)
