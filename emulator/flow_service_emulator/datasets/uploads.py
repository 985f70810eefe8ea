"""The content of a file that came as a request's body, as records: read by what reads files, without a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from flow_service_emulator.datasets.bounds import MAX_VALUES, Made, check_values, too_much
from flow_service_emulator.datasets.panics import FileFault
from flow_service_emulator.datasets.parquet_process import rows_of_parquet
from flow_service_emulator.datasets.parquet_rows import rows_as_text
from flow_service_emulator.datasets.record_files import BOM
from flow_service_emulator.datasets.record_rows import CHUNK_RECORDS, GoOn

Read = Callable[[bytes, GoOn], Iterator[Any]]
"""The records of a body, one by one, so that not all of them are objects at a time. Raises ValueError, saying what is wrong, and what
`go_on` raises. For a worker thread."""


def _ndjson(content: bytes, go_on: GoOn) -> Iterator[Any]:
    check_values(content)
    for number, line in enumerate(io.BytesIO(content.removeprefix(BOM)), 1):
        if number % CHUNK_RECORDS == 0:
            go_on()
        if number > MAX_VALUES:
            raise too_much("it has", MAX_VALUES, "lines or values")
        if not line.isspace():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as fault:
                raise FileFault(f"line {number} is not JSON: {fault.msg} (column {fault.colno})") from None


def _csv(content: bytes, go_on: GoOn) -> Iterator[Any]:
    from flow_service_emulator.datasets.csv_columns import CsvColumns

    columns, expected, made = CsvColumns(content), Made(), Made()
    names = sum(len(name) + len('"":,') for name in columns.names)

    def count(rows: int) -> None:
        go_on()
        expected.rows(rows, len(columns.names))
        expected.json(rows * names)

    columns.survey(count)
    for batch in columns.batches():
        go_on()
        text = rows_as_text(batch, nulls=True)
        made.json(len(text))
        yield from map(orjson.loads, text.split(b"\n")[:-1])


def _parquet(content: bytes, go_on: GoOn) -> Iterator[Any]:
    text = rows_of_parquet(content, go_on)
    del content
    yield from map(orjson.loads, io.BytesIO(text))


UPLOADS: Final[Mapping[str, Read]] = {
    "text/csv": _csv,
    "application/x-ndjson": _ndjson,
    "application/vnd.apache.parquet": _parquet,
}
"""Content type -> what reads a body of this type."""
