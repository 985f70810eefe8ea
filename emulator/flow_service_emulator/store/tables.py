"""TinyDB tables over an entity storage: TinyDB's ordinary calls, at the cost of what they touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, cast

from tinydb import TinyDB
from tinydb.table import Table

from flow_service_emulator.store.records import Edit, Record, RecordList, Records, Shelf
from flow_service_emulator.store.storage import Documents, DuplicateId, EntityStorage


class EntityTable(Table):
    """One table of the store. Documents go by their `id`, and by `doc_id`, which is the record's number.

    Beside TinyDB's calls it has those that decode nothing. A table comes into being with its first document: asking
    one that has none leaves no trace in the storage.
    """

    def __init__(self, storage: EntityStorage, name: str, cache_size: int = 0, persist_empty: bool = False) -> None:
        # No query cache: every change would have to empty it, and it hands out the very dicts that it keeps.
        self._entities = storage
        super().__init__(storage, name, cache_size=0, persist_empty=persist_empty)

    def record(self, id: str) -> Record | None:
        """The record of this id."""
        shelf = self._entities.shelves.get(self._name)
        return None if shelf is None else shelf.by_id.get(id)

    def records(self) -> Records:
        """All records, newest first."""
        shelf = self._entities.shelves.get(self._name)
        return Records(RecordList() if shelf is None else shelf.order)

    def by_key(self, key: str) -> Records:
        """The records that the collection's index finds by this key, newest first."""
        shelf = self._entities.shelves.get(self._name)
        return Records((None if shelf is None else shelf.by_key.get(key)) or RecordList())

    @property
    def storage(self) -> EntityStorage:
        return self._entities

    def _read_table(self) -> dict[str, Any]:
        shelf = self._entities.shelves.get(self._name)
        return {} if shelf is None else cast("dict[str, Any]", Documents(shelf))

    def _update_table(self, updater: Callable[[dict[int, Any]], None]) -> None:
        drafts = _Drafts(self._entities.shelves.get(self._name) or Shelf())
        updater(cast("dict[int, Any]", drafts))
        self._entities.commit(drafts.edits(self._entities, self._name))

    def _get_next_id(self) -> int:
        return self._entities.take_seq()


class EntityDatabase(TinyDB):
    """TinyDB with these tables, over one of the entity storages."""

    table_class: type[Table] = EntityTable

    def table(self, name: str, **kwargs: Any) -> EntityTable:
        """The table of a name; a new one is not stored before it has a document."""
        return cast("EntityTable", super().table(name, **kwargs))

    @property
    def storage(self) -> EntityStorage:
        return cast("EntityStorage", self._storage)

    def forget_tables(self) -> None:
        """Lets go of the table objects, as TinyDB does when it drops tables. Those that others hold stay good."""
        self._tables.clear()


class _Drafts(MutableMapping[int, dict[str, Any]]):
    """A table for TinyDB to change: it decodes what is touched, and tells afterwards what has changed."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._touched: dict[int, dict[str, Any] | None] = {}

    def __getitem__(self, doc_id: int) -> dict[str, Any]:
        if doc_id not in self._touched:
            record = self._shelf.order.find(doc_id)
            if record is None:
                raise KeyError(doc_id)
            self._touched[doc_id] = record.entity()
        document = self._touched[doc_id]
        if document is None:
            raise KeyError(doc_id)
        return document

    def __setitem__(self, doc_id: int, document: dict[str, Any]) -> None:
        self._touched[doc_id] = document

    def __delitem__(self, doc_id: int) -> None:
        if doc_id not in self:
            raise KeyError(doc_id)
        self._touched[doc_id] = None

    def __contains__(self, doc_id: object) -> bool:
        if doc_id in self._touched:
            return self._touched[doc_id] is not None
        return isinstance(doc_id, int) and self._shelf.order.find(doc_id) is not None

    def __iter__(self) -> Iterator[int]:
        kept = (record.seq for record in reversed(Records(self._shelf.order)))
        yield from (seq for seq in kept if self._touched.get(seq, True) is not None)
        given = [seq for seq, document in self._touched.items() if document is not None]
        yield from (seq for seq in given if self._shelf.order.find(seq) is None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        for doc_id in list(self):
            self._touched[doc_id] = None

    def edits(self, storage: EntityStorage, table: str) -> list[Edit]:
        """What became different: removals, then documents put. Raises DuplicateId and Unstorable."""
        removals: list[Edit] = []
        puts: dict[str, Edit] = {}
        leaving: set[str] = set()
        for seq, document in self._touched.items():
            record = self._shelf.order.find(seq)
            edit = None if document is None else storage.edit(table, document, seq)
            if record is not None and (edit is None or edit.id != record.id):
                leaving.add(record.id)
                removals.append(Edit(table, record.id))
            if edit is None or (record is not None and edit.id == record.id and edit.raw == record.raw):
                continue
            if edit.id in puts:
                raise DuplicateId(f"the id {edit.id!r} is given twice")
            puts[edit.id] = edit
        for id, edit in puts.items():
            holder = self._shelf.by_id.get(id)
            if holder is not None and holder.seq != edit.seq and id not in leaving:
                raise DuplicateId(f"the id {id!r} is there already")
        return [*removals, *puts.values()]
