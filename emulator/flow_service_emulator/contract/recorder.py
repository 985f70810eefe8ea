"""The recorder: every answered request in a ring, as it came and went, bounded in number and in bytes.

What a request says about the client is counted when it ends (`contract.py`), so that nothing of that is lost with the ring.
Masking and rendering wait until somebody looks: a recorded request costs as little as it can.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson
from starlette.types import Send

from flow_service_emulator.api.exchange import Answered, Exchange, Finding
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.hints import header
from flow_service_emulator.contract.judge import Seen
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.masking import SECRET_ANSWERS, Masker, replaced

MAX_BYTES: Final = 32_000_000
"""Bytes of all requests together; the oldest are dropped for it, as they are for their number."""
MAX_BODY: Final = 32_768
"""Bytes of a body that are stored; of a longer one only its size is."""
UNSEEN: Final = ("/__emulator", "/openapi.json", "/favicon.ico")
"""Beginnings of paths that are the emulator's own, or a browser's doing."""
FRONT_DOOR: Final = "/"
"""What a person types who has only been told the address; it leads to the dashboard."""
SHOWN_ANSWER_HEADERS: Final = frozenset((b"allow", b"content-type", b"etag", b"location", b"retry-after"))
SENT_HEADERS: Final = ("authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name", "content-type", "if-match")
"""Headers that say how a request was meant."""
MAX_SENT: Final = 2_000
"""Characters of a request that a report shows beside what was found in it."""
log = logging.getLogger("emulator.recorder")


class Recorded(NamedTuple):
    """A request with its answer, unmasked; bytes only, which the garbage collector has nothing to look at in.

    `head` is the entry of the journal as JSON, without the two bodies and with the values of all headers.
    """

    head: bytes
    body: bytes
    answer: bytes


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
        self._ring: deque[Recorded] = deque()
        self._bytes = 0

    def answered(self, path: str, send: Send) -> Answered:
        """What takes down the answer to a request of this path that has just come in."""
        return Answered(send, self._clock.steady(), seen=not path.startswith(UNSEEN) and path != FRONT_DOOR)

    def explain(
        self, exchange: Exchange, error: ServiceError, answer: Mapping[str, Any], secrets: Sequence[str]
    ) -> None:
        """Notes what a refusal says about the client, and the hint, without these secrets."""
        findings, line = self._contract.explain(exchange, error, answer)
        exchange.findings = [Finding(*replaced(list(finding), secrets)) for finding in findings]
        exchange.hint = header(replaced(line, secrets))

    def record(self, exchange: Exchange, answered: Answered) -> None:
        """Records a request that has been answered. What goes wrong here harms no request."""
        if not answered.seen:
            return
        try:
            self.number += 1
            seen = Seen(exchange, self.number, self._clock.now(), answered.status, answered.body)
            verdict, findings = self._contract.judge(seen)
            self.verdicts[verdict] += 1
            if self._entries:
                duration = (self._clock.steady() - answered.began) * 1000
                head = _head(seen, duration, answered.headers, verdict, findings)
                self._add(Recorded(_copy(head), _stored(exchange.body), _stored(seen.answer)))
        except Exception:
            log.exception("%s %s could not be recorded", exchange.method, exchange.path[:200])

    def reset(self) -> None:
        self.clear()
        self.number = 0
        self.verdicts.clear()

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
    ) -> list[dict[str, Any]]:
        """The entries after a number that are accepted, as they may be shown, newest last; of more than `limit` the newest.

        They have `text` in their target or in a body.
        """
        later = islice(self._ring, max(0, after - self.dropped), None)
        heads = ((recorded, head) for recorded in later if _has(recorded, head := orjson.loads(recorded.head), text))
        found = [(recorded, head) for recorded, head in heads if accept(head)]
        return [self._shown(recorded, head) for recorded, head in found[-limit if limit else 0 :]]

    def sent(self, number: int, request_id: str) -> str:
        """What a request sent, as a report may show it; empty when it is not there any more.

        Numbers may have begun again since: its id decides.
        """
        index = number - self.dropped - 1
        if not 0 <= index < len(self._ring):
            return ""
        head = orjson.loads(self._ring[index].head)
        if head["requestId"] != request_id:
            return ""
        entry = self._shown(self._ring[index], head)
        request, query = entry["request"], f"?{entry['query']}" if entry["query"] else ""
        headers = [f"{name}: {value}" for name, value in request["headers"].items() if name in SENT_HEADERS]
        body = orjson.dumps(request["body"], option=orjson.OPT_INDENT_2).decode() if "body" in request else ""
        lines = [f"{entry['method']} {entry['path']}{query}", *headers, *(["", body] if body else [])]
        return "\n".join(lines)[:MAX_SENT]

    def snapshot(self) -> Callable[[], list[bytes]]:
        """What makes the JSON of the requests as they are now, in pieces, with every secret masked. For a thread."""
        number, verdicts, entries = self.number, dict(self.verdicts), list(self._ring)

        def pieces() -> list[bytes]:
            head = b'{"number":%d,"verdicts":%b,"entries":[' % (number, orjson.dumps(verdicts))
            shown = (orjson.dumps(self._shown(entry, orjson.loads(entry.head))) for entry in entries)
            return [head, b",".join(shown), b"]}"]

        return pieces

    def read(self, snapshot: Any) -> tuple[int, Counter[str], list[Recorded]]:
        """The number of the newest request, the verdicts, and the entries. Raises ValueError for what is no snapshot of them."""
        try:
            return (
                int(snapshot["number"]),
                Counter(snapshot["verdicts"]),
                [_read(entry) for entry in snapshot["entries"]],
            )
        except (LookupError, TypeError, ValueError, AttributeError):
            raise ValueError('an object with "number" and the "entries" of a journal is needed') from None

    def restore(self, read: tuple[int, Counter[str], list[Recorded]]) -> None:
        """Puts a snapshot's requests back, as many as this ring keeps."""
        self.reset()
        self.number, self.verdicts, entries = read
        if self._entries:
            for recorded in entries:
                self._add(recorded)

    def _add(self, recorded: Recorded) -> None:
        self._ring.append(recorded)
        self._bytes += sum(map(len, recorded))
        while len(self._ring) > self._entries or self._bytes > self._max_bytes:
            self._bytes -= sum(map(len, self._ring.popleft()))

    def _shown(self, recorded: Recorded, head: dict[str, Any]) -> dict[str, Any]:
        """An entry of the journal, with every secret masked."""
        masker, request, answer = self._masker, head["request"], head["answer"]
        request["headers"] = masker.headers(request["headers"])
        head["query"] = masker.query(head["path"], head["query"])
        if request["size"]:
            try:
                request["body"] = masker.body(head["path"], recorded.body)
            except ValueError as reason:  # what cannot be read cannot be masked: nothing of it is shown
                request["unread"] = _unread(request["size"], reason)
        if answer["size"]:
            try:
                answer["body"] = masker.answer(head["operation"], orjson.loads(recorded.answer))
            except ValueError as reason:
                if recorded.answer and head["operation"] not in SECRET_ANSWERS:  # a fault rule cut it off
                    answer["text"] = recorded.answer.decode("utf-8", "replace")
                else:
                    answer["unread"] = _unread(answer["size"], reason)
        for finding in head["findings"]:
            rule = self._contract.rules[finding["rule"]]
            finding |= {"severity": rule["severity"], "fix": finding["fix"] or rule["fix"]}
        return head


