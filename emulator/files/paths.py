"""Safe folders under the export folder, whatever bucket, path or template says, on every system.

`safe_parts` turns text into names and touches no disk; `make_folder` makes the folder and follows no
symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_PARTS = 32
"""Folders below the export folder, at most; what is deeper is folded into the last one."""
MAX_PART_BYTES = 200
"""Length of one folder's name, at most, in UTF-8 bytes (file systems take 255 bytes or 255 UTF-16 units)."""
MAX_FOLDER_BYTES = 700
"""Length of the whole folder below the export folder, at most, in UTF-8 bytes. With a file's name of about
110 bytes it leaves 200 bytes for the export folder itself on macOS, whose paths end at 1,024."""

# Forbidden in names on Windows (<>:"\|?* and control characters), POSIX (NUL) and macOS (noncharacters, and
# lone surrogates, which UTF-8 cannot carry either); and line breaks of every kind, which spoil any listing.
_FORBIDDEN = re.compile(
    '[\x00-\x1f\x7f-\x9f<>:"\\\\|?*/\u2028\u2029\ud800-\udfff\ufdd0-\ufdef'
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_TRAILING = re.compile(r"[. ]+\Z")
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)


class UnsafePath(OSError):
    """A folder that would lie outside the export folder: something on its way is a symbolic link.

    An `OSError`, so that whoever reports a full disk reports this as well.
    """


def safe_parts(*texts: str) -> tuple[str, ...]:
    r"""The folder names, from the outside in, that stand for one or more "/"-separated texts.

    Every result is a valid name on Linux, macOS and Windows, and never one that climbs (`..`).

    | in the text                                               | in the names                              |
    |-----------------------------------------------------------|-------------------------------------------|
    | `/`, also leading, trailing or doubled                    | separates; empty parts are dropped        |
    | a part `.`                                                | dropped                                   |
    | each dot or space at a part's end (so `..` and `...`)     | `_` (`a.` is `a_`, `..` is `__`)          |
    | `< > : " \ | ? *`, control characters, NUL, line breaks,  | `_`                                       |
    | lone surrogates, Unicode noncharacters                    |                                           |
    | `CON`, `nul.txt`, `COM1` and the like (Windows' devices)  | `_` in front                              |
    | letters with separate accents                             | composed (NFC); macOS treats both alike   |
    | a name over 200 UTF-8 bytes                               | cut, with `~` and 12 digits of its hash   |
    | more than 32 folders                                      | the rest is folded into the 32nd, likewise|
    | more than 700 UTF-8 bytes in all                          | the longest names are cut further         |
    | anything else: `= ( ) ! ' - _ % ~ #`, inner spaces, `é`   | stays as it is                            |

    The same texts always give the same names. Different texts may give the same ones (`a:b` and `a?b`), and
    on a file system that ignores letter case `Data` and `data` are one folder: their exports then share it,
    which does no harm as the files' own names are unique.
    """
    parts = [part for text in texts for part in text.split("/") if part not in ("", ".")]
    if len(parts) > MAX_PARTS:
        rest = "_".join(parts[MAX_PARTS - 1 :])
        parts[MAX_PARTS - 1 :] = [f"{_clean(rest)[:16]}~{_digest(rest)}"]
    names = [_shortened(_clean(part), MAX_PART_BYTES) for part in parts]
    limit = MAX_PART_BYTES
    sizes = [len(name.encode()) for name in names]
    while sum(min(size, limit) + 1 for size in sizes) > MAX_FOLDER_BYTES:
        limit -= 1
    return tuple(_shortened(name, limit) for name in names)


def export_folder(root: Path, *texts: str) -> Path:
    """Where the files of these texts (destination, bucket or container, path, expanded template) go.

    A pure function of its arguments: nothing is made or looked up on the disk.
    """
    return root.joinpath(*safe_parts(*texts))


def make_folder(root: Path, parts: Iterable[str]) -> Path:
    """Makes the folder `parts` (from `safe_parts`) below `root`, where it is not there yet, and returns it.

    `root` is made as well, and may itself be a symbolic link or lie behind one: that is its owner's choice.
    Below it none is followed. Raises `UnsafePath` for a link, or for a name that `safe_parts` would not give;
    `NotADirectoryError` where a file has the folder's name; and the system's own `OSError` (disk full,
    read-only, no permission) as it is.
    """
    names = _checked(parts)
    root.mkdir(parents=True, exist_ok=True)
    if os.mkdir in os.supports_dir_fd and os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW"):
        _make_step_by_step(root, names)
    else:
        _make_by_name(root, names)
    return root.joinpath(*names)


def existing_folder(root: Path, parts: Iterable[str]) -> Path:
    """The folder `parts` below `root`. A folder that is missing is no error.

    Raises `UnsafePath` for a link on the way, and for a name that `safe_parts` would not give: a snapshot can say anything.
    """
    here = root
    for name in _checked(parts):
        here = here / name
        with contextlib.suppress(FileNotFoundError):
            if _is_link(os.lstat(here)):
                raise _leads_outside(here)
    return here


def _checked(parts: Iterable[str]) -> tuple[str, ...]:
    names = tuple(parts)
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise UnsafePath(errno.EINVAL, "not the name of a folder", name)
    return names


def _make_step_by_step(root: Path, names: tuple[str, ...]) -> None:
    """Each folder is opened from the one above it, so that nobody can slip in a link between look and use."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth, name in enumerate(names, 1):
            try:
                below = _open_folder(name, here)
            except FileNotFoundError:
                _make_one(name, here)
                below = _open_folder(name, here)
            except OSError as error:
                if _is_link(os.stat(name, dir_fd=here, follow_symlinks=False)):
                    raise _leads_outside(root.joinpath(*names[:depth])) from error
                raise
            os.close(here)
            here = below
    finally:
        os.close(here)


def _open_folder(name: str, above: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)


def _make_one(name: str, above: int | None) -> None:
    with contextlib.suppress(FileExistsError):  # made by another export in the meantime
        os.mkdir(name, dir_fd=above)


def _make_by_name(root: Path, names: tuple[str, ...]) -> None:
    here = root
    for name in names:
        here = here / name
        if not os.path.lexists(here):
            _make_one(str(here), None)
        found = os.lstat(here)
        if _is_link(found):
            raise _leads_outside(here)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(here))


def _is_link(found: os.stat_result) -> bool:
    # A junction of Windows is no symbolic link to Python, yet leads elsewhere as one does.
    junction = getattr(found, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    return stat.S_ISLNK(found.st_mode) or junction


def _leads_outside(link: Path) -> UnsafePath:
    return UnsafePath(errno.ELOOP, "a symbolic link inside the export folder is not followed", str(link))


def _clean(part: str) -> str:
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", part))
    name = _TRAILING.sub(lambda run: "_" * len(run[0]), name)
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def _shortened(name: str, limit: int) -> str:
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    mark = f"~{_digest(name)}"
    return encoded[: limit - len(mark)].decode(errors="ignore") + mark


def _digest(text: str) -> str:
    # Imported here because it costs 10 ms of every start and only names of absurd length need it.
    import hashlib

    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
