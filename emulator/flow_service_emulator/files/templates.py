"""Folder templates: which macros there are, whether a template is sound, and what it becomes for one export.

Source: reference, Schedule; and the API reference's `folderNameTemplate`, whose own example has
`%DESTINATION_NAME%` for `%DESTINATION%`: both are known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

DEFAULT_TEMPLATE = "%DATASET_ID%/%EXPORT_TIME%"
"""What an export without a template uses (reference: Exported files)."""
MAX_TEMPLATE_LENGTH = 512
"""Characters."""
MAX_TEMPLATE_FOLDERS = 16


class TemplateValues(NamedTuple):
    """What the macros of a template stand for in one export of one dataset."""

    destination: str
    """The destination's name, such as `amazon-s3`."""
    destination_instance_id: str
    """The id of the target connection."""
    destination_instance_name: str
    """The name of the target connection."""
    dataset_id: str
    dataset_name: str
    sandbox_name: str
    organization_name: str
    scheduled_at: float
    """The export's scheduled time, in epoch seconds."""

    @property
    def instant(self) -> datetime:
        """The scheduled time, in UTC."""
        return datetime.fromtimestamp(self.scheduled_at, UTC)


_MACROS: dict[str, Callable[[TemplateValues], str]] = {
    "DESTINATION": lambda values: values.destination,
    "DESTINATION_NAME": lambda values: values.destination,
    "DESTINATION_INSTANCE_ID": lambda values: values.destination_instance_id,
    "DESTINATION_INSTANCE_NAME": lambda values: values.destination_instance_name,
    "DATASET_ID": lambda values: values.dataset_id,
    "DATASET_NAME": lambda values: values.dataset_name,
    "SANDBOX_NAME": lambda values: values.sandbox_name,
    "ORGANIZATION_NAME": lambda values: values.organization_name,
    "EXPORT_TIME": lambda values: f"exportTime={_stamp('YYYYMMddHHmm', values.instant)}",
}
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
_DATETIME_TOKEN = re.compile(rf"(?P<letters>{'|'.join(_DATETIME_LETTERS)})|'(?P<quoted>[^']*)'|(?P<literal>[^A-Za-z'])")
_SHOWN_LENGTH = 40


def check_template(template: str) -> str | None:
    """Why this is no folder template, in one sentence that says what to do instead; None where it is one.

    `/` alone is one: the files go straight into the target connection's path.
    """
    return next(_faults(template), None)


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


def expand_template(template: str, values: TemplateValues) -> str:
    """The folder of one export below the target connection's path, its parts separated by `/`.

    A `/` inside a macro's value (a dataset's name, say) separates nothing and becomes `_`, and a part whose
    macros are all empty becomes `_`; everything else is left for `paths.safe_parts`. Raises `ValueError` with
    the reason of `check_template` where there is one.
    """
    reason = check_template(template)
    if reason:
        raise ValueError(reason)
    return "/".join(_folders(template, lambda macro: _value(macro, values).replace("/", "_")))


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
    if macro in _MACROS:
        return None
    known = ", ".join(f"%{name}%" for name in _MACROS)
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


def _value(macro: str, values: TemplateValues) -> str:
    stamp = _DATETIME.fullmatch(macro)
    return _stamp(stamp[1], values.instant) if stamp else _MACROS[macro](values)


def _stamp(pattern: str, at: datetime) -> str:
    def written(token: re.Match[str]) -> str:
        if token["letters"]:
            return _DATETIME_LETTERS[token["letters"]](at)
        return token["quoted"] or token["literal"] or ""

    return _DATETIME_TOKEN.sub(written, pattern)
