"""What a user puts as a dataset: records that are read, checked and lengthened, or a schema after which rows are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flow_service_emulator.datasets.bounds import MAX_TEXT_MEMORY, joined_memory, memory_of, too_much
from flow_service_emulator.datasets.record_rows import (
    GoOn,
    decoded_texts,
    ends_midway,
    further_texts,
    record_texts,
    shape_of_texts,
)
from flow_service_emulator.datasets.record_shape import RecordShape
from flow_service_emulator.rows.row_schema import parse_row_schema
from flow_service_emulator.rows.schema_error import SchemaError
from flow_service_emulator.rows.seeded import Arrivals, GeneratedRows
from flow_service_emulator.store.changes import Change, SetMeta, encoded_meta, value_of

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

_TEXTS: Final = "dataset-records/"
_TRIAL_ANCHOR: Final = 1_700_000_000


class Content(NamedTuple):
    """What a user puts: records (as `texts`, with their columns decoded) or a JSON Schema after which `rows` rows are made.

    `shape` is that of records, `memory` what all of their texts take. Of records that were lengthened, `texts` are those from the
    text `first` on: the others are as they were.
    """

    name: str
    rows: int
    rows_per_hour: float
    schema: dict[str, Any] | None = None
    texts: Sequence[str] = ()
    columns: Schema | None = None
    batches: Sequence[RecordBatch] = ()
    shape: RecordShape | None = None
    memory: int = 0
    first: int = 0


class KeptTexts:
    """The texts of a dataset as the store has them, decoded one by one: all of them would be a second copy. For any thread."""

    def __init__(self, raw: Sequence[bytes | None]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, index: int) -> str:
        raw = self._raw[index]
        text: str = (raw and value_of(raw)) or ""
        return text

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


class Difference(NamedTuple):
    """What has to be written so that a dataset has other texts than it has: how many there are then, and the changes.

    `same` says whether they are the ones that it has, `lengthened` whether all records that it has come first, unchanged.
    """

    same: bool
    lengthened: bool
    texts: int
    changes: list[Change]


def text_key(dataset_id: str, index: int) -> str:
    """Under which key the store keeps one of a dataset's texts."""
    return f"{_TEXTS}{dataset_id}/{index:06d}"


def difference(dataset_id: str, content: Content, kept: KeptTexts, go_on: GoOn = lambda: None) -> Difference:
    """How a dataset's content differs from the texts that are kept of it. Raises what `go_on` raises. For a worker thread."""
    changes: list[Change] = []
    count, last = content.first + len(content.texts), len(kept) - 1
    lengthened = count > last
    for index, text in enumerate(content.texts, content.first):
        go_on()
        if index <= last:
            old = kept[index]
            if text == old:
                continue
            lengthened = lengthened and index == last and text.startswith(old)
        changes.append(encoded_meta(text_key(dataset_id, index), text))
    changes += [SetMeta(text_key(dataset_id, index), None) for index in range(count, len(kept))]
    return Difference(not changes, lengthened, count, changes)


def read_records(name: str, records: Iterable[Any], rows_per_hour: float, go_on: GoOn = lambda: None) -> Content:
    """Records as content. Raises RecordFault and TooMuch (ValueErrors), and what `records` and `go_on` raise.

    For a worker thread: takes a second for 100,000 records.
    """
    texts, shape = record_texts(records, go_on)
    if rows_per_hour and not shape.records:
        raise ValueError("rowsPerHour needs records: the rows that are added repeat them in turn")
    columns = shape.arrow_schema()
    batches = decoded_texts(texts, columns, go_on)
    memory = sum(map(memory_of, texts))
    return Content(name, shape.records, rows_per_hour, None, texts, columns, batches, shape, memory)


def with_further(content: Content, kept: KeptTexts, records: Iterable[Any], go_on: GoOn = lambda: None) -> Content:
    """Records, whose texts are `kept`, with further ones behind them. Raises ValueError, and what `records` and `go_on` raise.

    For a worker thread. Takes the time of the further ones alone, unless they bring columns or types that were not there.
    """
    assert content.shape is not None, "only records have further ones"
    added, shape = further_texts(records, content.rows, content.shape, go_on)
    first, memory = len(kept), content.memory
    texts = added
    if added and ends_midway(content.rows):
        first -= 1
        last = kept[first]
        memory += joined_memory(last, added[0]) - memory_of(last) - memory_of(added[0])
    memory += sum(map(memory_of, added))
    if memory > MAX_TEXT_MEMORY:
        raise too_much("its records, those that it has and the further ones, take as text", MAX_TEXT_MEMORY, "bytes")
    if first < len(kept):
        texts = [kept[first] + added[0], *added[1:]]
    columns = shape.arrow_schema()
    if columns == content.columns:
        batches = [*content.batches, *decoded_texts(added, columns, go_on)]
    else:
        batches = decoded_texts(chain(islice(kept, first), texts), columns, go_on)
    return content._replace(
        rows=shape.records, texts=texts, columns=columns, batches=batches, shape=shape, memory=memory, first=first
    )


def read_made_up(name: str, schema: dict[str, Any], rows: int, rows_per_hour: float) -> Content:
    """Rows made after a JSON Schema as content. Raises ValueError for a schema or numbers that rows cannot be made from."""
    try:
        parse_row_schema(schema)
    except SchemaError as fault:
        raise ValueError(f'"schema"{fault.path and ", property " + fault.path}: {fault.reason}') from None
    trial = GeneratedRows(
        dataset_id="trial", schema=schema, seed=0, rows=max(rows, 1), rows_per_hour=rows_per_hour, anchor=_TRIAL_ANCHOR
    )
    next(iter(trial.batches(0, 1)))
    Arrivals(rows, rows_per_hour, _TRIAL_ANCHOR)
    return Content(name, rows, rows_per_hour, schema)


def kept_content(
    dataset_id: str, name: str, rows: int, rows_per_hour: float, texts: KeptTexts, go_on: GoOn = lambda: None
) -> Content:
    """The content of records that are kept. Raises ValueError for what is damaged, and what `go_on` raises. For a worker thread."""
    shape = shape_of_texts(texts, go_on)
    columns = shape.arrow_schema()
    batches = decoded_texts(texts, columns, go_on)
    if sum(batch.num_rows for batch in batches) != rows:
        raise ValueError(f"the dataset {dataset_id} has lost records: {rows} were put")
    memory = sum(map(memory_of, texts))
    return Content(name, rows, rows_per_hour, None, (), columns, batches, shape, memory)
