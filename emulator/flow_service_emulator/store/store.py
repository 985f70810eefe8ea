"""The store: every entity of every organisation and sandbox, by id, in creation order and by index key.

Entities live in TinyDB, one table for each collection of a scope, in memory or, with a data folder, in its log as well (see
`log` for what that promises). One thread may use a store; every call is done when it returns. Secrets must be masked by the
caller: whatever comes in here is written and shown as it is.

Records hold JSON bytes, not dicts: 100,000 dicts of dicts would take four times the memory, and a look-up would have to encode
what it answers. TinyDB's own way is to read and write the whole database for every change; here a change is a list of `Edit`s,
which cost the same in a full store as in an empty one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from sys import intern
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import orjson
from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

from flow_service_emulator.store.log import Log, StoreError

__all__ = ["Store", "StoreError"]

Scope = tuple[str, str]
"""(imsOrgId, sandboxName)"""
Indexes = Mapping[str, Sequence[str]]
"""Collection -> the top-level fields whose text, or list of texts, finds its entities."""
META: Final = "meta"
"""The table of the emulator's own values, `{"id": key, "value": value}` each; entities' tables have slashes in their names."""
FIRST_SEQ: Final = 1
SNAPSHOT_VERSION: Final = 2


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


_EMPTY: Final = Shelf()


class Put(NamedTuple):
    """An entity to be stored: a new one, or in the place of the one of its id."""

    scope: Scope
    collection: str
    entity: Mapping[str, Any]


class Delete(NamedTuple):
    """An entity to be deleted, if it is there."""

    scope: Scope
    collection: str
    id: str


class SetMeta(NamedTuple):
    """A value of the emulator's own to be stored; None forgets it."""

    key: str
    value: Any


Change = Put | Delete | SetMeta


Edit: TypeAlias = tuple[str, str, Record | None]
"""A table, the id of the record that is removed there, or the record that is put there."""


class EntityStorage(Storage):
    """The TinyDB storage: everything in memory, and with a data folder every change in its log, from which it comes back."""

    def __init__(self, folder: Path | None, indexes: Indexes) -> None:
        self.indexes = indexes
        self.shelves: dict[str, Shelf] = {}
        self.next_seq = FIRST_SEQ
        self._log = None if folder is None else Log(folder)
        if self._log is not None:
            try:
                self._load(self._log)
            except BaseException:
                self._log.close()
                raise

    def _load(self, log: Log) -> None:
        """Take up what the log has. A change is `[[table, seq, entity], …]` in it, and `[table, id]` for an entity that is removed."""

        def edit(table: str, seq: Any, document: Any = None) -> Edit:
            return (table, seq, None) if document is None else (table, "", self.record(table, document, seq))

        number = log.read(lambda entries: self._make([edit(*entry) for entry in entries]))
        self.replace_all(self.shelves, max(self.next_seq, number or 0))

    def commit(self, edits: Sequence[Edit]) -> None:
        """Make changes, all or none. Raise StoreError when they cannot be stored; nothing has changed then."""
        if self._log is not None and edits:
            self._log.append([_entry(*edit) for edit in edits])
        self._make(edits)

    def _make(self, edits: Sequence[Edit]) -> None:
        for table, id, record in edits:
            shelf = self.shelves.get(table)
            if shelf is None:
                shelf = self.shelves[table] = Shelf()
            if record is None:
                shelf.remove(id)
            else:
                shelf.put(record)
                self.next_seq = max(self.next_seq, record.seq + 1)

    def replace_all(self, shelves: dict[str, Shelf], next_seq: int) -> None:
        """Put others in the place of all there is, at once. Raise StoreError; then nothing has changed."""
        if self._log is not None:
            records = ((name, record) for name, shelf in shelves.items() for record in shelf.records.values())
            self._log.replace(next_seq, ([_entry(name, record.id, record)] for name, record in records))
        self.shelves, self.next_seq = shelves, next_seq

    def close(self) -> None:
        """Let another process open the data folder."""
        if self._log is not None:
            self._log.close()

    def take_seq(self) -> int:
        """Take a number for a new record. Numbers grow, and none is given twice."""
        self.next_seq += 1
        return self.next_seq - 1

    def record(self, table: str, document: Mapping[str, Any], seq: int) -> Record:
        """Make the record of a document. Raise TypeError (orjson's) for what is no JSON."""
        # a copy: orjson encodes into a larger buffer, whose unused end would be lost to the allocator
        raw = bytes(memoryview(orjson.dumps(document)))
        keys: dict[str, None] = {}
        for field in self.indexes.get(table.partition("/")[0], ()):
            value = document.get(field)
            texts = value if isinstance(value, list) else (value,)
            keys |= {intern(text): None for text in texts if isinstance(text, str)}
        return Record(document["id"], seq, raw, tuple(keys))

    def read(self) -> dict[str, dict[str, Any]]:
        """Return everything, as TinyDB has it: table -> id -> document."""
        return {
            name: {id: record.entity() for id, record in shelf.records.items()} for name, shelf in self.shelves.items()
        }

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace everything, as TinyDB does for every change of its own."""
        shelves = {name: Shelf() for name in data}
        for name, shelf in shelves.items():
            known = self.shelves.get(name, _EMPTY).records
            for id, document in data[name].items():
                shelf.put(self.record(name, document, known[id].seq if id in known else self.take_seq()))
        self.replace_all(shelves, self.next_seq)


class EntityTable(Table):
    """A table whose documents go by the `id` that they have. TinyDB's calls decode all of the database."""

    document_id_class = str  # type: ignore[assignment]
    default_query_cache_capacity = 0


