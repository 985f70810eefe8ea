"""CSV files as columns: separator, names and types found by looking at all of it.

RFC 4180: fields may stand in double quotes, and a line has as many fields as the first, which has the names. Separators are
commas, semicolons or tabs. An empty field is null.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flow_service_emulator.datasets.panics import panics_as_faults
from flow_service_emulator.datasets.record_shape import MAX_FIELDS, name_fault

if TYPE_CHECKING:
    from arro3.core import Array, RecordBatch, Schema

_SEPARATORS: Final = (",", ";", "\t")
_BATCH_ROWS: Final = 8_192
_BATCH_BYTES: Final = 32_000_000
"""What the rows of a batch take at most when they are empty: each has all the names as JSON, and a place for each value."""
_VALUE_BYTES: Final = 8
_MAX_HEADER: Final = 1_000_000
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?")
_TEXT, _NUMBERS, _WHOLE, _TRUTH = "text", "number", "whole number", "true or false"


class CsvFault(ValueError):
    """A CSV file that rows cannot be taken from; the message says why, with the line."""


class CsvColumns:
    """A CSV file, or the bytes of one. `survey` has to come first: it goes through the file and finds `schema`.

    A column is one of whole numbers, numbers, or `true` and `false` if all its values are written the way JSON writes them; so a
    code such as `007`, which would not come out as it went in, stays a text.
    """

    schema: Schema
    names: Sequence[str]
    """The columns' names."""

    def __init__(self, source: Path | bytes) -> None:
        """Raises CsvFault for a header that cannot be used, and OSError."""
        self._source = source
        self._separator, self.names = _header(source)
        self._texts = _schema(self.names, [_TEXT] * len(self.names))
        row_bytes = sum(len(name) + _VALUE_BYTES for name in self.names)
        self._batch_rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))

    def survey(self, count: Callable[[int], None]) -> int:
        """How many rows there are. Raises CsvFault for a line that has more or fewer fields than the first one.

        `count` is told of each few rows how many they are; what it raises ends the survey.
        """
        kinds: list[str | None] = [None] * len(self.names)
        rows = 0
        for batch in self._text_batches():
            count(batch.num_rows)
            rows += batch.num_rows
            for index, kind in enumerate(kinds):
                if kind != _TEXT:
                    kinds[index] = _merged(kind, _kind(batch.column(index)))
        self.schema = _schema(self.names, [kind or _TEXT for kind in kinds])
        return rows

    def batches(self) -> Iterator[RecordBatch]:
        """All rows. Raises CsvFault."""
        from arro3.compute import cast
        from arro3.core import RecordBatch

        types = [self.schema.field(index).type for index in range(len(self.schema))]
        texts = self._texts.field(0).type
        for batch in self._text_batches():
            columns = [
                column if type_ == texts else cast(column, type_)
                for column, type_ in zip(batch.columns, types, strict=True)
            ]
            yield RecordBatch.from_arrays(columns, schema=self.schema)

    def _text_batches(self) -> Iterator[RecordBatch]:
        from arro3.io import read_csv

        try:
            with panics_as_faults(CsvFault, "it cannot be read"):
                yield from read_csv(
                    self._source, self._texts, has_header=True, delimiter=self._separator, batch_size=self._batch_rows
                )
        except (OSError, CsvFault):
            raise
        except Exception as fault:  # arro3 raises nothing more exact
            raise CsvFault(str(fault).rpartition("Csv error: ")[2]) from fault


def _header(source: Path | bytes) -> tuple[str, list[str]]:
    """The separator, and the columns' names."""
    with (
        source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as opened,
        io.TextIOWrapper(opened, encoding="utf-8-sig", newline="") as file,
    ):
        try:
            start = file.read(_MAX_HEADER)
        except UnicodeDecodeError:
            raise CsvFault("it is not in UTF-8") from None
    line = start.partition("\n")[0]
    separator = max(_SEPARATORS, key=line.count)
    try:
        names = next(csv.reader(start.splitlines(keepends=True), delimiter=separator), [])
    except csv.Error as fault:
        raise CsvFault(f"the first line has to have the columns' names: {fault}") from None
    if not names:
        raise CsvFault("the first line has to have the columns' names; it is empty")
    if len(names) > MAX_FIELDS:
        raise CsvFault(f"{len(names)} columns; at most {MAX_FIELDS} are possible")
    for index, name in enumerate(names):
        if not name.strip():
            raise CsvFault(f"column {index + 1} has no name in the first line")
        if unusable := name_fault(name):
            raise CsvFault(f"column {index + 1}: {unusable}")
        if name in names[:index]:
            raise CsvFault(f"two columns are named {name[:60]!r}")
    return separator, names


def _schema(names: Sequence[str], kinds: Sequence[str]) -> Schema:
    from arro3.core import DataType, Field, Schema

    types = {_TEXT: DataType.string(), _NUMBERS: DataType.float64(), _WHOLE: DataType.int64(), _TRUTH: DataType.bool()}
    return Schema([Field(name, types[kind], nullable=True) for name, kind in zip(names, kinds, strict=True)])


def _kind(column: Array) -> str | None:
    """Of what kind all values of a text column are; None when they are all null."""
    from arro3.compute import cast
    from arro3.core import DataType

    if column.null_count == len(column):
        return None
    numbers = cast(column, DataType.int64())
    if numbers.null_count == column.null_count and _alike(cast(numbers, column.type), column):
        return _WHOLE
    texts = [value for value in column.to_pylist() if value is not None]
    if all(map(_NUMBER.fullmatch, texts)):
        return _NUMBERS
    return _TRUTH if {"true", "false"}.issuperset(texts) else _TEXT


def _alike(first: Array, second: Array) -> bool:
    """Whether two columns hold the same; arrays of themselves compare their names too."""
    from arro3.core import RecordBatch, Schema

    schema = Schema([second.field])
    return RecordBatch.from_arrays([first], schema=schema) == RecordBatch.from_arrays([second], schema=schema)


def _merged(before: str | None, kind: str | None) -> str | None:
    if before is None or kind is None or before == kind:
        return before if kind is None else kind
    return _NUMBERS if {before, kind} == {_WHOLE, _NUMBERS} else _TEXT
