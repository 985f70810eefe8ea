"""Nothing but the export folder and the data folder is written to, whatever a path says and whatever links were planted."""

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
from typing import Any

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, Api, assert_error, serving
from contract_tests.tutorial import ADLS, BASE, DESTINATIONS, S3, SOURCE_CONNECTION, Destination
from emulator.exports import exporter
from emulator.files.folders import Folder
from emulator.files.writers import WrittenFile, write_parts
from emulator.settings import Settings
from emulator.store.store import Store

WATCHED = """
import json, os, sys, threading

report = open(sys.argv.pop(1), "a", buffering=1)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# how many paths come first in the event's arguments; then each one's folder, as a file descriptor or -1
CHANGES = {"os.mkdir": (1, 2), "os.rename": (2, 2), "os.remove": (1, 1), "os.rmdir": (1, 1), "os.symlink": (2, 2), "os.link": (2, 2), "os.truncate": (1, 9)}

def note(event, path, folder=-1):
    above = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else os.getcwd()
    report.write(json.dumps([event, os.path.normpath(os.path.join(above, os.fsdecode(path)))]) + "\\n")

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and (arguments[2] or 0) & WRITING:
        if not getattr(itself, "by_descriptor", False):
            note(event, arguments[0])
    elif event in CHANGES:
        paths, folders = CHANGES[event]
        for path, folder in zip(arguments[:paths], (*arguments[folders:], -1, -1)):
            if not isinstance(path, int):
                note(event, path, folder if isinstance(folder, int) else -1)

itself = threading.local()

def open_at(path, flags, mode=0o777, *, dir_fd=None, really=os.open):
    # the event does not tell the folder's descriptor
    if dir_fd is not None and flags & WRITING:
        note("open", path, dir_fd)
    itself.by_descriptor = dir_fd is not None
    try:
        return really(path, flags, mode, dir_fd=dir_fd)
    finally:
        itself.by_descriptor = False

os.open = open_at
os.supports_dir_fd.add(open_at)
sys.addaudithook(watch)
sys.argv[0] = "emulator"
from emulator.cli import main
sys.exit(main())
"""
"""A server that notes every path which it opens for writing, makes, renames or removes."""


