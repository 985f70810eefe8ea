"""A user's content, in any of its formats, as typed rows: what runs in a process of its own for what is large or Parquet.

Columns are found by looking at all of it, then arro3 reads it with these types. Where types are given, from a JSON Schema or by
the rows that are there already, they are kept.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from flow_service_emulator.data.datasets.faults import FileFault, NotJson, panics_as_faults
from flow_service_emulator.data.datasets.record_shape import MAX_FIELDS, RecordShape, all_nullable
from flow_service_emulator.data.datasets.segments import Fingerprint, Mark, rows_as_text, write_segments

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader, Schema

MAX_ARRAY_BYTES: Final = 64_000_000
"""The largest `.json` file: an array has to be read whole."""
MAX_LINE_BYTES: Final = 16_000_000
MAX_ROWS_BYTES: Final = 192_000_000
"""What the rows of an upload may take."""
MAX_UPLOAD_ROWS: Final = 3_000_000
_ELSEWHERE: Final = "a file in the datasets folder of --fixtures may have more"
_PIECE_BYTES: Final = 1 << 20
_BATCH_ROWS: Final = 8_192
_BATCH_PLACES: Final = 2_000_000
"""Places for values in a batch, at most, of 8 bytes: with many columns it has fewer rows."""
_BOM: Final = b"\xef\xbb\xbf"
_PARQUET_MAGIC: Final = b"PAR1"
_LARGE: Final = re.compile(rb"[0-9]{19}")

Source = bytes | Path
Rows = tuple["Schema", Iterable["RecordBatch"]]


class Job(NamedTuple):
    """What is to be read, and how.

    `types` are columns that are there already (a JSON Schema, or the rows that these are appended to). `before` is what the
    dataset held, `start` the digest that further rows go on from. An `upload` has bounds, and a `.json` one may be an object
    with `records`.
    """

    form: str
    types: Schema | None = None
    before: Mark | None = None
    start: str = ""
    upload: bool = False


def convert(job: Job, source: Source, target: IO[bytes]) -> None:
    """Write the rows of some content as Segments. Their facts are those of a Fingerprint, and what the format adds:

    - `described`: a `.json` file that has no rows, but describes made-up datasets
    - `waiting`: how many bytes at the end are no whole line of NDJSON yet
    - `records`: an uploaded JSON body that has an array of records; `body` is what it says beside it

    Raises FileFault (NotJson for an upload that is none), OSError and MemoryError.
    """
    facts: dict[str, Any] = {}
    with panics_as_faults(FileFault, "it cannot be read"):
        schema, batches = READERS[job.form](source, job, facts)
        if len(schema) > MAX_FIELDS:
            raise FileFault(f"{len(schema)} columns; at most {MAX_FIELDS} are possible")
        fingerprint = Fingerprint(job.before, job.start)
        facts |= fingerprint.facts()

        def noted() -> Iterator[RecordBatch]:
            for batch in fingerprint.of(batches):
                facts.update(fingerprint.facts())
                if job.upload and (facts["rows"] > MAX_UPLOAD_ROWS or target.tell() > MAX_ROWS_BYTES):
                    most = f"{MAX_UPLOAD_ROWS} rows, or more than {MAX_ROWS_BYTES} bytes"
                    raise FileFault(f"it has more than {most}; {_ELSEWHERE}")
                yield batch

        write_segments(schema, noted(), target, facts)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(source: Source, job: Job, facts: dict[str, Any]) -> Rows:
    from flow_service_emulator.data.datasets.dataset_fixtures import describes_datasets

    if isinstance(source, Path) and (size := source.stat().st_size) > MAX_ARRAY_BYTES:
        raise FileFault(
            f"{size} bytes; an array of more than {MAX_ARRAY_BYTES} cannot be streamed: put one record a line into a .ndjson file"
        )
    value = _loaded(_whole(source), NotJson if job.upload else FileFault)
    types = job.types
    if job.upload:
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


def check_schema(schema: Any) -> None:
    """Raise FileFault for what is no JSON Schema of draft 6 or 7."""
    from flow_service_emulator.fixture_files import Entry, FixtureError

    if not isinstance(schema, Mapping):
        raise FileFault('"schema" must be a JSON Schema (draft 7), such as {"type": "object", "properties": {}}')
    try:
        Entry(Path("schema"), "", schema).check_schema("", schema)
    except FixtureError as fault:
        raise FileFault(f'"schema"{fault.place and " at " + fault.place}: {fault.reason}') from None


def types_of(schema: Mapping[str, Any]) -> Schema:
    """The columns of records after a JSON Schema, of which just the types count. Raises FileFault."""
    check_schema(schema)
    from arro3.core import Schema

    from flow_service_emulator.data.rows.row_schema import parse_row_schema
    from flow_service_emulator.data.rows.schema_error import SchemaError
    from flow_service_emulator.data.rows.sources import arrow_field

    try:
        fields = [arrow_field(name, node) for name, node in parse_row_schema(_types_alone(schema))[0].fields]
        return all_nullable(Schema(fields))
    except SchemaError as fault:
        raise FileFault(f'"schema"{fault.path and ", property " + fault.path}: {fault.reason}') from None


_LIMITS: Final = (
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "multipleOf",
    "examples",
    "required",
)
"""What a JSON Schema says of values, beside their type."""


def _types_alone(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    dropped = (*_LIMITS, "enum", "const") if "type" in schema else _LIMITS
    kept = {key: value for key, value in schema.items() if key not in dropped}
    for key in ("properties", "definitions", "$defs"):
        if isinstance(kept.get(key), Mapping):
            kept[key] = {name: _types_alone(part) for name, part in kept[key].items()}
    for key in ("items", "additionalProperties"):
        kept |= {key: _types_alone(kept[key])} if key in kept else {}
    if isinstance(kept.get("allOf"), list):
        kept["allOf"] = [_types_alone(part) for part in kept["allOf"]]
    return kept


def _whole(source: Source) -> bytes:
    return (source if isinstance(source, bytes) else source.read_bytes()).removeprefix(_BOM)


def _loaded(text: bytes, kind: type[FileFault], line: int | None = None) -> Any:
    """JSON decoded so that what cannot be taken of it can be named: numbers beyond 64 bits, and those that are none."""
    try:
        if _LARGE.search(text) is None:
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


def _of_records(records: Sequence[Any], types: Schema | None) -> Rows:
    shape = RecordShape(types)
    shape.note(records)
    schema = shape.arrow_schema()

    def batches() -> Iterator[RecordBatch]:
        left = iter(records)
        while some := list(islice(left, _BATCH_ROWS)):
            text = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in some)
            yield from decoded(text, schema)

    return schema, batches()


def decoded(text: bytes, schema: Schema) -> Iterator[RecordBatch]:
    """NDJSON as Arrow batches. Raises FileFault where the records are not of the schema."""
    from arro3.io import read_json

    rows = min(_BATCH_ROWS, max(1, _BATCH_PLACES // max(1, len(schema))))
    with panics_as_faults(FileFault, "the records are not of their columns' types"):
        yield from read_json(text, schema, batch_size=rows)


# --- NDJSON -----------------------------------------------------------------------------------------------------------


def _ndjson(source: Source, job: Job, facts: dict[str, Any]) -> Rows:
    shape = RecordShape(job.types)
    line_number, end = 1, 0
    for lines in _whole_lines(source):
        end += len(lines)
        records = []
        for number, line in enumerate(lines.split(b"\n"), line_number):
            if line and not line.isspace():
                records.append(_loaded(line, FileFault, number))
        line_number += lines.count(b"\n")
        shape.note(records)
    if isinstance(source, Path):
        facts["waiting"] = source.stat().st_size - end - _bom_of(source)
    schema = shape.arrow_schema()
    return schema, (batch for lines in _whole_lines(source) for batch in decoded(lines, schema))


def _bom_of(path: Path) -> int:
    with path.open("rb") as file:
        return len(_BOM) if file.read(len(_BOM)) == _BOM else 0


def _whole_lines(source: Source) -> Iterator[bytes]:
    """Pieces of whole lines. A last line of a file that is no JSON yet, and not ended, is left for later."""
    rest = b""
    with _opened(source) as file:
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        while piece := file.read(_PIECE_BYTES):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield rest + piece[:cut]
                rest = piece[cut:]
                continue
            rest += piece
            if len(rest) > MAX_LINE_BYTES:
                raise FileFault(f"a line is longer than {MAX_LINE_BYTES} bytes; NDJSON has one record a line")
    if rest and (isinstance(source, bytes) or rest.isspace() or _is_json(rest)):
        yield rest


def _opened(source: Source) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _is_json(text: bytes) -> bool:
    try:
        _loaded(text, FileFault)
    except FileFault:
        return False
    return True


# --- CSV and Parquet --------------------------------------------------------------------------------------------------


def _csv(source: Source, job: Job, facts: dict[str, Any]) -> Rows:
    from flow_service_emulator.data.datasets.csv_columns import CsvColumns

    columns = CsvColumns(source, job.types)
    return _going_with(job, columns.schema, columns.batches())


def _parquet(source: Source, job: Job, facts: dict[str, Any]) -> Rows:
    with _opened(source) as file:
        ends = file.read(4), file.read(1)
        file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
        last = file.read(4)
    if not (ends[0] == last == _PARQUET_MAGIC and ends[1]):
        raise FileFault("this is no Parquet file, or not the whole of it")
    reader = _open_parquet(source)
    if not len(reader.schema):
        raise FileFault("there is no column")
    schema = _plain(reader.schema)
    return _going_with(job, schema, (_cast(batch, schema) for batch in _parquet_batches(source)))


def _parquet_batches(source: Source) -> Iterator[RecordBatch]:
    with panics_as_faults(FileFault, "this Parquet file cannot be read"):
        yield from _open_parquet(source)


def _open_parquet(source: Source) -> RecordBatchReader:
    from arro3.io import read_parquet

    with panics_as_faults(FileFault, "this Parquet file cannot be read"):
        return read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source, batch_size=_BATCH_ROWS)


def _plain(schema: Schema) -> Schema:
    """Columns whose values are given as they are, not as places in a dictionary; and nothing of what pandas says of them."""
    from arro3.core import DataType, Field, Schema

    fields = []
    for field in (schema.field(index) for index in range(len(schema))):
        type_ = field.type
        if DataType.is_dictionary(type_) and type_.value_type is not None:
            type_ = type_.value_type
        if DataType.is_large_string(type_) or DataType.is_string_view(type_):
            type_ = DataType.string()
        fields.append(Field(field.name, type_, nullable=True))
    return Schema(fields)


def _cast(batch: RecordBatch, schema: Schema) -> RecordBatch:
    from arro3.compute import cast
    from arro3.core import RecordBatch

    columns = [
        column if column.type == schema.field(index).type else cast(column, schema.field(index).type)
        for index, column in enumerate(batch.columns)
    ]
    return RecordBatch.from_arrays(columns, schema=schema)


def _going_with(job: Job, schema: Schema, batches: Iterable[RecordBatch]) -> Rows:
    """Rows that go with those that are there already, if there are any."""
    if job.types is None or schema == job.types:
        return schema, batches
    records = [orjson.loads(line) for batch in batches for line in rows_as_text(batch, nulls=True).splitlines()]
    return _of_records(records, job.types)


READERS: Final[Mapping[str, Callable[[Source, Job, dict[str, Any]], Rows]]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet,
}
"""Format, which is also the extension of its files -> what reads it."""
UPLOADS: Final[Mapping[str, str]] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}
"""Content type -> the format of a body of this type; all others are JSON."""
