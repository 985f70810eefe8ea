"""The store: every entity of every organisation and sandbox, by id, in creation order and by index key.

Entities live in TinyDB, one table for each collection of a scope, in memory or, with a data folder, in its log as well (see
`log` for what that promises). One thread may use a store; every call is done when it returns. Secrets must be masked by the
caller: whatever comes in here is written and shown as it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from flow_service_emulator.store.log import LogStorage
from flow_service_emulator.store.records import (
    FIRST_SEQ,
    SNAPSHOT_VERSION,
    Contents,
    Edit,
    EntityDatabase,
    EntityStorage,
    Indexes,
    Record,
    Records,
    Shelf,
    StoreError,
)

__all__ = ["FIRST_SEQ", "Contents", "Record", "Records", "StoreError"]

Scope = tuple[str, str]
"""(imsOrgId, sandboxName)"""
META: Final = "meta"
"""The table of the emulator's own values, `{"id": key, "value": value}` each; entities' tables have slashes in their names."""
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


class SnapshotError(StoreError, ValueError):
    """This is no snapshot that the store can take; the message says what is wrong."""


class Store:
    """All entities, and small values of the emulator's own ("meta").

    `indexes` says by which top-level fields `by_index` finds a collection's entities: `{"runs": ("flowId",)}`; a field may hold
    a text or a list of texts.

    Every method that changes something raises StoreError when a data folder cannot take it (a full disk), and TypeError when an
    entity is no JSON; it has then changed nothing. Opening raises StoreError when the folder cannot be used, is in use by another
    process, or its log is damaged.
    """

    def __init__(self, data_dir: Path | None = None, *, indexes: Indexes | None = None) -> None:
        indexes = indexes or {}
        self._storage: EntityStorage = LogStorage(data_dir, indexes) if data_dir else EntityStorage(indexes)
        self.database = EntityDatabase(storage=lambda: self._storage)

    def get(self, scope: Scope, collection: str, id: str) -> dict[str, Any] | None:
        """Return a copy of an entity, or None."""
        record = self._shelf(table_name(scope, collection)).records.get(id)
        return None if record is None else record.entity()

    def raw(self, scope: Scope, collection: str, id: str) -> bytes | None:
        """Return an entity as JSON, or None."""
        record = self._shelf(table_name(scope, collection)).records.get(id)
        return None if record is None else record.raw

    def seq(self, scope: Scope, collection: str, id: str) -> int:
        """Return an entity's number in the order of creation. Raise KeyError where there is none."""
        return self._shelf(table_name(scope, collection)).records[id].seq

    def write(self, changes: Iterable[Change]) -> None:
        """Make several changes, in order, all or none, even if the process is killed meanwhile. An entity keeps its number."""
        edits: list[Edit] = []
        upcoming: dict[tuple[str, str], Record | None] = {}
        for change in changes:
            name, id, document = _place(change)
            before = upcoming[name, id] if (name, id) in upcoming else self._shelf(name).records.get(id)
            record = None
            if document is not None:
                record = self._storage.record(name, document, before.seq if before else self._storage.take_seq())
            upcoming[name, id] = record
            if record or before:
                edits.append(Edit(name, id, record))
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
            zip(repeat(scope), records if newest_first else reversed(records), strict=False)
            for scope, records in self._everywhere(collection)
        ]
        return heapq.merge(*walks, key=lambda pair: pair[1].seq, reverse=newest_first)

    def whereabouts(self, id: str) -> list[tuple[Scope, str]]:
        """The scopes and collections that have an entity of this id."""
        return [(scope, collection) for scope, collection, shelf in self._collections() if id in shelf.records]

    def count(self, collection: str) -> int:
        """How many entities a collection has in all scopes."""
        return sum(len(records) for _, records in self._everywhere(collection))

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

    def moment(self) -> Contents:
        """Everything as it is now, and stays while the store goes on; its JSON is made later, in a thread."""
        shelves = {name: Shelf(dict(shelf.records)) for name, shelf in self._storage.shelves.items() if shelf.records}
        return Contents(shelves, self._storage.next_seq)

    def read(self, snapshot: Any) -> Contents:
        """Read the JSON of a `moment`. Raise SnapshotError. Change nothing; the one method that may be called in a thread."""
        version = snapshot.get("version") if isinstance(snapshot, dict) else None
        if version != SNAPSHOT_VERSION:
            raise SnapshotError(f"it has version {version}; this emulator reads {SNAPSHOT_VERSION}")
        place = "nextSeq"
        shelves: dict[str, Shelf] = {}
        try:
            next_seq = int(snapshot["nextSeq"])
            for name, documents in snapshot["tables"].items():
                shelf = shelves[name] = Shelf()
                for number in sorted(documents, key=int):
                    place = f"table {name!r}, record {number}"
                    shelf.put(self._storage.record(name, documents[number], int(number)))
                    next_seq = max(next_seq, int(number) + 1)
        except (AttributeError, LookupError, TypeError, ValueError) as fault:
            raise SnapshotError(f"it is no snapshot of this emulator: {place}: {fault!r}") from fault
        return Contents(shelves, next_seq)

    def replace_all(self, contents: Contents, meta: Mapping[str, Any] | None = None) -> None:
        """Put what `read` gave, which is used up by it, in the place of everything, all or nothing. Numbers never fall.

        `meta` are values of the emulator's own that are set with it.
        """
        shelves, next_seq = contents.shelves, max(contents.next_seq, self._storage.next_seq)
        shelf = shelves.setdefault(META, Shelf())
        for key, value in (meta or {}).items():
            known = shelf.records.get(key)
            shelf.put(self._storage.record(META, {"id": key, "value": value}, known.seq if known else next_seq))
            next_seq += known is None
        self._storage.replace_all(Contents(shelves, next_seq))

    def clear(self, meta: Mapping[str, Any] | None = None) -> None:
        """Forget everything but which number comes next, and set `meta`, all or nothing."""
        self.replace_all(Contents({}, self._storage.next_seq), meta)

    def close(self) -> None:
        """Let another process open the data folder. Afterwards a store with one takes no more changes."""
        self.database.close()

    def _shelf(self, name: str) -> Shelf:
        """Return a table's records. No trace is left of scopes that are only asked for."""
        return self._storage.shelves.get(name, _EMPTY)

    def _everywhere(self, collection: str) -> Iterator[tuple[Scope, Records]]:
        """The collection of each scope that ever had one."""
        return ((scope, Records(shelf.records)) for scope, of, shelf in self._collections() if of == collection)

    def _collections(self) -> Iterator[tuple[Scope, str, Shelf]]:
        """Every collection of every scope."""
        for name, shelf in self._storage.shelves.items():
            match name.split("/"):
                case [collection, org, sandbox]:
                    yield (
                        (unquote(org, errors="surrogatepass"), unquote(sandbox, errors="surrogatepass")),
                        collection,
                        shelf,
                    )


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
