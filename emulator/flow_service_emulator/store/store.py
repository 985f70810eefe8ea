"""The store: every entity of every organisation and sandbox, by id, in creation order and by index key.

Entities live in TinyDB, one table for each collection of a scope, in memory or, with a data folder, in its log as
well (see `emulator.logfile` for what that promises). One thread may use a store; every call is done when it returns.
Credentials must be masked by the caller: whatever comes in here is written and shown as it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator.store.changes import Change, Delete, Put, Scope, SetEncodedMeta, SetMeta
from flow_service_emulator.store.log_storage import LogStorage
from flow_service_emulator.store.logfile import StoreError
from flow_service_emulator.store.moment import SNAPSHOT_VERSION, Moment
from flow_service_emulator.store.records import Edit, Record, RecordList, Records, Shelf
from flow_service_emulator.store.storage import (
    FIRST_SEQ,
    LARGEST_SEQ,
    META,
    DuplicateId,
    EntityStorage,
    Look,
    Shelves,
    Unstorable,
    first_free,
)
from flow_service_emulator.store.tables import EntityDatabase, EntityTable

__all__ = [
    "COLUMNS",
    "FIRST_SEQ",
    "META",
    "Change",
    "Contents",
    "Delete",
    "DuplicateId",
    "EtagMismatch",
    "NotFound",
    "Put",
    "Record",
    "Records",
    "Scope",
    "SetMeta",
    "SnapshotError",
    "Store",
    "StoreError",
    "Unstorable",
    "split_name",
]

COLUMNS: Final[Mapping[str, Callable[[Record], Any]]] = {
    "id": attrgetter("id"),
    "name": attrgetter("name"),
    "updatedAt": attrgetter("updated_at"),
}
"""Field -> how to read it from a record without decoding that, beside `createdAt`; None where only its JSON says."""


class NotFound(StoreError):
    """There is no entity of this id."""


class EtagMismatch(StoreError):
    """The entity's etag is another one, `current`."""

    def __init__(self, id: str, current: str | None) -> None:
        super().__init__(f"{id} has the etag {current}")
        self.current = current


class SnapshotError(StoreError, ValueError):
    """This is no snapshot that the store can take; the message says what is wrong."""


class Contents(NamedTuple):
    """What a snapshot holds, read and ready to be put in the place of everything."""

    shelves: Shelves
    next_seq: int


