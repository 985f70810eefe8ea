"""The journal: what was asked and answered, newest last, in a ring that is bounded in count and in bytes.

Entries are kept as the JSON that is answered: bytes give the garbage collector nothing to look at, whatever their number.
They come in with every secret masked already (`masking.py`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator.contract.rules import Rule
from flow_service_emulator.contract.sighting import Finding, Sighting
from flow_service_emulator.globs import MAX_GLOB, MAX_STARS, glob_matches
from flow_service_emulator.instants import epoch_seconds

MAX_BYTES: Final = 32_000_000
"""Bytes of all entries together; the oldest are dropped for it, as they are for the number of entries."""
MAX_BODY: Final = 16_384
"""Bytes that are kept of one body."""
MAX_PATH: Final = 2_000
MAX_LIMIT: Final = 1_000_000
MAX_NUMBER: Final = 2**52
"""Of the newest request in a snapshot, at most: there is room above it for those that come on top."""
FIRST_INSTANT: Final = 100_000_000
"""A whole number below this is an entry's number, anything else epoch seconds."""
_SHORT: Final = "/data/foundation/flowservice"


class FilterError(ValueError):
    """A filter that is unknown or has a value that it cannot have; says what is allowed."""


class Filters(NamedTuple):
    """What is looked for in the journal; None means any. `number` is the last entry already seen, `at` epoch seconds."""

    method: str | None = None
    path: str | None = None
    status: str | None = None
    number: int | None = None
    at: float | None = None
    operation: str | None = None
    verdict: str | None = None
    org: str | None = None
    sandbox: str | None = None
    limit: int | None = None

    @classmethod
    def read(cls, parameters: Sequence[tuple[str, str]], verdicts: Sequence[str]) -> Filters:
        """Reads a query's parameters. Raises FilterError."""
        given: dict[str, Any] = {}
        for name, value in parameters:
            if name not in FILTERS:
                raise FilterError(f'"{name[:60]}" is no filter; there are {", ".join(FILTERS)}')
            if name in given or (name == "since" and given.keys() & {"number", "at"}):
                raise FilterError(f"{name} was given twice")
            if name == "since":
                given |= _since(value)
            else:
                given[name] = _READERS.get(name, _text)(name, value)
        if given.get("verdict", verdicts[0]) not in verdicts:
            raise FilterError(f"verdict must be one of {', '.join(verdicts)}; got {given['verdict'][:60]!r}")
        return cls(**given)

    def accept(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry is looked for; its number is not looked at."""
        for name in ("method", "operation", "verdict", "org", "sandbox"):
            wanted = getattr(self, name)
            if wanted is not None and wanted != entry[name]:
                return False
        if self.status is not None and not _status_matches(self.status, entry["status"]):
            return False
        if self.at is not None and entry["at"] < self.at:
            return False
        return self.path is None or _path_matches(self.path, entry["path"])

    @property
    def trivial(self) -> bool:
        """Whether every entry is accepted."""
        return all(value is None for value in self._replace(number=None, limit=None))


class Kept(NamedTuple):
    """The journal at one moment."""

    number: int
    entries: list[bytes]

    def pieces(self) -> list[bytes]:
        """As JSON, in pieces."""
        pieces = [b'{"number":%d,"entries":[' % self.number]
        for entry in self.entries:
            pieces += (entry, b",")
        if self.entries:
            pieces.pop()
        return [*pieces, b"]}"]


class Journal:
    """The ring. `entries` is how many it keeps at most; with 0 it keeps none and only counts.

    `epoch` tells one life of the journal from the next, as numbers begin anew: it is another one after every emptying,
    reset and restored snapshot, and in another server where it begins with a random number.
    """

    def __init__(self, entries: int, rules: Mapping[str, Rule], *, max_bytes: int = MAX_BYTES, epoch: int = 0) -> None:
        self.epoch = epoch
        self._entries = entries
        self._rules = rules
        self._max_bytes = max_bytes
        self._ring: deque[bytes] = deque()
        self._bytes = 0
        self._number = 0

    def reset(self) -> None:
        self.clear()
        self._number = 0

    def clear(self) -> None:
        """Forgets the entries; their numbers go on."""
        self._ring.clear()
        self._bytes = 0
        self.epoch += 1

    def next_number(self) -> int:
        """Numbers a request, from 1 on."""
        self._number += 1
        return self._number

    def add(self, seen: Sighting, verdict: str, findings: Iterable[Finding]) -> None:
        """Writes down the request that was numbered last."""
        if self._entries:
            self._append(_encoded(seen, verdict, [self._explained(finding) for finding in findings]))

    def find(self, filters: Filters) -> list[bytes]:
        """The entries looked for, newest last; of more than `limit` the newest."""
        entries: Iterable[bytes] = self._ring
        if filters.number is not None:
            newer = min(self._number - filters.number, len(self._ring))
            entries = (
                [self._ring[index] for index in range(len(self._ring) - newer, len(self._ring))] if newer > 0 else []
            )
        if not filters.trivial:
            entries = [entry for entry in entries if filters.accept(orjson.loads(entry))]
        found = list(entries)
        return found if filters.limit is None else found[max(0, len(found) - filters.limit) :]

    @property
    def number(self) -> int:
        """The number of the newest request, 0 when there was none."""
        return self._number

    @property
    def dropped(self) -> int:
        """How many requests are not in the journal any more."""
        return self._number - len(self._ring)

    def has(self, number: int, request_id: str) -> bool:
        """Whether the request of this number is still there. Numbers may have begun anew since: its id, if it is known, decides."""
        index = number - self.dropped - 1
        if not 0 <= index < len(self._ring):
            return False
        return not request_id or b'"requestId":' + orjson.dumps(request_id) in self._ring[index]

    def snapshot(self) -> Kept:
        return Kept(self._number, list(self._ring))

    def read(self, snapshot: Any) -> tuple[int, list[bytes]]:
        """The number of the newest request, and the entries. Raises ValueError, saying what is wrong with the snapshot."""
        if not isinstance(snapshot, dict) or not isinstance(snapshot.get("entries"), list):
            raise ValueError('an object with "number" and "entries" is needed')
        number = snapshot.get("number")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_NUMBER:
            raise ValueError(f'"number" must be a whole number from 0 to {MAX_NUMBER}')
        last = 0
        for entry in snapshot["entries"]:
            if not isinstance(entry, dict) or not _is_entry(entry):
                raise ValueError(f"the entry after number {last} lacks what every entry has")
            if not last < entry["number"] <= number:
                raise ValueError(
                    f'the entry after number {last} has a number that does not follow, or is above "number"'
                )
            last = entry["number"]
        return number, [orjson.dumps(entry) for entry in snapshot["entries"]]

    def restore(self, read: tuple[int, list[bytes]]) -> None:
        """Puts a snapshot's entries back, as many as this journal keeps."""
        self.reset()
        self._number, entries = read
        if self._entries:
            for entry in entries:
                self._append(entry)

    def _append(self, entry: bytes) -> None:
        self._ring.append(entry)
        self._bytes += len(entry)
        while len(self._ring) > self._entries or self._bytes > self._max_bytes:
            self._bytes -= len(self._ring.popleft())

    def _explained(self, finding: Finding) -> dict[str, str]:
        explained = {"rule": finding.rule, "place": finding.place, "kind": finding.kind, "message": finding.message}
        rule = self._rules.get(finding.rule)
        return explained if rule is None else explained | {"severity": rule.severity, "fix": rule.fix}


def _encoded(seen: Sighting, verdict: str, findings: list[dict[str, str]]) -> bytes:
    """A request as an entry of the journal."""
    exchange = seen.exchange
    request: dict[str, Any] = {"headers": seen.headers, "size": seen.size}
    if seen.unread is not None:
        request["unread"] = seen.unread
    elif seen.body_json:
        request |= _body(seen.body_json)
    answer: dict[str, Any] = {"headers": seen.answer_headers, "size": seen.cut_from or len(seen.answer)}
    if seen.cut_from:
        answer["text"] = _cut(seen.answer)
    elif seen.answer:
        answer |= _answer(seen.answer, whole=exchange.fault is None)
    return orjson.dumps(
        {
            "number": seen.number,
            "at": seen.at,
            "durationMs": round(seen.duration, 3),
            "requestId": exchange.request_id,
            "method": exchange.method,
            "path": seen.path[:MAX_PATH],
            "query": seen.query,
            "operation": exchange.operation,
            "org": exchange.scope[0],
            "sandbox": exchange.scope[1],
            "request": request,
            "status": seen.status,
            "answer": answer,
            "error": exchange.error,
            "fault": exchange.fault,
            "verdict": verdict,
            "findings": findings,
        }
    )


def _body(body: bytes) -> dict[str, Any]:
    """A body, cut when it is long: `body` is JSON, `text` the beginning of it."""
    return {"body": orjson.Fragment(body)} if len(body) <= MAX_BODY else {"text": _cut(body)}


def _answer(answer: bytes, *, whole: bool) -> dict[str, Any]:
    """The same of an answer, which a fault rule may have cut off."""
    if whole or len(answer) > MAX_BODY:
        return _body(answer)
    try:
        return {"body": orjson.loads(answer)}
    except orjson.JSONDecodeError:
        return {"text": _cut(answer)}


def _cut(text: bytes) -> str:
    return text[:MAX_BODY].decode("utf-8", "replace")


def _text(name: str, value: str) -> str:
    if not value:
        raise FilterError(f"{name} must not be empty")
    return value


def _path(name: str, value: str) -> str:
    """The beginning of a path, or a glob."""
    if _is_glob(value) and (len(value) > MAX_GLOB or value.count("*") > MAX_STARS):
        raise FilterError(f"path must be a glob of at most {MAX_GLOB} characters and {MAX_STARS} asterisks")
    return _text(name, value)


def _method(name: str, value: str) -> str:
    if not value.isascii() or not value.isalpha():
        raise FilterError(f"method must be a method's name, such as GET; got {value[:60]!r}")
    return value.upper()


def _status(name: str, value: str) -> str:
    if not re.fullmatch(r"[1-5](\d\d|xx)", value, re.IGNORECASE | re.ASCII):
        raise FilterError(f"status must be a status such as 404, or a class such as 4xx; got {value[:60]!r}")
    return value.lower()


def _limit(name: str, value: str) -> int:
    if not _is_whole(value) or not 1 <= int(value) <= MAX_LIMIT:
        raise FilterError(f"limit must be a whole number from 1 to {MAX_LIMIT}; got {value[:60]!r}")
    return int(value)


def _is_whole(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 8


def _since(value: str) -> dict[str, Any]:
    """An entry's number (entries after it), or an instant of the emulator's time (entries from then on)."""
    if _is_whole(value) and int(value) < FIRST_INSTANT:
        return {"number": int(value)}
    try:
        seconds = epoch_seconds(value)
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < 1e12:
        raise FilterError(
            f"since must be an entry's number, epoch seconds, or a time such as 2026-01-01T00:00:00Z; got {value[:60]!r}"
        )
    return {"at": seconds}


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "method": _method,
    "path": _path,
    "status": _status,
    "limit": _limit,
}
FILTERS: Final = ("method", "path", "status", "since", "limit", "operation", "verdict", "org", "sandbox")
"""The filters by name."""


def _status_matches(wanted: str, status: int) -> bool:
    return wanted[0] == str(status)[0] if wanted.endswith("xx") else wanted == str(status)


def _path_matches(wanted: str, path: str) -> bool:
    """By glob where there is one, else by beginning; the service's base path may be left out."""
    paths = (path, path.removeprefix(_SHORT))
    if _is_glob(wanted):
        return any(glob_matches(wanted, candidate) for candidate in paths)
    return any(candidate.startswith(wanted) for candidate in paths)


def _is_glob(path: str) -> bool:
    return "*" in path or "?" in path


def _is_entry(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a snapshot has what filters look at, of the right types."""
    texts = (*("method", "path", "verdict", "org", "sandbox"),)
    return (
        all(isinstance(entry.get(name), str) for name in texts)
        and isinstance(entry.get("operation"), (str, type(None)))
        and all(isinstance(entry.get(name), int) and not isinstance(entry[name], bool) for name in ("number", "status"))
        and isinstance(entry.get("at"), (int, float))
        and not isinstance(entry["at"], bool)
    )
