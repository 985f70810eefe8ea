"""A user's content, in any of its formats, as typed rows: what runs in a process of its own for what is large or Parquet.

All but Parquet is records, whose columns are found by looking at all of them; arro3 then reads them with these types. Where types
are given, from a JSON Schema or by the rows that are there already, they are kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import orjson
from arro3.core import DataType, Field, RecordBatch, RecordBatchReader, Schema, Table
from arro3.io import read_parquet

from flow_service_emulator.data.datasets.content import Job, Source, check_schema
from flow_service_emulator.data.datasets.dataset_fixtures import describes_datasets
from flow_service_emulator.data.datasets.faults import FileFault, NotJson, panics_as_faults
from flow_service_emulator.data.datasets.records import EXACT, MAX_FIELDS, RecordShape, all_nullable, name_fault
from flow_service_emulator.data.datasets.stored import (
    BATCH_ROWS,
    Found,
    decoded,
    from_stream,
    rows_as_text,
)
from flow_service_emulator.data.forms import cast_batch
from flow_service_emulator.data.rows.row_schema import parse_row_schema
from flow_service_emulator.data.rows.schema_parts import SchemaError
from flow_service_emulator.data.rows.sources import arrow_field

MAX_ROWS_BYTES: Final = 512_000_000
"""What the rows of an upload may take."""
MAX_UPLOAD_ROWS: Final = 3_000_000
_PIECE_BYTES: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"
_PARQUET_MAGIC: Final = b"PAR1"
_POINT_ZERO: Final = re.compile(rb"(?<=[:,\[])(-?[0-9]+)\.0(?=[,}\]])")
"""A whole number as one with a point has it: a column of the ones can become one of the others, and its first rows are the same."""
_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")

Rows = tuple[Schema, Iterable[RecordBatch]]


def convert(job: Job, source: Source) -> Found:
    """The rows of some content. Their facts are `digest` and `before`, that of as many rows as there were before, and what the format adds:

    - `described`: a `.json` file that has no rows, but describes made-up datasets
    - `waiting`: how many bytes at the end are no whole line of NDJSON yet
    - `records`: an uploaded JSON body that has an array of records; `body` is what it says beside it

    Raises FileFault (NotJson for an upload that is none), OSError and MemoryError.
    """
    facts: dict[str, Any] = {}
    with panics_as_faults(FileFault, "it cannot be read"):
        types = None if job.types is None else from_stream(job.types).schema
        schema, batches = _READERS[job.form](source, types, job.upload, facts)
        if len(schema) > MAX_FIELDS:
            raise FileFault(f"{len(schema)} columns; at most {MAX_FIELDS} are possible")
        rows, size, count = [], 0, 0
        for batch in _digested(batches, job, facts):
            rows.append(batch)
            size += batch.nbytes
            count += batch.num_rows
            if job.upload and (count > MAX_UPLOAD_ROWS or size > MAX_ROWS_BYTES):
                most = f"{MAX_UPLOAD_ROWS} rows, or more than {MAX_ROWS_BYTES} bytes"
                raise FileFault(f"it has more than {most}; a file in the datasets folder of --fixtures may have more")
        return Found(Table.from_batches(rows, schema=schema), facts)


def _digested(batches: Iterable[RecordBatch], job: Job, facts: dict[str, Any]) -> Iterator[RecordBatch]:
    """The batches; in the end, the facts have the digest of all rows before and these."""
    digest, count, before = bytes.fromhex(job.start), 0, -1 if job.before is None else job.before.rows
    facts["before"] = job.start
    for batch in batches:
        for line in _POINT_ZERO.sub(rb"\1", rows_as_text(batch)).splitlines():
            digest = hashlib.blake2b(digest + line, digest_size=16).digest()
            count += 1
            if count == before:
                facts["before"] = digest.hex()
        yield batch
    facts["digest"] = digest.hex()


def _of_records(records: Sequence[Any], types: Schema | None) -> Rows:
    shape = RecordShape(types)
    shape.note(records)
    schema = shape.arrow_schema()
    return schema, _batches(records, schema)


def _batches(records: Iterable[Any], schema: Schema, shape: RecordShape | None = None) -> Iterator[RecordBatch]:
    """The records, after a look at them where there was none."""
    left = iter(records)
    while some := list(islice(left, BATCH_ROWS)):
        if shape is not None:
            shape.note(some)
        yield from decoded(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in some), schema)


# --- types of a JSON Schema -------------------------------------------------------------------------------------------


def types_of(schema: Mapping[str, Any]) -> Schema:
    """The columns of records after a JSON Schema, of which just the types count. Raises FileFault."""
    check_schema(schema)
    try:
        fields = parse_row_schema(schema, types_only=True)[0].fields
    except SchemaError as fault:
        raise FileFault(f'"schema"{fault.path and ", property " + fault.path}: {fault.reason}') from None
    return all_nullable(Schema([arrow_field(name, node) for name, node in fields]))


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    value = _loaded(source if isinstance(source, bytes) else source.read_bytes(), NotJson if upload else FileFault)
    if upload:
        body = value if isinstance(value, dict) else {}
        if isinstance(body.get("records"), list):
            value = body.pop("records")
            facts["body"] = body
        if not isinstance(value, list):
            facts["body"] = value
            return _of_records([], None)
        facts["records"] = True
        if types is None and isinstance(body.get("schema"), dict):
            types = types_of(body["schema"])
    elif not isinstance(value, list):
        raise FileFault("an array of records is needed; one record a line goes into a .ndjson file")
    elif describes_datasets(value):
        facts["described"] = True
        value = []
    return _of_records(value, types)


def _loaded(text: bytes, kind: type[FileFault] = FileFault, line: int | None = None) -> Any:
    """JSON decoded so that what cannot be taken of it can be named: numbers beyond 64 bits, and those that are none."""
    text = text.removeprefix(_BOM)
    try:
        if _MANY_DIGITS.search(text) is None:
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError as fault:
                if b"NaN" not in text and b"Infinity" not in text and "infinity" not in str(fault):
                    raise
        return json.loads(text)
    except json.JSONDecodeError as fault:  # orjson's is one of these
        if line is not None:
            raise kind(f"line {line} is not JSON: {fault.msg} (column {fault.colno})") from None
        raise kind(f"this is not JSON: {fault.msg} (line {fault.lineno}, column {fault.colno})") from None
    except (RecursionError, ValueError) as fault:
        raise kind(f"this is not JSON: {fault}") from None


def _ndjson(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    shape = RecordShape(types)
    before = 0
    for lines in _lines(source, facts):
        numbered = enumerate(lines, before + 1)
        shape.note(_loaded(line.rstrip(b"\r\n"), line=number) for number, line in numbered if not line.isspace())
        before += len(lines)
    schema = shape.arrow_schema()
    return schema, (batch for lines in _lines(source, facts) for batch in decoded(b"".join(lines), schema))


def _lines(source: Source, facts: dict[str, Any]) -> Iterator[list[bytes]]:
    """The lines, some at once. A last one of a file that is no JSON yet, and not ended, is left for later."""
    with _opened(source) as file:
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        while lines := file.readlines(_PIECE_BYTES):
            if isinstance(source, Path) and not lines[-1].endswith(b"\n") and not _is_json(lines[-1]):
                facts["waiting"] = len(lines.pop())
            yield lines


def _opened(source: Source) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _is_json(text: bytes) -> bool:
    try:
        _loaded(text)
    except FileFault:
        return text.isspace()
    return True


# --- CSV --------------------------------------------------------------------------------------------------------------

_SEPARATORS: Final = (",", ";", "\t")
_MAX_FIELD: Final = 16_000_000
_MAX_DIGITS: Final = 17
_LARGE = object()
"""The kind of a whole number that no number with a point is equal to."""
_TOGETHER: Final[dict[frozenset[Any], Any]] = {frozenset((int, float)): float, frozenset((int, _LARGE)): _LARGE}


def _csv(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """CSV as in RFC 4180, separated by commas, semicolons or tabs; the first line has the names, and an empty field is null.

    A column is one of whole numbers, numbers, or `true` and `false` if all its values are written the way JSON writes them; so
    what would not come out as it went in, such as `007` or a number of many digits, stays a text.
    """
    names, rows = _csv_rows(source)
    given = [] if types is None else [types.field(index) for index in range(len(types))]
    columns = {field.name: field.type for field in given}
    kinds = [str if name in columns else None for name in names]
    for row in rows:
        for index, text in enumerate(row):
            known = kinds[index]
            if text and known is not str and (kind := _kind(text)) is not known:
                kinds[index] = _TOGETHER.get(frozenset((known, kind)), str) if known else kind
    made = {int: DataType.int64, _LARGE: DataType.int64, float: DataType.float64, bool: DataType.bool}
    for name, kind in zip(names, kinds, strict=True):
        columns.setdefault(name, made.get(kind, DataType.string)())
    schema = Schema([Field(name, type_, nullable=True) for name, type_ in columns.items()])
    readers = [_reader_of(columns[name]) for name in names]
    records = (
        {name: read(text) for name, text, read in zip(names, row, readers, strict=True) if text}
        for row in _csv_rows(source)[1]
    )
    return schema, _batches(records, schema, RecordShape(schema))


def _csv_rows(source: Source) -> tuple[list[str], Iterator[list[str]]]:
    """The columns' names, and the fields of each further line. Raises FileFault, the iterator too."""
    csv.field_size_limit(_MAX_FIELD)
    lines = _text_lines(source)
    first = next(lines, "")
    reader = csv.reader(chain((first,), lines), delimiter=max(_SEPARATORS, key=first.count))
    try:
        names = next(reader, [])
    except csv.Error as fault:
        raise FileFault(f"the first line has to have the columns' names: {fault}") from None
    if not names:
        raise FileFault("the first line has to have the columns' names; it is empty")
    for index, name in enumerate(names):
        if not name.strip():
            raise FileFault(f"column {index + 1} has no name in the first line")
        if unusable := name_fault(name):
            raise FileFault(f"column {index + 1}: {unusable}")
        if name in names[:index]:
            raise FileFault(f"two columns are named {name[:60]!r}")
    return names, _whole_rows(reader, len(names))


