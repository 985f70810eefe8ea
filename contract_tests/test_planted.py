"""What another process planted in the export or data folder: nothing is written, listed or served through it, or stopped by it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import Api, assert_error, serving
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.exports.exported_files import Exports, files_record
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Store


@contextmanager
def powerless(folder: Path) -> Iterator[None]:
    """Nothing in a folder can be made or removed, not even by this process where it is root's."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="needs users and modes")
def test_a_reset_says_what_it_could_not_remove() -> None:
    async def test(place: Path) -> None:
        async with LocalEmulator(Settings(export_dir=place / "exports")) as local:
            for name in ("first", "second"):
                (place / "exports" / S3.folder / name).mkdir(parents=True)
                (place / "exports" / S3.folder / name / "file.json").write_text("{}")
            for folder in ("", S3.folder, f"{S3.folder}/second"):
                (place / "exports" / folder).chmod(0o777)
            await local.source("5ef3e3259ad2a1191ab7dd7d")
            with powerless(place / "exports" / S3.folder / "first"):
                response = await local.http.post("/__emulator/reset?exports=true")
            example = f"{S3.folder}/first/file.json"
            assert_error(response, "exports-unremoved", number=1, example=example, reason="Permission denied")
            left = [path for path in (place / "exports" / S3.folder).rglob("*") if path.is_file()]
            assert left == [place / "exports" / example]
            assert (await local.http.get(f"{BASE}/sourceConnections")).json()["items"] == []
            await local.control("POST", "/reset?exports=true")
            assert not (place / "exports" / S3.folder).exists()
            await local.control("POST", "/reset?exports=true")

    with tempfile.TemporaryDirectory() as place:  # not `tmp_path`, which another user may not enter
        Path(place).chmod(0o755)
        asyncio.run(test(Path(place)))


@pytest.fixture
def deep_folder() -> Iterator[Path]:
    """A new folder outside pytest's own, whose way of clearing up does not get to the bottom of what is put here."""
    place = tempfile.mkdtemp()
    yield Path(place)
    subprocess.run(["rm", "-rf", place], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_reset_is_not_stopped_by_what_was_planted(deep_folder: Path) -> None:
    """Folders nested deeper than Python calls functions, and names that are not UTF-8."""
    with serving(deep_folder) as process:
        api = Api(process.url)
        top = process.export_dir / S3.folder
        top.mkdir()
        (top / os.fsdecode(b"\xff\xfe")).write_text("")
        (top / ("x" * 255)).write_text("")
        here = os.open(top, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        response = api.http.post("/__emulator/reset?exports=true")
        assert response.status_code in (200, 507)
        for call in ("overview", "exports", ""):
            assert api.http.get(f"/__emulator/{call}").status_code == 200
        api.close()


def test_what_was_planted_is_no_exported_file(tmp_path: Path) -> None:
    """Links in circles, names that are too long or no UTF-8, devices and FIFOs: 404, and the lists and the page go on."""
    with serving(tmp_path) as process:
        api = Api(process.url)
        now = int(api.control("GET", "/clock")["now"])
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 10})
        api.advance(10)
        (item,) = api.control("GET", "/exports")["items"]
        folder = process.export_dir
        (folder / "loop").symlink_to("loop")
        (folder / "there").symlink_to("back")
        (folder / "back").symlink_to("there")
        (folder / "device").symlink_to("/dev/zero")
        (folder / "root").symlink_to("/")
        os.mkfifo(folder / "fifo")
        (folder / os.fsdecode(b"\xff\xfe")).write_text("no UTF-8")
        (folder / ("x" * 255)).mkdir()
        paths = ["loop", "loop/x", "there", "device", "root/etc/passwd", "fifo", "x" * 255, "x" * 256, "x" * 3000]
        paths += [
            "x/" * 3000,
            "%ff%fe",
            "a%00b",
            "%2fetc%2fpasswd",
            "%2f%2fhost%2fshare",
            "C:%5cwindows",
            "",
            "amazon-s3",
        ]
        for path in paths:
            for call in ("exports", "previews"):
                answer = api.http.get(f"/__emulator/{call}/{path}")
                assert (path, answer.status_code) == (path, 404)
        assert api.control("GET", "/exports")["items"] == [item]
        assert [file["path"] for file in api.control("GET", "/overview")["files"]] == [item["path"]]
        api.close()


OUTSIDE = ("../outside", "amazon-s3/../../outside", "a\0b", "x" * 3000, "x" * 300, "//etc/passwd", "/etc/passwd")


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_record_of_a_file_outside_tells_nothing_of_it(tmp_path: Path, path: str) -> None:
    """Whatever a data folder has in it."""
    root = tmp_path / "exports"
    (tmp_path / "outside").write_text("{}")
    (root / "amazon-s3").mkdir(parents=True)
    (root / "inside").write_text("{}")
    store = Store()
    files = [(path, 2, 1, "dataset"), (str(tmp_path / "outside"), 2, 1, "dataset"), ("inside", 2, 1, "dataset")]
    store.write([files_record("run", "flow", files)])
    assert [file["path"] for file in Exports(root, store, load_catalog()).files({})] == ["inside"]


def test_a_snapshot_does_not_list_files_outside(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("{}")
    with serving(tmp_path) as process:
        api = Api(process.url)
        now = int(api.control("GET", "/clock")["now"])
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 10})
        api.advance(10)
        items = api.control("GET", "/exports")["items"]
        text = json.dumps(api.control("GET", "/state"))
        for path in ("../outside", str(tmp_path / "outside")):
            changed = text.replace(json.dumps(items[0]["path"]), json.dumps(path))
            response = api.http.put("/__emulator/state", content=changed)
            assert "files/" in assert_error(response, "control-invalid")["detail"]
            assert api.control("GET", "/exports")["items"] == items
        api.close()


KINDS = ("link", "link to nowhere", "folder", "fifo")


def plant(place: Path, kind: str, outside: Path) -> None:
    """Puts something that is no regular file at a place; a link leads to a file or to where none is."""
    place.parent.mkdir(parents=True)
    if kind.startswith("link"):
        place.symlink_to(outside / ("nowhere" if kind == "link to nowhere" else "victim"))
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)


@pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["exports/.flow-service-emulator", "data/lock", "data/entities.log", "data/entities.log.new"]
)
def test_no_server_starts_with_a_file_of_its_own_that_is_none(tmp_path: Path, name: str, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("kept")
    plant(tmp_path / name, kind, outside)
    flags = ["--port", "0", "--export-dir", str(tmp_path / "exports"), "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "flow_service_emulator", "serve", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    what = "a symbolic link" if kind.startswith("link") else "a folder" if kind == "folder" else "a FIFO"
    assert f"{tmp_path / name} is {what}; the emulator keeps a file of its own there" in line
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "kept"
    assert (tmp_path / name).is_symlink() == kind.startswith("link")


def test_a_link_in_the_place_of_the_new_log_is_not_written_through(tmp_path: Path) -> None:
    """One that comes while the store is open, when the log is written anew."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    store = Store(tmp_path / "data", indexes={})
    store.insert(("org", "prod"), "flows", {"id": "a", "createdAt": 1})
    (tmp_path / "data" / "entities.log.new").symlink_to(victim)
    store.clear()  # writes a new log
    store.insert(("org", "prod"), "flows", {"id": "b", "createdAt": 1})
    store.close()
    assert victim.read_text() == "kept"
    assert not (tmp_path / "data" / "entities.log").is_symlink()
    again = Store(tmp_path / "data", indexes={})
    assert [record.id for record in again.records(("org", "prod"), "flows")] == ["b"]
    again.close()
