"""The TinyDB storage that keeps its entities in a data folder's log as well, and gets them back from it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from sys import intern
from typing import Any, Final

import orjson

from flow_service_emulator.store.logfile import LogFile, NewLog, StoreError, encode_line
from flow_service_emulator.store.records import Edit, Record
from flow_service_emulator.store.storage import EntityStorage, Indexes, Shelves

_raw: Final = attrgetter("raw")

_HEAD: Final = ("table", "id", "seq", "createdAt", "updatedAt", "name", "…keys")
"""What the head of a record has."""
_HEAD_BYTES: Final = 180
"""About how much of a line is not the entity's JSON."""


class LogStorage(EntityStorage):
    """The same with every change in a log under a data folder, from which it comes back.

    The log grows by every change. When it is mostly dead weight, the records alive are copied into a new log, which
    then takes its place: a few with every change, so that no change waits for all of them. What is changed meanwhile
    goes to both. Killed in between, the old log is still whole.
    """

    least_bytes = 4 << 20
    """A log below this size is left alone until it is closed."""
    least_bytes_at_close = 64 << 10
    most_bytes_at_close = 32 << 20
    """How much a store that is being closed, and is to end soon, copies at most."""
    step_bytes = 256 << 10
    """About how much is copied with one change."""

    def __init__(self, folder: Path, indexes: Indexes) -> None:
        super().__init__(indexes)
        self._log = LogFile(folder)
        self._rewrite: _Rewrite | None = None
        self._check_at = 0
        try:
            with _collector_at_rest():
                complete = self._load()
            if not complete:
                self.replace_all(self.shelves, self.next_seq)
        except BaseException:
            self._log.close()
            raise

    def commit(self, edits: Sequence[Edit]) -> None:
        super().commit(edits)
        self._tidy()

    def replace_all(self, shelves: Shelves, next_seq: int) -> None:
        self._log.check_open()
        self._stop_rewriting()
        try:
            self._log.check_place()
            rewrite = _Rewrite(self._log, shelves, self._about(next_seq))
            rewrite.finish()
        except OSError as error:
            raise StoreError(f"cannot write to {self._log.path.parent}: {error}") from error
        self._check_at = self._next_check(self._log.size)
        super().replace_all(shelves, next_seq)

    def close(self) -> None:
        """Shortens the log if that is quickly done, and lets others open the folder."""
        self._stop_rewriting()
        size, live = self._log.size, _bytes_alive(self.shelves)
        if size > max(2 * live, self.least_bytes_at_close) and live <= self.most_bytes_at_close:
            with contextlib.suppress(StoreError):  # The log as it is does as well.
                self.replace_all(self.shelves, self.next_seq)
        self._log.close()

    def _about(self, next_seq: int) -> dict[str, Any]:
        """The log's first entry: from where numbers go on, and how the heads in the log were made."""
        return {"nextSeq": next_seq, "heads": _HEAD, "indexes": self.indexes}

    def _keep(self, edits: Sequence[Edit]) -> None:
        line = _encode(edits)
        self._log.append(line)
        if self._rewrite is not None:
            try:
                self._rewrite.mirror(line)
            except OSError:
                self._stop_rewriting()

    def _load(self) -> bool:
        """Reads the log; answers whether it has its first entry, and its heads are made as this storage makes them."""
        about = None
        heads_fit = False
        for head, bodies in self._log.lines():
            try:
                if about is None:
                    about = orjson.loads(head)
                    made_alike = {"heads": about.get("heads"), "indexes": about["indexes"]}
                    heads_fit = made_alike == orjson.loads(orjson.dumps({"heads": _HEAD, "indexes": self.indexes}))
                    self.next_seq = about["nextSeq"]
                else:
                    self._apply(_decode(head, bodies) if heads_fit else self._decode_old(head, bodies))
            except (LookupError, TypeError, ValueError) as error:
                raise self._log.damage(f"{type(error).__name__}: {error}") from error
        return heads_fit

    def _decode_old(self, heads: bytes, bodies: list[bytes]) -> Iterator[Edit]:
        """The edits of a line of an emulator whose indexes or heads were others: what they say is taken from the entities."""
        left = iter(bodies)
        for table, id, *more in orjson.loads(heads):
            if more:
                raw = next(left)
                yield self.described(table, id, more[0], orjson.loads(raw), raw)
            else:
                yield Edit(table, id)

    def _tidy(self) -> None:
        """Does its share of a rewriting, or begins one when the log is mostly dead weight."""
        if self._rewrite is None and self._log.size < self._check_at:
            return
        try:
            if self._rewrite is None:
                live = _bytes_alive(self.shelves)
                if self._log.size <= max(3 * live, self.least_bytes):
                    self._check_at = self._next_check(live)
                    return
                self._rewrite = _Rewrite(self._log, self.shelves, self._about(self.next_seq))
            if self._rewrite.copy(self.step_bytes) and self._rewrite.settled():
                self._rewrite.finish()
                self._rewrite = None
                self._check_at = self._next_check(self._log.size)
        except OSError:  # No room for a second log. The one there is does its work; later there may be.
            self._stop_rewriting()
            self._check_at = self._next_check(self._log.size)

    def _next_check(self, live: int) -> int:
        """At which size of the log to weigh it again: when it may be three times what lives, and not every time."""
        return max(3 * live, self._log.size + self.least_bytes // 4, self.least_bytes)

    def _stop_rewriting(self) -> None:
        if self._rewrite is not None:
            self._rewrite.abandon()
            self._rewrite = None


class _Rewrite:
    """Copies what lives into a new log. Its methods raise OSError, and `finish` has then cleaned up."""

    def __init__(self, log: LogFile, shelves: Shelves, about: dict[str, Any]) -> None:
        self._log = log
        self._new = NewLog(log)
        self._left = _all_records(shelves)
        try:
            self._new.append(encode_line(about, ()))
        except BaseException:
            self.abandon()
            raise

    def mirror(self, line: bytes) -> None:
        """Takes over a change that was made meanwhile."""
        self._new.append(line)

    def copy(self, some_bytes: int) -> bool:
        """Copies about so many bytes more; answers whether that was all."""
        lines: list[bytes] = []
        size = 0
        for table, record in self._left:
            # What a change put meanwhile may come twice, the same both times; what it removed is not live.
            lines.append(_encode([_edit_of(table, record)]))
            size += len(lines[-1])
            if size >= some_bytes:
                self._new.append(b"".join(lines))
                return False
        self._new.append(b"".join(lines))
        return True

    def settled(self) -> bool:
        """Whether the disk has the copies. From the first asking on a thread sees to that."""
        return self._new.settled()

    def finish(self) -> None:
        """Copies the rest and puts the new log in the old one's place, while that is where it was."""
        try:
            while not self.copy(1 << 20):
                pass
            self._log.install(self._new)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        self._new.abandon()


def _all_records(shelves: Shelves) -> Iterator[tuple[str, Record]]:
    """All live records of the tables that there are now; changes meanwhile do not upset the walk."""
    for table, shelf in list(shelves.items()):
        for record in shelf.order.ordered():
            if record.live:
                yield table, record


def _bytes_alive(shelves: Shelves) -> int:
    """About how long a log without dead weight would be."""
    tables = [shelf.by_id.values() for shelf in shelves.values()]
    return sum(sum(map(len, map(_raw, records))) + _HEAD_BYTES * len(records) for records in tables)


@contextlib.contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keeps the garbage collector from walking again and again through what is only just being built."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _edit_of(table: str, record: Record) -> Edit:
    """What puts a record as it is."""
    return Edit(
        table,
        record.id,
        record.seq,
        record.created_at,
        record.updated_at,
        record.name,
        record.keys,
        record.raw,
    )


def _encode(edits: Iterable[Edit]) -> bytes:
    """A line of the log: what _HEAD names and a body for a record put, [table, id] for one removed."""
    heads: list[Any] = []
    bodies: list[bytes] = []
    for table, id, seq, created_at, updated_at, name, keys, raw in edits:
        if raw is None:
            heads.append((table, id))
        else:
            heads.append((table, id, seq, created_at, updated_at, name, *keys))
            bodies.append(raw)
    return encode_line(heads, bodies)


def _decode(heads: bytes, bodies: list[bytes]) -> list[Edit]:
    """The edits of a line, as `_encode` wrote them."""
    edits = []
    puts = 0
    for head in orjson.loads(heads):
        if len(head) == len(("table", "id")):
            edits.append(Edit(*head))
        else:
            table, id, seq, created_at, updated_at, name, *keys = head
            interned = tuple(map(intern, keys)) if keys else ()
            if updated_at == created_at:
                updated_at = created_at  # one object for both
            if name is not None:
                name = intern(name)
            edits.append(Edit(table, id, seq, created_at, updated_at, name, interned, bodies[puts]))
            puts += 1
    return edits
