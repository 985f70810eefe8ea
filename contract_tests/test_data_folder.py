"""A data folder: nothing acknowledged is lost by kills, cuts and a full disk, and nobody else's file is touched."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from contract_tests.store_support import INDEXES, PROD, entity, ids
from flow_service_emulator.store import logfile
from flow_service_emulator.store.log_storage import LogStorage
from flow_service_emulator.store.store import Delete, Put, SetMeta, Store, StoreError

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def disk_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the disk: they end processes, not the machine."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def reopened(folder: Path) -> Store:
    return Store(folder, indexes=INDEXES)


def log_of(folder: Path) -> Path:
    return folder / logfile.LOG_NAME


def contents(store: Store) -> dict[str, Any]:
    """Everything that a store holds, without the number that comes next."""
    tables: dict[str, Any] = store.snapshot()["tables"]
    return tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data"


def test_a_folder_keeps_everything_over_a_restart(folder: Path) -> None:
    store = reopened(folder)
    for id in "abc":
        store.insert(PROD, "runs", entity(id, flowId="f"))
    store.replace(PROD, "runs", entity("a", flowId="g"))
    store.delete(PROD, "runs", "c")
    store.set_meta("k", {"v": 1})
    before = store.snapshot()
    store.close()
    again = reopened(folder)
    assert again.snapshot() == before
    assert ids(again.by_index(PROD, "runs", "g")) == ["a"]
    again.insert(PROD, "runs", entity("d"))
    assert next(iter(again.records(PROD, "runs"))).seq == 5  # Three runs and a value had one; c's is not given again.
    again.close()


def test_numbers_go_on_after_a_restart_of_an_emptied_store(folder: Path) -> None:
    store = reopened(folder)
    for id in "abc":
        store.insert(PROD, "runs", entity(id))
    store.clear()
    store.close()
    again = reopened(folder)
    assert again.next_seq == 4
    again.insert(PROD, "runs", entity("d"))
    assert next(iter(again.records(PROD, "runs"))).seq == 4
    again.close()


def test_a_log_of_an_emulator_with_other_indexes_is_understood(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "runs", entity("a", flowId="f"))
    store.close()
    other = Store(folder, indexes={"runs": "other"})
    other.insert(PROD, "runs", entity("b", flowId="f", other="o"))
    assert ids(other.by_index(PROD, "runs", "o")) == ["b"]
    assert ids(other.by_index(PROD, "runs", "f")) == []
    other.close()
    store = reopened(folder)
    assert ids(store.by_index(PROD, "runs", "f")) == ["b", "a"]
    assert ids(store.by_index(PROD, "runs", "o")) == []
    store.close()


def test_a_log_of_an_emulator_whose_heads_had_less_is_understood(folder: Path) -> None:
    """Its lines had the table, the id, the number, `createdAt` and the keys."""
    store = reopened(folder)
    store.insert(PROD, "runs", entity("a", flowId="f", name="first", updatedAt=7))
    store.insert(PROD, "runs", entity("b"))
    store.delete(PROD, "runs", "b")
    snapshot = store.snapshot()
    store.close()
    (table,) = snapshot["tables"]
    raw = orjson.dumps(entity("a", flowId="f", name="first", updatedAt=7))
    lines = [
        log_of(folder).read_bytes().splitlines(keepends=True)[0],
        logfile.encode_line({"nextSeq": 1, "indexes": INDEXES}, ()),
        logfile.encode_line([(table, "a", 1, 1_700_000_000_000, "f")], [raw]),
        logfile.encode_line([(table, "b", 2, 1_700_000_000_000)], [orjson.dumps(entity("b"))]),
        logfile.encode_line([(table, "b")], ()),
    ]
    log_of(folder).write_bytes(b"".join(lines))
    for _ in range(2):  # the second time in the form of today
        again = reopened(folder)
        (record,) = again.records(PROD, "runs")
        assert (record.name, record.updated_at, record.created_at) == ("first", 7, 1_700_000_000_000)
        assert ids(again.by_index(PROD, "runs", "f")) == ["a"]
        assert again.snapshot() == snapshot
        again.close()


def test_a_closed_store_takes_no_changes(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "flows", entity("a"))
    store.close()
    store.close()
    changes: list[Callable[[], None]] = [lambda: store.insert(PROD, "flows", entity("b")), store.clear]
    for change in changes:
        with pytest.raises(StoreError, match="closed"):
            change()
    assert store.get(PROD, "flows", "b") is None
    again = reopened(folder)
    assert contents(again) == contents(store)
    again.close()


def test_a_log_cut_off_anywhere_opens_with_all_that_was_whole(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = reopened(folder)
    states = {log_of(folder).stat().st_size: contents(store)}
    for number in range(12):
        store.write([Put(PROD, "runs", entity(str(number % 8), flowId="é" * number)), SetMeta("last", number)])
        states[log_of(folder).stat().st_size] = contents(store)
        if number % 3 == 2:
            store.delete(PROD, "runs", str(number - 1))
            states[log_of(folder).stat().st_size] = contents(store)
    whole = log_of(folder).read_bytes()
    store.close()
    assert len(whole) > 1024
    for size in range(len(whole) - 1024, len(whole) + 1):
        log_of(folder).write_bytes(whole[:size])
        store = reopened(folder)
        assert contents(store) == states[max(each for each in states if each <= size)]
        store.insert(PROD, "runs", entity("after"))
        expected = contents(store)
        store.close()
        if size % 50 == 0:
            store = reopened(folder)
            assert contents(store) == expected
            store.close()


def test_a_log_cut_off_within_its_beginning_is_a_new_one(tmp_path: Path) -> None:
    reopened(tmp_path).close()
    whole = log_of(tmp_path).read_bytes()
    for size in range(len(whole)):
        log_of(tmp_path).write_bytes(whole[:size])
        store = reopened(tmp_path)
        assert contents(store) == {}
        store.insert(PROD, "flows", entity("a"))
        store.close()
        store = reopened(tmp_path)
        assert store.get(PROD, "flows", "a") == entity("a")
        store.close()


def test_damage_in_the_middle_is_reported_with_its_place_and_left_as_it_is(folder: Path) -> None:
    store = reopened(folder)
    places = []
    for id in "abc":
        places.append(log_of(folder).stat().st_size)
        store.insert(PROD, "flows", entity(id))
    store.close()
    whole = log_of(folder).read_bytes()
    for place in range(places[1], places[2]):
        if place == places[1] + 8:
            continue  # The tab behind the checksum: what it separates is found by place.
        damaged = bytearray(whole)
        damaged[place] ^= 1
        log_of(folder).write_bytes(damaged)
        with pytest.raises(StoreError, match=f"line at byte {places[1]} ") as damage:
            reopened(folder)
        assert str(log_of(folder)) in str(damage.value)
        assert log_of(folder).read_bytes() == damaged


def test_a_line_that_is_whole_and_says_nothing_sensible_is_reported(folder: Path) -> None:
    reopened(folder).close()
    size = log_of(folder).stat().st_size
    for head in ([5], [["flows/a/b", "id", 1, 2]], [["t", "id", "x", 2]], {"a": 1}, 7):
        kept = log_of(folder).read_bytes()
        log_of(folder).write_bytes(kept + logfile.encode_line(head, ()))
        with pytest.raises(StoreError, match=f"line at byte {size} "):
            reopened(folder)
        log_of(folder).write_bytes(kept)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"my diary", "is not a log of this emulator"),
        (b'{"a": 1}\n', "is not a log of this emulator"),
        (b"flow-service-emulator entities, format 2\n", "another format"),
    ],
)
def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, content: bytes, reason: str) -> None:
    log_of(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match=reason):
        reopened(tmp_path)
    assert log_of(tmp_path).read_bytes() == content


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot use the data folder"):
        reopened(tmp_path / "file" / "data")


def test_a_folder_belongs_to_one_store_at_a_time(folder: Path) -> None:
    first = reopened(folder)
    first.insert(PROD, "flows", entity("a"))
    with pytest.raises(StoreError, match=f"{folder} is in use by process {os.getpid()}$"):
        reopened(folder)
    code = "import sys, pathlib; from flow_service_emulator.store.store import Store; Store(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT)
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr
    first.insert(PROD, "flows", entity("b"))
    first.close()
    second = reopened(folder)
    assert ids(second.records(PROD, "flows")) == ["b", "a"]
    second.close()


WRITER = """
import sys
from pathlib import Path
from flow_service_emulator.store.log_storage import LogStorage
from flow_service_emulator.store.logfile import NewLog
from flow_service_emulator.store.store import Delete, Put, SetMeta, Store

