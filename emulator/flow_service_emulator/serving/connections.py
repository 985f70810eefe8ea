"""uvicorn's HTTP protocol, lending each request the connection that it came in on, and ending connections that only take room.

uvicorn gives an application no way to its transport. Its protocol class can be chosen, though (`http=` of `uvicorn.Config`),
and it hands the lifespan's state to every request; the connection travels in that state, for faults that end connections.

uvicorn limits neither the time that a request's head may take nor the number of connections. So the server looks at all of
them about once a second: one at which nothing has changed for too long, although something is due, is ended.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from flow_service_emulator.serving.injection import CONNECTION
from flow_service_emulator.serving.reception import RECEPTION, RETRY_SECONDS, Reception

READ_BYTES: Final = 16 << 10
"""How much is read from a connection before others get their turn. What is read is parsed at once, and 256 KB of chunks of a
byte each, or of trailers, which asyncio would read, hold everybody else up for a third of a second."""
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`: on, for 0 seconds. Closing a socket then drops what is unsent and sends RST instead of FIN."""


LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 1 << 20
"""How long, and for how much of what a client goes on sending, a connection stays open after what it sent was refused. The
system drops an answer that is under way when a connection is closed on bytes that nobody has read."""
MAX_HEAD_BYTES: Final = 16 << 10
"""From how many bytes on a request's head is refused, once it has not come whole; h11's own default."""

_NO_HTTP: Final = b"Bad Request", b"Invalid HTTP request received.\n"
_LINE_TOO_LONG: Final = b"URI Too Long", b"The request's path and query are too long.\n"
_HEAD_TOO_LONG: Final = b"Request Header Fields Too Large", b"The request's headers are too long.\n"
_TOO_SLOW: Final = b"Request Timeout", b"The request's head did not come in time.\n"
_TOO_MANY: Final = b"Service Unavailable", b"There are too many connections; please try again.\n"


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
    """uvicorn's protocol on h11, with `CONNECTION` and `RECEPTION` in the state of its requests, and an eye on the time.

    Not on httptools, where that is installed: it is a third faster, but keeps a request's headers however many they are.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: Any = None,
        *,
        reception: Reception,
    ) -> None:
        self._lent = TcpConnection()
        self._limits = reception.limits
        super().__init__(config, server_state, {**app_state, CONNECTION: self._lent, RECEPTION: reception}, _loop)
        self._seen: Any = None
        self._unread_after_refusal = LINGER_BYTES
        self.unchanged_since = self.loop.time()
        """When (seconds of the event loop) `look` first saw it as it is now."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        if hasattr(transport, "max_size"):  # asyncio's own, not uvloop's
            transport.max_size = READ_BYTES
        joining: Any = JoiningTransport(transport)
        self._lent.transport = joining
        super().connection_made(joining)
        if len(self.connections) > self._limits.connections and not end_longest_idle(self.connections, but=self):
            self._refuse(503, *_TOO_MANY, retry_after=RETRY_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is not h11.ERROR:
            super().data_received(data)
            return
        self._unread_after_refusal -= len(data)
        if self._unread_after_refusal < 0:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, or has too long a head, and gives the client time to fetch that."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the handler that waits for the rest of the body
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # in the middle of an answer
            return
        head, _ = self.conn.trailing_data
        if self.conn.our_state is h11.SEND_RESPONSE or len(head) <= MAX_HEAD_BYTES:
            self._refuse(400, *_NO_HTTP, linger=True)
        elif b"\n" in head:
            self._refuse(431, *_HEAD_TOO_LONG, linger=True)
        else:
            self._refuse(414, *_LINE_TOO_LONG, linger=True)

    @property
    def idle(self) -> bool:
        """Whether no request is being read or dealt with; the beginning of a head may be there."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.conn.their_state is h11.IDLE and not self.transport.is_closing()

    @property
    def unread_bytes(self) -> int:
        """How much of its answers has been written and not fetched."""
        return self.transport.get_write_buffer_size()

    def look(self, now: float) -> None:
        """Ends the connection when nothing has changed at it for too long. `now` is the event loop's time in seconds."""
        head_begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        seen = self.conn.their_state, self.cycle, head_begun, self.unread_bytes
        if seen != self._seen:
            self._seen, self.unchanged_since = seen, now
        elif now - self.unchanged_since < self._limits.seconds:
            return
        elif self.unread_bytes:
            self.transport.abort()
        elif self.idle and head_begun:
            self._refuse(408, *_TOO_SLOW)
        elif self.cycle is None:
            self.transport.close()  # it never brought a request
        elif self.cycle.response_complete and not self.idle:
            self.transport.close()  # it goes on with a body whose request has been answered
        # one that is merely kept alive is uvicorn's to end, and while a request is dealt with it may take its time

    def _refuse(
        self, status: int, phrase: bytes, reason: bytes, *, retry_after: int | None = None, linger: bool = False
    ) -> None:
        """Answers what no application has seen, and closes the connection, a little later for a client that is still sending."""
        again = b"" if retry_after is None else b"retry-after: %d\r\n" % retry_after
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nconnection: close\r\n%bcontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
            % (status, phrase, again, len(reason), reason)
        )
        if linger:
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


def look_at(connections: Iterable[LendingProtocol], now: float, unread_bytes: int) -> None:
    """Ends the connections that only take room. To be called about once a second, `now` in seconds of the event loop.

    While answers of more than `unread_bytes` have been written and not fetched, those connections go whose client
    has fetched nothing since the last look.
    """
    there = list(connections)
    for connection in there:
        connection.look(now)
    unread = sum(connection.unread_bytes for connection in there)
    for connection in sorted(there, key=lambda each: each.unread_bytes, reverse=True):
        if unread <= unread_bytes:
            break
        if connection.unchanged_since < now:
            unread -= connection.unread_bytes
            connection.transport.abort()


def end_longest_idle(connections: Iterable[Any], *, but: LendingProtocol) -> bool:
    """Closes the connection that has been without a request for longest; False where none is without one."""
    idle = [connection for connection in connections if connection is not but and connection.idle]
    if not idle:
        return False
    min(idle, key=lambda connection: connection.unchanged_since).transport.close()
    return True
