"""Part files of an export (NDJSON or Parquet, with or without GZIP) and its manifest, whole or not at all.

Files grow under a hidden name in their folder and get their own once all of them are complete. Memory stays
flat whatever the number of rows: batches are pulled one by one and written in slices.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from flow_service_emulator.files.folders import Folder, open_folder
from flow_service_emulator.files.gzip_stream import GzipStream
from flow_service_emulator.files.row_encoding import cast_batch, encode_ndjson, encode_parquet, in_utc

if TYPE_CHECKING:
    import random

    from arro3.core import RecordBatch, Schema

SLICE_ROWS = 8192
"""Rows encoded at a time; other threads wait for about 10 ms meanwhile (`row_encoding`)."""

_UNFINISHED = re.compile(r"\.(?:part-\d{5,}-tid-|manifest-)[^/]*\.unfinished")

FileType = Literal["JSON", "PARQUET"]
Progress = Callable[[int, int], None]
"""Called now and then while files are written, with the rows and the bytes written so far."""


class WritingCancelled(Exception):
    """Writing stopped because `cancelled` said so; nothing of the export is left."""


class FileForm(NamedTuple):
    """In which form rows are written: the target connection's `datasetFileType` and `compression`."""

    file_type: FileType
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


def part_names(rng: random.Random, form: FileForm) -> Iterator[str]:
    """The names of the part files of one export, without end, such as
    `part-00000-tid-4172098795867639101-0b8c5520-9999-4cff-bdf5-1f32c8c47cb9-451986-1-c000.json`.

    As in the real service, whose files Spark writes, one export's files share the transaction's number and
    uuid, and the task's number counts up (reference: Exported files).
    """
    transaction = rng.randrange(10**17, 2**63)
    job = uuid.UUID(int=rng.getrandbits(128), version=4)
    task = rng.randrange(1, 1_000_000)
    number = 0
    while True:
        yield f"part-{number:05d}-tid-{transaction}-{job}-{task + number}-1-c000.{form.extension}"
        number += 1