class Store:
    """All entities, and small values of the emulator's own ("meta").

    `indexes` says by which top-level fields `by_index` finds a collection's entities: `{"runs": "flowId"}`, or
    several: `{"flows": ("sourceConnectionIds", "targetConnectionIds")}`; a field may hold a text or a list of texts.

    Every method that changes something raises StoreError when a data folder cannot take it (a full disk), and has
    then changed nothing; Unstorable when an entity is no JSON. Opening raises StoreError when the folder cannot be
    used, is in use by another process, or its log is damaged.
    """

    def __init__(
        self, data_dir: Path | None = None, *, indexes: Mapping[str, str | Sequence[str]] | None = None
    ) -> None:
        fields = {name: _texts(given) for name, given in (indexes or {}).items()}
        if data_dir is None:
            self._db = EntityDatabase(fields, storage=EntityStorage)
        else:
            self._db = EntityDatabase(data_dir, fields, storage=LogStorage)
        self._storage = self._db.storage
        self._known: dict[tuple[Scope, str], EntityTable] = {}
        self._meta = self._db.table(META)

    def insert(self, scope: Scope, collection: str, entity: Mapping[str, Any]) -> None:
        """Stores a new entity. Raises DuplicateId."""
        table = self._existing(scope, collection)
        if table is not None and table.record(entity["id"]) is not None:
            raise DuplicateId(f"there is an entity {entity['id']} in {collection} already")
        name = _table_name(scope, collection) if table is None else table.name
        self._storage.commit([self._storage.edit(name, entity, self._storage.take_seq())])

    def get(self, scope: Scope, collection: str, id: str) -> dict[str, Any] | None:
        """A copy of an entity, or None."""
        record = self._record(scope, collection, id)
        return None if record is None else record.entity()

    def raw(self, scope: Scope, collection: str, id: str) -> bytes | None:
        """An entity as JSON, or None."""
        record = self._record(scope, collection, id)
        return None if record is None else record.raw

    def replace(self, scope: Scope, collection: str, entity: Mapping[str, Any], *, if_match: str | None = None) -> None:
        """Puts an entity in the place of the one of its id, whose number it keeps.

        `if_match` is the etag, with its double quotes, that the stored one must have. Raises NotFound or
        EtagMismatch.
        """
        table = self._existing(scope, collection)
        record = None if table is None else table.record(entity["id"])
        if table is None or record is None:
            raise NotFound(f"there is no entity {entity['id']} in {collection}")
        if if_match is not None:
            current = record.entity().get("etag")
            if current != if_match:
                raise EtagMismatch(record.id, current)
        self._storage.commit([self._storage.edit(table.name, entity, record.seq)])

    def delete(self, scope: Scope, collection: str, id: str) -> bool:
        """Deletes an entity; answers whether it was there."""
        table = self._existing(scope, collection)
        if table is None or table.record(id) is None:
            return False
        self._storage.commit([Edit(table.name, id)])
        return True

    def trim(self, scope: Scope, collection: str, ids: Iterable[str]) -> None:
        """Deletes many entities at once; ids that are not there are passed over."""
        self.write([Delete(scope, collection, id) for id in ids])

    def write(self, changes: Iterable[Change]) -> None:
        """Makes several changes, in order, all or none, even if the process is killed meanwhile."""
        edits: list[Edit] = []
        upcoming: dict[tuple[str, str], int | None] = {}
        for change in changes:
            name, id, document = _place(change)
            seq = upcoming[name, id] if (name, id) in upcoming else self._seq(name, id)
            if document is not None:
                seq = self._storage.take_seq() if seq is None else seq
                if isinstance(document, bytes):
                    edits.append(self._storage.described(name, id, seq, {}, document))
                else:
                    edits.append(self._storage.edit(name, document, seq))
                upcoming[name, id] = seq
            elif seq is not None:
                edits.append(Edit(name, id))
                upcoming[name, id] = None
        self._storage.commit(edits)

    def records(self, scope: Scope, collection: str) -> Records:
        """All entities of a collection, newest first, as records: a view that copies and decodes nothing."""
        table = self._existing(scope, collection)
        return Records(RecordList()) if table is None else table.records()

    def by_index(self, scope: Scope, collection: str, key: str) -> Records:
        """The entities that have `key` in one of the collection's indexed fields, newest first.

        `[record.id for record in reversed(store.by_index(scope, "runs", flow_id))]` are a flow's runs, oldest first.
        Raises KeyError for a collection without index.
        """
        if collection not in self._storage.indexes:
            raise KeyError(f"the collection {collection} has no index")
        table = self._existing(scope, collection)
        return Records(RecordList()) if table is None else table.by_key(key)

    def everywhere(self, collection: str) -> Iterator[tuple[Scope, Record]]:
        """The entities of a collection in all scopes, oldest first."""
        walks = [_scoped(scope, reversed(records)) for scope, records in self._everywhere(collection)]
        return heapq.merge(*walks, key=lambda pair: pair[1].seq)

    def newest(self, collection: str, limit: int) -> Iterator[tuple[Scope, Record]]:
        """The newest entities of a collection in all scopes, newest first, `limit` at most."""
        walks = [_scoped(scope, records) for scope, records in self._everywhere(collection)]
        return islice(heapq.merge(*walks, key=lambda pair: -pair[1].seq), limit)

    def count(self, collection: str) -> int:
        """How many entities a collection has in all scopes."""
        return sum(len(records) for _, records in self._everywhere(collection))

    @property
    def next_seq(self) -> int:
        """The number that the next new entity gets; it never falls, over restarts as well."""
        return self._storage.next_seq

    def get_meta(self, key: str) -> Any:
        """One of the emulator's own values, or None."""
        record = self._meta.record(key)
        return None if record is None else record.entity().get("value")

    def raw_meta(self, key: str) -> bytes | None:
        """One of the emulator's own values as `{"id": key, "value": value}` in JSON, or None; see `changes.value_of`."""
        record = self._meta.record(key)
        return None if record is None else record.raw

    def set_meta(self, key: str, value: Any) -> None:
        """Keeps a JSON value; None forgets it."""
        self.write([SetMeta(key, value)])

    def meta_keys(self, prefix: str = "") -> list[str]:
        """The keys of the emulator's own values that begin so, in the order in which they were first set."""
        return [record.id for record in reversed(self._meta.records()) if record.id.startswith(prefix)]

    def table(self, scope: Scope, collection: str) -> EntityTable:
        """A collection as a TinyDB table, for `search(Query()…)` and the like. What it writes is stored, too."""
        return self._db.table(_table_name(scope, collection))

    def snapshot(self) -> dict[str, Any]:
        """Everything: `{"version": 1, "nextSeq": n, "tables": {name: {seq: entity}}}`, tables as TinyDB has them."""
        snapshot: dict[str, Any] = orjson.loads(b"".join(self.moment().pieces()))
        return snapshot

    def moment(self) -> Moment:
        """The same as JSON in pieces, which are made later, in a thread."""
        moment = Moment(self._storage.next_seq)
        for name, shelf in sorted(self._storage.shelves.items()):
            moment.add(name, reversed(Records(shelf.order)))
        return moment

    def read(self, snapshot: Any, look: Look = lambda table, seq, document: None) -> Contents:
        """Reads a snapshot and changes nothing; the one method that may be called in a thread.

        `look` is shown every record and may raise ValueError. Raises SnapshotError, saying what is wrong.
        """
        match snapshot:
            case {"version": int() as version} if version != SNAPSHOT_VERSION:
                raise SnapshotError(f"it has version {version}; this emulator reads {SNAPSHOT_VERSION}")
            case {"version": int(), "nextSeq": int() as next_seq, "tables": dict() as tables}:
                pass
            case _:
                raise SnapshotError('"version" (a number), "nextSeq" (a number) and "tables" (an object) are needed')

        def look_twice(table: str, seq: int, document: Mapping[str, Any]) -> None:
            _check_document(table, seq, document)
            look(table, seq, document)

        try:
            shelves = self._storage.shelve(tables, look_twice)
        except (StoreError, ValueError) as error:
            raise SnapshotError(str(error)) from error
        if not first_free(shelves) <= next_seq <= LARGEST_SEQ // 2:
            raise SnapshotError(f'"nextSeq" must be above the number of every record, got {next_seq}')
        return Contents({name: shelf for name, shelf in shelves.items() if shelf.order.live}, next_seq)

    def replace_all(self, contents: Contents, meta: Mapping[str, Any] | None = None) -> None:
        """Puts what `read` gave, which is used up by it, in the place of everything, all or nothing. Numbers never fall.

        `meta` are values of the emulator's own that are set with it.
        """
        shelves, next_seq = contents.shelves, max(contents.next_seq, self._storage.next_seq)
        for key, value in (meta or {}).items():
            shelf = shelves.setdefault(META, Shelf())
            kept = shelf.by_id.get(key)
            shelf.put(self._storage.edit(META, {"id": key, "value": value}, next_seq if kept is None else kept.seq))
            next_seq += kept is None
        self._storage.replace_all(shelves, next_seq)
        self._known.clear()
        self._db.forget_tables()

    def restore(self, snapshot: Any) -> None:
        """Replaces everything by a snapshot, all or nothing. Raises SnapshotError."""
        self.replace_all(self.read(snapshot))

    def clear(self, meta: Mapping[str, Any] | None = None) -> None:
        """Forgets everything but which number comes next, and sets `meta`, all or nothing."""
        self.replace_all(Contents({}, self._storage.next_seq), meta)

    def close(self) -> None:
        """Lets another process open the data folder. Afterwards a store with one takes no more changes."""
        self._db.close()

    def _everywhere(self, collection: str) -> list[tuple[Scope, Records]]:
        """The collection of each scope that ever had one."""
        split = ((split_name(name), shelf) for name, shelf in self._storage.shelves.items())
        return [(scope, Records(shelf.order)) for (scope, of), shelf in split if scope is not None and of == collection]

    def _existing(self, scope: Scope, collection: str) -> EntityTable | None:
        """The table, if it ever had an entity: no trace is left of scopes that were only asked for."""
        table = self._known.get((scope, collection))
        if table is None:
            name = _table_name(scope, collection)
            if name not in self._storage.shelves:
                return None
            table = self._known[scope, collection] = self._db.table(name)
        return table

    def _record(self, scope: Scope, collection: str, id: str) -> Record | None:
        table = self._existing(scope, collection)
        return None if table is None else table.record(id)

    def _seq(self, name: str, id: str) -> int | None:
        shelf = self._storage.shelves.get(name)
        record = None if shelf is None else shelf.by_id.get(id)
        return None if record is None else record.seq


