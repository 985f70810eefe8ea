"""The content of a file that came as a request's body, as records: read by what reads files, without a file.

A few bytes of Parquet can be many rows, and a few of JSON many objects, which take far more memory than their text. So what is made
of a body is bounded before it is made.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from emulator.datasets.record_files import BOM, FileFault, parquet_batches, rows_as_text
from emulator.datasets.record_rows import CHUNK_RECORDS, GoOn
from emulator.settings import MAX_DATASET_BYTES

if TYPE_CHECKING:
    from arro3.core import RecordBatch

MAX_VALUES: Final = 3_000_000
"""Values in all records of an upload, each record counted as one more: three hundred thousand records of nine fields. As objects they
take some 100 bytes each."""
_PARQUET_BATCH_ROWS: Final = 16
"""How many rows of Parquet are made at a time: a text of a megabyte that all rows have in common is stored, and packed, once."""
_ELSEWHERE: Final = "put it as a file into the datasets folder of --fixtures"

Read = Callable[[bytes, GoOn], list[Any]]
"""The records of a body. Raises ValueError, saying what is wrong, and what `go_on` raises. For a worker thread."""


def check_values(content: bytes) -> None:
    """Raises FileFault for a JSON text that may have more than MAX_VALUES values.

    Counts what stands before a value; that within texts is counted too.
    """
    if len(content) > MAX_VALUES and sum(map(content.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise _too_many()


def _ndjson(content: bytes, go_on: GoOn) -> list[Any]:
    check_values(content)
    records: list[Any] = []
    for number, line in enumerate(io.BytesIO(content.removeprefix(BOM)), 1):
        if number % CHUNK_RECORDS == 0:
            go_on()
        if number > MAX_VALUES:
            raise _too_many()
        if not line.isspace():
            try:
                records.append(orjson.loads(line))
            except orjson.JSONDecodeError as fault:
                raise FileFault(f"line {number} is not JSON: {fault.msg} (column {fault.colno})") from None
    return records


def _csv(content: bytes, go_on: GoOn) -> list[Any]:
    from emulator.datasets.csv_columns import CsvColumns

    columns = CsvColumns(content)
    columns.survey(go_on)
    return _records(columns.batches(), go_on)


def _parquet(content: bytes, go_on: GoOn) -> list[Any]:
    return _records(parquet_batches(content, _PARQUET_BATCH_ROWS), go_on)


UPLOADS: Final[Mapping[str, Read]] = {
    "text/csv": _csv,
    "application/x-ndjson": _ndjson,
    "application/vnd.apache.parquet": _parquet,
}
"""Content type -> what reads a body of this type."""


def _records(batches: Iterator[RecordBatch], go_on: GoOn) -> list[Any]:
    """Rows as JSON has them: dates and times are texts."""
    records: list[Any] = []
    values = size = 0
    for batch in batches:
        go_on()
        values += batch.num_rows * (1 + batch.num_columns)
        if values > MAX_VALUES:
            raise _too_many()
        if batch.nbytes > MAX_DATASET_BYTES:
            raise _too_large()
        text = rows_as_text(batch, nulls=True)
        size += len(text)
        if size > MAX_DATASET_BYTES:
            raise _too_large()
        records += map(orjson.loads, text.split(b"\n")[:-1])
    return records


def _too_many() -> FileFault:
    return FileFault(f"it has more than {MAX_VALUES} values; {_ELSEWHERE}")


def _too_large() -> FileFault:
    return FileFault(f"its rows have more than {MAX_DATASET_BYTES} bytes as JSON; {_ELSEWHERE}")
