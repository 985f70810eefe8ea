"""The content of a file that came as a request's body, as records: read by what reads files, without a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from emulator.datasets.record_files import BOM, FileFault, parquet_batches, rows_as_text
from emulator.settings import MAX_CONTROL_BYTES

if TYPE_CHECKING:
    from arro3.core import RecordBatch


def _ndjson(content: bytes) -> list[Any]:
    records = []
    for number, line in enumerate(content.removeprefix(BOM).split(b"\n"), 1):
        if line and not line.isspace():
            try:
                records.append(orjson.loads(line))
            except orjson.JSONDecodeError as fault:
                raise FileFault(f"line {number} is not JSON: {fault.msg} (column {fault.colno})") from None
    return records


def _csv(content: bytes) -> list[Any]:
    from emulator.datasets.csv_columns import CsvColumns

    columns = CsvColumns(content)
    columns.survey(lambda: None)
    return _records(columns.batches())


def _parquet(content: bytes) -> list[Any]:
    return _records(parquet_batches(content))


UPLOADS: Final[Mapping[str, Callable[[bytes], list[Any]]]] = {
    "text/csv": _csv,
    "application/x-ndjson": _ndjson,
    "application/vnd.apache.parquet": _parquet,
}
"""Content type -> the records of a body of this type. Each raises ValueError, saying what is wrong. For a worker thread."""


def _records(batches: Iterator[RecordBatch]) -> list[Any]:
    """Rows as JSON has them: dates and times are texts. A few bytes of Parquet can be many rows, so these are bounded too."""
    records: list[Any] = []
    size = 0
    for batch in batches:
        text = rows_as_text(batch, nulls=True)
        size += len(text)
        if size > MAX_CONTROL_BYTES:
            raise FileFault(
                f"its rows have more than {MAX_CONTROL_BYTES} bytes as JSON; put it into a folder of --fixtures"
            )
        records += map(orjson.loads, text.split(b"\n")[:-1])
    return records