def _check_document(table: str, seq: int, document: Mapping[str, Any]) -> None:
    """Raises SnapshotError for what no other call of the store would have stored."""
    if table == META:
        if not (isinstance(document.get("id"), str) and "value" in document):
            raise SnapshotError(f'table {table!r}, record {seq}: an "id" (a text) and a "value" are needed')
    elif split_name(table)[0] is not None and not isinstance(document.get("id"), str):
        raise SnapshotError(f'table {table!r}, record {seq}: an entity needs an "id" (a text)')


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _place(change: Change) -> tuple[str, str, Mapping[str, Any] | bytes | None]:
    """A change's table and id, and the document put there, or its JSON, or None for a removal."""
    match change:
        case Put(scope, collection, entity):
            return _table_name(scope, collection), entity["id"], entity
        case Delete(scope, collection, id):
            return _table_name(scope, collection), id, None
        case SetMeta(key, value):
            return META, key, None if value is None else {"id": key, "value": value}
        case SetEncodedMeta(key, raw):
            return META, key, raw


def _scoped(scope: Scope, records: Iterable[Record]) -> Iterator[tuple[Scope, Record]]:
    return ((scope, record) for record in records)


def _table_name(scope: Scope, collection: str) -> str:
    """`runs/<org>/<sandbox>`; a slash or percent sign within a name is escaped, so that no two names fall together."""
    org, sandbox = scope
    return f"{collection}/{_escaped(org)}/{_escaped(sandbox)}"


def split_name(name: str) -> tuple[Scope | None, str]:
    """The scope and collection of a table; no scope for a table that is no collection's."""
    match name.split("/"):
        case [collection, org, sandbox]:
            return (_unescaped(org), _unescaped(sandbox)), collection
    return None, name


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")


def _unescaped(text: str) -> str:
    return text.replace("%2F", "/").replace("%25", "%")
