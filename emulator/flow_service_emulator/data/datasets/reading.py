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
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import orjson
from arro3.core import DataType, Field, RecordBatch, Schema, Table
from arro3.io import read_parquet

from flow_service_emulator.data.datasets.content import (
    FileFault,
    Found,
    Job,
    NotJson,
    Source,
    check_schema,
    describes_datasets,
    panics_as_faults,
)
from flow_service_emulator.data.datasets.records import EXACT, MAX_FIELDS, RecordShape, all_nullable, name_fault
from flow_service_emulator.data.datasets.tables import BATCH_ROWS, decoded, from_stream, rows_as_text, to_stream
from flow_service_emulator.data.forms import cast_batch
from flow_service_emulator.data.rows.columns import arrow_field
from flow_service_emulator.data.rows.row_schema import parse_row_schema
from flow_service_emulator.data.rows.schema_parts import SchemaError

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
    - `body`: what an uploaded JSON body says, its array of records emptied

    Raises FileFault (NotJson for an upload that is none), OSError and MemoryError.
    """
    facts: dict[str, Any] = {}
    with panics_as_faults(FileFault, "it cannot be read"):
        types = job.types
        if types is not None:
            types = from_stream(types).schema if isinstance(types, bytes) else _types_of(types)
        try:
            schema, batches = _READERS[job.form](source, types, job.upload, facts)
            if len(schema) > MAX_FIELDS:
                raise FileFault(f"{len(schema)} columns; at most {MAX_FIELDS} are possible")
            rows, count = [], 0
            for batch in _digested(batches, job, facts):
                rows.append(batch)
                count += batch.num_rows
                if job.upload and count > MAX_UPLOAD_ROWS:
                    most = f"it has more than {MAX_UPLOAD_ROWS} rows"
                    raise FileFault(f"{most}; a file in the datasets folder of --fixtures may have more")
        except UnicodeDecodeError:
            raise FileFault("it is not in UTF-8") from None
        return Found(Table.from_batches(rows, schema=schema), facts)


def _digested(batches: Iterable[RecordBatch], job: Job, facts: dict[str, Any]) -> Iterator[RecordBatch]:
    """The batches; in the end, the facts have the digest of all rows before and these.

    It goes from row to row: so it is the same for rows that came at once and for those that were appended.
    """
    digest, count = bytes.fromhex(job.start), 0
    facts["before"] = job.start
    for batch in batches:
        for line in _POINT_ZERO.sub(rb"\1", rows_as_text(batch)).splitlines():
            digest = hashlib.blake2b(digest + line, digest_size=16).digest()
            count += 1
            if count == job.before:
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


def _types_of(schema: Mapping[str, Any]) -> Schema:
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
        facts["body"] = body = value
        if isinstance(body, dict):
            value = body.get("records")
        if not isinstance(value, list):  # then the rows are made up, or the body is no good
            return Schema([]), ()
        facts["body"] = body | {"records": []} if isinstance(body, dict) else []
        if types is None and isinstance(body, dict) and "schema" in body:
            types = _types_of(body["schema"])
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
_COLUMNS: Final[Sequence[tuple[set[Any], DataType]]] = (
    (set(), DataType.string()),
    ({bool}, DataType.bool()),
    ({int, _LARGE}, DataType.int64()),
    ({int, float}, DataType.float64()),
)
"""What a column is whose values are of these kinds, or of some of them; a text where none fits."""


def _csv(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """CSV as in RFC 4180, separated by commas, semicolons or tabs; the first line has the names, and an empty field is null.

    A column is one of whole numbers, numbers, or `true` and `false` if all its values are written the way JSON writes them; so
    what would not come out as it went in, such as `007` or a number of many digits, stays a text.
    """
    rows = _csv_rows(source)
    names = next(rows)
    found: list[set[Any]] = [set() for _ in names]
    for row in rows:
        for kinds, text in zip(found, row, strict=True):
            if text:
                kinds.add(_kind(text))
    columns = {} if types is None else {name: types.field(name).type for name in types.names}
    for name, kinds in zip(names, found, strict=True):
        columns.setdefault(name, next((type_ for of, type_ in _COLUMNS if kinds <= of), DataType.string()))
    schema = Schema([Field(name, type_, nullable=True) for name, type_ in columns.items()])
    readers = [_reader_of(columns[name]) for name in names]
    records = (
        {name: _value(text, read) for name, text, read in zip(names, row, readers, strict=True) if text}
        for row in islice(_csv_rows(source), 1, None)
    )
    return schema, _batches(records, schema, RecordShape(schema))


def _csv_rows(source: Source) -> Iterator[list[str]]:
    """The columns' names, and then the fields of each further line. Raises FileFault and UnicodeDecodeError."""
    csv.field_size_limit(_MAX_FIELD)
    with io.TextIOWrapper(_opened(source), encoding="utf-8-sig", newline="") as lines:
        first = next(lines, "")
        rows = csv.reader(chain((first,), lines), delimiter=max(_SEPARATORS, key=first.count))
        names = next(rows, [])
        if not names:
            raise FileFault("the first line has to have the columns' names; it is empty")
        for index, name in enumerate(names):
            if unusable := name_fault(name) if name.strip() else "it has no name in the first line":
                raise FileFault(f"column {index + 1}: {unusable}")
            if name in names[:index]:
                raise FileFault(f"two columns are named {name[:60]!r}")
        yield names
        for number, row in enumerate(filter(None, rows), 2):
            if len(row) != len(names):
                raise FileFault(f"incorrect number of fields for line {number}, expected {len(names)} got {len(row)}")
            yield row


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
    """What makes the JSON value of a text. Raises ValueError and KeyError for one that is none of the type."""
    if DataType.is_integer(type_):
        return int
    if DataType.is_boolean(type_):
        return {"true": True, "false": False}.__getitem__
    return float if DataType.is_floating(type_) else str


