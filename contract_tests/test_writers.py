"""Part files and manifests: read back by other libraries, whole or not at all, the same for the same rows."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arro3.core import RecordBatch, Schema
from hypothesis import given
from hypothesis import strategies as st

from flow_service_emulator.files import gzip_stream, writers
from flow_service_emulator.files.folders import UnsafePath, open_folder
from flow_service_emulator.files.gzip_stream import GzipStream
from flow_service_emulator.files.row_encoding import UnwritableRows
from flow_service_emulator.files.writers import (
    FileForm,
    WritingCancelled,
    WrittenFile,
    discard,
    part_names,
    remove_leftovers,
    write_manifest,
    write_parts,
)

FORMS = [
    FileForm("JSON", False),
    FileForm("JSON", True),
    FileForm("PARQUET", False),
    FileForm("PARQUET", True),
]
SOURCE = pa.schema(
    [
        pa.field("_id", pa.string(), nullable=False),
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("amount", pa.float64()),
        ("person", pa.struct([("name", pa.string()), ("age", pa.int32())])),
        ("tags", pa.list_(pa.string())),
    ]
)
SCHEMA = Schema.from_arrow(SOURCE)

SLICE = 100
"""What the tests make of `writers.SLICE_ROWS`, so that few rows are enough."""

every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.extension)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "SLICE_ROWS", SLICE)


def rows(start: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "_id": f"id-{number}",
            "timestamp": 1_700_000_000_000 + number,
            "amount": number / 4 if number % 3 else None,
            "person": {"name": f"Ana {number}", "age": None if number % 5 else number} if number % 7 else None,
            "tags": [f"t{number % 10}", "ü"][: number % 3],
        }
        for number in range(start, start + count)
    ]


def batches(*counts: int) -> Iterator[RecordBatch]:
    start = 0
    for count in counts:
        yield RecordBatch.from_arrow(pa.RecordBatch.from_pylist(rows(start, count), schema=SOURCE))
        start += count


def write(folder: Path, source: Iterator[RecordBatch], form: FileForm, **more: Any) -> list[WrittenFile]:
    given: dict[str, Any] = {"schema": SCHEMA, "rows_per_file": 1_000_000, "rng": random.Random(7), **more}
    with open_folder(folder, ()) as held:
        return write_parts(held, source, form=form, **given)


def manifest_in(folder: Path, **given: Any) -> WrittenFile:
    with open_folder(folder, ()) as held:
        return write_manifest(held, scheduled_at=given.pop("scheduled_at", 0), **given)


def discard_in(folder: Path, names: list[str]) -> None:
    with open_folder(folder, ()) as held:
        discard(held, names)


def read_lines(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.decode().splitlines()]


def read_ids(path: Path) -> list[str]:
    if path.name.endswith(".parquet"):
        return list(pq.read_table(path, columns=["_id"])["_id"].to_pylist())
    return [row["_id"] for row in read_lines(path)]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestForms:
    def test_json_is_one_object_a_line_without_nulls(self, tmp_path: Path) -> None:
        for form in FORMS[:2]:
            (file,) = write(tmp_path, batches(3), form)
            assert read_lines(tmp_path / file.name) == [
                {"_id": "id-0", "timestamp": "2023-11-14T22:13:20Z", "tags": []},
                {
                    "_id": "id-1",
                    "timestamp": "2023-11-14T22:13:20.001Z",
                    "amount": 0.25,
                    "person": {"name": "Ana 1"},
                    "tags": ["t1"],
                },
                {
                    "_id": "id-2",
                    "timestamp": "2023-11-14T22:13:20.002Z",
                    "amount": 0.5,
                    "person": {"name": "Ana 2"},
                    "tags": ["t2", "ü"],
                },
            ]

    def test_json_timestamps_are_in_utc_whatever_their_column_says(self, tmp_path: Path) -> None:
        second = 1_700_000_000
        inner = pa.struct([("at", pa.timestamp("s")), ("name", pa.string())])
        source = pa.record_batch(
            {
                "plain": pa.array([second * 1_000_000], pa.timestamp("us")),
                "offset": pa.array([second * 1000], pa.timestamp("ms", "+02:00")),
                "city": pa.array([second], pa.timestamp("s", "Europe/Lisbon")),
                "nested": pa.array([{"at": second, "name": "x"}], inner),
                "listed": pa.array([[second, None]], pa.list_(pa.timestamp("s"))),
                "large": pa.array([[{"at": second, "name": "x"}]], pa.large_list(inner)),
                "day": pa.array([0], pa.date32()),
                "daytime": pa.array([1], pa.time32("s")),
                "other": pa.array([1], pa.int64()),
            }
        )
        schema = Schema.from_arrow(source.schema)
        (file,) = write(tmp_path, iter([RecordBatch.from_arrow(source)]), FORMS[0], schema=schema)
        at = "2023-11-14T22:13:20Z"
        assert read_lines(tmp_path / file.name) == [
            {
                "plain": at,
                "offset": at,
                "city": at,
                "nested": {"at": at, "name": "x"},
                "listed": [at, None],
                "large": [{"at": at, "name": "x"}],
                "day": "1970-01-01",
                "daytime": "00:00:01",
                "other": 1,
            }
        ]

    @pytest.mark.parametrize(("form", "codec"), [(FORMS[2], "UNCOMPRESSED"), (FORMS[3], "GZIP")])
    def test_parquet_has_the_rows_and_the_codec_within(self, tmp_path: Path, form: FileForm, codec: str) -> None:
        (file,) = write(tmp_path, batches(1_000, 1), form)
        read = pq.ParquetFile(tmp_path / file.name)
        assert read.read().equals(pa.Table.from_pylist(rows(0, 1_001), schema=SOURCE))
        assert read.schema_arrow.equals(SOURCE)
        columns = read.metadata.row_group(0)
        assert {columns.column(index).compression for index in range(columns.num_columns)} == {codec}

    @every_form
    def test_rows_are_split_into_files_in_order(self, tmp_path: Path, form: FileForm) -> None:
        files = write(tmp_path, batches(300, 0, 900, 500, 1), form, rows_per_file=850)
        assert [file.rows for file in files] == [850, 850, 1]
        assert [file.bytes for file in files] == [(tmp_path / file.name).stat().st_size for file in files]
        read = [read_ids(tmp_path / file.name) for file in files]
        assert [len(ids) for ids in read] == [850, 850, 1]
        assert list(chain(*read)) == [f"id-{number}" for number in range(1701)]
        assert names_in(tmp_path) == {file.name for file in files}

    @every_form
    def test_a_full_last_file_is_followed_by_none(self, tmp_path: Path, form: FileForm) -> None:
        assert [file.rows for file in write(tmp_path, batches(200, 200), form, rows_per_file=200)] == [
            200,
            200,
        ]

    @every_form
    def test_no_rows_give_no_file(self, tmp_path: Path, form: FileForm) -> None:
        assert write(tmp_path, batches(), form) == []
        assert write(tmp_path, batches(0, 0), form) == []
        assert names_in(tmp_path) == set()

    @every_form
    def test_the_same_rows_and_seed_give_the_same_bytes(self, tmp_path: Path, form: FileForm) -> None:
        contents = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            files = write(folder, batches(1_000), form, rows_per_file=700)
            contents.append([(file.name, (folder / file.name).read_bytes()) for file in files])
        assert contents[0] == contents[1]

    def test_a_file_without_room_for_rows_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="rows_per_file is 0"):
            write(tmp_path, batches(1), FORMS[0], rows_per_file=0)


class TestNames:
    @every_form
    def test_they_look_as_those_of_the_real_service(self, form: FileForm) -> None:
        shape = re.compile(
            r"part-(\d{5})-tid-(\d{18,19})-([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
            rf"-(\d+)-1-c000\.{re.escape(form.extension)}"
        )
        for seed in range(50):
            names = part_names(random.Random(seed), form)
            first, second = (shape.fullmatch(next(names)) for _ in range(2))
            assert first is not None
            assert second is not None
            assert (first[1], second[1]) == ("00000", "00001")
            assert (first[2], first[3]) == (second[2], second[3])
            assert int(second[4]) == int(first[4]) + 1

    def test_they_differ_between_exports(self) -> None:
        rng = random.Random(1)
        names = {next(part_names(rng, FORMS[0])) for _ in range(1_000)}
        assert len(names) == 1_000

    def test_extensions(self) -> None:
        assert [form.extension for form in FORMS] == ["json", "json.gz", "parquet", "gz.parquet"]


class TestStreaming:
    @every_form
    def test_batches_are_pulled_one_by_one_and_progress_is_told(self, tmp_path: Path, form: FileForm) -> None:
        told: list[tuple[int, int]] = []
        ahead: list[int] = []

        def source() -> Iterator[RecordBatch]:
            pulled = 0
            for batch in batches(*[1_000] * 5):
                ahead.append(pulled - (told[-1][0] if told else 0))
                pulled += batch.num_rows
                yield batch

        files = write(tmp_path, source(), form, rows_per_file=2_500, progress=lambda *now: told.append(now))
        assert max(ahead) == 0
        steps = [later[0] - earlier[0] for earlier, later in zip([(0, 0), *told], told, strict=False)]
        assert max(steps) <= SLICE
        assert told == sorted(told)
        assert told[-1] == (5_000, sum(file.bytes for file in files))

    @every_form
    def test_cancelling_leaves_nothing(self, tmp_path: Path, form: FileForm) -> None:
        told: list[int] = []
        with pytest.raises(WritingCancelled, match="after 1630 rows"):
            write(
                tmp_path,
                batches(*[815] * 5),
                form,
                rows_per_file=1_600,
                progress=lambda done, _: told.append(done),
                cancelled=lambda: bool(told) and told[-1] >= 1_601,
            )
        assert names_in(tmp_path) == set()


class Interrupted(Exception):
    pass


class TestWholeOrNotAtAll:
    @every_form
    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_an_error_of_the_rows_comes_out_as_it_is(self, tmp_path: Path, form: FileForm, after: int) -> None:
        def source() -> Iterator[RecordBatch]:
            yield from batches(*[500] * after)
            raise Interrupted("no more")

        (tmp_path / "kept.json").write_text("another export's")
        with pytest.raises(Interrupted, match="no more"):
            write(tmp_path, source(), form, rows_per_file=600)
        assert names_in(tmp_path) == {"kept.json"}

    @every_form
    def test_nothing_has_its_name_before_all_is_written(self, tmp_path: Path, form: FileForm) -> None:
        seen: list[set[str]] = []
        write(
            tmp_path,
            batches(500, 500),
            form,
            rows_per_file=300,
            progress=lambda *_: seen.append(names_in(tmp_path)),
        )
        assert all(name.startswith(".") for names in seen for name in names)
        assert len(seen[-1]) == 4

    @every_form
    def test_an_error_at_the_last_step_takes_the_others_back(self, tmp_path: Path, form: FileForm) -> None:
        names = part_names(random.Random(7), form)
        in_the_way = tmp_path / [next(names) for _ in range(3)][2]
        (in_the_way / "file").mkdir(parents=True)
        with pytest.raises(OSError, match=re.escape(in_the_way.name)):
            write(tmp_path, batches(1_000), form, rows_per_file=300)
        assert names_in(tmp_path) == {in_the_way.name}

    @every_form
    def test_a_missing_folder_is_an_error_of_the_system(self, tmp_path: Path, form: FileForm) -> None:
        with pytest.raises(FileNotFoundError):
            write(tmp_path / "nowhere", batches(10), form)

    @every_form
    def test_links_and_leftovers_under_the_names_are_replaced(self, tmp_path: Path, form: FileForm) -> None:
        folder, outside = tmp_path / "folder", tmp_path / "outside"
        folder.mkdir()
        outside.write_text("not to be written")
        name = next(part_names(random.Random(7), form))
        (folder / name).symlink_to(outside)
        (folder / f".{name}.unfinished").symlink_to(outside)
        (file,) = write(folder, batches(10), form)
        assert outside.read_text() == "not to be written"
        assert not (folder / file.name).is_symlink()
        assert len(read_ids(folder / file.name)) == 10

    @every_form
    @pytest.mark.parametrize("rows_per_file", [100, 10_000], ids=["between-files", "before-the-last-step"])
    def test_a_folder_that_is_replaced_by_a_link_is_not_followed(
        self, tmp_path: Path, form: FileForm, rows_per_file: int
    ) -> None:
        folder, outside = tmp_path / "folder", tmp_path / "outside"
        folder.mkdir()
        outside.mkdir()
        kept = outside / next(part_names(random.Random(7), form))
        kept.write_text("not to be touched")

        def rows() -> Iterator[RecordBatch]:
            for number, batch in enumerate(batches(300)):
                if number:
                    yield batch
                    continue
                yield batch
                folder.rename(tmp_path / "moved")
                folder.symlink_to(outside, target_is_directory=True)

        with pytest.raises(OSError, match="the folder was removed or replaced"):
            write(folder, rows(), form, rows_per_file=rows_per_file)
        assert names_in(outside) == {kept.name}
        assert kept.read_text() == "not to be touched"

    def test_what_parquet_cannot_carry_is_an_ordinary_error(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        source = pa.record_batch({"empty": pa.array([{}], pa.struct([]))})
        schema = Schema.from_arrow(source.schema)
        with pytest.raises(UnwritableRows, match="empty struct"):
            write(tmp_path, iter([RecordBatch.from_arrow(source)]), FORMS[2], schema=schema)
        assert names_in(tmp_path) == set()
        capfd.readouterr()

    @pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file size")
    def test_a_full_disk_is_an_error_of_the_system(self, tmp_path: Path) -> None:
        """In a process that may write files of 200,000 bytes; beyond that the system refuses."""
        child = start_child(LIMITED_SIZE, tmp_path)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out.split(), err) == (0, [str(errno.EFBIG)] * len(FORMS), "")
        assert names_in(tmp_path) == set()

    def test_a_killed_process_leaves_only_what_is_removed_at_the_next_start(self, tmp_path: Path) -> None:
        folder = tmp_path / "a" / "b"
        folder.mkdir(parents=True)
        (folder / "part-00000-kept.json").write_text("{}\n")
        child = start_child(ENDLESS, folder)
        assert child.stdout is not None
        assert child.stdout.readline() == "going\n"
        child.kill()
        child.communicate()
        left = names_in(folder) - {"part-00000-kept.json"}
        assert left  # one for each part that was begun; how many that is depends on the instant of the kill
        assert all(name.startswith(".part-") and name.endswith(".unfinished") for name in left)
        assert remove_leftovers(tmp_path, ["a"]) == len(left)
        assert names_in(folder) == {"part-00000-kept.json"}


IN_A_CHILD = """
import random, sys
from pathlib import Path
from arro3.core import Array, DataType, RecordBatch
from flow_service_emulator.files.folders import open_folder
from flow_service_emulator.files.writers import FileForm, write_parts

