"""Safe folders under the export folder, whatever bucket, path or template says, on every system.

Pure functions of their arguments, which touch no disk; `folders` makes the folders.
"""

from __future__ import annotations

import re
import unicodedata

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
