"""What is wrong with a user's data: kinds of errors, and arro3's panics as one of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

_QUOTED: Final = r"`Result::unwrap\(\)` on an `Err` value: \w+\(\"(.*)\"\)"


class FileFault(ValueError):
    """Content that rows cannot be taken from; the message says why, without the file's name."""


class NotJson(FileFault):
    """A body that is no JSON at all."""


class RecordFault(FileFault):
    """A record that cannot be taken. `number` counts from 1, `field` is such as `address.lines[]` ("" for the whole record)."""

    def __init__(self, number: int, field: str, reason: str) -> None:
        super().__init__(f"record {number}, field {field}: {reason}" if field else f"record {number}: {reason}")


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
