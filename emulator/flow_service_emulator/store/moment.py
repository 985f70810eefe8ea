"""The store at one moment, as a snapshot has it: all records, none of them decoded or copied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from flow_service_emulator.store.records import Record

SNAPSHOT_VERSION: Final = 1


class _Table(NamedTuple):
    name: str
    numbers: list[int]
    entities: list[bytes]


class Moment:
    """What the store had when `add` was called for its tables; it stays so while the store goes on."""

    def __init__(self, next_seq: int) -> None:
        self._next_seq = next_seq
        self._tables: list[_Table] = []

    def add(self, name: str, records: Iterable[Record]) -> None:
        """Takes in a table's records; one without records is left out."""
        there = list(records)
        if there:
            self._tables.append(_Table(name, [record.seq for record in there], [record.raw for record in there]))

    def pieces(self) -> list[bytes]:
        """`{"version": 1, "nextSeq": n, "tables": {name: {seq: entity}}}` in JSON, in pieces. May be called in a thread."""
        pieces = [b'{"version":%d,"nextSeq":%d,"tables":{' % (SNAPSHOT_VERSION, self._next_seq)]
        between = b""
        for table in self._tables:
            pieces.append(b"%b%b:{" % (between, orjson.dumps(table.name)))
            form = b'"%d":'
            for number, entity in zip(table.numbers, table.entities, strict=True):
                pieces += (form % number, entity)
                form = b',"%d":'
            pieces.append(b"}")
            between = b","
        pieces.append(b"}}")
        return pieces
