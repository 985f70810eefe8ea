"""arro3 on a user's bytes: what it stumbles over becomes a fault of the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


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
        raise fault(f"{told}: {str(panic)[:200]}") from panic
