"""The store at one moment, as a snapshot has it: all records, none of them decoded or copied."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator.store.records import EntityStorage, Record, Shelf, StoreError

SNAPSHOT_VERSION: Final = 1


class SnapshotError(StoreError, ValueError):
    """This is no snapshot that the store can take; the message says what is wrong."""


class Contents(NamedTuple):
    """What a snapshot holds, read and ready to be put in the place of everything."""

    shelves: dict[str, Shelf]
    next_seq: int


class Moment(NamedTuple):
    """What the store had; it stays so while the store goes on."""

    next_seq: int
    tables: list[tuple[str, list[Record]]]

    def pieces(self) -> list[bytes]:
        """`{"version": 1, "nextSeq": n, "tables": {name: {seq: entity}}}` in JSON, in pieces. May be called in a thread."""
        pieces = [b'{"version":%d,"nextSeq":%d,"tables":{' % (SNAPSHOT_VERSION, self.next_seq)]
        between = b""
        for name, records in self.tables:
            pieces.append(b"%b%b:{" % (between, orjson.dumps(name)))
            form = b'"%d":'
            for record in records:
                pieces += (form % record.seq, record.raw)
                form = b',"%d":'
            pieces.append(b"}")
            between = b","
        pieces.append(b"}}")
        return pieces


def moment_of(storage: EntityStorage) -> Moment:
    """What a storage has now."""
    tables = [(name, list(shelf.records.values())) for name, shelf in sorted(storage.shelves.items()) if shelf.records]
    return Moment(storage.next_seq, tables)


def read_contents(storage: EntityStorage, snapshot: Any) -> Contents:
    """Reads a snapshot and changes nothing; may be called in a thread. Raises SnapshotError."""
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
                shelf.put(storage.record(name, documents[number], int(number)))
                next_seq = max(next_seq, int(number) + 1)
    except (AttributeError, LookupError, TypeError, ValueError) as fault:
        raise SnapshotError(f"it is no snapshot of this emulator: {place}: {fault!r}") from fault
    return Contents({name: shelf for name, shelf in shelves.items() if shelf.records}, next_seq)