@pytest.mark.skipif(sys.platform != "linux", reason="folders are looked up in /proc")
@pytest.mark.parametrize("keeps", [False, True])
def test_a_read_only_root_is_enough(tmp_path: Path, keeps: bool) -> None:
    """In a container, `--read-only` needs a writable export folder (and data folder, where there is one) and no `/tmp`."""
    exports, data, report = tmp_path / "exports", tmp_path / "data", tmp_path / "report"
    flags = ["--data-dir", str(data)] if keeps else []
    command = [
        sys.executable,
        "-B",
        "-c",
        WATCHED,
        str(report),
        "serve",
        "--port",
        "0",
        "--export-dir",
        str(exports),
        "--clock",
        "frozen",
        *flags,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            api = Api(process.stdout.readline().split()[-1])
            now = int(api.control("GET", "/clock")["now"])
            for number, destination in enumerate(DESTINATIONS):
                form: dict[str, Any] = {"datasetFileType": "PARQUET"} if number % 2 else {"compression": "GZIP"}
                api.flow(destination, {"interval": 3, "timeUnit": "hour", "startTime": now + 10}, **form)
            assert {run["status"] for run in api.advance(10)} == {"success"}
            for path in ("/state", "/requests", "/exports", "/contract?format=html"):
                assert api.http.get(f"/__emulator{path}").status_code == 200
            api.control("POST", "/reset", params={"exports": "true"})
            api.close()
        finally:
            process.terminate()
    touched = [Path(json.loads(line)[1]) for line in report.read_text().splitlines()]
    assert any(path.is_relative_to(exports) for path in touched)
    allowed = (exports, data) if keeps else (exports,)
    assert [path for path in touched if not any(path.is_relative_to(folder) for folder in allowed)] == []


@pytest.mark.parametrize("destination", [S3, ADLS], ids=lambda destination: destination.folder)
def test_links_in_the_export_folder_lead_nowhere(tmp_path: Path, destination: Destination) -> None:
    """Each folder on the way to the files is, once, a link to a folder outside; no run writes there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with serving(tmp_path) as process:
        api = Api(process.url)
        now = int(api.control("GET", "/clock")["now"])
        api.flow(destination, {"interval": 3, "timeUnit": "hour", "startTime": now + 10})
        parts = [part for part in (destination.folder, destination.container, "folder", "subfolder") if part]
        statuses = []
        for depth in range(1, len(parts) + 1):
            link = process.export_dir.joinpath(*parts[:depth])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(outside, target_is_directory=True)
            statuses += [run["status"] for run in api.advance(3 * 3600)]
            link.unlink()
        assert set(statuses) == {"failed"}
        statuses = [run["status"] for run in api.advance(3 * 3600)]
        assert statuses == ["success"]
        api.close()
    assert list(outside.iterdir()) == []


def test_links_in_the_export_folder_are_not_read_or_emptied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "secret.txt"
    secret.write_text("not for the export folder")
    with serving(tmp_path) as process:
        api = Api(process.url)
        (process.export_dir / "amazon-s3").mkdir()
        (process.export_dir / "amazon-s3" / "file.txt").symlink_to(secret)
        (process.export_dir / "amazon-s3" / "folder").symlink_to(outside, target_is_directory=True)
        for path in (
            "amazon-s3/file.txt",
            "amazon-s3/folder/secret.txt",
            "../outside/secret.txt",
            "%2e%2e/outside/secret.txt",
            "..%2foutside%2fsecret.txt",
        ):
            answer = api.http.get(f"/__emulator/exports/{path}")
            assert answer.status_code in (400, 404)
            assert "not for the export folder" not in answer.text
        assert api.control("GET", "/exports")["items"] == []
        api.control("POST", "/reset", params={"exports": "true"})
        api.close()
    assert secret.read_text() == "not for the export folder"


def test_a_destination_that_is_a_link_is_unlinked_and_not_emptied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    with serving(tmp_path) as process:
        api = Api(process.url)
        link = process.export_dir / S3.folder
        link.symlink_to(outside, target_is_directory=True)
        for path in ("exports", "previews"):
            assert api.http.get(f"/__emulator/{path}/{S3.folder}/kept.txt").status_code == 404
        api.control("POST", "/reset", params={"exports": "true"})
        assert not link.is_symlink()
        api.close()
    assert (outside / "kept.txt").read_text() == "kept"


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


def test_a_snapshot_does_not_list_files_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("{}")
    with serving(tmp_path) as process:
        api = Api(process.url)
        now = int(api.control("GET", "/clock")["now"])
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 10})
        api.advance(10)
        (item,) = api.control("GET", "/exports")["items"]
        state = api.control("GET", "/state")
        text = json.dumps(state)
        for path in (
            str(outside),
            "../outside",
            "amazon-s3/../../outside",
            "a\0b",
            "x" * 3000,
            "x" * 300,
            "//etc/passwd",
        ):
            changed = json.loads(text.replace(json.dumps(item["path"]), json.dumps(path)))
            assert changed != state
            api.control("PUT", "/state", changed)
            assert api.control("GET", "/exports")["items"] == []
            assert api.control("GET", "/overview")["files"] == []
        api.close()


def test_a_file_that_becomes_a_link_is_not_read_any_more(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"secret": 1}')
    with serving(tmp_path) as process:
        api = Api(process.url)
        now = int(api.control("GET", "/clock")["now"])
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 10})
        api.advance(10)
        path = api.control("GET", "/exports")["items"][0]["path"]
        assert api.http.get(f"/__emulator/exports/{path}").status_code == 200
        (process.export_dir / path).unlink()
        (process.export_dir / path).symlink_to(secret)
        for call in ("exports", "previews"):
            answer = api.http.get(f"/__emulator/{call}/{path}")
            assert (answer.status_code, "secret" in answer.text) == (404, False)
        api.close()


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_link_that_is_slipped_in_during_a_run_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """In the place of the folder, after its part files were written: no manifest goes there, and no file there is taken away."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def write_and_swap(folder: Folder, *arguments: Any, **named: Any) -> list[WrittenFile]:
        files = write_parts(folder, *arguments, **named)
        folder.path.rename(tmp_path / f"moved-{folder.path.name}")
        folder.path.symlink_to(outside, target_is_directory=True)
        (outside / files[0].name).write_text("not to be taken away")
        if ends == "badly":
            raise OSError(28, "No space left on device")
        return files

    monkeypatch.setattr(exporter, "write_parts", write_and_swap)

    async def test() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports")) as local:
            schedule = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 10}
            source, target = await local.source("5ef3e3259ad2a1191ab7dd7d"), await local.target(S3)
            await local.created("flows", S3.flow(source, target, **schedule))
            assert [run["status"] for run in await local.advance(10)] == ["failed"]

    asyncio.run(test())
    (kept,) = outside.iterdir()
    assert kept.read_text() == "not to be taken away"


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
    command = [sys.executable, "-m", "emulator", "serve", *flags]
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


def test_a_dataset_of_the_crafty_kind_stays_inside(tmp_path: Path) -> None:
    """Names that become folders: of the flow's target, and of what the template takes in."""
    with serving(tmp_path) as process:
        api = Api(process.url)
        now = int(api.control("GET", "/clock")["now"])
        source = api.created("sourceConnections", SOURCE_CONNECTION)
        base = api.created("connections", S3.base_connection())
        body = {**S3.target_connection(base), "name": "../../../../outside"}
        target = api.created("targetConnections", body)
        schedule = {
            "interval": 3,
            "timeUnit": "hour",
            "startTime": now + 10,
            "foldernameTemplate": "%DESTINATION_INSTANCE_NAME%_%DATASET_ID%",
        }
        response = api.post("/flows", S3.flow(source, target, **schedule))
        assert response.status_code in (201, 400)
        api.advance(20)
        api.close()
    everything = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert everything <= {"exports", "server.log"}
