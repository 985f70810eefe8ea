"""arro3 on a user's bytes: what it stumbles over becomes a fault of the file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

_QUOTED: Final = r"`Result::unwrap\(\)` on an `Err` value: \w+\(\"(.*)\"\)"


class FileFault(ValueError):
    """A file that rows cannot be taken from; the message says why, without the file's name."""


@contextlib.contextmanager
def panics_as_faults(fault: type[ValueError], told: str) -> Iterator[None]:
    """Raises `fault`, beginning with `told`, in the place of a panic.

    arro3 is written in Rust. Where it meets what its authors have not thought of, it panics, which Python sees as an exception
    that is no `Exception`: handlers of those pass it by, and with it go threads and servers.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as panic:
        raise fault(f"{told}: {_reason(str(panic))[:200]}") from panic


def _reason(panic: str) -> str:
    """What a panic says of the file, without what it says of the Rust code."""
    quoted = re.search(_QUOTED, panic)
    return panic if quoted is None else quoted[1]
