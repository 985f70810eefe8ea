"""What is noted of every answered request: secrets are masked, the contract judges, the journal writes it down.

Answered requests wait a moment, so that several can be noted together: noted one by one they cost twice as much, since the
code and data for it would have left the processor's caches in between. The wait ends as soon as anybody could look, with
the next control call, and after WAIT_SECONDS at the latest; so long, and no longer, a secret is in memory as it came. What
is kept, in the journal, in the report and in snapshots, never had one in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

import orjson

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.journal import MAX_BODY, Journal
from flow_service_emulator.contract.sighting import Sighting
from flow_service_emulator.masking import Masker, replaced

MAX_WAITING: Final = 32
"""Requests that are noted together at most."""
MAX_WAITING_BYTES: Final = 1_000_000
"""Bytes of their bodies and answers, on which they are noted at once."""
WAIT_SECONDS: Final = 0.05
SHOWN_ANSWER_HEADERS: Final = frozenset((b"allow", b"content-type", b"etag", b"location", b"retry-after"))
UNSEEN: Final = ("/__emulator", "/openapi.json", "/favicon.ico")
"""Beginnings of paths that are the emulator's own, or a browser's doing."""
FRONT_DOOR: Final = "/"
"""What a person types who has only been told the address; it leads to the page."""
MAX_READ: Final = 65_536
"""A longer request body is not shown: reading it twice would hold up others."""
_LINKS: Final = b'],"_links":'
"""What follows the entities of a list."""
log = logging.getLogger("emulator.witness")


class Answered:
    """What went out as an answer, message by message; of the body nothing unless `whole`."""

    __slots__ = ("headers", "pieces", "status", "whole")

    def __init__(self, *, whole: bool = True) -> None:
        self.whole = whole
        self.status = 0
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.pieces: list[bytes] = []

    def note(self, message: Any) -> None:
        """Takes down an ASGI message that was sent."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif self.whole and message["type"] == "http.response.body":
            self.pieces.append(message.get("body", b""))

    @property
    def body(self) -> bytes:
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def beginning(self, size: int) -> bytes:
        """The body's first `size` bytes."""
        taken = bytearray()
        for piece in self.pieces:
            taken += piece[: size - len(taken)]
        return bytes(taken)

    def end(self, mark: bytes) -> bytes:
        """What the body has from the last `mark` on; all of its last two pieces where they have none."""
        last = b"".join([piece for piece in self.pieces if piece][-2:])
        return last[max(0, last.rfind(mark)) :]


class Witness:
    """Sees every request after its answer. Whatever goes wrong here is logged and harms no request."""

    def __init__(self, *, masker: Masker, contract: Contract, journal: Journal, clock: Clock) -> None:
        self._masker = masker
        self._contract = contract
        self._journal = journal
        self._clock = clock
        self._waiting: list[tuple[Exchange, Answered, float, float, float]] = []
        self._bytes = 0

    def sees(self, path: str) -> bool:
        """Whether requests of this path are noted."""
        return not path.startswith(UNSEEN) and path != FRONT_DOOR

    def steady(self) -> float:
        """Now, as `note` wants to know it of a request's beginning."""
        return self._clock.steady()

    def note(self, exchange: Exchange, answered: Answered, began: float) -> None:
        """Notes a request that came in at `began` (seconds of `Clock.steady`) and has been answered, in a moment.

        To be called on the event loop.
        """
        self._waiting.append((exchange, answered, self._clock.now(), self._clock.steady(), began))
        self._bytes += len(exchange.body) + sum(map(len, answered.pieces))
        if len(self._waiting) >= MAX_WAITING or self._bytes > MAX_WAITING_BYTES:
            self.flush()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(WAIT_SECONDS, self.flush)

    def flush(self) -> None:
        """Notes the requests that wait; to be called before anybody looks at the journal, the contract or a snapshot."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for exchange, answered, at, steady, began in waiting:
            try:
                seen = self._sighting(exchange, answered, at, steady, began)
                verdict, findings = self._contract.judge(seen)
                self._journal.add(seen, verdict, findings)
            except Exception:
                log.exception("%s %s could not be noted in the journal", exchange.method, exchange.path[:200])

    def _sighting(self, exchange: Exchange, answered: Answered, at: float, steady: float, began: float) -> Sighting:
        masker = self._masker
        seen = Sighting(
            number=self._journal.next_number(),
            exchange=exchange,
            at=at,
            steady=steady,
            duration=(steady - began) * 1000,
            status=answered.status,
            path=exchange.path,
            query="",
            headers=masker.headers(exchange.headers),
            answer=b"",
            answer_headers={
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in answered.headers
                if name in SHOWN_ANSWER_HEADERS
            },
            size=len(exchange.body),
        )
        if exchange.error is None and _shows_entities(exchange) and (size := answered.size) > MAX_BODY:
            # a hundred large entities would be masked for seconds, and all that is kept of them is this
            seen.answer, seen.cut_from, seen.end = answered.beginning(MAX_BODY), size, answered.end(_LINKS)
        else:
            seen.answer = answered.body
        if exchange.body:
            self._read_body(seen)
        if exchange.query_string:
            seen.query = masker.query(exchange.path, exchange.query_string)
        if exchange.error is not None:
            secrets = masker.secrets(exchange.path, exchange.query_string, exchange.headers, exchange.body)
            seen.path = replaced(exchange.path, secrets)
            seen.refusal = exchange.answer
            fields = {name: str(value) for name, value in (exchange.error_fields or {}).items()}
            seen.fields = replaced(fields, secrets)
        elif seen.answer and masker.has_secret_answer(exchange.operation):
            seen.answer = self._masked_answer(seen)
        return seen

    def _masked_answer(self, seen: Sighting) -> bytes:
        """Nothing of an answer that a fault rule cut off before it could be read."""
        try:
            return orjson.dumps(self._masker.answer(seen.exchange.operation, orjson.loads(seen.answer)))
        except orjson.JSONDecodeError:
            return b""

    def _read_body(self, seen: Sighting) -> None:
        """Masks the request's body."""
        exchange = seen.exchange
        if seen.size > MAX_READ:
            seen.unread = f"longer than {MAX_READ} bytes"
            return
        try:
            seen.body = self._masker.body(exchange.path, exchange.body)
            seen.body_json = orjson.dumps(seen.body)
        except (ValueError, RecursionError) as reason:
            # what cannot be read cannot be masked: of such a body nothing but its size and the fault is kept
            seen.unread = reason.msg if isinstance(reason, orjson.JSONDecodeError) else "it cannot be read"


def _shows_entities(exchange: Exchange) -> bool:
    return (exchange.operation or "").startswith(("get:", "list:"))
