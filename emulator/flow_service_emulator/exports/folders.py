"""Where the files of an export go: folder templates, and names that never leave the export folder.

Pure functions of their arguments, which touch no disk. Source: reference, Schedule; and the API reference's
`folderNameTemplate`, whose own example has `%DESTINATION_NAME%` for `%DESTINATION%`: both are known here.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

DEFAULT_TEMPLATE: Final = "%DATASET_ID%/%EXPORT_TIME%"
"""What an export without a template uses (reference: Exported files)."""
MAX_TEMPLATE_LENGTH: Final = 512
"""Characters."""
MAX_TEMPLATE_FOLDERS: Final = 16
MAX_PARTS: Final = 32
"""Folders below the export folder, at most; what is deeper is folded into the last one."""
MAX_PART_BYTES: Final = 200
"""Length of one folder's name, at most, in UTF-8 bytes (file systems take 255)."""
MAX_FOLDER_BYTES: Final = 700
"""Length of the whole folder below the export folder, at most, in UTF-8 bytes. With a file's name of about 110 bytes it leaves 200
bytes for the export folder itself on macOS, whose paths end at 1,024."""

_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_FORBIDDEN = re.compile(f'[\x00-\x1f\x7f-\x9f<>:"\\\\|?*/\u2028\u2029\ud800-\udfff{_NONCHARACTERS}]')
_TRAILING = re.compile(r"[. ]+\Z")
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)
_SHOWN_LENGTH = 40


MACROS: Final = (
    *("DESTINATION", "DESTINATION_NAME", "DESTINATION_INSTANCE_ID", "DESTINATION_INSTANCE_NAME"),
    *("DATASET_ID", "DATASET_NAME", "SANDBOX_NAME", "ORGANIZATION_NAME", "EXPORT_TIME"),
)
"""The macros beside DATETIME. DESTINATION_INSTANCE is the target connection."""
_DATETIME = re.compile(r"DATETIME\((.*)\)", re.DOTALL)
_DATETIME_LETTERS: dict[str, Callable[[datetime], str]] = {
    # In Java `YYYY` is the year of the week; the service's own example means the calendar year by it.
    "YYYY": lambda at: f"{at.year:04d}",
    "yyyy": lambda at: f"{at.year:04d}",
    "MM": lambda at: f"{at.month:02d}",
    "dd": lambda at: f"{at.day:02d}",
    "HH": lambda at: f"{at.hour:02d}",
    "mm": lambda at: f"{at.minute:02d}",
    "ss": lambda at: f"{at.second:02d}",
}
_EXPORT_TIME = "'exportTime='YYYYMMddHHmm"
_DATETIME_TOKEN = re.compile(rf"(?P<letters>{'|'.join(_DATETIME_LETTERS)})|'(?P<quoted>[^']*)'|(?P<literal>[^A-Za-z'])")


def check_template(template: str) -> str | None:
    """Return why this is no folder template, in one sentence that says what to do instead; None where it is one.

    `/` alone is one: the files go straight into the target connection's path.
    """
    return next(_faults(template), None)


def expand_template(template: str, values: Mapping[str, str], at: float) -> str:
    """Return the folder of one export below the target connection's path, its parts separated by `/`; of a template that was checked.

    `values` has a text for each of MACROS but EXPORT_TIME; `at` is the scheduled time, in epoch seconds. A `/` inside a macro's value
    (a dataset's name, say) separates nothing and becomes `_`, and a part whose macros are all empty becomes `_`; everything else is
    left for `safe_parts`.
    """
    instant = datetime.fromtimestamp(at, UTC)

    def value_of(macro: str) -> str:
        stamp = _DATETIME.fullmatch(macro)
        if stamp:
            return _stamp(stamp[1], instant).replace("/", "_")
        return _stamp(_EXPORT_TIME, instant) if macro == "EXPORT_TIME" else values[macro].replace("/", "_")

    return "/".join(_folders(template, value_of))