NewLog.settled = lambda self: True  # Nobody waits for the disk: the log can be rewritten all the time.
LogStorage.least_bytes, LogStorage.step_bytes = 20_000, 2_000
store = Store(Path(sys.argv[1]), indexes={"runs": "flowId"})
scope = ("ORG@AdobeOrg", "prod")
number = store.get_meta("last") or 0
while True:
    number += 1
    run = {"id": f"run-{number % 40}", "flowId": f"flow-{number % 3}", "number": number, "text": "x" * (number % 700)}
    store.write([Put(scope, "runs", run), Put(scope, "flows", {"id": str(number)}),
                 Delete(scope, "flows", str(number - 20)), SetMeta("last", number)])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(folder: Path) -> None:
    acknowledged = 0
    for kill_after in (3, 150, 400, 401, 1000):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert writer.stdout is not None
        for _ in range(kill_after):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        # What the writer said while it was being killed.
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split("\n")[:-1])])
        writer.stdout.close()
        writer.wait()
        store = Store(folder, indexes={"runs": "flowId"})
        last = store.get_meta("last")
        assert last in (acknowledged, acknowledged + 1)  # One may have been written and not acknowledged.
        expected = {f"run-{number % 40}": number for number in range(max(1, last - 39), last + 1)}
        assert {record.id: record.entity()["number"] for record in store.records(PROD, "runs")} == expected
        assert ids(store.records(PROD, "flows")) == [str(number) for number in range(last, max(0, last - 20), -1)]
        by_flow = sum(len(store.by_index(PROD, "runs", f"flow-{flow}")) for flow in range(3))
        assert by_flow == len(expected)
        assert sorted(each.name for each in folder.iterdir()) == ["entities.log", "lock"]
        assert log_of(folder).stat().st_size < 300_000
        store.close()
    assert acknowledged > 1900  # Each wrote about 700 bytes: the log was rewritten again and again.


