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
from flow_service_emulator.contract.beginnings import beginning
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.journal import MAX_BODY, Journal
from flow_service_emulator.contract.masking import MAX_READ, Masker
from flow_service_emulator.contract.sighting import Sighting
from flow_service_emulator.masking.hiding import hide

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
PUBLIC: Final = frozenset(
    {"listConfigs", "list:connectionSpecs", "get:connectionSpecs", "list:flowSpecs", "get:flowSpecs"}
)
"""Operations that show what everybody may look up."""
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
        self.wary = True
        """Whether a stored entity may have a secret where it is shown. As long as none has, look-ups and lists need no search."""

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
            headers=masker.headers.masked(exchange.headers),
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
        secrets = self._read_body(seen) if exchange.body else []
        of_body = secrets.copy() if seen.body_json else None
        if exchange.query_string:
            seen.query = masker.query(exchange, secrets)
        if exchange.error is not None or exchange.query_string or exchange.body:
            # of other requests nothing is told but what the emulator itself gave to the client
            seen.told = lambda text: self._told(text, seen, of_body)
        if exchange.error is not None:
            secrets += masker.headers.secrets(exchange.headers) + masker.secrets(exchange, of_body)
            seen.path = hide(masker.text(exchange.path, secrets), secrets)
            seen.refusal = hide(exchange.answer, secrets)
            fields = {name: str(value) for name, value in (exchange.error_fields or {}).items()}
            seen.fields = masker.without_quoted_secrets(hide(fields, secrets))
        if seen.answer:
            seen.answer = self._masked_answer(seen, secrets)
        return seen

    def _told(self, text: str, seen: Sighting, of_body: list[str] | None) -> str:
        text = hide(text, self._masker.secrets(seen.exchange, of_body))
        # of a long body not every secret is known
        shown: str = self._masker.without_quoted_secrets(text) if seen.size > MAX_READ else text
        return shown

    def _masked_answer(self, seen: Sighting, secrets: list[str]) -> bytes:
        """The answer as it went out, masked; nothing of one that a fault rule cut off before it could be read."""
        exchange = seen.exchange
        if exchange.error is not None and exchange.fault is None:
            return orjson.dumps(seen.refusal)
        shows_entities = _shows_entities(exchange)
        if exchange.error is None and (exchange.operation in PUBLIC or (shows_entities and not self.wary)):
            return seen.answer
        masked = self._masker.stored if shows_entities else self._masker.answer
        whole, brackets = beginning(seen.answer) if seen.cut_from else (seen.answer, b"")
        try:
            answer = masked(whole + brackets)
            if seen.cut_from:
                return answer.removesuffix(brackets)
            return orjson.dumps(hide(orjson.loads(answer), secrets)) if exchange.error is not None else answer
        except orjson.JSONDecodeError:
            return b""

    def _read_body(self, seen: Sighting) -> list[str]:
        """Masks the request's body; answers the secrets that were in it."""
        exchange = seen.exchange
        if seen.size > MAX_READ:
            seen.unread = f"longer than {MAX_READ} bytes"
            self.wary = True
            return []
        try:
            masked = self._masker.request_body(exchange)
        except (ValueError, RecursionError) as reason:
            # what cannot be read cannot be masked: of such a body nothing but its size and the fault is kept
            seen.unread = reason.msg if isinstance(reason, orjson.JSONDecodeError) else "it cannot be read"
            return []
        seen.body, seen.body_json, seen.betrayed = masked.value, masked.encoded, masked.betrayed
        self.wary |= masked.misplaced
        return masked.secrets


def _shows_entities(exchange: Exchange) -> bool:
    return (exchange.operation or "").startswith(("get:", "list:"))
