"""Part files and manifests: read back by other libraries, whole or not at all, the same for the same rows."""

from __future__ import annotations

import gzip
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from arro3.core import RecordBatch, Schema

from flow_service_emulator.data.forms import encode_ndjson
from flow_service_emulator.exports import files
from flow_service_emulator.exports.files import FileForm, Piece, WrittenFile, part_names, remove_files, write_parts

FORMS = [FileForm(form, gzip) for form in ("JSON", "PARQUET") for gzip in (False, True)]
SOURCE = pa.schema([pa.field("_id", pa.string(), nullable=False), ("amount", pa.float64())])
SCHEMA = Schema.from_arrow(SOURCE)
SLICE = 100
"""What the tests make of `files.SLICE_ROWS`, so that few rows are enough."""

every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.extension)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SLICE_ROWS", SLICE)


def batches(*counts: int) -> Iterator[RecordBatch]:
    start = 0
    for count in counts:
        made = [{"_id": f"{n:060}", "amount": n / 4 if n % 3 else None} for n in range(start, start + count)]
        yield RecordBatch.from_arrow(pa.RecordBatch.from_pylist(made, schema=SOURCE))
        start += count


def write(
    folder: Path,
    source: Iterator[RecordBatch],
    form: FileForm,
    *,
    schema: Schema = SCHEMA,
    rows_per_file: int = 1_000_000,
    progress: Callable[[int, int], None] = lambda rows, size: None,
) -> list[WrittenFile]:
    dataset: Any = SimpleNamespace(arrow_schema=schema)
    piece = Piece(dataset, "source", "target", ".", "", form, True, 0, 0)
    names = part_names("run", 0, form)
    check = lambda: progress(piece.rows, piece.bytes)  # noqa: E731
    try:
        write_parts(piece, source, names, root=folder, rows_per_file=rows_per_file, check=check)
    except BaseException:
        remove_files(folder, "run", [""])  # as a run does
        raise
    return piece.files


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("form", FORMS[:2])
def test_json_is_one_object_a_line_without_nulls(tmp_path: Path, form: FileForm) -> None:
    columns: dict[str, tuple[pa.Array, Any]] = {
        "text": (pa.array(["ü"]), "ü"),
        "none": (pa.array([None], pa.float64()), None),
        "empty": (pa.array([[]], pa.list_(pa.string())), []),
        "object": (
            pa.array([{"name": "Ana", "age": None}], pa.struct([("name", pa.string()), ("age", pa.int32())])),
            {"name": "Ana"},
        ),
        "exact": (pa.array([1_700_000_000_001], pa.timestamp("ms", "UTC")), "2023-11-14T22:13:20.001Z"),
        "day": (pa.array([0], pa.date32()), "1970-01-01"),
        "daytime": (pa.array([1], pa.time32("s")), "00:00:01"),
        "other": (pa.array([1], pa.int64()), 1),
    }
    source = RecordBatch.from_arrow(pa.record_batch({name: column for name, (column, _) in columns.items()}))
    (file,) = write(tmp_path, iter([source] * 2), form, schema=source.schema)
    content = (tmp_path / file.name).read_bytes()
    lines = (gzip.decompress(content) if form.gzip else content).decode().split("\n")
    row = {name: wanted for name, (_, wanted) in columns.items() if wanted is not None}
    assert [json.loads(line) for line in lines[:-1]] == [row] * 2
    assert lines[-1] == ""


@every_form
def test_batches_are_pulled_one_by_one_and_progress_is_told(tmp_path: Path, form: FileForm) -> None:
    """And nothing has its name before all is written."""
    told: list[tuple[int, int]] = []
    ahead: list[int] = []
    seen: set[str] = set()

    def source() -> Iterator[RecordBatch]:
        pulled = 0
        for batch in batches(*[1_000] * 3):
            ahead.append(pulled - (told[-1][0] if told else 0))
            pulled += batch.num_rows
            yield batch

    def progress(done: int, size: int) -> None:
        told.append((done, size))
        seen.update(names_in(tmp_path))

    written = write(tmp_path, source(), form, rows_per_file=1_500, progress=progress)
    assert max(ahead) == 0
    assert max(later[0] - earlier[0] for earlier, later in zip([(0, 0), *told], told, strict=False)) <= SLICE
    assert told == sorted(told)
    assert told[-1] == (3_000, sum(file.bytes for file in written))
    assert len(seen) == 2 and all(name.startswith(".") for name in seen)


@every_form
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_error_of_the_rows_comes_out_as_it_is_and_leaves_nothing(tmp_path: Path, form: FileForm, after: int) -> None:
    def source() -> Iterator[RecordBatch]:
        yield from batches(*[500] * after)
        raise LookupError("no more")

    (tmp_path / "kept.json").write_text("another export's")
    with pytest.raises(LookupError, match="no more"):
        write(tmp_path, source(), form, rows_per_file=600)
    remove_files(tmp_path, "another-run", ["", "nowhere"])

    def cancelled(rows: int, size: int) -> None:
        if len(names_in(tmp_path)) > 2:
            raise LookupError("ended before its time")

    with pytest.raises(LookupError, match="before its time"):
        write(tmp_path, batches(*[1_200] * 2), form, rows_per_file=1_200, progress=cancelled)
    assert names_in(tmp_path) == {"kept.json"}


@every_form
def test_an_error_at_the_last_step_takes_the_others_back(tmp_path: Path, form: FileForm) -> None:
    in_the_way = tmp_path / list(islice(part_names("run", 0, form), 3))[2]
    (in_the_way / "file").mkdir(parents=True)
    with pytest.raises(OSError, match=re.escape(in_the_way.name)):
        write(tmp_path, batches(1_000), form, rows_per_file=300)
    assert names_in(tmp_path) == {in_the_way.name}


def test_what_parquet_cannot_carry_leaves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = RecordBatch.from_arrow(pa.record_batch({"empty": pa.array([{}], pa.struct([]))}))
    with pytest.raises(BaseException, match="empty struct"):
        write(tmp_path, iter([source]), FORMS[2], schema=source.schema)
    assert names_in(tmp_path) == set()
    capfd.readouterr()


class Full(io.BytesIO):
    """Room for the head of a file."""

    def write(self, data: Any, /) -> int:
        if self.tell():
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_gzip_is_the_same_again_and_leaves_no_thread() -> None:
    def source(error: type[Exception] | None = None) -> Iterator[RecordBatch]:
        yield from batches(*[10_000] * 3)
        if error is not None:
            raise error

    before, first, again = set(threading.enumerate()), io.BytesIO(), io.BytesIO()
    for target in (first, again):
        encode_ndjson(source(), SCHEMA, target, gzip=True)
    assert first.getvalue() == again.getvalue()
    assert gzip.decompress(first.getvalue()).count(b"\n") == 30_000
    with pytest.raises(OSError, match="No space left"):
        encode_ndjson(source(), SCHEMA, Full(), gzip=True)
    with pytest.raises(LookupError):
        encode_ndjson(source(LookupError), SCHEMA, io.BytesIO(), gzip=True)
    assert set(threading.enumerate()) == before
