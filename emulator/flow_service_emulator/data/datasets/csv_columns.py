"""CSV files as columns: separator, names and types found by looking at all of it.

RFC 4180: fields may stand in double quotes, and a line has as many fields as the first, which has the names. Separators are
commas, semicolons or tabs. An empty field is null.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flow_service_emulator.data.datasets.faults import FileFault, RecordFault, panics_as_faults
from flow_service_emulator.data.datasets.record_shape import EXACT, MAX_FIELDS, name_fault, type_name

if TYPE_CHECKING:
    from arro3.core import Array, DataType, RecordBatch, Schema

_SEPARATORS: Final = (",", ";", "\t")
_BATCH_ROWS: Final = 8_192
_BATCH_PLACES: Final = 2_000_000
_MAX_HEADER: Final = 1_000_000
_MAX_DIGITS: Final = 17
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_TEXT, _NUMBERS, _WHOLE, _LARGE, _TRUTH = "text", "number", "whole number", "large whole number", "true or false"


class CsvColumns:
    """A CSV file, or the bytes of one. Raises FileFault for what is wrong in it, and OSError.

    A column is one of whole numbers, numbers, or `true` and `false` if all its values are written the way JSON writes them; so
    what would not come out as it went in, such as `007` or a number of many digits, stays a text. `types` gives the types of some columns.
    """

    def __init__(self, source: Path | bytes, types: Schema | None = None) -> None:
        from arro3.core import DataType, Field, Schema

        self._source = source
        self._separator, self._names = _header(source)
        self._texts = Schema([Field(name, DataType.string(), nullable=True) for name in self._names])
        given = {} if types is None else {field.name: field.type for field in map(types.field, range(len(types)))}
        found = [type_ or given.get(name) for name, type_ in zip(self._names, self._found(given), strict=True)]
        self.schema = Schema(
            [
                Field(name, type_ or DataType.string(), nullable=True)
                for name, type_ in zip(self._names, found, strict=True)
            ]
        )

    def batches(self) -> Iterator[RecordBatch]:
        """All rows."""
        from arro3.compute import cast
        from arro3.core import RecordBatch

        start = 1
        for batch in self._text_batches():
            columns = []
            for index, column in enumerate(batch.columns):
                type_ = self.schema.field(index).type
                made = column if type_ == column.type else cast(column, type_)
                if made.null_count != column.null_count:
                    raise _misfit(start, self._names[index], column, made)
                columns.append(made)
            start += batch.num_rows
            yield RecordBatch.from_arrays(columns, schema=self.schema)

    def _found(self, given: dict[str, DataType]) -> list[DataType | None]:
        """The types of the columns that are not given; None where it is text."""
        from arro3.core import DataType

        whole = dict.fromkeys((_WHOLE, _LARGE), DataType.int64())
        types = {_NUMBERS: DataType.float64(), _TRUTH: DataType.bool(), **whole}
        kinds = [{_TEXT} if name in given else set() for name in self._names]
        for batch in self._text_batches():
            for index, found in enumerate(kinds):
                if _TEXT not in found:
                    found.update(map(_kind, {text for text in batch.column(index).to_pylist() if text is not None}))
        return [types.get(reduce(_merged, found)) if found else None for found in kinds]

    def _text_batches(self) -> Iterator[RecordBatch]:
        from arro3.io import read_csv

        rows = max(1, min(_BATCH_ROWS, _BATCH_PLACES // len(self._names)))
        try:
            with panics_as_faults(FileFault, ""):
                yield from read_csv(
                    self._source, self._texts, has_header=True, delimiter=self._separator, batch_size=rows
                )
        except FileFault as fault:
            raise FileFault(str(fault).removeprefix(": ").rpartition("Csv error: ")[2]) from fault


def _header(source: Path | bytes) -> tuple[str, list[str]]:
    """The separator, and the columns' names."""
    with (
        source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as opened,
        io.TextIOWrapper(opened, encoding="utf-8-sig", newline="") as file,
    ):
        try:
            start = file.read(_MAX_HEADER)
        except UnicodeDecodeError:
            raise FileFault("it is not in UTF-8") from None
    line = start.partition("\n")[0]
    separator = max(_SEPARATORS, key=line.count)
    try:
        names = next(csv.reader(start.splitlines(keepends=True), delimiter=separator), [])
    except csv.Error as fault:
        raise FileFault(f"the first line has to have the columns' names: {fault}") from None
    if not names:
        raise FileFault("the first line has to have the columns' names; it is empty")
    if len(names) > MAX_FIELDS:
        raise FileFault(f"{len(names)} columns; at most {MAX_FIELDS} are possible")
    for index, name in enumerate(names):
        if not name.strip():
            raise FileFault(f"column {index + 1} has no name in the first line")
        if unusable := name_fault(name):
            raise FileFault(f"column {index + 1}: {unusable}")
        if name in names[:index]:
            raise FileFault(f"two columns are named {name[:60]!r}")
    return separator, names


def _kind(text: str) -> str:
    """Of what kind a value is: a number only where that is written the way JSON writes it, and a float has all its digits."""
    if text in ("true", "false"):
        return _TRUTH
    if _NUMBER.fullmatch(text) is None or text == "-0":
        return _TEXT
    if text.lstrip("-").isdigit():
        number = abs(int(text))
        return _WHOLE if number <= EXACT else _LARGE if number < 2**63 else _TEXT
    digits = re.split("[eE]", text)[0].replace("-", "").replace(".", "").lstrip("0")
    return _NUMBERS if len(digits) <= _MAX_DIGITS and abs(float(text)) != float("inf") else _TEXT


def _merged(first: str, second: str) -> str:
    """The kind of a column that has values of both."""
    if first == second:
        return first
    both = {frozenset((_WHOLE, _NUMBERS)): _NUMBERS, frozenset((_WHOLE, _LARGE)): _LARGE}
    return both.get(frozenset((first, second)), _TEXT)


def _misfit(start: int, name: str, texts: Array, made: Array) -> RecordFault:
    pairs = zip(texts.to_pylist(), made.to_pylist(), strict=True)
    number, text = next((number, text) for number, (text, value) in enumerate(pairs, start) if text and value is None)
    return RecordFault(number, name, f"{text[:40]!r} is no {type_name(made.type)}")
