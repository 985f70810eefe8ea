"""The published limits of dataset exports, as `--limits published` has them.

Source: guide "Guardrails for dataset export"; for how long files stay, guide "Data Landing Zone destination".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from flow_service_emulator.exports.files import FileForm

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

MAX_AGE: Final = 365 * 86_400
"""How old a row of the Experience Event class may be, in seconds: one of a dataset with a top-level `timestamp`."""
MAX_DESTINATIONS: Final = 100
"""How many destinations a sandbox may have; a destination's id is its flow's."""
MAX_UNCOMPRESSED_ROWS: Final = 1_000_000
"""How many rows a dataset's first export may have as uncompressed Parquet."""
ZONE: Final = "data-landing-zone/"
"""What the folders of the destination begin with whose files go by themselves."""
ZONE_SECONDS: Final = 7 * 86_400
"""How long they stay."""
_A_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def refusal(form: FileForm, rows: int, dataset_id: str) -> str | None:
    """Why so many rows cannot be a dataset's first export; None where they can."""
    if form != FileForm("PARQUET", gzip=False) or rows <= MAX_UNCOMPRESSED_ROWS:
        return None
    return (
        f"The first export of the dataset {dataset_id} has {rows} rows; as uncompressed Parquet it can have "
        f"{MAX_UNCOMPRESSED_ROWS} at most"
    )


def recent(
    batches: Iterator[RecordBatch], schema: Schema, at: float, skip: Callable[[int], None]
) -> Iterator[RecordBatch]:
    """The rows that are not older than 365 days at `at` (epoch seconds), with `skip` told how many are left out of each batch."""
    from arro3.core import DataType

    index = schema.names.index("timestamp") if "timestamp" in schema.names else None
    if index is None or not DataType.is_timestamp(schema.field(index).type):
        return batches
    limit = int((at - MAX_AGE) * _A_SECOND[schema.field(index).type.time_unit or "s"])
    return _from(batches, index, limit, skip)


def _from(batches: Iterator[RecordBatch], index: int, limit: int, skip: Callable[[int], None]) -> Iterator[RecordBatch]:
    """The rows whose time in the column `index` is not before `limit`, in the column's unit, or unknown."""
    from arro3.compute import cast, min
    from arro3.core import Array, DataType

    number = DataType.int64()
    for batch in batches:
        instants = cast(batch.column(index), number)
        oldest = min(instants).as_py()
        if oldest is None or oldest >= limit:
            yield batch
        else:
            young = [row for row, instant in enumerate(instants.to_pylist()) if instant is None or instant >= limit]
            skip(batch.num_rows - len(young))
            yield batch.take(Array(young, type=number))
