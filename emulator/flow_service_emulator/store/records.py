"""Entities in memory: encoded records in order of creation, found by id and by index key.

Records hold JSON bytes, not dicts: 100,000 dicts of dicts would take four times the memory, and the garbage collector
would visit every one of them again and again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, NamedTuple

import orjson

_seq: Final = attrgetter("seq")
_live: Final = attrgetter("live")

LONGEST_NAME: Final = 256
"""Characters of a name that a record has at hand; longer ones are in its JSON only."""

_DEAD_SHARE: Final = 4
_DEAD_SLACK: Final = 16
"""Deleted records leave a list when they are more than a quarter of the others, and 4; short lists are left in peace."""


class Edit(NamedTuple):
    """One record put or, without `raw`, removed. A record that is there keeps its number, whatever `seq` says."""

    table: str
    id: str
    seq: int = 0
    created_at: int = 0
    updated_at: int | None = None
    name: str | None = None
    keys: tuple[str, ...] = ()
    raw: bytes | None = None


class Record:
    """A stored entity.

    `seq` is its number in creation order: unique in the store, growing, and kept when the entity is replaced.
    `created_at` is the entity's `createdAt` in epoch milliseconds (0 when it has none). `raw` is its JSON as orjson
    writes it, without spaces. `updated_at` and `name` are what it has under `updatedAt` and `name`, so that lists are
    sorted and searched by them without decoding; None where it has none, or one that is no whole number or no text of
    at most LONGEST_NAME characters. `keys` are what its collection's index finds it by. `live` turns False when it is
    deleted. A record follows its entity: a replacement shows in `raw` at once. Whoever is given a record only reads
    it.
    """

    __slots__ = ("created_at", "id", "keys", "live", "name", "raw", "seq", "updated_at")

    def __init__(self, edit: Edit) -> None:
        self.id = edit.id
        self.seq = edit.seq
        self.keys = edit.keys
        self.live = True
        self.take(edit)

    def take(self, edit: Edit) -> None:
        """Takes over what an edit says of the entity, all but its place in the store."""
        self.created_at = edit.created_at
        self.updated_at = edit.updated_at
        self.name = edit.name
        self.raw = edit.raw or b""

    def entity(self) -> dict[str, Any]:
        """The entity, decoded anew on every call, so that the caller may change it."""
        entity: dict[str, Any] = orjson.loads(self.raw)
        return entity


class RecordList:
    """Records by growing `seq`. Adding and removing cost the same in a long list as in a short one (on average).

    A list handed out by `ordered` only ever grows at its end, so that whoever walks through it is not disturbed:
    removed records stay in it, no longer live, until a new list without them takes its place.
    """

    __slots__ = ("_items", "_sorted", "live")

    def __init__(self) -> None:
        self._items: list[Record] = []
        self._sorted = True
        self.live = 0

    def ordered(self) -> list[Record]:
        """All records, oldest first, and among them some that are no longer live."""
        if not self._sorted:
            self._items = sorted(self._items, key=_seq)
            self._sorted = True
        return self._items

    def add(self, record: Record) -> None:
        if self._sorted and self._items and self._items[-1].seq > record.seq:
            # Rare: a log that was rewritten while changes went on, or a number chosen through TinyDB. Somebody
            # may be walking through this list, so that another one is put in order.
            self._items = list(self._items)
            self._sorted = False
        self._items.append(record)
        self.live += 1

    def copy(self) -> RecordList:
        copy = RecordList()
        copy._items = list(self.ordered())
        copy.live = self.live
        return copy

    def discard(self, record: Record) -> None:
        """Counts out a record that is no longer live."""
        self.live -= 1
        dead = len(self._items) - self.live
        if dead * _DEAD_SHARE > self.live + _DEAD_SLACK:
            self._items = list(filter(_live, self._items))

    def expel(self, record: Record) -> None:
        """Takes out a record that lives on elsewhere. Costs a pass over the list."""
        self._items = [item for item in self._items if item is not record]
        self.live -= 1

    def find(self, seq: int) -> Record | None:
        """The live record with this number."""
        items = self.ordered()
        for place in range(bisect_left(items, seq, key=_seq), len(items)):
            if items[place].seq != seq:
                break
            if items[place].live:  # One before it may have had the number: a document that was given another id.
                return items[place]
        return None


class Records:
    """A view of records, newest first, that copies nothing; `reversed` gives the oldest first.

    It shows the store as it is at the moment of looking. A walk begun is not upset by changes meanwhile: it leaves
    out what was deleted before it came by; whether it comes by what was created after it began is not promised.
    """

    __slots__ = ("_list",)

    def __init__(self, records: RecordList) -> None:
        self._list = records

    def __len__(self) -> int:
        return self._list.live

    def __iter__(self) -> Iterator[Record]:
        return filter(_live, reversed(self._list.ordered()))

    def __reversed__(self) -> Iterator[Record]:
        return filter(_live, iter(self._list.ordered()))

    def still(self) -> Records:
        """The same records in a list of its own, that another thread may walk through while entities come and go.

        A record that is changed meanwhile is seen as it was or as it is.
        """
        return Records(self._list.copy())

    def older_than(self, seq: int) -> Iterator[Record]:
        """Those created before number `seq`, newest first, without passing by the others."""
        items = self._list.ordered()
        return filter(_live, map(items.__getitem__, range(bisect_left(items, seq, key=_seq) - 1, -1, -1)))

    def newer_than(self, seq: int) -> Iterator[Record]:
        """Those created after number `seq`, oldest first, without passing by the others."""
        items = self._list.ordered()
        return filter(_live, map(items.__getitem__, range(bisect_right(items, seq, key=_seq), len(items))))


class Shelf:
    """One table's records: by id, in order, and by index key."""

    __slots__ = ("by_id", "by_key", "order")

    def __init__(self) -> None:
        self.by_id: dict[str, Record] = {}
        self.by_key: dict[str, RecordList] = {}
        self.order = RecordList()

    def put(self, edit: Edit) -> None:
        """Adds a record, or replaces what the one of this id holds (its `seq` stays)."""
        keys = edit.keys
        record = self.by_id.get(edit.id)
        if record is None:
            record = self.by_id[edit.id] = Record(edit)
            self.order.add(record)
            for key in keys:
                self._listed(key).add(record)
            return
        if record.keys != keys:
            for key in record.keys:
                if key not in keys:
                    self._expel(key, record)
            for key in keys:
                if key not in record.keys:
                    self._listed(key).add(record)
            record.keys = keys
        record.take(edit)

    def remove(self, id: str) -> None:
        """Removes the record of this id, if there is one."""
        record = self.by_id.pop(id, None)
        if record is None:
            return
        record.live = False
        self.order.discard(record)
        for key in record.keys:
            listed = self.by_key[key]
            listed.discard(record)
            if not listed.live:
                del self.by_key[key]

    def _listed(self, key: str) -> RecordList:
        listed = self.by_key.get(key)
        if listed is None:
            listed = self.by_key[key] = RecordList()
        return listed

    def _expel(self, key: str, record: Record) -> None:
        listed = self.by_key[key]
        listed.expel(record)
        if not listed.live:
            del self.by_key[key]
