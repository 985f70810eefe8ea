"""Folders under the export folder: made and used inside of it, whatever their names say and whoever moves what meanwhile."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flow_service_emulator.files.folders import UnsafePath, make_folder, open_folder
from flow_service_emulator.files.paths import safe_parts
from flow_service_emulator.files.templates import TemplateValues, check_template, expand_template


def made(root: Path, *parts: str) -> Path:
    """A folder that is made and let go of."""
    with make_folder(root, parts) as folder:
        return folder.path


@pytest.fixture(params=["by descriptor", "by name"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes folders as on systems with `dir_fd`, and as on those without."""
    if request.param == "by name":
        monkeypatch.setattr(os, "supports_dir_fd", set())
    elif os.mkdir not in os.supports_dir_fd:
        pytest.skip("this system has no dir_fd")


@pytest.mark.usefixtures("either_way")
class TestMakeFolder:
    def test_it_is_made_with_all_above_it_and_may_exist(self, tmp_path: Path) -> None:
        root = tmp_path / "deep" / "exports"
        assert made(root, "a", "b", "c") == root / "a" / "b" / "c"
        assert made(root, "a", "b", "c").is_dir()
        assert made(root) == root

    @pytest.mark.parametrize("place", ["", "a", "a/b"])
    @pytest.mark.parametrize("target", ["outside", "nowhere", "exports/inside"])
    def test_a_link_on_the_way_is_refused(self, tmp_path: Path, place: str, target: str) -> None:
        root = tmp_path / "exports"
        (tmp_path / "outside").mkdir()
        (root / "inside").mkdir(parents=True)
        above = root / place
        above.mkdir(parents=True, exist_ok=True)
        (above / "link").symlink_to(tmp_path / target, target_is_directory=True)
        with pytest.raises(UnsafePath, match="symbolic link") as caught:
            make_folder(root, (*Path(place).parts, "link", "below"))
        assert caught.value.filename == str(above / "link")
        assert list((tmp_path / "outside").iterdir()) == []
        assert not (tmp_path / "nowhere").exists()

    def test_the_root_itself_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "volume").mkdir()
        (tmp_path / "exports").symlink_to(tmp_path / "volume", target_is_directory=True)
        made(tmp_path / "exports", "a")
        assert (tmp_path / "volume" / "a").is_dir()

    def test_a_file_in_the_way_is_an_error_of_the_system(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a file")
        with pytest.raises(NotADirectoryError):
            make_folder(tmp_path, ("a", "b"))
        assert (tmp_path / "a").read_text() == "a file"

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b", "C:", "file:stream"])
    def test_a_name_that_is_no_name_is_refused(self, tmp_path: Path, name: str) -> None:
        root = tmp_path / "exports"
        with pytest.raises(UnsafePath):
            make_folder(root, ("a", name))
        assert not root.exists()

    def test_many_at_once_make_the_same_folder(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            paths = list(pool.map(lambda _: made(tmp_path, "a", "b", "c"), range(64)))
        assert set(paths) == {tmp_path / "a" / "b" / "c"}

    def test_what_safe_parts_gives_can_be_made(self, tmp_path: Path) -> None:
        for text in (
            "../con/nul.txt",
            "a" * 300,
            "日" * 200,
            '<>:"|?*',
            "\ud800",
            "/".join(["é" * 300] * 40),
        ):
            parts = safe_parts(text)
            assert made(tmp_path, *parts).is_dir()
            assert (tmp_path / parts[0]).is_dir()


@pytest.mark.usefixtures("either_way")
class TestFolder:
    def test_files_are_made_renamed_and_removed(self, tmp_path: Path) -> None:
        with make_folder(tmp_path, ("a", "b")) as folder:
            for name in ("one", "two"):
                with folder.create(name) as file:
                    file.write(name.encode())
            folder.rename("one", "three")
            folder.remove("two")
            folder.remove("two")
            assert folder.names() == ["three"]
        assert (tmp_path / "a" / "b" / "three").read_bytes() == b"one"

    def test_one_that_is_not_there_cannot_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_folder(tmp_path, ("a",))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["../x", "b/x", "..", "", "C:x"])
    def test_a_path_is_no_name(self, tmp_path: Path, name: str) -> None:
        made(tmp_path, "a", "b")
        (tmp_path / "x").write_text("kept")
        with make_folder(tmp_path, ("a",)) as folder, folder.create("own"):
            uses: list[Callable[[], object]] = [
                lambda: folder.create(name),
                lambda: folder.remove(name),
                lambda: folder.rename("own", name),
                lambda: folder.rename(name, "own"),
            ]
            for use in uses:
                with pytest.raises(UnsafePath):
                    use()
        assert (tmp_path / "x").read_text() == "kept"

    def test_a_link_in_its_place_is_not_followed(self, tmp_path: Path) -> None:
        """At any depth, and at any instant between two steps: the other folder stays as it is, and the swap is noticed."""
        outside = tmp_path / "outside"
        for depth in range(3):
            (outside / "b" / "c").mkdir(parents=True, exist_ok=True)
            for inner in ("", "b", "b/c"):
                (outside / inner / "file").write_text("kept")
            root = tmp_path / f"exports-{depth}"
            with make_folder(root, ("a", "b", "c")) as folder:
                folder.create("file").close()
                swapped = root.joinpath(*("a", "b", "c")[: depth + 1])
                swapped.rename(tmp_path / f"moved-{depth}")
                swapped.symlink_to(outside.joinpath(*("b", "c")[:depth]), target_is_directory=True)
                try:
                    folder.create("new").close()
                    folder.rename("file", "other")
                    folder.remove("other")
                except OSError as fault:  # where the folder cannot be held
                    assert "the folder was removed or replaced" in str(fault)
                else:
                    assert folder.names() == ["new"]
                with pytest.raises(OSError, match="the folder was removed or replaced"):
                    folder.check()
            found = {path.relative_to(outside).as_posix() for path in outside.rglob("*") if path.is_file()}
            assert found == {"file", "b/file", "b/c/file"}

    def test_it_leaves_no_file_open(self, tmp_path: Path) -> None:
        if sys.platform != "linux":
            pytest.skip("open files are counted in /proc")
        before = len(list(Path("/proc/self/fd").iterdir()))
        (tmp_path / "file").write_text("")
        (tmp_path / "link").symlink_to(tmp_path)
        for _ in range(3):
            with make_folder(tmp_path, ("a", "b")) as folder:
                folder.check()
            for refused in ("file", "link"):
                with pytest.raises(OSError):
                    make_folder(tmp_path, (refused, "b"))
            with pytest.raises(FileNotFoundError):
                open_folder(tmp_path, ("a", "none", "b"))
        assert len(list(Path("/proc/self/fd").iterdir())) == before


HOSTILE = st.text(
    st.one_of(st.sampled_from(list("/.\\ :*?\"<>|\0\n\x7f%=()!'~$CONULPRTAXcom19¹é")), st.characters()), max_size=40
)
MACROS = st.sampled_from(
    ["%DATASET_NAME%", "%DESTINATION_INSTANCE_NAME%", "%SANDBOX_NAME%", "/", "../", "%EXPORT_TIME%"]
)
TEMPLATES = st.lists(st.one_of(MACROS, HOSTILE), min_size=1, max_size=6).map("".join)


@given(template=TEMPLATES, name=HOSTILE, path=HOSTILE)
@example(template="%DATASET_NAME%", name="../../..", path="..")
@example(template="%DATASET_NAME%/%DATASET_NAME%", name="NUL", path="/C:/con/../..")
@example(template="%DATASET_NAME%", name=".part-00000-tid-1.unfinished", path="\\\\server\\share")
@example(template="%DATASET_NAME%", name="x" * 5000, path="é" * 5000)
def test_the_files_of_any_template_name_and_path_lie_inside(template: str, name: str, path: str) -> None:
    """From the texts of a user to the file on disk, as an export goes."""
    if check_template(template) is not None:
        return
    values = TemplateValues("amazon-s3", "id", name, "id", name, name, name, 1_767_225_600)
    parts = safe_parts("amazon-s3", path, expand_template(template, values))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "exports"
        with make_folder(root, parts) as folder:
            folder.create(".part.unfinished").close()
            folder.rename(".part.unfinished", "part.json")
        (file,) = (found for found in Path(place).rglob("*") if not found.is_dir())
        assert file == root.joinpath(*parts, "part.json")
        assert parts[0] == "amazon-s3" and file.is_relative_to(root / "amazon-s3")
