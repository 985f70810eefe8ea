"""Entities in memory: encoded records, found by id and by index key, as a TinyDB storage.

Records hold JSON bytes, not dicts: 100,000 dicts of dicts would take four times the memory, and a look-up would have to encode
what it answers. TinyDB's own way is to read and write the whole database for every change; here a change is a list of `Edit`s,
which cost the same in a full store as in an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import Any, Final, NamedTuple

import orjson
from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

Indexes = Mapping[str, Sequence[str]]
"""Collection -> the top-level fields whose text, or list of texts, finds its entities."""

FIRST_SEQ: Final = 1
SNAPSHOT_VERSION: Final = 1


class StoreError(Exception):
    """The store cannot do what was asked; the message says why. Nothing was changed."""


class Record(NamedTuple):
    """A stored entity. A change puts another record in its place.

    `seq` is its number in creation order: unique in the store, growing, and the same when the entity is replaced. `raw` is its JSON
    as orjson writes it, without spaces. `keys` are what its collection's index finds it by.
    """

    id: str
    seq: int
    raw: bytes
    keys: tuple[str, ...] = ()

    def entity(self) -> dict[str, Any]:
        """The entity, decoded again on every call, so that the caller may change it."""
        entity: dict[str, Any] = orjson.loads(self.raw)
        return entity


class Edit(NamedTuple):
    """One record put or, without `record`, removed."""

    table: str
    id: str
    record: Record | None


class Records:
    """A view of records, newest first, that copies nothing; `reversed` gives the oldest first.

    It shows the store as it is at the moment of looking. Nothing may be changed during a walk.
    """

    def __init__(self, records: dict[str, Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return reversed(self._records.values())

    def __reversed__(self) -> Iterator[Record]:
        return iter(self._records.values())


class Shelf:
    """One table's records, oldest first: all by id, and by index key."""

    __slots__ = ("by_key", "records")

    def __init__(self, records: dict[str, Record] | None = None) -> None:
        self.records: dict[str, Record] = records or {}
        self.by_key: dict[str, dict[str, Record]] = {}

    def put(self, record: Record) -> None:
        """Add a record, or put it in the place of the one of its id."""
        old = self.records.get(record.id)
        self.records[record.id] = record
        if old is not None:
            self._forget(record.id, [key for key in old.keys if key not in record.keys])
        for key in record.keys:
            found = self.by_key.setdefault(key, {})
            came_late = old is not None and record.id not in found
            found[record.id] = record
            if came_late:
                self.by_key[key] = dict(sorted(found.items(), key=lambda item: item[1].seq))

    def remove(self, id: str) -> None:
        """Remove the record of this id, if there is one."""
        record = self.records.pop(id, None)
        if record is not None:
            self._forget(id, record.keys)

    def _forget(self, id: str, keys: Sequence[str]) -> None:
        for key in keys:
            del self.by_key[key][id]
            if not self.by_key[key]:
                del self.by_key[key]


class Contents(NamedTuple):
    """All that a store holds, and the number that the next new record gets."""

    shelves: dict[str, Shelf]
    next_seq: int

    def pieces(self) -> list[bytes]:
        """`{"version": 1, "nextSeq": n, "tables": {name: {seq: entity}}}` in JSON, in pieces. May be called in a thread."""
        pieces = [b'{"version":%d,"nextSeq":%d,"tables":{' % (SNAPSHOT_VERSION, self.next_seq)]
        between = b""
        for name, shelf in sorted(self.shelves.items()):
            pieces.append(b"%b%b:{" % (between, orjson.dumps(name)))
            form = b'"%d":'
            for record in shelf.records.values():
                pieces += (form % record.seq, record.raw)
                form = b',"%d":'
            pieces.append(b"}")
            between = b","
        pieces.append(b"}}")
        return pieces


class EntityStorage(Storage):
    """The TinyDB storage that holds its entities in memory only."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.shelves: dict[str, Shelf] = {}
        self.next_seq = FIRST_SEQ

    def take_seq(self) -> int:
        """Take a number for a new record. Numbers grow, and none is given twice."""
        self.next_seq += 1
        return self.next_seq - 1

    def record(self, table: str, document: Mapping[str, Any], seq: int) -> Record:
        """Make the record of a document. Raise TypeError (orjson's) for what is no JSON."""
        # a copy: orjson encodes into a larger buffer, whose unused end would be lost to the allocator
        raw = bytes(memoryview(orjson.dumps(document)))
        keys: dict[str, None] = {}
        for field in self._indexes.get(table.partition("/")[0], ()):
            value = document.get(field)
            texts = value if isinstance(value, list) else (value,)
            keys |= {intern(text): None for text in texts if isinstance(text, str)}
        return Record(document["id"], seq, raw, tuple(keys))

    def commit(self, edits: Sequence[Edit]) -> None:
        """Make changes, all or none. Raise StoreError when they cannot be stored; nothing has changed then."""
        for table, id, record in edits:
            shelf = self.shelves.get(table)
            if shelf is None:
                shelf = self.shelves[table] = Shelf()
            if record is None:
                shelf.remove(id)
            else:
                shelf.put(record)
                self.next_seq = max(self.next_seq, record.seq + 1)

    def replace_all(self, contents: Contents) -> None:
        """Put other contents in the place of all there is, at once. Raise StoreError; then nothing has changed."""
        self.shelves, self.next_seq = contents

    def read(self) -> dict[str, dict[str, Any]]:
        """Return everything, as TinyDB has it: table -> id -> document."""
        return {
            name: {id: record.entity() for id, record in shelf.records.items()} for name, shelf in self.shelves.items()
        }

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace everything, as TinyDB does for every change of its own."""
        shelves: dict[str, Shelf] = {}
        for name, documents in data.items():
            known = self.shelves.get(name, Shelf()).records
            shelf = shelves[name] = Shelf()
            for id, document in documents.items():
                shelf.put(self.record(name, document, known[id].seq if id in known else self.take_seq()))
        self.replace_all(Contents(shelves, self.next_seq))


class EntityTable(Table):
    """A table whose documents go by the `id` that they have. TinyDB's calls decode all of the database."""

    document_id_class = str  # type: ignore[assignment]


class EntityDatabase(TinyDB):
    """TinyDB with these tables."""

    table_class = EntityTable
    default_query_cache_capacity = 0
