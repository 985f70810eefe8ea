"""The recorder: every answered request in a ring, as it came and went, bounded in number and in bytes.

What a request says about the client is counted when it ends (`contract.py`), so that nothing of that is lost with the ring.
Masking and rendering wait until somebody looks: a recorded request costs as little as it can.
"""

from __future__ import annotations

import logging
import marshal
from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import islice
from operator import attrgetter
from typing import Any, Final

import orjson

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.masking import SECRET_ANSWERS, Masker
from flow_service_emulator.validation.validation import Finding

MAX_BYTES: Final = 32_000_000
"""Bytes of all requests together; the oldest are dropped for it, as they are for their number."""
MAX_BODY: Final = 32_768
"""Bytes of a body that are stored; of a longer one only its size is."""
SHOWN_ANSWER_HEADERS: Final = frozenset(("allow", "content-type", "etag", "location", "retry-after"))
SENT_HEADERS: Final = ("authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name", "content-type", "if-match")
"""Headers that say how a request was meant."""
FIELDS: Final = {
    "number": "number", "at": "at", "durationMs": "duration", "requestId": "request_id", "method": "method", "path": "path",
    "query": "query_string", "operation": "operation", "scope": "scope", "request": "headers", "status": "status",
    "answer": "answer_headers", "sizes": "sizes", "error": "error", "hint": "hint", "fault": "fault", "verdict": "verdict",
}  # fmt: skip
"""What is stored of an Exchange beside its findings and the bodies: name in the journal -> field."""
Entry = dict[str, Any]
MAX_SENT: Final = 2_000
"""Characters of a request that a report shows beside what was found in it."""
log = logging.getLogger("emulator.recorder")
_fields = attrgetter(*FIELDS.values())


class Recorder:
    """The ring. `entries` is how many requests it keeps at most; with 0 it keeps none, and counts them.

    `epoch` tells one life of the ring from the next, as numbers begin again: it is another one after every emptying, reset and
    restored snapshot, and in another server where it begins with a random number.
    """

    def __init__(
        self, *, masker: Masker, contract: Contract, clock: Clock, entries: int, max_bytes: int = MAX_BYTES, epoch: int = 0
    ) -> None:  # fmt: skip
        self.epoch = epoch
        self.number = 0
        """The number of the newest request, 0 when there was none."""
        self.verdicts: Counter[str] = Counter()
        """How many of all requests there were of each verdict, whatever the ring and the report still have of them."""
        self._masker = masker
        self._contract = contract
        self._clock = clock
        self._entries = entries
        self._max_bytes = max_bytes
        self._ring: deque[bytes] = deque()
        self._bytes = 0

    def record(self, exchange: Exchange) -> None:
        """Records a request that has been answered. What goes wrong here harms no request."""
        if not exchange.seen:
            return
        try:
            self.number += 1
            exchange.number, exchange.at = self.number, self._clock.now()
            exchange.duration = round((self._clock.steady() - exchange.began) * 1000, 3)
            exchange.sizes = len(exchange.body), len(exchange.answer)
            exchange.verdict, exchange.findings = self._contract.judge(exchange)
            self.verdicts[exchange.verdict] += 1
            if self._entries:
                self._add(_packed(exchange))
        except Exception:
            log.exception("%s %s could not be recorded", exchange.method, exchange.path[:200])

    def clear(self) -> None:
        """Forgets the requests; their numbers go on."""
        self._ring.clear()
        self._bytes = 0
        self.epoch += 1

    @property
    def dropped(self) -> int:
        """How many requests are not in the ring any more."""
        return self.number - len(self._ring)

    def find(
        self, accept: Callable[[Mapping[str, Any]], bool] = bool, *, after: int = 0, limit: int = 0, text: str = ""
    ) -> list[Entry]:
        """The entries after a number that are accepted, as they may be shown, newest last; of more than `limit` the newest.

        They have `text` in their target or in a body.
        """
        later = map(_unpacked, islice(self._ring, max(0, after - self.dropped), None))
        found = [each for each in later if _has(*each, text) and accept(each[0])]
        return [self._shown(*each) for each in found[-limit if limit else 0 :]]

    def sent(self, number: int, request_id: str) -> str:
        """What a request sent, as a report may show it; empty when it is not there any more.

        Numbers may have begun again since: its id decides.
        """
        index = number - self.dropped - 1
        if not 0 <= index < len(self._ring):
            return ""
        entry = self._shown(*_unpacked(self._ring[index]))
        if entry["requestId"] != request_id:
            return ""
        request, query = entry["request"], f"?{entry['query']}" if entry["query"] else ""
        headers = [f"{name}: {value}" for name, value in request["headers"].items() if name in SENT_HEADERS]
        body = orjson.dumps(request["body"], option=orjson.OPT_INDENT_2).decode() if "body" in request else ""
        lines = [f"{entry['method']} {entry['path']}{query}", *headers, *(["", body] if body else [])]
        return "\n".join(lines)[:MAX_SENT]

    def snapshot(self) -> Callable[[], list[bytes]]:
        """What makes the JSON of the requests as they are now, in pieces, with every secret masked. For a thread."""
        number, verdicts, ring = self.number, dict(self.verdicts), list(self._ring)

        def pieces() -> list[bytes]:
            head = b'{"number":%d,"verdicts":%b,"entries":[' % (number, orjson.dumps(verdicts))
            shown = (orjson.dumps(self._shown(*_unpacked(packed))) for packed in ring)
            return [head, b",".join(shown), b"]}"]

        return pieces

    def read(self, snapshot: Any) -> tuple[int, Counter[str], list[bytes]]:
        """The number of the newest request, the verdicts, and the entries."""
        entries = [_read(entry) for entry in snapshot["entries"]]
        return int(snapshot["number"]), Counter(snapshot["verdicts"]), entries

    def restore(self, read: tuple[int, Counter[str], list[bytes]]) -> None:
        """Puts a snapshot's requests back, as many as this ring keeps."""
        self.clear()
        self.number, self.verdicts, ring = read
        if self._entries:
            for packed in ring:
                self._add(packed)

    def _add(self, packed: bytes) -> None:
        self._ring.append(packed)
        self._bytes += len(packed)
        while len(self._ring) > self._entries or self._bytes > self._max_bytes:
            self._bytes -= len(self._ring.popleft())

    def _shown(self, entry: Entry, body: bytes, answered: bytes) -> Entry:
        """An entry of the journal, with every secret masked."""
        masker, request, answer = self._masker, entry["request"], entry["answer"]
        path, operation = entry["path"], entry["operation"]
        request["headers"] = masker.headers(request["headers"])
        entry["query"] = masker.query(path, entry["query"])
        if request["size"]:
            try:
                request["body"] = masker.body(path, body)
            except ValueError as reason:  # what cannot be read cannot be masked: nothing of it is shown
                request["unread"] = _unread(request["size"], reason)
        if answer["size"]:
            try:
                answer["body"] = masker.answer(operation, orjson.loads(answered))
            except ValueError as reason:
                if answered and operation not in SECRET_ANSWERS:  # a fault rule cut it off
                    answer["text"] = answered.decode("utf-8", "replace")
                else:
                    answer["unread"] = _unread(answer["size"], reason)
        for finding in entry["findings"]:
            rule = self._contract.rules[finding["rule"]]
            finding |= {"severity": rule["severity"], "fix": finding["fix"] or rule["fix"]}
        return entry