def _value(text: str, read: Callable[[str], Any]) -> Any:
    """The value of a field; where it is none of its column's type, the text itself, which is then refused."""
    try:
        return read(text)
    except (ValueError, KeyError):
        return text


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """Columns of values, not of places in a dictionary, and without what pandas says of them."""
    with _opened(source) as file:
        start = file.read(5)
        file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
        if not (start[:4] == file.read(4) == _PARQUET_MAGIC and start[4:]):
            raise FileFault("this is no Parquet file, or not the whole of it")
    reader = read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source, batch_size=BATCH_ROWS)
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
    batches = (cast_batch(batch, schema) for batch in reader)
    if types is None or schema == types:
        return schema, batches
    records = [orjson.loads(line) for batch in batches for line in rows_as_text(batch, nulls=True).splitlines()]
    return _of_records(records, types)


_READERS: Final[Mapping[str, Callable[[Source, Schema | None, bool, dict[str, Any]], Rows]]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet,
}


# --- as a process -----------------------------------------------------------------------------------------------------


def main() -> None:
    """What `reader` starts: on standard input a job, its content, and how many bytes and seconds (or None) it may take.

    On standard output it answers the rows, as an Arrow IPC stream, and the facts, or the exception that says what is wrong.
    """
    job, source, memory, seconds = pickle.load(sys.stdin.buffer)
    _bound_process(memory, seconds)
    outcome: Any
    try:
        found = convert(job, source)
        outcome = to_stream(found.table), found.facts
    except (ValueError, OSError) as fault:
        outcome = fault
    pickle.dump(outcome, sys.stdout.buffer)


def _bound_process(memory: int, seconds: int | None) -> None:
    """Let this process take so many bytes more than it has, and so many seconds, where the system knows such bounds."""
    if sys.platform == "win32":
        return
    import resource

    bounds = {resource.RLIMIT_CORE: 0}
    if seconds is not None:
        bounds[resource.RLIMIT_CPU] = seconds
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bounds[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
    for what, most in bounds.items():
        allowed = resource.getrlimit(what)[1]  # where that is less already, it stays: raising it would be refused
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(what, (most, most))
