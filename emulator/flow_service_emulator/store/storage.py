"""The TinyDB storage for entities, in memory. (`log_storage` has the one that keeps them in a data folder as well.)

TinyDB's own way is to read and write the whole database for every change. This storage can do that too (`read`,
`write`), but what changes something hands over `Edit`s, and these cost the same in a full store as in an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any, Final

import orjson
from tinydb.storages import Storage

from flow_service_emulator.store.logfile import StoreError
from flow_service_emulator.store.records import LONGEST_NAME, Edit, Shelf

Indexes = Mapping[str, tuple[str, ...]]
"""Collection -> the top-level fields whose text, or list of texts, finds its entities."""

Shelves = dict[str, Shelf]
"""Table name -> its records."""

Look = Callable[[str, int, Mapping[str, Any]], None]
"""Looks at a document: its table, its number and itself."""

FIRST_SEQ: Final = 1
LARGEST_SEQ: Final = 2**53 - 1
META: Final = "meta"
"""The table of the emulator's own values, `{"id": key, "value": value}` each; entities' tables have slashes in their
names."""


class DuplicateId(StoreError):
    """An entity with this id is there already."""


class Unstorable(StoreError):
    """The entity is no JSON: another type of value, a number beyond 64 bits, broken text, or 254 levels and more."""


class Documents(Mapping[str, dict[str, Any]]):
    """A shelf as TinyDB reads a table: document id (a record's number, as text) -> document, decoded when looked at."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def __getitem__(self, doc_id: str) -> dict[str, Any]:
        record = self.shelf.order.find(int(doc_id)) if doc_id.isdecimal() else None
        if record is None:
            raise KeyError(doc_id)
        return record.entity()

    def __iter__(self) -> Iterator[str]:
        return (str(record.seq) for record in self.shelf.order.ordered() if record.live)

    def __len__(self) -> int:
        return self.shelf.order.live


class EntityStorage(Storage):
    """The storage that keeps its entities in memory only."""

    def __init__(self, indexes: Indexes) -> None:
        self.indexes = indexes
        self.shelves: Shelves = {}
        self.next_seq = FIRST_SEQ

    def take_seq(self) -> int:
        """A number for a new record. Numbers grow, and none is given twice."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def edit(self, table: str, document: Mapping[str, Any], seq: int) -> Edit:
        """What puts a document into a table. Without an `id` of its own it goes by its number. Raises Unstorable."""
        try:
            encoded = orjson.dumps(document if isinstance(document, dict) else dict(document))
        except TypeError as error:
            raise Unstorable(f"this cannot be stored as JSON: {error}") from error
        own_id = document.get("id")
        # A copy: orjson encodes into a buffer of up to 8 KB, whose unused end would be lost to the allocator.
        raw = bytes(memoryview(encoded))
        return self.described(table, own_id if isinstance(own_id, str) else str(seq), seq, document, raw)

    def described(self, table: str, id: str, seq: int, document: Mapping[str, Any], raw: bytes) -> Edit:
        """What puts a document whose JSON is `raw`, with all that its record has at hand beside that."""
        created_at, updated_at, name = document.get("createdAt"), document.get("updatedAt"), document.get("name")
        return Edit(
            table,
            id,
            seq,
            created_at if isinstance(created_at, int) else 0,
            updated_at if type(updated_at) is int else None,
            intern(name) if type(name) is str and len(name) <= LONGEST_NAME else None,
            self._keys_of(table, document),
            raw,
        )

    def commit(self, edits: Sequence[Edit]) -> None:
        """Makes changes, all or none. Raises StoreError when they cannot be kept; nothing has changed then."""
        if not edits:
            return
        self._keep(edits)
        self._apply(edits)

    def replace_all(self, shelves: Shelves, next_seq: int) -> None:
        """Puts other contents in the place of all there is, at once. Raises StoreError; then nothing has changed."""
        self.shelves, self.next_seq = shelves, next_seq

    def shelve(
        self, tables: Mapping[str, Mapping[str, Mapping[str, Any]]], look: Look = lambda table, seq, document: None
    ) -> Shelves:
        """Tables as TinyDB writes them (name -> document id -> document), encoded. Raises StoreError, and what `look` raises.

        Changes nothing, and may be called in a thread.
        """
        shelves: Shelves = {}
        for name, documents in tables.items():
            if isinstance(documents, Documents):
                shelves[name] = documents.shelf
                continue
            shelf = shelves[name] = Shelf()
            for seq, document in _numbered(name, documents):
                look(name, seq, document)
                edit = self.edit(name, document, seq)
                if edit.id in shelf.by_id:
                    raise DuplicateId(f"table {name!r} has the id {edit.id!r} twice")
                shelf.put(edit)
        return shelves

    def read(self) -> dict[str, Any]:
        """Everything, as TinyDB wants it: table -> documents. Nothing is decoded before it is looked at."""
        return {name: Documents(shelf) for name, shelf in self.shelves.items()}

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Replaces everything, as TinyDB does when it drops tables."""
        shelves = self.shelve(data)
        self.replace_all(shelves, max(self.next_seq, first_free(shelves)))

    def _keep(self, edits: Sequence[Edit]) -> None:
        """Makes sure that changes outlive the process, where that is promised."""

    def _apply(self, edits: Iterable[Edit]) -> None:
        for edit in edits:
            shelf = self.shelves.get(edit.table)
            if edit.raw is None:
                if shelf is not None:
                    shelf.remove(edit.id)
                continue
            if shelf is None:
                shelf = self.shelves[edit.table] = Shelf()
            shelf.put(edit)
            if edit.seq >= self.next_seq:
                self.next_seq = edit.seq + 1

    def _keys_of(self, table: str, document: Mapping[str, Any]) -> tuple[str, ...]:
        """By which keys its collection's index finds a document."""
        fields = self.indexes.get(table.partition("/")[0])
        if fields is None:
            return ()
        found: dict[str, None] = {}
        for field in fields:
            value = document.get(field)
            for key in value if isinstance(value, list) else (value,):
                if isinstance(key, str):
                    found[intern(key)] = None
        return tuple(found)


def first_free(shelves: Shelves) -> int:
    """The smallest number above those of all records."""
    orders = (shelf.order.ordered() for shelf in shelves.values())
    return 1 + max((records[-1].seq for records in orders if records), default=0)


def _numbered(name: Any, documents: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """A table's documents by growing number."""
    if not isinstance(name, str) or not isinstance(documents, Mapping):
        raise StoreError(f"table {name!r}: an object of documents is needed")
    numbers: dict[int, Any] = {}
    for doc_id, document in documents.items():
        text = str(doc_id)
        seq = int(text) if text.isdecimal() and len(text) <= len(str(LARGEST_SEQ)) else 0
        if not FIRST_SEQ <= seq <= LARGEST_SEQ or str(seq) != text:
            raise StoreError(f"table {name!r}: {text[:40]!r} is no number of a record")
        if not isinstance(document, Mapping):
            raise StoreError(f"table {name!r}, record {text}: an object is needed")
        numbers[seq] = document
    return iter(sorted(numbers.items()))
