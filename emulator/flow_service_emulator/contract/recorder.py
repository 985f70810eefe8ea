"""The recorder: every answered request in a ring, as it came and went, bounded in number and in bytes.

What a request says about the client is counted when it ends (`contract.py`), so that nothing of that is lost with the ring.
Masking and rendering wait until somebody looks: a recorded request costs as little as it can.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.filters import Filters
from flow_service_emulator.contract.rules import Rule
from flow_service_emulator.contract.seen import Finding, Seen
from flow_service_emulator.masking import Masker

MAX_BYTES: Final = 32_000_000
"""Bytes of all requests together; the oldest are dropped for it, as they are for their number."""
MAX_BODY: Final = 16_384
"""Bytes of a body that are kept; of a longer one only its size is."""
FIXED: Final = 1_000
"""Bytes of a request beside its headers and bodies, nearly."""
UNSEEN: Final = ("/__emulator", "/openapi.json", "/favicon.ico")
"""Beginnings of paths that are the emulator's own, or a browser's doing."""
FRONT_DOOR: Final = "/"
"""What a person types who has only been told the address; it leads to the dashboard."""
SHOWN_ANSWER_HEADERS: Final = frozenset((b"allow", b"content-type", b"etag", b"location", b"retry-after"))
log = logging.getLogger("emulator.recorder")


class Answered:
    """What went out as an answer, message by message; of the body nothing unless it is to be recorded (`seen`).

    `began` is when its request came in, in seconds of `Clock.steady`.
    """

    __slots__ = ("began", "headers", "pieces", "seen", "status")

    def __init__(self, began: float, *, seen: bool = True) -> None:
        self.began = began
        self.seen = seen
        self.status = 0
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.pieces: list[bytes] = []

    def note(self, message: Any) -> None:
        """Takes down an ASGI message that was sent."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif self.seen and message["type"] == "http.response.body":
            self.pieces.append(message.get("body", b""))


class Recorded(NamedTuple):
    """A request with its answer, unmasked. `headers` is JSON, `duration` milliseconds.

    All of it is texts, numbers and bytes, which the garbage collector has nothing to look at in.
    """

    number: int
    at: float
    duration: float
    request_id: str
    method: str
    path: str
    query: str
    operation: str | None
    org: str
    sandbox: str
    headers: bytes
    size: int
    body: bytes
    status: int
    answer_headers: tuple[tuple[bytes, bytes], ...]
    answer_size: int
    answer: bytes
    error: str | None
    fault: str | None
    verdict: str
    findings: tuple[Finding, ...]

    @property
    def bytes(self) -> int:
        return len(self.headers) + len(self.body) + len(self.answer) + len(self.path) + len(self.query) + FIXED