class Store:
    """All entities, and small values of the emulator's own ("meta").

    `indexes` says by which top-level fields `by_index` finds a collection's entities: `{"runs": ("flowId",)}`; a field may hold
    a text or a list of texts.

    Every method that changes something raises StoreError when a data folder cannot take it (a full disk), and TypeError when an
    entity is no JSON; it has then changed nothing. Opening raises StoreError when the folder cannot be used, is in use by another
    process, or its log is damaged.
    """

    def __init__(self, data_dir: Path | None = None, *, indexes: Indexes | None = None) -> None:
        self._storage = EntityStorage(data_dir, indexes or {})
        self.database = TinyDB(storage=lambda: self._storage)
        self.database.table_class = EntityTable

    def record(self, scope: Scope, collection: str, id: str) -> Record | None:
        """Return the record of an entity, or None."""
        return self._shelf(table_name(scope, collection)).records.get(id)

    def get(self, scope: Scope, collection: str, id: str) -> dict[str, Any] | None:
        """Return a copy of an entity, or None."""
        record = self.record(scope, collection, id)
        return None if record is None else record.entity()

    def write(self, changes: Iterable[Change]) -> None:
        """Make several changes, in order, all or none, even if the process is killed meanwhile. An entity keeps its number."""
        edits: list[Edit] = []
        upcoming: dict[tuple[str, str], Record | None] = {}
        for change in changes:
            name, id, document = _place(change)
            before = upcoming.get((name, id), self._shelf(name).records.get(id))
            record = None
            if document is not None:
                record = self._storage.record(name, document, before.seq if before else self._storage.take_seq())
            upcoming[name, id] = record
            if record or before:
                edits.append((name, id, record))
        self._storage.commit(edits)

    def records(self, scope: Scope, collection: str) -> Records:
        """All entities of a collection, newest first, as records: a view that copies and decodes nothing."""
        return Records(self._shelf(table_name(scope, collection)).records)

    def by_index(self, scope: Scope, collection: str, key: str) -> Records:
        """The entities that have `key` in one of the collection's indexed fields, newest first."""
        return Records(self._shelf(table_name(scope, collection)).by_key.get(key, {}))

    def everywhere(self, collection: str, *, newest_first: bool = False) -> Iterator[tuple[Scope, Record]]:
        """The entities of a collection in all scopes, oldest first. Nothing may be changed before the last."""
        walks = [
            zip(repeat(scope), reversed(records.values()) if newest_first else records.values(), strict=False)
            for scope, of, records in self._collections()
            if of == collection
        ]
        return heapq.merge(*walks, key=lambda pair: pair[1].seq, reverse=newest_first)

    def whereabouts(self, id: str) -> list[tuple[Scope, str]]:
        """The scopes and collections that have an entity of this id."""
        return [(scope, collection) for scope, collection, records in self._collections() if id in records]

    def count(self, collection: str) -> int:
        """How many entities a collection has in all scopes."""
        return sum(len(records) for _, of, records in self._collections() if of == collection)

    @property
    def next_seq(self) -> int:
        """The number that the next new entity gets; it never falls, over restarts as well."""
        return self._storage.next_seq

    def get_meta(self, key: str) -> Any:
        """Return one of the emulator's own values, or None."""
        record = self._shelf(META).records.get(key)
        return None if record is None else record.entity()["value"]

    def meta_keys(self, prefix: str = "") -> list[str]:
        """The keys of the emulator's own values that begin so, in the order in which they were first set."""
        return [key for key in self._shelf(META).records if key.startswith(prefix)]

    def moment(self) -> Store:
        """Everything as it is now, which stays while this store goes on: for `pieces`."""
        taken = Store(indexes=self._storage.indexes)
        for name, shelf in self._storage.shelves.items():
            taken._storage.shelves[name] = Shelf(dict(shelf.records))
        taken._storage.next_seq = self.next_seq
        return taken

    def pieces(self) -> list[bytes]:
        """`{"version": 2, "nextSeq": n, "tables": {name: {seq: entity}}}` in JSON, in pieces. May be called in a thread."""
        tables = {
            name: {str(record.seq): orjson.Fragment(record.raw) for record in shelf.records.values()}
            for name, shelf in sorted(self._storage.shelves.items())
            if shelf.records
        }
        return [orjson.dumps({"version": SNAPSHOT_VERSION, "nextSeq": self.next_seq, "tables": tables})]

    def read(self, snapshot: Any) -> Store:
        """Read `pieces` into a new store, in memory. Raise ValueError. May be called in a thread."""
        version = snapshot.get("version") if isinstance(snapshot, dict) else None
        if version != SNAPSHOT_VERSION:
            raise ValueError(f"it has version {version}; this emulator reads {SNAPSHOT_VERSION}")
        found, place = Store(indexes=self._storage.indexes), "nextSeq"
        try:
            found._storage.next_seq = int(snapshot["nextSeq"])
            for name, documents in snapshot["tables"].items():
                for number in sorted(documents, key=int):
                    place = f"table {name!r}, record {number}"
                    record = found._storage.record(name, documents[number], int(number))
                    found._storage.commit([(name, record.id, record)])
        except (AttributeError, LookupError, TypeError, ValueError) as fault:
            raise ValueError(f"it is no snapshot of this emulator: {place}: {fault!r}") from fault
        return found

    def replace_all(self, other: Store) -> None:
        """Put what another store has, which is used up by it, in the place of everything, all or nothing. Numbers never fall."""
        self._storage.replace_all(other._storage.shelves, max(other.next_seq, self.next_seq))

    def close(self) -> None:
        """Let another process open the data folder. Afterwards a store with one takes no more changes."""
        self.database.close()

    def _shelf(self, name: str) -> Shelf:
        """Return a table's records. No trace is left of scopes that are only asked for."""
        return self._storage.shelves.get(name, _EMPTY)

    def _collections(self) -> Iterator[tuple[Scope, str, dict[str, Record]]]:
        """Every collection of every scope."""
        for name, shelf in self._storage.shelves.items():
            match name.split("/"):
                case [collection, org, sandbox]:
                    scope = (unquote(org, errors="surrogatepass"), unquote(sandbox, errors="surrogatepass"))
                    yield scope, collection, shelf.records


def _entry(table: str, id: str, record: Record | None) -> tuple[Any, ...]:
    """An edit as the log has it."""
    return (table, id) if record is None else (table, record.seq, orjson.Fragment(record.raw))


def _place(change: Change) -> tuple[str, str, Mapping[str, Any] | None]:
    """A change's table and id, and the document put there, or None for a removal."""
    match change:
        case Put(scope, collection, entity):
            return table_name(scope, collection), entity["id"], entity
        case Delete(scope, collection, id):
            return table_name(scope, collection), id, None
        case SetMeta(key, value):
            return META, key, None if value is None else {"id": key, "value": value}


@lru_cache(1024)
def table_name(scope: Scope, collection: str) -> str:
    """Return `runs/<org>/<sandbox>`; what is special in a name is escaped, so that no two names fall together."""
    return "/".join((collection, *(quote(name, safe="@", errors="surrogatepass") for name in scope)))