noise = random.Random(3)
ids = [f"{noise.getrandbits(256):064x}" for _ in range(10_000)]
batch = RecordBatch.from_pydict({"_id": Array(ids, DataType.string())})
given = {"schema": batch.schema, "rows_per_file": 8_000, "rng": noise}
folder = open_folder(Path(sys.argv[1]), ())
"""
LIMITED_SIZE = f"""{IN_A_CHILD}
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for file_type in ("JSON", "PARQUET"):
    for gzip in (False, True):
        try:
            write_parts(folder, iter([batch]), form=FileForm(file_type, gzip), **given)
        except OSError as error:
            print(error.errno)
"""
ENDLESS = f"""{IN_A_CHILD}
import itertools
told = lambda done, _: print("going", flush=True) if done == 10_000 else None
write_parts(folder, itertools.repeat(batch), form=FileForm("JSON", True), progress=told, **given)
"""


def start_child(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(__file__).parent.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


class TestManifest:
    def test_it_lists_the_files_as_the_real_one(self, tmp_path: Path) -> None:
        files = write(tmp_path, batches(500), FORMS[1], rows_per_file=300)
        manifest = manifest_in(
            tmp_path,
            flow_run_id="0ac8f3c0-29bd-40aa-82c1-f1b7e0657b19",
            destination_id="d0420d72-756c-4159-9e7f-7d3e2f8b501e",
            scheduled_at=1_692_320_400.25,
            files=[("/destination/output001", file) for file in files],
        )
        path = tmp_path / "manifest-d0420d72-756c-4159-9e7f-7d3e2f8b501e-0ac8f3c0-29bd-40aa-82c1-f1b7e0657b19.json"
        assert manifest == WrittenFile(path.name, path.stat().st_size, 0)
        assert json.loads(path.read_bytes()) == {
            "flowRunId": "0ac8f3c0-29bd-40aa-82c1-f1b7e0657b19",
            "scheduledTime": "2023-08-18T01:00:00Z",
            "exportResults": [
                {"sinkPath": "/destination/output001", "name": file.name, "size": file.bytes} for file in files
            ],
        }
        assert names_in(tmp_path) == {manifest.name, *(file.name for file in files)}

    def test_an_export_without_rows_has_an_empty_list(self, tmp_path: Path) -> None:
        manifest = manifest_in(tmp_path, flow_run_id="r", destination_id="d", files=[])
        assert manifest.name == "manifest-d-r.json"
        assert json.loads((tmp_path / manifest.name).read_bytes())["exportResults"] == []

    def test_ids_that_are_paths_stay_in_the_folder(self, tmp_path: Path) -> None:
        manifest = manifest_in(tmp_path, flow_run_id="../" * 40, destination_id="/etc/passwd", files=[])
        assert names_in(tmp_path) == {manifest.name}
        assert re.fullmatch(r"manifest-_etc_passwd-[_]{64}\.json", manifest.name)

    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "manifest-d-r.json" / "in the way").mkdir(parents=True)
        with pytest.raises(OSError, match="manifest-d-r"):
            manifest_in(tmp_path, flow_run_id="r", destination_id="d", files=[])
        assert names_in(tmp_path) == {"manifest-d-r.json"}


class TestRemoving:
    def test_files_of_a_failed_export_are_discarded(self, tmp_path: Path) -> None:
        files = write(tmp_path, batches(500), FORMS[0], rows_per_file=200)
        discard_in(tmp_path, [file.name for file in files[:2]])
        assert names_in(tmp_path) == {files[2].name}
        discard_in(tmp_path, [file.name for file in files])
        assert names_in(tmp_path) == set()

    def test_one_that_cannot_be_removed_does_not_keep_the_others(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "c").write_text("")
        with pytest.raises(OSError, match="a"):
            discard_in(tmp_path, ["a", "c"])
        assert names_in(tmp_path) == {"a"}

    @pytest.mark.parametrize("name", ["../x", "a/x", "/x", "..", "."])
    def test_a_path_is_not_discarded(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "x").write_text("")
        with pytest.raises(UnsafePath, match="not the name of a file"):
            discard_in(tmp_path, [name])
        assert (tmp_path / "a" / "x").exists()

    def test_leftovers_are_only_our_own_unfinished_files(self, tmp_path: Path) -> None:
        outside, root = tmp_path / "outside", tmp_path / "exports"
        (root / "deep" / "er").mkdir(parents=True)
        outside.mkdir()
        ours = [".part-00000-tid-1-x.json.unfinished", ".manifest-a-b.json.unfinished"]
        others = ["part-00000-tid-1-x.json", ".hidden", ".x.unfinished", "manifest-a-b.json"]
        for folder in (root, root / "deep", root / "deep" / "er", outside):
            for name in ours + others:
                (folder / name).write_text("")
        (root / "deep" / "link").symlink_to(outside, target_is_directory=True)
        (root / "deep" / ".part-00001-tid-1-folder.unfinished").mkdir()
        (root / "linked").symlink_to(outside, target_is_directory=True)
        assert remove_leftovers(root, ["deep", "linked", "nowhere"]) == 4
        assert names_in(root / "deep") == {*others, "er", "link", ".part-00001-tid-1-folder.unfinished"}
        assert names_in(root / "deep" / "er") == set(others)
        assert names_in(root) >= set(ours)
        assert names_in(outside) == {*ours, *others}
        assert remove_leftovers(tmp_path / "nowhere", ["deep"]) == 0

    def test_the_search_is_bounded(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        for number in range(20):
            (tmp_path / "a" / f".part-{number:05d}-tid-1-x.json.unfinished").write_text("")
        assert remove_leftovers(tmp_path, ["a"], limit=7) == 7
        assert remove_leftovers(tmp_path, ["a"]) == 13


class Collected:
    def __init__(self, fails_after: int | None = None) -> None:
        self.content = b""
        self._fails_after = fails_after

    def write(self, data: bytes, /) -> int:
        self.content += data
        if self._fails_after is not None and len(self.content) > self._fails_after:
            raise OSError(28, "No space left on device")
        return len(data)


class TestGzipStream:
    @given(pieces=st.lists(st.binary(max_size=300), max_size=10))
    def test_it_does_not_depend_on_the_pieces(self, pieces: list[bytes]) -> None:
        compressed = [self.compress(pieces), self.compress([b"".join(pieces)])]
        assert compressed[0] == compressed[1]
        assert gzip.decompress(compressed[0]) == b"".join(pieces)

    @staticmethod
    def compress(pieces: list[bytes]) -> bytes:
        target = Collected()
        with pytest.MonkeyPatch.context() as patch, GzipStream(target) as stream:
            patch.setattr(gzip_stream, "BLOCK_BYTES", 64)
            for piece in pieces:
                assert stream.write(piece) == len(piece)
        return target.content

    def test_text_of_many_blocks_comes_back(self) -> None:
        text = random.Random(1).randbytes(1000) * 5_000
        target = Collected()
        with GzipStream(target) as stream:
            for start in range(0, len(text), 300_000):
                stream.write(text[start : start + 300_000])
        assert gzip.decompress(target.content) == text
        assert target.content[4:8] == b"\0\0\0\0", "no time, so that the same rows give the same bytes"

    @pytest.mark.parametrize("leave", ["normally", "by an error", "by an error of the target"])
    def test_no_thread_is_left(self, leave: str) -> None:
        target = Collected(fails_after=100 if leave == "by an error of the target" else None)
        before = set(threading.enumerate())
        caught: type[BaseException] | None = None
        try:
            with GzipStream(target) as stream:
                for _ in range(3):
                    stream.write(os.urandom(1 << 20))
                if leave == "by an error":
                    raise Interrupted
        except (Interrupted, OSError) as error:
            caught = type(error)
        assert caught == {"normally": None, "by an error": Interrupted}.get(leave, OSError)
        assert set(threading.enumerate()) == before


def test_nothing_heavy_is_imported_at_the_start() -> None:
    code = (
        "import sys; before = set(sys.modules); import flow_service_emulator.files.writers, flow_service_emulator.files.paths, flow_service_emulator.files.templates;"
        "print(*(name for name in set(sys.modules) - before if name.split('.')[0] in ('arro3', 'hashlib')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
