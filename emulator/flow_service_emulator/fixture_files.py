"""Fixture files read and held against the shape that each kind of them has."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from jsonschema_rs import Draft7Validator, ReferencingError, ValidationError, meta

from flow_service_emulator.built_in import built_in

DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_DRAFTS: Final = (DRAFT_7.rstrip("#"), "http://json-schema.org/draft-06/schema")
"""The Schema Registry's schemas say that they are of draft 6; what draft 7 adds is no contradiction."""
_REASON_LENGTH: Final = 300
_BOM: Final = b"\xef\xbb\xbf"
_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")


@cache
def _shape(name: str) -> Draft7Validator:
    return Draft7Validator(built_in("shapes.json")[name])


class FixtureError(Exception):
    """A fixture that cannot be used, or several: then it is the first of them, and its text has a line for each.

    `file` is the file or folder, `place` a JSON pointer (RFC 6901) into it, empty for the whole of it, and
    `reason` says what is wrong; for broken JSON the reason names line and column. `faults` is everything that was
    found, at least this one.
    """

    def __init__(self, file: Path, place: str, reason: str, faults: Sequence[FixtureError] = ()) -> None:
        told = "\n".join(map(str, faults))
        super().__init__(told or (f"{file}: {place}: {reason}" if place else f"{file}: {reason}"))
        self.file = file
        self.place = place
        self.reason = reason
        self.faults: Sequence[FixtureError] = tuple(faults) or (self,)


class Faults:
    """Gather the faults of parts that do not depend on each other: `with` it around each, `settle` in the end."""

    def __init__(self) -> None:
        self.found: list[FixtureError] = []

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, FixtureError):
            return False
        self.found += error.faults
        return True

    def settle(self) -> None:
        """Raise what was found; nothing where all is in order."""
        if self.found:
            first = self.found[0]
            raise FixtureError(first.file, first.place, first.reason, self.found)


class Entry(NamedTuple):
    """A JSON value and where it was read (file and JSON pointer), so that a fault can be placed."""

    file: Path
    place: str
    value: Any

    def fault(self, place: str, reason: str) -> FixtureError:
        """The error to raise for what stands at `place`, a JSON pointer from this value on."""
        return FixtureError(self.file, self.place + place, shorten(reason))

    def check_shape(self, name: str) -> None:
        """Raise FixtureError for everything that is not of a shape (`fixtures/shapes.json`)."""
        faults = Faults()
        for fault in _shape(name).iter_errors(self.value):
            with faults:
                raise self.fault(pointer(*fault.instance_path), fault.message)
        faults.settle()

    def check_draft(self, place: str, schema: Mapping[str, Any]) -> None:
        """Raise FixtureError where the schema at `place` declares another draft of JSON Schema than 6 or 7."""
        if str(schema.get("$schema", DRAFT_7)).rstrip("#") not in _DRAFTS:
            raise self.fault(f"{place}/$schema", f"only draft 7 is supported: {DRAFT_7}")

    def check_schema(self, place: str, schema: Any) -> None:
        """Raise FixtureError where the schema at `place` is no object, or no JSON Schema of draft 7."""
        if not isinstance(schema, dict):
            raise self.fault(
                place, 'a JSON Schema (draft 7) is an object, such as {"type": "object", "properties": {}}'
            )
        # The draft is looked at first: the library would look for one that it does not know on the network.
        self.check_draft(place, schema)
        try:
            meta.validate({**schema, "$schema": DRAFT_7})
        except ValidationError as fault:
            reason = _type_reason(fault) or fault.message
            raise self.fault(place + pointer(*fault.instance_path), reason) from fault
        except ReferencingError as fault:
            raise self.fault(place, str(fault)) from fault


def _type_reason(fault: ValidationError) -> str | None:
    """What is wrong with a keyword `type`; None where the fault is another. (The library's own words name no type.)"""
    if list(fault.schema_path)[-2:] != ["type", "anyOf"]:
        return None
    return f"{shorten(orjson.dumps(fault.instance).decode())} is no type; known are {', '.join(_TYPES)}"


def read_entry(file: Path) -> Entry:
    """The whole of a JSON file. Raises FixtureError where it cannot be read or is not JSON."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would be waited for without an end
            raise FixtureError(file, "", "the file cannot be read: it is no regular file")
        return Entry(file, "", orjson.loads(file.read_bytes().removeprefix(_BOM)))
    except orjson.JSONDecodeError as error:
        reason = f"this is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise FixtureError(file, "", reason) from error
    except OSError as error:
        raise FixtureError(file, "", f"the file cannot be read: {error.strerror}") from error


def json_files(layer: Path, folder: str) -> list[Path]:
    """The `.json` files of one sub-folder in the order of their names; none where there is no such folder."""
    return sorted((layer / folder).glob("*.json"))


def pointer(*steps: str | int) -> str:
    """A JSON pointer (RFC 6901) from its steps; no steps give the empty one, which means the whole."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def shorten(text: str) -> str:
    """The text with its middle left out where it is too long for a message."""
    half = _REASON_LENGTH // 2
    return text if len(text) <= _REASON_LENGTH else f"{text[:half]} … {text[-half:]}"
