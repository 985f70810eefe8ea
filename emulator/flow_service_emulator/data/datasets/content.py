"""What a user's content is: its format, what is wanted of it, and the JSON Schema that may come with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from flow_service_emulator.data.datasets.faults import FileFault
from flow_service_emulator.data.datasets.stored import Mark
from flow_service_emulator.fixture_files import Entry, FixtureError

FORMS: Final = ("json", "ndjson", "csv", "parquet")
"""The formats, which are also the extensions of their files."""
UPLOADS: Final[Mapping[str, str]] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}
"""Content type -> the format of a body of this type; all others are JSON."""

Source = bytes | Path


class Job(NamedTuple):
    """What is to be read, and how.

    `types` are columns that are there already (by a JSON Schema, or by the rows that these are appended to), as a stream
    (`stored.columns_only`), since a process can be given just that. `before` is what the
    dataset held, `start` the digest that further rows go on from. An `upload` has bounds, and a `.json` one may be an object
    with `records`.
    """

    form: str
    types: bytes | None = None
    before: Mark | None = None
    start: str = ""
    upload: bool = False


def check_schema(schema: Any) -> None:
    """Raise FileFault for what is no JSON Schema of draft 6 or 7."""
    if not isinstance(schema, Mapping):
        raise FileFault('"schema" must be a JSON Schema (draft 7), such as {"type": "object", "properties": {}}')
    try:
        Entry(Path("schema"), "", schema).check_schema("", schema)
    except FixtureError as fault:
        raise FileFault(f'"schema"{fault.place and " at " + fault.place}: {fault.reason}') from None
