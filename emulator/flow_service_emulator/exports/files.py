"""Part files of an export (NDJSON or Parquet, with or without GZIP) and its manifest, whole or not at all.

Files grow under hidden names in their folder and get their own once all of them are complete. Memory stays flat whatever the
number of rows: batches are pulled one by one and written in slices. Nothing is forced to the disk (fsync): what is promised holds
for a killed process, not for a power cut. Folders are texts here: a `Path` takes longer than the rest of a small export's names.
"""

# ruff: noqa: PTH103, PTH105, PTH123
from __future__ import annotations

import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple

import orjson

from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.forms import encode_ndjson, encode_parquet

if TYPE_CHECKING:
    from arro3.core import RecordBatch

log = logging.getLogger("emulator.exports")
SLICE_ROWS: Final = 8192
"""Rows encoded at a time; other threads wait for about 10 ms meanwhile (`data.forms`)."""
_BUFFER_BYTES: Final = 1 << 17


class FileForm(NamedTuple):
    """In which form rows are written: the target connection's `datasetFileType` and `compression`."""

    file_type: Literal["JSON", "PARQUET"]
    gzip: bool

    @property
    def extension(self) -> str:
        """The end of the files' names, without the dot (reference: Exported files).

        `gz.parquet` is Parquet whose column chunks use the GZIP codec, `parquet` one that uses none.
        """
        if self.file_type == "PARQUET":
            return "gz.parquet" if self.gzip else "parquet"
        return "json.gz" if self.gzip else "json"


class WrittenFile(NamedTuple):
    """A complete file on disk."""

    name: str
    """Without its folder."""
    bytes: int
    rows: int


@dataclass(slots=True)
class Piece:
    """One dataset's share of a run: which rows go into which folder, and how far that is."""

    dataset: Dataset
    source_id: str
    target_id: str
    folder: str
    """Below the export folder."""
    container: str
    """The bucket's or container's own folder there; empty where the destination has none."""
    form: FileForm
    manifest: bool
    """Whether a manifest is to list the files."""
    first: int
    end: int
    rows: int = 0
    """Rows written so far."""
    bytes: int = 0
    skipped: int = 0
    """Rows that are too old."""
    files: list[WrittenFile] = field(default_factory=list)
    """The part files, once all of them are on disk."""


def part_names(run_id: str, index: int, form: FileForm) -> Iterator[str]:
    """Yield the names of the part files of a run's piece, without end, such as
    `part-00000-tid-4172098795867639101-0b8c5520-9999-4cff-bdf5-1f32c8c47cb9-451986-1-c000.json`.

    As in the real service, whose files Spark writes, one export's files share the transaction's number and uuid, and the task's
    number counts up (reference: Exported files).
    """
    transaction, task = _transaction(run_id, index)
    for number in count():
        yield f"part-{number:05d}-tid-{transaction}-{task + number}-1-c000.{form.extension}"