def test_the_log_is_shortened_and_nothing_is_lost_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogStorage, "least_bytes", 10_000)
    monkeypatch.setattr(LogStorage, "step_bytes", 500)
    monkeypatch.setattr(logfile.NewLog, "settled", lambda new: True)
    new = folder / "entities.log.new"
    store = reopened(folder)
    for number in range(50):
        store.insert(PROD, "runs", entity(str(number), flowId="f", text="x" * 100))
    halfway = 0
    longest = 0
    for number in range(50, 1500):
        store.delete(PROD, "runs", str(number - 50))
        store.insert(PROD, "runs", entity(str(number), flowId="fg"[number % 2], text="x" * 100))
        store.replace(PROD, "runs", entity(str(number - 30), flowId="g", text="y" * 100))
        store.insert((f"org-{number}", "prod"), "flows", entity("a"))
        store.delete((f"org-{number - 9}", "prod"), "flows", "a")
        longest = max(longest, log_of(folder).stat().st_size)
        if new.exists() and halfway < 40:
            halfway += 1
            # As a kill would leave it: the old log, and a new one that is not finished.
            copy = folder.parent / f"copy-{number}"
            copy.mkdir()
            for name in (log_of(folder), new):
                (copy / name.name).write_bytes(name.read_bytes())
            killed = reopened(copy)
            assert contents(killed) == contents(store)
            assert not (copy / new.name).exists()
            killed.close()
    before = store.snapshot()
    assert halfway == 40
    assert longest < 150_000  # 1,450 rounds wrote more than 700,000 bytes.
    store.close()
    assert not new.exists()
    again = reopened(folder)
    assert again.snapshot() == before
    again.close()


@pytest.mark.parametrize("cleared", [False, True])
def test_a_rewriting_is_given_up_for_closing_or_clearing(
    folder: Path, cleared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogStorage, "least_bytes", 10_000)
    monkeypatch.setattr(LogStorage, "step_bytes", 100)
    store, new = reopened(folder), folder / "entities.log.new"
    for number in range(1000):
        store.set_meta(str(number % 20), {"number": number, "text": "x" * 100})
        if new.exists():
            break
    assert new.exists()
    if cleared:
        store.clear()
        for number in range(5):
            store.insert(PROD, "flows", entity(str(number)))
    before = store.snapshot()
    store.close()
    assert not new.exists()
    again = reopened(folder)
    assert again.snapshot() == before
    again.close()


