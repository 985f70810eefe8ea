"""A user's rows as one typed Arrow table, whatever they came from: stored, joined, repeated, told as a JSON Schema."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from flow_service_emulator.data.datasets.content import FileFault, panics_as_faults

if TYPE_CHECKING:
    from arro3.core import DataType, Field, RecordBatch, Schema, Table

BATCH_ROWS: Final = 8_192
_BATCH_PLACES: Final = 2_000_000
"""Places for values in a batch, at most, of 8 bytes: with many columns it has fewer rows."""
_FEW: Final = 1_000
_POINT_ZERO: Final = re.compile(rb"(?<=[:,\[])(-?[0-9]+)\.0(?=[,}\]])")
"""A whole number as one with a point has it: a column of the ones can become one of the others, and its first rows are the same."""
_WIDTHS: Final = {8: "byte", 16: "short", 32: "int", 64: "long"}


def to_stream(table: Table) -> bytes:
    """A table as an Arrow IPC stream."""
    from arro3.io import write_ipc_stream

    target = io.BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be stored"):
        write_ipc_stream(table, target, compression="lz4")
    return target.getvalue()


def from_stream(stream: bytes) -> Table:
    """The table of an Arrow IPC stream."""
    from arro3.core import Table
    from arro3.io import read_ipc_stream

    return Table.from_arrow(read_ipc_stream(io.BytesIO(stream)))


def joined(first: Table, further: Table) -> Table:
    """The rows of both, with the columns of the further ones, which are those of the first and possibly more."""
    from arro3.core import Table

    batches = first.to_batches()
    if first.schema != further.schema:
        batches = [new for old in batches for new in decoded(rows_as_text(old, nulls=True), further.schema)]
    return Table.from_batches([*batches, *further.to_batches()], schema=further.schema)


def repeated(table: Table, first: int, end: int) -> Iterator[RecordBatch]:
    """The rows from the position `first` up to but not including `end`, where those of a table follow each other in turn."""
    from arro3.core import Table

    if table.num_rows < min(_FEW, end - first):  # few rows again and again: as many as make a batch
        copies = table.to_batches() * -(-_FEW // table.num_rows)
        table = Table.from_batches(copies, schema=table.schema).combine_chunks()
    while first < end:
        start = first % table.num_rows
        part = table.slice(start, min(end - first, table.num_rows - start))
        yield from part.to_batches()
        first += part.num_rows


def rows_as_text(batch: RecordBatch, *, nulls: bool = False) -> bytes:
    """Rows as NDJSON: of the forms that Arrow knows, the one in which like rows are always alike. Raises FileFault.

    Fields that are null are left out, unless `nulls`.
    """
    from arro3.io import write_ndjson

    target = io.BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be written as JSON"):
        write_ndjson(batch, target, explicit_nulls=nulls)
    return target.getvalue()


def digest(batch: RecordBatch, before: str) -> str:
    """The digest of rows that have the digest `before`, followed by those of a batch.

    It goes from row to row: so it is the same for rows that came at once and for those that were appended.
    """
    known = bytes.fromhex(before)
    for line in _POINT_ZERO.sub(rb"\1", rows_as_text(batch)).splitlines():
        known = hashlib.blake2b(known + line, digest_size=16).digest()
    return known.hex()


def decoded(text: bytes, schema: Schema) -> Iterator[RecordBatch]:
    """NDJSON as batches. Raises FileFault where the records are not of the schema."""
    from arro3.io import read_json

    rows = min(BATCH_ROWS, max(1, _BATCH_PLACES // max(1, len(schema))))
    with panics_as_faults(FileFault, "the records are not of their columns' types"):
        yield from read_json(text, schema, batch_size=rows)


def map_value(type_: DataType) -> DataType:
    """The type of a map's values, which arro3 does not tell."""
    import nanoarrow
    from arro3.core import DataType

    return DataType.from_arrow(nanoarrow.c_schema(type_).child(0).child(1))


def json_schema_of(schema: Schema, all_required: bool = False) -> dict[str, Any]:
    """The JSON Schema (draft 7) of rows that have these columns.

    Any column may be null, and is then left out of a row; but if `all_required`, the schema says that no field is ever missing.
    """
    return _object((schema.field(index) for index in range(len(schema))), all_required)


def _object(fields: Iterable[Field], required: bool) -> dict[str, Any]:
    properties = {field.name: _of_type(field.type, required) for field in fields}
    told = {"type": "object", "properties": properties}
    return told | {"required": list(properties)} if required else told


def _of_type(type_: DataType, required: bool) -> dict[str, Any]:
    from arro3.core import DataType

    if DataType.is_struct(type_):
        return _object(type_.fields, required)
    if DataType.is_map(type_):
        return {"type": "object", "additionalProperties": _of_type(map_value(type_), required), "meta:xdmType": "map"}
    if type_.value_field is not None:
        return {"type": "array", "items": _of_type(type_.value_field.type, required)}
    if DataType.is_boolean(type_):
        return {"type": "boolean"}
    if DataType.is_integer(type_):
        return {"type": "integer", "meta:xdmType": _WIDTHS[type_.bit_width or 64]}
    if DataType.is_floating(type_) or DataType.is_decimal(type_):
        return {"type": "number"}
    if DataType.is_timestamp(type_):
        return {"type": "string", "format": "date-time"}
    return {"type": "string", "format": "date"} if DataType.is_date(type_) else {"type": "string"}