def safe_parts(*texts: str) -> tuple[str, ...]:
    r"""Return the folder names, from the outside in, that stand for one or more "/"-separated texts.

    Every result is a valid name on Linux, macOS and Windows, and never one that climbs (`..`).

    | in the text                                                      | in the names                          |
    |------------------------------------------------------------------|---------------------------------------|
    | `/`, also leading, trailing or doubled                           | separates; empty parts are dropped    |
    | a part `.`                                                       | dropped                               |
    | each dot or space at a part's end (so `..` and `...`)            | `_` (`a.` is `a_`, `..` is `__`)      |
    | `< > : " \ | ? *`, control characters, line breaks, surrogates,  | `_`                                   |
    | Unicode noncharacters                                            |                                       |
    | `CON`, `nul.txt`, `COM1` and the like (Windows' devices)         | `_` in front                          |
    | letters with separate accents                                    | composed (NFC); macOS treats both alike |
    | a name over 200 UTF-8 bytes                                      | cut, with `~` and 12 digits of its hash |
    | more than 32 folders                                             | the rest is folded into the 32nd, likewise |
    | more than 700 UTF-8 bytes in all                                 | the longest names are cut further     |
    | anything else: `= ( ) ! ' - _ % ~ #`, inner spaces, `é`          | stays as it is                        |

    Different texts may give the same names (`a:b` and `a?b`): their exports then share a folder, which does no harm as the files'
    own names are unique.
    """
    parts = [part for text in texts for part in text.split("/") if part not in ("", ".")]
    if len(parts) > MAX_PARTS:
        rest = "_".join(parts[MAX_PARTS - 1 :])
        parts[MAX_PARTS - 1 :] = [f"{_safe_name(rest)[:16]}~{_digest(rest)}"]
    names = [_shortened(_safe_name(part), MAX_PART_BYTES) for part in parts]
    limit = MAX_PART_BYTES
    sizes = [len(name.encode()) for name in names]
    while sum(min(size, limit) + 1 for size in sizes) > MAX_FOLDER_BYTES:
        limit -= 1
    return tuple(_shortened(name, limit) for name in names)


@lru_cache(1024)
def _safe_name(part: str) -> str:
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
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def _faults(template: str) -> Iterator[str]:
    if not template.strip():
        yield 'the template is empty: leave it out for the default, or use "/" for no folder'
    if len(template) > MAX_TEMPLATE_LENGTH:
        yield f"the template has {len(template)} characters: use at most {MAX_TEMPLATE_LENGTH}"
    pieces = template.split("%")
    if len(pieces) % 2 == 0:
        yield "a % has no partner: a macro is written between two of them, such as %DATASET_ID%"
    yield from filter(None, map(_macro_fault, pieces[1::2]))
    folders = _folders(template, lambda macro: f"%{macro}%")
    if len(folders) > MAX_TEMPLATE_FOLDERS:
        yield f"the template has {len(folders)} folders: use at most {MAX_TEMPLATE_FOLDERS}"
    for folder in folders:
        if ".." in folder and folder.strip(". ") == "":
            yield f'the part "{folder}" leaves the folder: name a folder instead'


def _folders(template: str, value_of: Callable[[str], str]) -> list[str]:
    """The template's parts, macros replaced; a `/` counts only outside macros."""
    folders = [""]
    has_macro = [False]
    for index, piece in enumerate(template.split("%")):
        if index % 2:
            folders[-1] += value_of(piece)
            has_macro[-1] = True
        else:
            first, *others = piece.split("/")
            folders[-1] += first
            folders += others
            has_macro += [False] * len(others)
    # A part that has a macro stays a folder of its own, whatever the macro's value.
    named = zip(folders, has_macro, strict=True)
    kept = ["_" if made and folder in ("", ".") else folder for folder, made in named]
    return [folder for folder in kept if folder not in ("", ".")]


def _macro_fault(macro: str) -> str | None:
    stamp = _DATETIME.fullmatch(macro)
    if stamp:
        return _pattern_fault(stamp[1])
    if macro in MACROS:
        return None
    known = ", ".join(f"%{name}%" for name in MACROS)
    return f"%{_short(macro)}% is not a macro: use one of {known}, %DATETIME(YYYYMMdd_HHmmss)%"


def _pattern_fault(pattern: str) -> str | None:
    if not pattern:
        return "%DATETIME()% has no pattern: write one such as %DATETIME(YYYYMMdd_HHmmss)%"
    unknown = _DATETIME_TOKEN.sub("", pattern)
    if not unknown:
        return None
    known = ", ".join(_DATETIME_LETTERS)
    return (
        f"%DATETIME({_short(pattern)})% has {_short(unknown)!r}, which stands for nothing: "
        f"use {known}, and put text between single quotes"
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


def _stamp(pattern: str, at: datetime) -> str:
    def written(token: re.Match[str]) -> str:
        if token["letters"]:
            return _DATETIME_LETTERS[token["letters"]](at)
        return token["quoted"] or token["literal"] or ""

    return _DATETIME_TOKEN.sub(written, pattern)
