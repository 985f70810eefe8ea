"""Folders under the export folder: always inside, always valid on Linux, macOS and Windows."""

from __future__ import annotations

import ntpath
import os
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flow_service_emulator.files.paths import (
    MAX_FOLDER_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    safe_parts,
)

HOSTILE = st.text(
    st.one_of(st.sampled_from(list("/.\\ :*?\"<>|\0\n\x7f%=()!'~$CONULPRTAXcom19¹é")), st.characters()),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("folder/subfolder", ("folder", "subfolder")),
        ("/leading//doubled/trailing/", ("leading", "doubled", "trailing")),
        ("./a/./b/.", ("a", "b")),
        ("", ()),
        ("/", ()),
        ("../../etc/passwd", ("__", "__", "etc", "passwd")),
        ("a/.../b.", ("a", "___", "b_")),
        ("name. . ", ("name____",)),
        ("..\\..\\windows", (".._.._windows",)),
        ("C:/temp", ("C_", "temp")),
        ('<>:"|?*', ("_______",)),
        ("a\0b\nc\x85d\u2028e", ("a_b_c_d_e",)),
        (
            "con/NUL.txt/Com1.a.b/lpt9/COM¹/CONIN$",
            ("_con", "_NUL.txt", "_Com1.a.b", "_lpt9", "_COM¹", "_CONIN$"),
        ),
        ("CON .txt", ("_CON .txt",)),
        ("console/com10/nullable", ("console", "com10", "nullable")),
        ("exportTime=202401010300", ("exportTime=202401010300",)),
        ("a!b'c(d)-e_f%g~h#i", ("a!b'c(d)-e_f%g~h#i",)),
        ("Größe/日本 語/.hidden", ("Größe", "日本 語", ".hidden")),
        ("e\u0301", ("é",)),
        ("\ud800x", ("_x",)),
        ("\ufffe\U0010ffff", ("__",)),
    ],
)
def test_what_becomes_of_a_text(text: str, parts: tuple[str, ...]) -> None:
    assert safe_parts(text) == parts


def test_several_texts_follow_each_other() -> None:
    assert safe_parts("amazon-s3", "bucket", "a/b", "") == ("amazon-s3", "bucket", "a", "b")
    assert safe_parts("sftp", "../x") == ("sftp", "__", "x")


def test_a_long_name_is_cut_and_keeps_its_difference() -> None:
    one, other = "é" * 150 + "1", "é" * 150 + "2"
    (cut,) = safe_parts(one)
    assert len(cut.encode()) <= MAX_PART_BYTES
    assert cut.startswith("é" * 80)
    assert safe_parts(other) != (cut,)
    assert safe_parts(one) == (cut,)


def test_many_folders_are_folded_into_the_last_and_keep_their_difference() -> None:
    deep = "/".join("abcdefgh" for _ in range(200))
    parts = safe_parts(deep)
    assert len(parts) == MAX_PARTS
    assert parts[:-1] == ("abcdefgh",) * (MAX_PARTS - 1)
    assert safe_parts(deep + "/i") != parts


def test_the_longest_names_are_cut_first_when_all_together_are_too_long() -> None:
    parts = safe_parts("/".join(letter * 190 for letter in "abcde"), "exportTime=202401010300")
    assert len("/".join(parts).encode()) <= MAX_FOLDER_BYTES
    assert parts[-1] == "exportTime=202401010300"
    assert [part[0] for part in parts[:-1]] == list("abcde")


@given(texts=st.lists(HOSTILE, max_size=5))
@example(texts=["/".join(["é" * 300] * 40)])
@example(texts=["CON." + "x" * 300])
def test_every_name_is_valid_on_every_system(texts: list[str]) -> None:
    parts = safe_parts(*texts)
    assert parts == safe_parts(*texts)
    assert len(parts) <= MAX_PARTS
    assert len("/".join(parts).encode()) <= MAX_FOLDER_BYTES
    for part in parts:
        assert part not in ("", ".", "..")
        assert len(part.encode()) <= MAX_PART_BYTES
        assert not set(part) & set('/\\<>:"|?*')
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part)
        assert not part.endswith((".", " "))
        assert not reserved_on_windows(part)


@given(text=HOSTILE)
def test_safe_names_stay_as_they_are(text: str) -> None:
    parts = safe_parts(text)
    assert safe_parts("/".join(parts)) == parts


@given(st.lists(st.one_of(HOSTILE, st.text(max_size=300)), max_size=40))
def test_the_names_stand_for_themselves(texts: list[str]) -> None:
    """Given again they give the same: by that a snapshot's folders are known to be those of exports."""
    parts = safe_parts(*texts)
    assert safe_parts(*parts) == parts


@given(texts=st.lists(HOSTILE, max_size=3))
def test_the_folder_lies_below_the_root(texts: list[str]) -> None:
    root = Path("/srv/exports")
    folder = os.path.normpath(root.joinpath(*safe_parts(*texts)))
    assert folder == str(root) or folder.startswith(f"{root}{os.sep}")


def reserved_on_windows(part: str) -> bool:
    if hasattr(ntpath, "isreserved"):
        return bool(ntpath.isreserved(part))
    return PureWindowsPath(part).is_reserved()