def _text_lines(source: Source) -> Iterator[str]:
    with io.TextIOWrapper(_opened(source), encoding="utf-8-sig", newline="") as file:
        try:
            yield from file
        except UnicodeDecodeError:
            raise FileFault("it is not in UTF-8") from None


def _whole_rows(rows: Iterator[list[str]], columns: int) -> Iterator[list[str]]:
    try:
        for number, row in enumerate((row for row in rows if row), 2):
            if len(row) != columns:
                raise FileFault(f"incorrect number of fields for line {number}, expected {columns} got {len(row)}")
            yield row
    except csv.Error as fault:
        raise FileFault(str(fault)) from None


@lru_cache(8_192)
def _kind(text: str) -> Any:
    """Of what kind a value is: a number only where that is written the way JSON writes it, and a float has all its digits."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return str
    if type(value) is int and str(value) == text and -(2**63) <= value < 2**63:
        return int if abs(value) <= EXACT else _LARGE
    if type(value) is float and math.isfinite(value) and not text.lstrip("-").isdigit():
        digits = re.sub("[eE].*|[-.]", "", text).lstrip("0")
        return float if len(digits) <= _MAX_DIGITS else str
    return bool if type(value) is bool else str


def _reader_of(type_: DataType) -> Callable[[str], Any]:
    """What makes the JSON value of a field; the text itself where it is none, which the column's type then refuses."""
    made: Callable[[str], Any] = str
    if DataType.is_integer(type_):
        made = int
    elif DataType.is_floating(type_):
        made = float
    elif DataType.is_boolean(type_):
        made = {"true": True, "false": False}.__getitem__

    def read(text: str) -> Any:
        try:
            return made(text)
        except (ValueError, KeyError):
            return text

    return read


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """Columns of values, not of places in a dictionary, and without what pandas says of them."""
    with _opened(source) as file:
        start = file.read(5)
        file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
        if not (start[:4] == file.read(4) == _PARQUET_MAGIC and start[4:]):
            raise FileFault("this is no Parquet file, or not the whole of it")
    reader = _parquet_reader(source)
    fields = []
    for field in map(reader.schema.field, range(len(reader.schema))):
        type_ = field.type
        if DataType.is_dictionary(type_) and type_.value_type is not None:
            type_ = type_.value_type
        if DataType.is_large_string(type_) or DataType.is_string_view(type_):
            type_ = DataType.string()
        fields.append(Field(field.name, type_, nullable=True))
    if not fields:
        raise FileFault("there is no column")
    schema = Schema(fields)
    batches = (cast_batch(batch, schema) for batch in _parquet_batches(reader))
    if types is None or schema == types:
        return schema, batches
    records = [orjson.loads(line) for batch in batches for line in rows_as_text(batch, nulls=True).splitlines()]
    return _of_records(records, types)


def _parquet_reader(source: Source) -> RecordBatchReader:
    with panics_as_faults(FileFault, "this Parquet file cannot be read"):
        return read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source, batch_size=BATCH_ROWS)


def _parquet_batches(reader: RecordBatchReader) -> Iterator[RecordBatch]:
    with panics_as_faults(FileFault, "this Parquet file cannot be read"):
        yield from reader


_READERS: Final[Mapping[str, Callable[[Source, Schema | None, bool, dict[str, Any]], Rows]]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet,
}