def _has(recorded: Recorded, head: Mapping[str, Any], text: str) -> bool:
    """Whether a text stands in the target or in one of the bodies."""
    return text in f"{head['path']}?{head['query']}" or any(text.encode() in body for body in recorded[1:])


def _head(
    seen: Seen, duration: float, headers: Iterable[tuple[bytes, bytes]], verdict: str, findings: Iterable[Finding]
) -> bytes:
    exchange = seen.exchange
    shown = [(name, value) for name, value in headers if name in SHOWN_ANSWER_HEADERS]
    return orjson.dumps(
        {
            "number": seen.number,
            "at": seen.at,
            "durationMs": round(duration, 3),
            "requestId": exchange.request_id,
            "method": exchange.method,
            "path": exchange.path,
            "query": exchange.query_string,
            "operation": exchange.operation,
            "org": exchange.scope[0],
            "sandbox": exchange.scope[1],
            "request": {"headers": exchange.headers, "size": len(exchange.body)},
            "status": seen.status,
            "answer": {
                "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in shown},
                "size": len(seen.answer),
            },
            "error": exchange.error,
            "hint": exchange.hint,
            "fault": exchange.fault,
            "verdict": verdict,
            "findings": [finding._asdict() for finding in findings],
        }
    )


def _stored(body: bytes) -> bytes:
    return _copy(body) if len(body) <= MAX_BODY else b""


def _copy(data: bytes) -> bytes:
    """Bytes of their own size: what orjson has written keeps the room that it was written into, which is several times that."""
    return bytes(memoryview(data))


def _unread(size: int, reason: ValueError) -> str:
    if size > MAX_BODY:
        return f"longer than {MAX_BODY} bytes"
    return reason.msg if isinstance(reason, orjson.JSONDecodeError) else "it cannot be read"


def _read(entry: Mapping[str, Any]) -> Recorded:
    """A request of a snapshot. What was masked stays masked."""
    parts = []
    for name in ("request", "answer"):
        part = entry[name]
        parts.append(orjson.dumps(part["body"]) if "body" in part else part.get("text", "").encode())
    heads = {name: {"headers": entry[name]["headers"], "size": entry[name]["size"]} for name in ("request", "answer")}
    return Recorded(orjson.dumps({**entry, **heads}), *parts)
