"""Nothing but the export folder and the data folder is written to, whatever a path says and whatever links were planted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, Api, serving
from contract_tests.tutorial import ADLS, DESTINATIONS, S3, SOURCE_CONNECTION, Destination
from flow_service_emulator.exports import exporter
from flow_service_emulator.files.folders import Folder
from flow_service_emulator.files.writers import WrittenFile, write_parts
from flow_service_emulator.settings import Settings

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
sys.argv[0] = "flow-service-emulator"
from flow_service_emulator.cli import main
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