def write_parts(
    piece: Piece,
    batches: Iterable[RecordBatch],
    names: Iterator[str],
    *,
    root: Path,
    rows_per_file: int,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write all rows of `batches` into the part files of a piece, `rows_per_file` rows each at most.

    The files get their names together, after the last row. An error leaves what is written under hidden names; `remove_files` finds
    it. No row gives no file (and a manifest with an empty list); the public documents do not say what the real service does there.

    NDJSON is as `encode_ndjson` says, with timestamps in ISO 8601, UTC, ending in `Z`. The same batches give the same
    bytes. About every 8,192 rows the piece's counts move, and `check` is called from this thread. Raise what it and `batches` raise;
    arro3's panic for a type that the file type cannot carry; `OSError` as the system gives it (disk full, read-only).
    """
    folder, schema = f"{root}/{piece.folder}", piece.dataset.arrow_schema
    os.makedirs(folder, exist_ok=True)
    encode = encode_ndjson if piece.form.file_type == "JSON" else encode_parquet
    complete, written = 0, list[WrittenFile]()

    def told(slices: Iterator[tuple[int, RecordBatch]], file: _CountedFile) -> Iterator[RecordBatch]:
        for _, taken in slices:
            piece.rows += taken.num_rows
            yield taken
            piece.bytes = complete + file.size
            check()

    for _, slices in groupby(_slices(batches, rows_per_file), key=itemgetter(0)):
        name, before = next(names), piece.rows
        with open(_unfinished(folder, name), "wb", _BUFFER_BYTES) as opened:
            file = _CountedFile(opened)
            encode(told(slices, file), schema, file, gzip=piece.form.gzip)
        piece.bytes = complete = complete + file.size
        check()
        written.append(WrittenFile(name, file.size, piece.rows - before))
    for done in written:
        os.replace(_unfinished(folder, done.name), f"{folder}/{done.name}")
    piece.files = written


def write_manifest(
    root: Path, folder: str, pieces: Iterable[Piece], *, run_id: str, flow_id: str, scheduled_at: float
) -> None:
    """Write the manifest of one export, the JSON list of the files of these pieces, all in one folder. Raise OSError.

    `scheduled_at` is in epoch seconds; a destination's id is its flow's. Name and fields are those of the real service, which documents
    them with a sample under "Include manifest file" on the pages of its cloud storage destinations (Amazon S3, "Fill in destination
    details"). It has no record count (reference: Exported files).
    """
    name, sink_path = f"manifest-{flow_id}-{run_id}.json", "/" + folder.partition("/")[2]
    manifest = {
        "flowRunId": run_id,
        "scheduledTime": f"{datetime.fromtimestamp(int(scheduled_at), UTC):%Y-%m-%dT%H:%M:%SZ}",
        "exportResults": [
            {"sinkPath": sink_path, "name": file.name, "size": file.bytes} for piece in pieces for file in piece.files
        ],
    }
    unfinished = _unfinished(f"{root}/{folder}", name)
    with open(unfinished, "wb", 0) as opened:
        opened.write(orjson.dumps(manifest))
    os.replace(unfinished, f"{root}/{folder}/{name}")


def remove_files(root: Path, run_id: str, folders: Iterable[str]) -> None:
    """Remove all files of a run, finished or not, from the folders of its pieces below `root`. What cannot be removed is logged."""
    for index, folder in enumerate(folders):
        marks = (_transaction(run_id, index)[0], f"-{run_id}.json")
        found = (root / folder).iterdir() if (root / folder).is_dir() else ()
        for path in [path for path in found if any(mark in path.name for mark in marks)]:
            try:
                path.unlink(missing_ok=True)
            except OSError as fault:
                log.warning("the file %s of the run %s stays in %s: %s", path.name, run_id, folder, fault.strerror)


def _transaction(run_id: str, index: int) -> tuple[str, int]:
    """What the names of the files of a run's piece have in common, and the first task's number.

    It comes from the run's id, so that the files of a run that never ended are found.
    """
    digest = hashlib.sha256(f"{run_id}/{index}".encode()).digest()
    transaction = 10**17 + int.from_bytes(digest[:8], "big") % (2**63 - 10**17)
    return f"{transaction}-{uuid.UUID(bytes=digest[8:24], version=4)}", 1 + int.from_bytes(digest[24:], "big") % 999_999


def _unfinished(folder: str, name: str) -> str:
    return f"{folder}/.{name}.unfinished"


def _slices(batches: Iterable[RecordBatch], rows_per_file: int) -> Iterator[tuple[int, RecordBatch]]:
    """The rows in slices, each with the index of the file that it belongs to."""
    done = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            size = min(SLICE_ROWS, batch.num_rows - start, rows_per_file - done % rows_per_file)
            yield done // rows_per_file, batch if size == batch.num_rows else batch.slice(start, size)
            start, done = start + size, done + size
        del batch  # it would stay in memory while the next one is made


@dataclass(slots=True)
class _CountedFile:
    """A file and the bytes written to it.

    Not `tell`: it gives the GIL away for too short a time for any other thread to take it, yet each such thread then waits anew,
    and calling it after every slice kept them all waiting for 60 ms and more.
    """

    opened: BinaryIO
    size: int = 0

    def write(self, data: bytes, /) -> int:
        self.size += len(data)
        return self.opened.write(data)

    def flush(self) -> None:
        """Nothing to do: the file is flushed when it is closed."""