def test_the_disk_has_the_new_log_before_the_old_one_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogStorage, "least_bytes", 10_000)
    store = reopened(folder)
    log, new = log_of(folder), folder / "entities.log.new"
    flushed: list[tuple[int, int]] = []

    def note(fd: int) -> None:
        about = os.fstat(fd)
        assert new.stat().st_ino == about.st_ino != log.stat().st_ino
        flushed.append((about.st_ino, about.st_size))

    monkeypatch.setattr(os, "fsync", note)
    store.insert(PROD, "flows", entity("a"))
    store.clear()
    assert flushed == [(log.stat().st_ino, log.stat().st_size)]
    for number in range(100_000):  # Here a thread does it, which takes its time.
        store.set_meta("counter", number)
        if len(flushed) == 2 and not new.exists():
            break
    assert flushed[-1][0] == log.stat().st_ino
    store.close()


def test_a_store_that_is_closed_leaves_a_short_log(folder: Path) -> None:
    store = reopened(folder)
    for number in range(1000):
        store.set_meta("counter", {"number": number, "text": "x" * 200})
    assert log_of(folder).stat().st_size > 200_000
    store.close()
    assert log_of(folder).stat().st_size < 1000
    again = reopened(folder)
    assert again.get_meta("counter")["number"] == 999
    again.close()


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes: writes stop there, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_refuses_the_write_and_only_that(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "runs", entity("a", flowId="f"))
    size = log_of(folder).stat().st_size
    before = store.snapshot()["tables"]
    for room in (0, 1, 8, 9, 50, 200):
        with no_file_beyond(size + room):
            for change in (
                lambda: store.insert(PROD, "runs", entity("b", text="x" * 300)),
                lambda: store.replace(PROD, "runs", entity("a", text="x" * 300)),
                lambda: store.write([Delete(PROD, "runs", "a"), SetMeta("k", "x" * 300)]),
                lambda: store.table(PROD, "runs").insert(entity("b", text="x" * 300)),
            ):
                with pytest.raises(StoreError, match="cannot write to"):
                    change()
                assert contents(store) == before
        assert log_of(folder).stat().st_size == size
        assert ids(store.by_index(PROD, "runs", "f")) == ["a"]
    store.insert(PROD, "runs", entity("b", text="x" * 300))
    expected = contents(store)
    store.close()
    again = reopened(folder)
    assert contents(again) == expected
    again.close()


def test_a_full_disk_refuses_to_clear_and_to_restore(folder: Path) -> None:
    store = reopened(folder)
    store.insert(PROD, "runs", entity("a"))
    before = store.snapshot()
    changes: list[Callable[[], None]] = [store.clear, lambda: store.restore(before)]
    with no_file_beyond(20):
        for change in changes:
            with pytest.raises(StoreError, match="cannot write to"):
                change()
    assert store.snapshot() == before
    assert not (folder / "entities.log.new").exists()
    store.insert(PROD, "runs", entity("b"))
    store.clear()
    store.close()
    again = reopened(folder)
    assert contents(again) == {}
    again.close()


def test_without_room_for_a_second_log_the_first_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogStorage, "least_bytes", 2_000)
    monkeypatch.setattr(LogStorage, "step_bytes", 300)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    append = logfile.NewLog.append

    def append_little(new: logfile.NewLog, lines: bytes) -> None:
        if new.size > 500:  # Now and then in the middle of copying, now and then for a change made meanwhile.
            refuse()
        append(new, lines)

    store = reopened(folder)
    for stage in ("__init__", "append", "settled", "finish"):
        with monkeypatch.context() as disk:
            disk.setattr(logfile.NewLog, stage, append_little if stage == "append" else refuse)
            for number in range(200):
                store.set_meta(f"{stage}-{number % 9}", "x" * 100)
        assert log_of(folder).stat().st_size > 20_000
        for number in range(100_000):  # The disk is flushed by a thread, which takes its time.
            store.set_meta(f"{stage}-{number % 9}", f"{number}")
            if log_of(folder).stat().st_size < 20_000:
                break
        assert log_of(folder).stat().st_size < 20_000
    before = contents(store)
    store.close()
    again = reopened(folder)
    assert contents(again) == before
    again.close()


def test_what_a_failed_write_left_is_removed_before_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = reopened(folder)
    store.insert(PROD, "flows", entity("a"))
    size = log_of(folder).stat().st_size

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "ftruncate", refuse)
        with no_file_beyond(size + 30), pytest.raises(StoreError):
            store.insert(PROD, "flows", entity("b"))
        with pytest.raises(StoreError):
            store.insert(PROD, "flows", entity("b"))
        assert log_of(folder).stat().st_size == size + 30
    store.insert(PROD, "flows", entity("c"))
    store.close()
    again = reopened(folder)
    assert ids(again.records(PROD, "flows")) == ["c", "a"]
    again.close()
