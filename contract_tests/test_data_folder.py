"""A data folder: nothing acknowledged is lost by kills, cuts and a full disk, and nobody else's file is touched."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract_tests.store_support import INDEXES, PROD, contents, entity, ids
from flow_service_emulator.store.log import LOG_NAME
from flow_service_emulator.store.store import Change, Delete, Put, SetMeta, Store, StoreError

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def disk_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the disk: they end processes, not the machine."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def reopened(folder: Path) -> Store:
    return Store(folder, indexes=INDEXES)


def log_of(folder: Path) -> Path:
    return folder / LOG_NAME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data"


def test_a_log_cut_off_anywhere_opens_with_all_that_was_whole(tmp_path: Path) -> None:
    store = reopened(tmp_path)
    states = {log_of(tmp_path).stat().st_size: contents(store)}
    for number in range(4):
        changes: list[Change] = [
            Put(PROD, "runs", entity(str(number % 3), flowId="é" * number)),
            SetMeta("last", number),
        ]
        changes += [Delete(PROD, "runs", str(number - 1))] if number % 3 == 2 else []
        store.write(changes)
        states[log_of(tmp_path).stat().st_size] = contents(store)
    whole = log_of(tmp_path).read_bytes()
    store.close()
    for size in range(min(states), len(whole) + 1):
        log_of(tmp_path).write_bytes(whole[:size])
        store = reopened(tmp_path)
        assert contents(store) == states[max(each for each in states if each <= size)]
        store.write([Put(PROD, "runs", entity("after"))])
        expected = contents(store)
        store.close()
        if size % 25 == 0:
            store = reopened(tmp_path)
            assert contents(store) == expected
            store.close()


@pytest.mark.parametrize("line", [b"no JSON\n", b"7\n", b"[5]\n", b'[["t", "x", {"id": "a"}]]\n'])
def test_damage_in_the_middle_is_reported_with_its_place_and_left_as_it_is(folder: Path, line: bytes) -> None:
    store = reopened(folder)
    place = log_of(folder).stat().st_size
    store.write([Put(PROD, "flows", entity("a"))])
    store.close()
    whole = log_of(folder).read_bytes()
    log_of(folder).write_bytes(damaged := whole[:place] + line + whole[place:])
    with pytest.raises(StoreError, match=f"{log_of(folder)} is damaged: the line at byte {place} "):
        reopened(folder)
    assert log_of(folder).read_bytes() == damaged


@pytest.mark.parametrize("content", [b"", b"my diary", b'{"a": 1}\n', b"flow-service-emulator entities, format 1\n"])
def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    log_of(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match="is no log of this version"):
        reopened(tmp_path)
    assert log_of(tmp_path).read_bytes() == content
    with pytest.raises(StoreError, match="cannot use the data folder"):
        reopened(log_of(tmp_path) / "data")


def test_a_folder_belongs_to_one_store_at_a_time(folder: Path) -> None:
    first = reopened(folder)
    with pytest.raises(StoreError, match=f"{folder} is in use by process {os.getpid()}$"):
        reopened(folder)
    code = "import sys, pathlib; from flow_service_emulator.store.store import Store; Store(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT)
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr
    first.close()
    reopened(folder).close()


def test_the_log_is_shortened_when_it_is_opened(folder: Path) -> None:
    """Whatever a server that was killed meanwhile has left of the new one."""
    store = reopened(folder)
    for number in range(1000):
        store.write([SetMeta("counter", {"number": number, "text": "x" * 200})])
    store.close()
    assert log_of(folder).stat().st_size > 200_000
    (folder / f"{LOG_NAME}.new").write_text("half a li")
    again = reopened(folder)
    assert again.get_meta("counter")["number"] == 999
    assert log_of(folder).stat().st_size < 1000
    assert sorted(each.name for each in folder.iterdir()) == ["entities.log", "lock"]
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


def test_what_a_failed_write_left_is_removed_before_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = reopened(folder)
    store.write([Put(PROD, "flows", entity("a"))])
    size = log_of(folder).stat().st_size

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "ftruncate", refuse)
        with no_file_beyond(size + 30), pytest.raises(StoreError):
            store.write([Put(PROD, "flows", entity("b"))])
        with pytest.raises(StoreError):
            store.write([Put(PROD, "flows", entity("b"))])
        assert log_of(folder).stat().st_size == size + 30
    store.write([Put(PROD, "flows", entity("c"))])
    store.close()
    again = reopened(folder)
    assert ids(again.records(PROD, "flows")) == ["c", "a"]
    again.close()