def _packed(exchange: Exchange) -> bytes:
    """A request in one piece: as objects, it would take twice the memory, and dropping it as long as answering it did."""
    fields = (*_fields(exchange), [tuple(finding) for finding in exchange.findings])
    return marshal.dumps((fields, _stored(exchange.body), _stored(exchange.answer)))


def _stored(body: bytes) -> bytes:
    return body if len(body) <= MAX_BODY else b""


def _unpacked(packed: bytes) -> tuple[Entry, bytes, bytes]:
    """The entry of the journal without the two bodies, and with the values of all headers; and the bodies."""
    fields, body, answered = marshal.loads(packed)
    if isinstance(fields, dict):  # from a snapshot
        return fields, body, answered
    *most, findings = fields
    entry = dict(zip(FIELDS, most, strict=True))
    entry["org"], entry["sandbox"] = entry.pop("scope")
    size, answer_size = entry.pop("sizes")
    headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in entry["answer"])
    shown = {name: value for name, value in headers if name in SHOWN_ANSWER_HEADERS}
    entry |= {"request": {"headers": entry["request"], "size": size}, "answer": {"headers": shown, "size": answer_size}}
    entry["findings"] = [dict(zip(Finding._fields, finding, strict=True)) for finding in findings]
    return entry, body, answered


def _read(entry: Mapping[str, Any]) -> bytes:
    """A request of a snapshot. What was masked stays masked."""
    bodies, heads = [], {}
    for name in ("request", "answer"):
        part = entry[name]
        bodies.append(orjson.dumps(part["body"]) if "body" in part else part.get("text", "").encode())
        heads[name] = {"headers": part["headers"], "size": part["size"]}
    return marshal.dumps(({**entry, **heads}, *bodies))


def _has(entry: Entry, body: bytes, answered: bytes, text: str) -> bool:
    """Whether a text stands in the target or in one of the bodies."""
    return text in f"{entry['path']}?{entry['query']}" or text.encode() in body or text.encode() in answered


def _unread(size: int, reason: ValueError) -> str:
    if size > MAX_BODY:
        return f"longer than {MAX_BODY} bytes"
    return reason.msg if isinstance(reason, orjson.JSONDecodeError) else "it cannot be read"
