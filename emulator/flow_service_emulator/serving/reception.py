"""What a server takes in at once and how long it waits for it: the bounds, and how a request's body is read within them."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from starlette.types import Receive

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.serving.injection import ConnectionEnded
from flow_service_emulator.settings import MAX_CONTROL_BYTES

RECEPTION: Final = "emulator.reception"
"""Under which key of the scope's state a server lends its `Reception`."""
MAX_DRAINED_BYTES: Final = 16_000_000
"""How much of a body that is refused is read and thrown away, so that the client gets to read the answer."""
_BLOCK_BYTES: Final = 65_536
RETRY_SECONDS: Final = 1
"""After how long a client may try again for which there was no room."""


class Limits(NamedTuple):
    """The bounds. No client in good order comes near them."""

    seconds: float = 30.0
    """How long a request's head may take, a body beyond what its size allows, and an answer that nothing is fetched of."""
    bytes_per_second: float = 100_000.0
    """The pace at which a body has to come in, once its first `seconds` are over."""
    body_bytes: int = MAX_CONTROL_BYTES + 64_000_000
    """All bodies at a time: one of the largest, and many of the usual size."""
    unread_bytes: int = 256_000_000
    """All answers at a time that have been written and not fetched."""
    connections: int = 1_000


class Reception:
    """Reads bodies, and keeps count of the room that those take which are coming in or being dealt with."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._taken = 0

    async def read(self, receive: Receive, limit: int, *, announced: bool) -> bytes:
        """The whole body, of `limit` bytes at most. Its room is taken until `release` is told its size.

        `announced` is whether the request's head says that there is a body; only such a one can be slow. Raises
        `body-too-large`, `server-busy` where there is no room for it, `request-timeout`, and ConnectionEnded when the client
        goes away before its end.
        """
        body = _Body(self, limit)
        try:
            if not announced:
                while await body.grows(receive):
                    pass
                return body.whole()
            async with asyncio.timeout(self.limits.seconds) as patience:
                end, counted = asyncio.get_running_loop().time() + self.limits.seconds, 0
                while await body.grows(receive):
                    if body.size - counted >= self.limits.bytes_per_second:  # not for every small piece
                        counted = body.size
                        patience.reschedule(end + counted / self.limits.bytes_per_second)
            return body.whole()
        except BaseException as reason:
            body.drop()
            if isinstance(reason, TimeoutError):
                raise ServiceError("request-timeout", headers={"Connection": "close"}, received=body.size) from None
            raise

    def take(self, size: int) -> bool:
        """Takes room for so many bytes of a body, if there is that much."""
        if self._taken + size > self.limits.body_bytes:
            return False
        self._taken += size
        return True

    def release(self, size: int) -> None:
        """Gives back the room of so many bytes."""
        self._taken -= size


class _Body:
    """A body on its way in. Of one that is refused nothing is kept; its rest is read for a while and thrown away.

    It is kept in blocks of about one size: pieces of a byte each, kept one by one, would need fifty times the room, and
    many bodies that grow in one block each leave holes of all sizes in memory.
    """

    __slots__ = ("_block", "_blocks", "_kept", "_limit", "_reception", "_refused", "_refused_at", "_unfinished", "size")

    def __init__(self, reception: Reception, limit: int) -> None:
        self.size = 0
        self._reception = reception
        self._limit = limit
        self._blocks: list[bytes | bytearray] = []
        self._block: bytes | bytearray = b""
        self._kept = 0
        self._refused = ""
        self._refused_at = 0
        self._unfinished = False

    async def grows(self, receive: Receive) -> bool:
        """Takes the next piece in; answers whether to go on. Raises ConnectionEnded."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionEnded
        self._add(message.get("body", b""))
        more: bool = message.get("more_body", False)
        if more and self._refused and self.size > self._refused_at + MAX_DRAINED_BYTES:
            self._unfinished = True
            return False
        return more

    def whole(self) -> bytes:
        """The body. Raises the reason why it is refused."""
        if self._refused:
            headers = {"Connection": "close"} if self._unfinished else {}
            if self._refused == "server-busy":
                headers["Retry-After"] = str(RETRY_SECONDS)
            raise ServiceError(self._refused, headers=headers, limit=self._limit)
        return b"".join((*self._blocks, self._block)) if self._blocks else bytes(self._block)

    def drop(self) -> None:
        """Lets go of what is kept."""
        self._reception.release(self._kept)
        self._blocks, self._block, self._kept = [], b"", 0

    def _add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._refused or not piece:
            return
        if self.size > self._limit:
            self._refuse("body-too-large")
        elif not self._reception.take(len(piece)):
            self._refuse("server-busy")
        else:
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self._kept += len(piece)
        if not self._block:
            self._block = piece
        else:
            if not isinstance(self._block, bytearray):
                self._block = bytearray(self._block)
            self._block += piece
        if len(self._block) >= _BLOCK_BYTES:
            self._blocks.append(self._block)
            self._block = b""

    def _refuse(self, name: str) -> None:
        self._refused, self._refused_at = name, self.size
        self.drop()
