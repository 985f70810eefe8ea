"""What a user's content is: its format, what is wanted of it, what was found in it, and what can be wrong with it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from flow_service_emulator.fixture_files import Entry, FixtureError

if TYPE_CHECKING:
    from arro3.core import Table

FORMS: Final = ("json", "ndjson", "csv", "parquet")
"""The formats, which are also the extensions of their files."""
UPLOADS: Final[Mapping[str, str]] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}
"""Content type -> the format of a body of this type; all others are JSON."""
_QUOTED: Final = r"`Result::unwrap\(\)` on an `Err` value: \w+\(\"(.*)\"\)"

Source = bytes | Path


class Job(NamedTuple):
    """What is to be read, and how. A process can be given it.

    `types` are columns that are there already: a JSON Schema, or an Arrow IPC stream without rows. `start` is the digest that further
    rows go on from. An `upload` has bounds, and a `.json` one may be an object with `records`.
    """

    form: str
    types: Any = None
    start: str = ""
    upload: bool = False


class Found(NamedTuple):
    """What content has: its rows, and `facts` that were found beside them (see `reading.convert`)."""

    table: Table
    facts: dict[str, Any]


class FileFault(ValueError):
    """Content that rows cannot be taken from; the message says why, without the file's name."""


class NotJson(FileFault):
    """A body that is no JSON at all."""


@contextlib.contextmanager
def panics_as_faults(fault: type[ValueError], told: str) -> Iterator[None]:
    """Raise `fault`, beginning with `told`, in the place of a panic and of what else arro3 raises.

    arro3 is written in Rust. Where it meets what its authors have not thought of, it panics, which Python sees as an exception
    that is no `Exception`: handlers of those let it through, and with it go threads and servers.
    """
    try:
        yield
    except (ValueError, OSError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except Exception as error:  # arro3 raises nothing more exact
        raise fault(f"{told}: {str(error)[:500]}") from error
    except BaseException as panic:
        quoted = re.search(_QUOTED, str(panic))
        raise fault(f"{told}: {(quoted[1] if quoted else str(panic))[:200]}") from panic


def describes_datasets(value: Any) -> bool:
    """Whether a JSON document describes made-up datasets; else it has a user's own records in it."""
    return isinstance(value, list) and any(isinstance(item, dict) and "schema" in item for item in value)


def check_schema(schema: Any) -> None:
    """Raise FileFault for what is no JSON Schema of draft 6 or 7."""
    try:
        orjson.dumps(schema)
    except TypeError as fault:  # such as a whole number beyond 64 bits: it could not be stored
        raise FileFault(f'"schema": {fault}') from None
    try:
        Entry(Path("schema"), "", schema).check_schema("", schema)
    except FixtureError as fault:
        raise FileFault(f'"schema"{fault.place and " at " + fault.place}: {fault.reason}') from None
