"""Where the files of an export go: folder templates, and names that never leave the export folder.

Pure functions of their arguments, which touch no disk. Source: reference, Schedule; and the API reference's
`folderNameTemplate`, whose own example has `%DESTINATION_NAME%` for `%DESTINATION%`: both are known here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

DEFAULT_TEMPLATE: Final = "%DATASET_ID%/%EXPORT_TIME%"
"""What an export without a template uses (reference: Exported files)."""
MAX_PART_BYTES: Final = 200
"""Length of one folder's name, at most, in UTF-8 bytes (file systems take 255)."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"\\|?*/\u2028\u2029\ud800-\udfff]')
_TRAILING = re.compile(r"[. ]+\Z")
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)
_SHOWN_LENGTH = 40

MACROS: Final = (
    *("DESTINATION", "DESTINATION_NAME", "DESTINATION_INSTANCE_ID", "DESTINATION_INSTANCE_NAME"),
    *("DATASET_ID", "DATASET_NAME", "SANDBOX_NAME", "ORGANIZATION_NAME", "EXPORT_TIME"),
)
"""The macros beside DATETIME. DESTINATION_INSTANCE is the target connection."""
_MACRO = re.compile("%([^%]*)%")
_DATETIME = re.compile(r"DATETIME\((.*)\)", re.DOTALL)
_DATETIME_LETTERS: Final = {"YYYY": "%Y", "yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
"""In Java `YYYY` is the year of the week; the service's own example means the calendar year by it."""
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
    (a dataset's name, say) separates nothing and becomes `_`, and so does a value that is empty or `.`; everything else is left for
    `safe_parts`.
    """
    instant = datetime.fromtimestamp(at, UTC)

    def value_of(macro: re.Match[str]) -> str:
        stamp = _DATETIME.fullmatch(macro[1])
        if stamp:
            value = _stamp(stamp[1], instant)
        else:
            value = _stamp(_EXPORT_TIME, instant) if macro[1] == "EXPORT_TIME" else values[macro[1]]
        return "_" if value in ("", ".") else value.replace("/", "_")

    return _MACRO.sub(value_of, template)


def safe_parts(*texts: str) -> tuple[str, ...]:
    r"""Return the folder names, from the outside in, that stand for one or more "/"-separated texts.

    Every result is a valid name on Linux, macOS and Windows, and never one that climbs (`..`).

    | in the text                                                      | in the names                          |
    |------------------------------------------------------------------|---------------------------------------|
    | `/`, also leading, trailing or doubled                           | separates; empty parts are dropped    |
    | a part `.`                                                       | dropped                               |
    | each dot or space at a part's end (so `..` and `...`)            | `_` (`a.` is `a_`, `..` is `__`)      |
    | `< > : " \ | ? *`, control characters, line breaks, surrogates   | `_`                                   |
    | `CON`, `nul.txt`, `COM1` and the like (Windows' devices)         | `_` in front                          |
    | a name over 200 UTF-8 bytes                                      | cut, with `~` and 12 digits of its hash |
    | anything else: `= ( ) ! ' - _ % ~ #`, inner spaces, `é`          | stays as it is                        |

    Different texts may give the same names (`a:b` and `a?b`): their exports then share a folder, which does no harm as the files'
    own names are unique.
    """
    return tuple(_safe_name(part) for text in texts for part in text.split("/") if part not in ("", "."))


@lru_cache(1024)
def _safe_name(part: str) -> str:
    name = _TRAILING.sub(lambda run: "_" * len(run[0]), _FORBIDDEN.sub("_", part))
    name = f"_{name}" if _RESERVED.fullmatch(name) else name
    encoded = name.encode()
    if len(encoded) <= MAX_PART_BYTES:
        return name
    return f"{encoded[: MAX_PART_BYTES - 13].decode(errors='ignore')}~{hashlib.sha256(encoded).hexdigest()[:12]}"


def _faults(template: str) -> Iterator[str]:
    if not template.strip():
        yield 'the template is empty: leave it out for the default, or use "/" for no folder'
    if template.count("%") % 2:
        yield "a % has no partner: a macro is written between two of them, such as %DATASET_ID%"
    yield from filter(None, map(_macro_fault, _MACRO.findall(template)))
    for folder in _MACRO.sub("%", template).split("/"):
        if ".." in folder and folder.strip(". ") == "":
            yield f'the part "{folder}" leaves the folder: name a folder instead'


def _macro_fault(macro: str) -> str | None:
    stamp = _DATETIME.fullmatch(macro)
    if stamp is None:
        known = ", ".join(f"%{name}%" for name in MACROS)
        told = f"%{_short(macro)}% is not a macro: use one of {known}, %DATETIME(YYYYMMdd_HHmmss)%"
        return None if macro in MACROS else told
    if not stamp[1]:
        return "%DATETIME()% has no pattern: write one such as %DATETIME(YYYYMMdd_HHmmss)%"
    unknown = _DATETIME_TOKEN.sub("", stamp[1])
    told = f"%{_short(macro)}% has {_short(unknown)!r}, which stands for nothing"
    return f"{told}: use {', '.join(_DATETIME_LETTERS)}, and put text between single quotes" if unknown else None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


@lru_cache(64)
def _stamp(pattern: str, at: datetime) -> str:
    def written(token: re.Match[str]) -> str:
        if token["letters"]:
            return at.strftime(_DATETIME_LETTERS[token["letters"]])
        return token["quoted"] or token["literal"] or ""

    return _DATETIME_TOKEN.sub(written, pattern)
