"""A user's content, in any of its formats, as typed rows: what runs in a process of its own for what is large or Parquet.

All but Parquet is records, whose columns are found by looking at all of them; arro3 then reads them with these types. Where types
are given, from a JSON Schema or by the rows that are there already, they are kept.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import orjson
from arro3.compute import cast
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
from flow_service_emulator.data.datasets.records import RecordShape
from flow_service_emulator.data.datasets.tables import BATCH_ROWS, decoded, digest, from_stream, rows_as_text, to_stream
from flow_service_emulator.data.rows.columns import arrow_field
from flow_service_emulator.data.rows.row_schema import parse_row_schema

_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")

Rows = tuple[Schema, Iterable[RecordBatch]]
Records = Callable[[Schema | None], Iterable[Any]]
"""Gives the records, each time from the first on, as these columns need them where their values are texts (CSV)."""


def convert(job: Job, source: Source) -> Found:
    """The rows of some content. Their facts are `digests` (those of all rows up to each batch), and what the format adds:

    - `described`: a `.json` file that has no rows, but describes made-up datasets
    - `waiting`: how many bytes at the end are no whole line of NDJSON yet
    - `body`: what an uploaded JSON body says, its array of records emptied

    Raises FileFault (NotJson for an upload that is none), OSError and MemoryError.
    """
    facts: dict[str, Any] = {"digests": [job.start]}
    with panics_as_faults(FileFault, "it cannot be read"):
        types = job.types
        if types is not None:
            types = from_stream(types).schema if isinstance(types, bytes) else _types_of(types)
        try:
            schema, batches = _READERS[job.form](source, types, job.upload, facts)
            rows = []
            for batch in batches:
                rows.append(batch)
                facts["digests"].append(digest(batch, facts["digests"][-1]))
            return Found(Table.from_batches(rows, schema=schema), facts)
        except UnicodeDecodeError:
            raise FileFault("it is not in UTF-8") from None


def _typed(records: Records, types: Schema | None, *, of_texts: bool = False) -> Rows:
    """Records as rows. All are looked at before the first is made: what one has decides about the columns of all."""
    shape = RecordShape(types, of_texts=of_texts)
    shape.note(records(types))
    schema = shape.arrow_schema()
    return schema, _batches((orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in records(schema)), schema)


def _batches(lines: Iterator[bytes], schema: Schema) -> Iterator[RecordBatch]:
    while some := b"".join(islice(lines, BATCH_ROWS)):
        yield from decoded(some, schema)


def _types_of(schema: Mapping[str, Any]) -> Schema:
    """The columns of records after a JSON Schema, of which just the types count: all may be null. Raises FileFault and SchemaError."""
    check_schema(schema)
    fields = parse_row_schema(schema, types_only=True)[0].fields
    return RecordShape(Schema([arrow_field(name, node) for name, node in fields])).arrow_schema()


def _opened(source: Source) -> IO[bytes]:
    """The content, without a byte order mark."""
    file: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    if file.read(len(BOM_UTF8)) != BOM_UTF8:
        file.seek(0)
    return file


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    with _opened(source) as file:
        value = _loaded(file.read(), NotJson if upload else FileFault)
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
    return _typed(lambda columns: value, types)


def _ndjson(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """A last line of a file that is no JSON yet, and not ended, is left for later."""

    def lines() -> Iterator[bytes]:
        with _opened(source) as file:
            for line in file:
                if upload or line.endswith(b"\n") or _is_json(line):
                    yield line
                else:
                    facts["waiting"] = len(line)

    shape = RecordShape(types)
    numbered = enumerate(lines(), 1)
    shape.note(_loaded(line.rstrip(b"\r\n"), line=number) for number, line in numbered if not line.isspace())
    schema = shape.arrow_schema()
    return schema, _batches(lines(), schema)


def _is_json(text: bytes) -> bool:
    try:
        _loaded(text)
    except FileFault:
        return text.isspace()
    return True


def _loaded(text: bytes, kind: type[FileFault] = FileFault, line: int | None = None) -> Any:
    """JSON decoded so that what cannot be taken of it can be named: numbers beyond 64 bits, and those that are none."""
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


# --- CSV --------------------------------------------------------------------------------------------------------------

_SEPARATORS: Final = (",", ";", "\t")
_MAX_FIELD: Final = 16_000_000


def _csv(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """CSV as in RFC 4180, separated by commas, semicolons or tabs; the first line has the names, and an empty field is null.

    A column is one of whole numbers, numbers, or `true` and `false` if all its values are written the way JSON writes them; so
    what would not come out as it went in, such as `007` or a number of many digits, stays a text.
    """

    def records(columns: Schema | None) -> Iterator[Any]:
        known = {} if columns is None else {name: columns.field(name).type for name in columns.names}
        rows = _csv_rows(source)
        names = next(rows)
        readers = [_reader_of(known[name]) if name in known else _as_written for name in names]
        for row in rows:
            yield {name: read(text) if text else None for name, text, read in zip(names, row, readers, strict=True)}

    return _typed(records, types, of_texts=True)


def _csv_rows(source: Source) -> Iterator[list[str]]:
    """The columns' names, and then the fields of each further line. Raises FileFault and UnicodeDecodeError."""
    csv.field_size_limit(_MAX_FIELD)
    with io.TextIOWrapper(_opened(source), encoding="utf-8", newline="") as lines:
        first = next(lines, "")
        rows = csv.reader(chain((first,), lines), delimiter=max(_SEPARATORS, key=first.count))
        names = next(rows, [])
        if not names:
            raise FileFault("the first line has to have the columns' names; it is empty")
        for index, name in enumerate(names):
            if not name.strip():
                raise FileFault(f"column {index + 1}: it has no name in the first line")
            if name in names[:index]:
                raise FileFault(f"two columns are named {name[:60]!r}")
        yield names
        for number, row in enumerate(filter(None, rows), 2):
            if len(row) != len(names):
                raise FileFault(f"incorrect number of fields for line {number}, expected {len(names)} got {len(row)}")
            yield row