class Recorder:
    """The ring. `entries` is how many requests it keeps at most; with 0 it keeps none, and counts them.

    `epoch` tells one life of the ring from the next, as numbers begin again: it is another one after every emptying, reset and
    restored snapshot, and in another server where it begins with a random number.
    """

    def __init__(
        self,
        *,
        masker: Masker,
        contract: Contract,
        clock: Clock,
        entries: int,
        max_bytes: int = MAX_BYTES,
        epoch: int = 0,
    ) -> None:
        self.epoch = epoch
        self.number = 0
        """The number of the newest request, 0 when there was none."""
        self._masker = masker
        self._contract = contract
        self._clock = clock
        self._entries = entries
        self._max_bytes = max_bytes
        self._ring: deque[Recorded] = deque()
        self._bytes = 0

    def answered(self, path: str) -> Answered:
        """What takes down the answer to a request of this path that has just come in."""
        return Answered(self._clock.steady(), seen=not path.startswith(UNSEEN) and path != FRONT_DOOR)

    def record(self, exchange: Exchange, answered: Answered) -> None:
        """Records a request that has been answered. What goes wrong here harms no request."""
        if not answered.seen:
            return
        try:
            pieces = answered.pieces
            answer = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.number += 1
            seen = Seen(exchange, self.number, self._clock.now(), answered.status, answer)
            verdict, findings = self._contract.judge(seen)
            if self._entries:
                self._add(self._recorded(seen, answered, verdict, findings))
        except Exception:
            log.exception("%s %s could not be recorded", exchange.method, exchange.path[:200])

    def reset(self) -> None:
        self.clear()
        self.number = 0

    def clear(self) -> None:
        """Forgets the requests; their numbers go on."""
        self._ring.clear()
        self._bytes = 0
        self.epoch += 1

    @property
    def dropped(self) -> int:
        """How many requests are not in the ring any more."""
        return self.number - len(self._ring)

    def has(self, number: int, request_id: str) -> bool:
        """Whether the request of this number is still there. Numbers may have begun again since: its id decides."""
        index = number - self.dropped - 1
        return 0 <= index < len(self._ring) and self._ring[index].request_id == request_id

    def find(self, filters: Filters) -> list[dict[str, Any]]:
        """The entries looked for, as they may be shown, newest last; of more than `limit` the newest."""
        skipped = max(0, filters.number - self.dropped) if filters.number is not None else 0
        found = [entry for entry in islice(self._ring, skipped, None) if filters.accept(entry)]
        return [self._shown(entry) for entry in (found if filters.limit is None else found[-filters.limit :])]

    def snapshot(self) -> Taken:
        return Taken(self, self.number, list(self._ring))

    def read(self, snapshot: Any) -> tuple[int, list[Recorded]]:
        """The number of the newest request, and the entries. Raises ValueError for what is no snapshot of them."""
        try:
            return int(snapshot["number"]), [_read(entry) for entry in snapshot["entries"]]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise ValueError('an object with "number" and the "entries" of a journal is needed') from None

    def restore(self, read: tuple[int, list[Recorded]]) -> None:
        """Puts a snapshot's requests back, as many as this ring keeps."""
        self.reset()
        self.number, entries = read
        if self._entries:
            for entry in entries:
                self._add(entry)

    def _recorded(self, seen: Seen, answered: Answered, verdict: str, findings: Iterable[Finding]) -> Recorded:
        exchange = seen.exchange
        body, answer = exchange.body, seen.answer
        return Recorded(
            seen.number,
            seen.at,
            (self._clock.steady() - answered.began) * 1000,
            exchange.request_id,
            exchange.method,
            exchange.path,
            exchange.query_string,
            exchange.operation,
            *exchange.scope,
            orjson.dumps(exchange.headers),
            len(body),
            body if len(body) <= MAX_BODY else b"",
            seen.status,
            tuple([header for header in answered.headers if header[0] in SHOWN_ANSWER_HEADERS]),
            len(answer),
            answer if len(answer) <= MAX_BODY else b"",
            exchange.error,
            exchange.fault,
            verdict,
            tuple(findings),
        )

    def _add(self, entry: Recorded) -> None:
        self._ring.append(entry)
        self._bytes += entry.bytes
        while len(self._ring) > self._entries or self._bytes > self._max_bytes:
            self._bytes -= self._ring.popleft().bytes

    def _shown(self, entry: Recorded) -> dict[str, Any]:
        """An entry of the journal, with every secret masked."""
        headers = self._masker.headers(orjson.loads(entry.headers))
        answer_headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in entry.answer_headers}
        return {
            "number": entry.number,
            "at": entry.at,
            "durationMs": round(entry.duration, 3),
            "requestId": entry.request_id,
            "method": entry.method,
            "path": entry.path,
            "query": self._masker.query(entry.path, entry.query),
            "operation": entry.operation,
            "org": entry.org,
            "sandbox": entry.sandbox,
            "request": {"headers": headers, "size": entry.size} | self._body(entry),
            "status": entry.status,
            "answer": {"headers": answer_headers, "size": entry.answer_size} | self._answer(entry),
            "error": entry.error,
            "fault": entry.fault,
            "verdict": entry.verdict,
            "findings": [_told(finding, self._contract.rules[finding.rule]) for finding in entry.findings],
        }

    def _body(self, entry: Recorded) -> dict[str, Any]:
        """What cannot be read cannot be masked: of such a body nothing is shown but its size and the fault."""
        if not entry.size:
            return {}
        if entry.size > MAX_BODY:
            return {"unread": f"longer than {MAX_BODY} bytes"}
        try:
            return {"body": self._masker.body(entry.path, entry.body)}
        except ValueError as reason:
            return {"unread": reason.msg if isinstance(reason, orjson.JSONDecodeError) else "it cannot be read"}

    def _answer(self, entry: Recorded) -> dict[str, Any]:
        """The JSON that was answered; as text what a fault rule cut off."""
        if not entry.answer:
            return {"unread": f"longer than {MAX_BODY} bytes"} if entry.answer_size else {}
        try:
            return {"body": self._masker.answer(entry.operation, orjson.loads(entry.answer))}
        except orjson.JSONDecodeError:
            hidden = self._masker.has_secret_answer(entry.operation)
            return {} if hidden else {"text": entry.answer.decode("utf-8", "replace")}


class Taken:
    """The requests at one moment, for a snapshot."""

    def __init__(self, recorder: Recorder, number: int, entries: list[Recorded]) -> None:
        self._recorder = recorder
        self._number = number
        self._entries = entries

    def pieces(self) -> list[bytes]:
        """As JSON, in pieces. For a thread."""
        pieces = [b'{"number":%d,"entries":[' % self._number]
        for entry in self._entries:
            pieces += (orjson.dumps(self._recorder._shown(entry)), b",")
        if self._entries:
            pieces.pop()
        return [*pieces, b"]}"]


def _told(finding: Finding, rule: Rule) -> dict[str, str]:
    return finding._asdict() | {"severity": rule.severity, "fix": rule.fix}


def _read(entry: Mapping[str, Any]) -> Recorded:
    """A request of a snapshot. What was masked stays masked."""
    request, answer = entry["request"], entry["answer"]
    return Recorded(
        entry["number"],
        entry["at"],
        entry["durationMs"],
        entry["requestId"],
        entry["method"],
        entry["path"],
        entry["query"],
        entry["operation"],
        entry["org"],
        entry["sandbox"],
        orjson.dumps(request["headers"]),
        request["size"],
        orjson.dumps(request["body"]) if "body" in request else b"",
        entry["status"],
        tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"].items()),
        answer["size"],
        orjson.dumps(answer["body"]) if "body" in answer else answer.get("text", "").encode(),
        entry["error"],
        entry["fault"],
        entry["verdict"],
        tuple(Finding(each["rule"], each["place"], each["message"], each["kind"]) for each in entry["findings"]),
    )