def write_parts(
    folder: Folder,
    batches: Iterable[RecordBatch],
    *,
    schema: Schema,
    form: FileForm,
    rows_per_file: int,
    rng: random.Random,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[WrittenFile]:
    """Writes all rows of `batches` into part files, `rows_per_file` rows each at most; returns them in order.

    The files get their names together, after the last row; before that, and after any error, none of them is
    there. A folder that is replaced meanwhile, by a link that leads elsewhere for instance, is an error, and the
    other one is not written to. No row gives no file (and a manifest with an empty list); the public documents
    do not say what the real service does there.

    NDJSON is as `row_encoding.encode_ndjson` says, with timestamps in ISO 8601, UTC, ending in `Z`. The same
    batches and the same state of `rng` give the same bytes.

    `progress` and `cancelled` are called from this thread about every 8,192 rows. Raises `WritingCancelled`;
    what `batches` raises; `UnwritableRows` for a type that the file type cannot carry; `OSError` as the
    system gives it (disk full, read-only). Nothing is forced to the disk (fsync): what is promised holds for
    a killed process, not for a power cut.
    """
    if rows_per_file < 1:
        raise ValueError(f"rows_per_file is {rows_per_file}: at least 1 row goes into a file")
    names = part_names(rng, form)
    source = _Source(iter(batches), schema, form, progress, cancelled)
    written: list[WrittenFile] = []
    made: list[str] = []
    try:
        while source.has_rows():
            name = next(names)
            made.append(_unfinished(name))
            rows, size = _write_part(folder, made[-1], source, form, rows_per_file)
            written.append(WrittenFile(name, size, rows))
        folder.check()
        for file in written:
            folder.rename(_unfinished(file.name), file.name)
            made.append(file.name)
    except BaseException:
        _remove(folder, made)
        raise
    return written


def write_manifest(
    folder: Folder,
    *,
    flow_run_id: str,
    destination_id: str,
    scheduled_at: float,
    files: Sequence[tuple[str, WrittenFile]],
) -> WrittenFile:
    """Writes the manifest of one export, the JSON list of its files, and returns it (with 0 rows).

    `files` has each file with the folder that it lies in as seen in the storage (`/path/of/target/…`);
    `scheduled_at` is in epoch seconds. Name and fields are those of the real service, which documents them
    with a sample under "Include manifest file" on the pages of its cloud storage destinations (Amazon S3,
    "Fill in destination details"): `manifest-<destination id>-<run id>.json`, in it `flowRunId`,
    `scheduledTime`, and `exportResults` with `sinkPath`, `name` and `size` (bytes) of each file. It has no
    record count (reference: Exported files). Call it after the last `write_parts` of the export. Raises
    `OSError`; nothing of the manifest is there then.
    """
    name = f"manifest-{_plain(destination_id)}-{_plain(flow_run_id)}.json"
    manifest = {
        "flowRunId": flow_run_id,
        "scheduledTime": f"{datetime.fromtimestamp(int(scheduled_at), UTC):%Y-%m-%dT%H:%M:%SZ}",
        "exportResults": [{"sinkPath": sink_path, "name": file.name, "size": file.bytes} for sink_path, file in files],
    }
    content = json.dumps(manifest, separators=(",", ":")).encode()
    unfinished = _unfinished(name)
    try:
        with folder.create(unfinished) as file:
            file.write(content)
        folder.rename(unfinished, name)
    except BaseException:
        _remove(folder, [unfinished])
        raise
    return WrittenFile(name, len(content), 0)


def discard(folder: Folder, names: Iterable[str]) -> None:
    """Removes files of an export that failed after they were written; those that are gone are passed over.

    Raises the first `OSError` after having tried them all, which for a name that is a path is `UnsafePath`.
    """
    failure: OSError | None = None
    for name in names:
        try:
            folder.remove(name)
        except OSError as error:
            failure = failure or error
    if failure:
        raise failure


def remove_leftovers(root: Path, folders: Iterable[str], *, limit: int = 200_000) -> int:
    """Removes the unfinished files that a killed process left anywhere in these folders of `root`; returns their number.

    For the start, before any export: it would take the files of an export under way. Looks at no more than
    `limit` names, follows no symbolic link, touches no other file, and passes over what it may not read.
    """
    removed = 0
    left: list[tuple[str, ...]] = [(folder,) for folder in folders]
    while left and limit > 0:
        parts = left.pop()
        with contextlib.suppress(OSError), os.scandir(root.joinpath(*parts)) as entries:
            for entry in entries:
                limit -= 1
                if limit < 0:
                    break
                if entry.is_dir(follow_symlinks=False):
                    left.append((*parts, entry.name))
                elif _UNFINISHED.fullmatch(entry.name):
                    with contextlib.suppress(OSError), open_folder(root, parts) as folder:
                        folder.remove(entry.name)
                        removed += 1
    return removed


def _unfinished(name: str) -> str:
    return f".{name}.unfinished"


def _plain(text: str) -> str:
    # Ids are the server's own UUIDs, but a restored snapshot may say anything, such as "../..".
    return re.sub(r"[^0-9A-Za-z-]", "_", text)[:64]


def _remove(folder: Folder, names: Iterable[str]) -> None:
    for name in names:
        # The error that made this necessary is the one to report, not that the clearing up met it again.
        with contextlib.suppress(OSError):
            folder.remove(name)


def _write_part(folder: Folder, name: str, source: _Source, form: FileForm, most_rows: int) -> tuple[int, int]:
    """Writes one part file; returns its rows and bytes."""
    before = source.rows
    with folder.create(name) as opened:
        file = _CountedFile(opened)
        rows = source.slices(most_rows, file)
        if form.file_type == "PARQUET":
            encode_parquet(rows, source.schema, file, gzip=form.gzip)
        elif form.gzip:
            with GzipStream(file) as stream:
                encode_ndjson(rows, source.schema, stream)
        else:
            encode_ndjson(rows, source.schema, file)
    source.complete_file(file.size)
    return source.rows - before, file.size


@dataclass(slots=True)
class _CountedFile:
    """A file and the bytes written to it.

    Not `tell`: it gives the GIL away for too short a time for any other thread to take it, yet each such
    thread then waits anew, and calling it after every slice kept them all waiting for 60 ms and more.
    """

    opened: BinaryIO
    size: int = 0

    def write(self, data: bytes, /) -> int:
        self.size += len(data)
        return self.opened.write(data)


@dataclass(slots=True)
class _Source:
    """The rows of an export, handed out in slices from one part file to the next, and counted."""

    batches: Iterator[RecordBatch]
    given_schema: Schema
    form: FileForm
    progress: Progress | None
    cancelled: Callable[[], bool] | None
    schema: Schema = field(init=False)
    rows: int = 0
    _complete_bytes: int = 0
    _rest: RecordBatch | None = None

    def __post_init__(self) -> None:
        self.schema = in_utc(self.given_schema) if self.form.file_type == "JSON" else self.given_schema

    def has_rows(self) -> bool:
        """Whether a row is left; pulls the next batch if need be."""
        while self._rest is None:
            batch = next(self.batches, None)
            if batch is None:
                return False
            self._keep(batch)
        return True

    def slices(self, most_rows: int, file: _CountedFile) -> Iterator[RecordBatch]:
        """The next rows, `most_rows` at most, for `file`."""
        end = self.rows + most_rows
        while self.rows < end and self.has_rows():
            yield self._take(min(SLICE_ROWS, end - self.rows))
            self._report(self._complete_bytes + file.size)

    def complete_file(self, size: int) -> None:
        self._complete_bytes += size
        self._report(self._complete_bytes)

    def _take(self, most_rows: int) -> RecordBatch:
        assert self._rest is not None, "has_rows comes first"
        taken = self._rest.slice(0, min(most_rows, self._rest.num_rows))
        self._keep(self._rest.slice(taken.num_rows))
        self.rows += taken.num_rows
        return taken if self.schema is self.given_schema else cast_batch(taken, self.schema)

    def _keep(self, rest: RecordBatch) -> None:
        # Nothing is kept of a batch that is used up: it would stay in memory while the next one is made.
        self._rest = rest if rest.num_rows else None

    def _report(self, size: int) -> None:
        if self.progress:
            self.progress(self.rows, size)
        if self.cancelled and self.cancelled():
            raise WritingCancelled(f"cancelled after {self.rows} rows")
