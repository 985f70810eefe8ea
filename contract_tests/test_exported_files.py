"""The exported files as a test sees them: fetched by path, and removed with a reset."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import assert_error
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.settings import Settings


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
async def test_a_reset_says_what_it_could_not_remove() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not `tmp_path`, which another user may not enter
        place = Path(folder)
        place.chmod(0o755)
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


PATHS = (
    *("loop", "outside", "amazon-s3", "", "x" * 256, "x/" * 3000, "%ff%fe", "a%00b", "../secret", "%2e%2e/secret"),
    *("%2fetc%2fpasswd", "%2f%2fhost%2fshare", "C:%5cwindows"),
)


async def test_only_files_in_the_export_folder_are_exported_files(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    (tmp_path / "secret").write_text("secret")
    async with LocalEmulator(Settings(export_dir=exports)) as local:
        (exports / "amazon-s3").mkdir()
        (exports / "amazon-s3" / "file.json").write_text("{}\n")
        assert (await local.http.get("/__emulator/exports/amazon-s3/file.json")).text == "{}\n"
        (exports / "loop").symlink_to("loop")
        (exports / "outside").symlink_to(tmp_path / "secret")
        for path in PATHS:
            for call in ("exports", "previews"):
                answer = await local.http.get(f"/__emulator/{call}/{path}")
                assert (path, answer.status_code) == (path, 404)
