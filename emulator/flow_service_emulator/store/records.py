"""Entities in memory: encoded records, found by id and by index key, as a TinyDB storage and its tables.

Records hold JSON bytes, not dicts: 100,000 dicts of dicts would take four times the memory, and a look-up would have to encode
what it answers. TinyDB's own way is to read and write the whole database for every change; here a change is a list of `Edit`s,
which cost the same in a full store as in an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any, Final, NamedTuple

import orjson
from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

Indexes = Mapping[str, tuple[str, ...]]
"""Collection -> the top-level fields whose text, or list of texts, finds its entities."""

FIRST_SEQ: Final = 1


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

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
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
            found = self.by_key[key]
            del found[id]
            if not found:
                del self.by_key[key]


class EntityStorage(Storage):
    """The TinyDB storage that holds its entities in memory only."""

    def __init__(self, indexes: Indexes) -> None:
        self.indexes = indexes
        self.shelves: dict[str, Shelf] = {}
        self.next_seq = FIRST_SEQ

    def take_seq(self) -> int:
        """Take a number for a new record. Numbers grow, and none is given twice."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def record(self, table: str, document: Mapping[str, Any], seq: int) -> Record:
        """Make the record of a document. Raise TypeError (orjson's) for what is no JSON."""
        # a copy: orjson encodes into a larger buffer, whose unused end would be lost to the allocator
        raw = bytes(memoryview(orjson.dumps(document)))
        fields = self.indexes.get(table.partition("/")[0])
        if fields is None:
            return Record(document["id"], seq, raw)
        keys: dict[str, None] = {}
        for field in fields:
            value = document.get(field)
            keys |= {
                intern(key): None for key in (value if isinstance(value, list) else (value,)) if isinstance(key, str)
            }
        return Record(document["id"], seq, raw, tuple(keys))

    def commit(self, edits: Sequence[Edit]) -> None:
        """Make changes, all or none. Raise StoreError when they cannot be stored; nothing has changed then."""
        for table, id, record in edits:
            shelf = self.shelves.get(table)
            if record is None:
                if shelf is not None:
                    shelf.remove(id)
                continue
            if shelf is None:
                shelf = self.shelves[table] = Shelf()
            shelf.put(record)
            if record.seq >= self.next_seq:
                self.next_seq = record.seq + 1

    def replace_all(self, shelves: dict[str, Shelf], next_seq: int) -> None:
        """Put other contents in the place of all there is, at once. Raise StoreError; then nothing has changed."""
        self.shelves, self.next_seq = shelves, next_seq

    def read(self) -> dict[str, dict[str, Any]]:
        """Return everything, as TinyDB has it: table -> id -> document."""
        return {name: documents_of(shelf) for name, shelf in self.shelves.items()}

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace everything, as TinyDB does when it drops tables."""
        shelves: dict[str, Shelf] = {}
        for name, documents in data.items():
            known = self.shelves.get(name, Shelf()).records
            shelf = shelves[name] = Shelf()
            for id, document in documents.items():
                shelf.put(self.record(name, document, known[id].seq if id in known else self.take_seq()))
        self.replace_all(shelves, self.next_seq)


class EntityTable(Table):
    """TinyDB's table over an entity storage; a document's `doc_id` is the `id` that it has. Its calls decode all of the table."""

    document_id_class = str  # type: ignore[assignment]

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        shelf = self._entities.shelves.get(self.name)
        return {} if shelf is None else documents_of(shelf)

    def _update_table(self, updater: Callable[[dict[Any, Any]], None]) -> None:
        documents: dict[str, Any] = dict(self._read_table())
        updater(documents)
        known = self._entities.shelves.get(self.name, Shelf()).records
        edits = [Edit(self.name, id, None) for id in known if id not in documents]
        for id, document in documents.items():
            seq = known[id].seq if id in known else self._entities.take_seq()
            record = self._entities.record(self.name, {**document, "id": id}, seq)
            if record != known.get(id):
                edits.append(Edit(self.name, id, record))
        self._entities.commit(edits)

    @property
    def _entities(self) -> EntityStorage:
        assert isinstance(self._storage, EntityStorage)
        return self._storage


class EntityDatabase(TinyDB):
    """TinyDB with these tables."""

    table_class = EntityTable
    default_query_cache_capacity = 0


def documents_of(shelf: Shelf) -> dict[str, Any]:
    """Decode a shelf, as TinyDB reads a table."""
    return {id: record.entity() for id, record in shelf.records.items()}