def _reader_of(type_: DataType) -> Callable[[str], Any]:
    """What makes the JSON value of a text; where it is none of the type, the text itself, which is then refused."""
    read: Callable[[str], Any] = int if DataType.is_integer(type_) else float
    if DataType.is_boolean(type_):
        read = {"true": True, "false": False}.__getitem__
    elif not DataType.is_integer(type_) and not DataType.is_floating(type_):
        return str

    def value(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, KeyError):
            return text

    return value


@lru_cache(8_192)
def _as_written(text: str) -> Any:
    """The number or truth value that a text is in JSON; the text itself where it is another, or a number that loses digits."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if type(value) is int:
        exact = str(value) == text and -(2**63) <= value < 2**63
    elif type(value) is float:
        exact = not text.lstrip("-").isdigit() and Decimal(text) == Decimal(repr(value))
    else:
        exact = type(value) is bool
    return value if exact else text


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(source: Source, types: Schema | None, upload: bool, facts: dict[str, Any]) -> Rows:
    """Columns without what pandas says of them, in the types that exports have."""
    reader = read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source, batch_size=BATCH_ROWS)
    given = [reader.schema.field(index) for index in range(len(reader.schema))]
    if not given:
        raise FileFault("there is no column")
    fields = [Field(field.name, _exported(field.type), nullable=True) for field in given]
    schema = Schema(fields)
    batches = (RecordBatch.from_arrays(list(map(cast, batch.columns, fields)), schema=schema) for batch in reader)
    if types is None or schema == types:
        return schema, batches
    records = [orjson.loads(line) for batch in batches for line in rows_as_text(batch, nulls=True).splitlines()]
    return _typed(lambda columns: records, types)


def _exported(given: DataType) -> DataType:
    """The type of values, not of places in a dictionary, every timestamp in UTC (for which one without a time zone is taken)."""
    if DataType.is_dictionary(given) and given.value_type is not None:
        return _exported(given.value_type)
    if DataType.is_large_string(given) or DataType.is_string_view(given):
        return DataType.string()
    if DataType.is_struct(given):
        return DataType.struct([field.with_type(_exported(field.type)) for field in given.fields])
    if (DataType.is_list(given) or DataType.is_large_list(given)) and given.value_field is not None:
        return DataType.list(given.value_field.with_type(_exported(given.value_field.type)))
    return DataType.timestamp(given.time_unit, tz="UTC") if given.time_unit and DataType.is_timestamp(given) else given


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
