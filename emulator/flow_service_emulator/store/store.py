"""The store: every entity of every organisation and sandbox, by id, in creation order and by index key.

Entities live in TinyDB, one table for each collection of a scope, in memory or, with a data folder, in its log as well (see
`log` for what that promises). One thread may use a store; every call is done when it returns. Secrets must be masked by the
caller: whatever comes in here is written and shown as it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.store.changes import Change, Delete, Put, Scope, SetMeta
from flow_service_emulator.store.log import LogStorage
from flow_service_emulator.store.moment import Contents, Moment, SnapshotError, moment_of, read_contents
from flow_service_emulator.store.records import (
    FIRST_SEQ,
    Edit,
    EntityDatabase,
    EntityStorage,
    Record,
    Records,
    Shelf,
    StoreError,
)

__all__ = [
    "FIRST_SEQ",
    "META",
    "Change",
    "Contents",
    "Delete",
    "Put",
    "Record",
    "Records",
    "Scope",
    "SetMeta",
    "SnapshotError",
    "Store",
    "StoreError",
    "split_name",
]

META: Final = "meta"
"""The table of the emulator's own values, `{"id": key, "value": value}` each; entities' tables have slashes in their names."""
_EMPTY: Final = Shelf()


class Store:
    """All entities, and small values of the emulator's own ("meta").

    `indexes` says by which top-level fields `by_index` finds a collection's entities: `{"runs": ("flowId",)}`; a field may hold
    a text or a list of texts.

    Every method that changes something raises StoreError when a data folder cannot take it (a full disk), and TypeError when an
    entity is no JSON; it has then changed nothing. Opening raises StoreError when the folder cannot be used, is in use by another
    process, or its log is damaged.
    """

    def __init__(self, data_dir: Path | None = None, *, indexes: Mapping[str, Sequence[str]] | None = None) -> None:
        fields = {name: tuple(given) for name, given in (indexes or {}).items()}
        self._storage: EntityStorage = LogStorage(data_dir, fields) if data_dir else EntityStorage(fields)
        self.database = EntityDatabase(storage=lambda: self._storage)

    def insert(self, scope: Scope, collection: str, entity: Mapping[str, Any]) -> None:
        """Stores a new entity. Raises StoreError where its id is taken."""
        name = table_name(scope, collection)
        if entity["id"] in self._shelf(name).records:
            raise StoreError(f"there is an entity {entity['id']} in {collection} already")
        record = self._storage.record(name, entity, self._storage.take_seq())
        self._storage.commit([Edit(name, record.id, record)])

    def get(self, scope: Scope, collection: str, id: str) -> dict[str, Any] | None:
        """A copy of an entity, or None."""
        record = self._shelf(table_name(scope, collection)).records.get(id)
        return None if record is None else record.entity()

    def raw(self, scope: Scope, collection: str, id: str) -> bytes | None:
        """An entity as JSON, or None."""
        record = self._shelf(table_name(scope, collection)).records.get(id)
        return None if record is None else record.raw

    def seq(self, scope: Scope, collection: str, id: str) -> int:
        """An entity's number in the order of creation. Raises KeyError where there is none."""
        return self._shelf(table_name(scope, collection)).records[id].seq

    def replace(self, scope: Scope, collection: str, entity: Mapping[str, Any]) -> None:
        """Puts an entity in the place of the one of its id, whose number it keeps. Raises StoreError where there is none."""
        if self.raw(scope, collection, entity["id"]) is None:
            raise StoreError(f"there is no entity {entity['id']} in {collection}")
        self.write([Put(scope, collection, entity)])

    def write(self, changes: Iterable[Change]) -> None:
        """Makes several changes, in order, all or none, even if the process is killed meanwhile."""
        edits: list[Edit] = []
        upcoming: dict[tuple[str, str], Record | None] = {}
        for change in changes:
            name, id, document = _place(change)
            place = (name, id)
            old = upcoming[place] if place in upcoming else self._shelf(name).records.get(id)
            if document is None:
                if old is None:
                    continue
                upcoming[place] = None
            else:
                seq = self._storage.take_seq() if old is None else old.seq
                upcoming[place] = self._storage.record(name, document, seq)
            edits.append(Edit(name, id, upcoming[place]))
        self._storage.commit(edits)

    def records(self, scope: Scope, collection: str) -> Records:
        """All entities of a collection, newest first, as records: a view that copies and decodes nothing."""
        return Records(self._shelf(table_name(scope, collection)).records)

    def by_index(self, scope: Scope, collection: str, key: str) -> Records:
        """The entities that have `key` in one of the collection's indexed fields, newest first."""
        return Records(self._shelf(table_name(scope, collection)).by_key.get(key, {}))

    def everywhere(self, collection: str, *, newest_first: bool = False) -> Iterator[tuple[Scope, Record]]:
        """The entities of a collection in all scopes, oldest first. Nothing may be changed before the last."""
        walks = [_scoped(scope, records, newest_first) for scope, records in self._everywhere(collection)]
        return heapq.merge(*walks, key=lambda pair: pair[1].seq, reverse=newest_first)

    def newest(self, collection: str, limit: int) -> Iterator[tuple[Scope, Record]]:
        """The newest entities of a collection in all scopes, newest first, `limit` at most."""
        return islice(self.everywhere(collection, newest_first=True), limit)

    def count(self, collection: str) -> int:
        """How many entities a collection has in all scopes."""
        return sum(len(records) for _, records in self._everywhere(collection))

    @property
    def next_seq(self) -> int:
        """The number that the next new entity gets; it never falls, over restarts as well."""
        return self._storage.next_seq

    def get_meta(self, key: str) -> Any:
        """One of the emulator's own values, or None."""
        record = self._shelf(META).records.get(key)
        return None if record is None else record.entity().get("value")

    def meta_keys(self, prefix: str = "") -> list[str]:
        """The keys of the emulator's own values that begin so, in the order in which they were first set."""
        return [key for key in self._shelf(META).records if key.startswith(prefix)]

    def moment(self) -> Moment:
        """Everything as it is now; its JSON is made later, in a thread."""
        return moment_of(self._storage)

    def read(self, snapshot: Any) -> Contents:
        """Reads the JSON of a `moment`. Raises SnapshotError. Changes nothing; the one method that may be called in a thread."""
        return read_contents(self._storage, snapshot)

    def replace_all(self, contents: Contents, meta: Mapping[str, Any] | None = None) -> None:
        """Puts what `read` gave, which is used up by it, in the place of everything, all or nothing. Numbers never fall.

        `meta` are values of the emulator's own that are set with it.
        """
        shelves, next_seq = contents.shelves, max(contents.next_seq, self._storage.next_seq)
        shelf = shelves.setdefault(META, Shelf())
        for key, value in (meta or {}).items():
            known = shelf.records.get(key)
            shelf.put(self._storage.record(META, {"id": key, "value": value}, known.seq if known else next_seq))
            next_seq += known is None
        self._storage.replace_all(shelves, next_seq)

    def clear(self, meta: Mapping[str, Any] | None = None) -> None:
        """Forgets everything but which number comes next, and sets `meta`, all or nothing."""
        self.replace_all(Contents({}, self._storage.next_seq), meta)

    def close(self) -> None:
        """Lets another process open the data folder. Afterwards a store with one takes no more changes."""
        self.database.close()

    def _shelf(self, name: str) -> Shelf:
        """A table's records. No trace is left of scopes that are only asked for."""
        return self._storage.shelves.get(name, _EMPTY)

    def _everywhere(self, collection: str) -> list[tuple[Scope, Records]]:
        """The collection of each scope that ever had one."""
        split = ((split_name(name), shelf) for name, shelf in self._storage.shelves.items())
        found = [(scope, shelf) for (scope, of), shelf in split if scope is not None and of == collection]
        return [(scope, Records(shelf.records)) for scope, shelf in found]


def _place(change: Change) -> tuple[str, str, Mapping[str, Any] | None]:
    """A change's table and id, and the document put there, or None for a removal."""
    match change:
        case Put(scope, collection, entity):
            return table_name(scope, collection), entity["id"], entity
        case Delete(scope, collection, id):
            return table_name(scope, collection), id, None
        case SetMeta(key, value):
            return META, key, None if value is None else {"id": key, "value": value}


def _scoped(scope: Scope, records: Records, newest_first: bool) -> Iterator[tuple[Scope, Record]]:
    return ((scope, record) for record in (records if newest_first else reversed(records)))


@lru_cache(1024)
def table_name(scope: Scope, collection: str) -> str:
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
