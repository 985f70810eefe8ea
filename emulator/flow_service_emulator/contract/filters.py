"""What of the journal is asked for: the query of `GET /__emulator/requests`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from flow_service_emulator.api.routes import BASE
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.instants import epoch_seconds

MAX_LIMIT: Final = 1_000_000
FIRST_INSTANT: Final = 100_000_000
"""A whole number below this is an entry's number, anything else epoch seconds."""
FILTERS: Final = ("method", "path", "status", "since", "limit", "operation", "verdict", "org", "sandbox")
"""The filters by name."""
_PLAIN: Final = ("method", "operation", "verdict", "org", "sandbox")
"""Those that name the very value of an entry's field."""


class Filters(NamedTuple):
    """What is looked for; None means any. `number` is the last entry already seen, `at` epoch seconds."""

    method: str | None = None
    path: str | None = None
    status: str | None = None
    number: int | None = None
    at: float | None = None
    operation: str | None = None
    verdict: str | None = None
    org: str | None = None
    sandbox: str | None = None
    limit: int | None = None

    @classmethod
    def read(cls, parameters: Sequence[tuple[str, str]], verdicts: Sequence[str]) -> Filters:
        """Reads a query's parameters. Raises `control-invalid`, which says what is allowed."""
        given: dict[str, Any] = {}
        for name, value in parameters:
            if name not in FILTERS:
                raise _invalid(f'"{name[:60]}" is no filter; there are {", ".join(FILTERS)}')
            if name in given or (name == "since" and given.keys() & {"number", "at"}):
                raise _invalid(f"{name} was given twice")
            if not value:
                raise _invalid(f"{name} must not be empty")
            if name == "since":
                given |= _since(value)
            else:
                given[name] = _READERS[name](value) if name in _READERS else value
        if given.get("verdict", verdicts[0]) not in verdicts:
            raise _wrong("verdict", f"one of {', '.join(verdicts)}", given["verdict"])
        return cls(**given)

    def accept(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry is looked for; its number is not looked at."""
        if any(getattr(self, name) not in (None, entry[name]) for name in _PLAIN):
            return False
        if self.status is not None and not fnmatchcase(str(entry["status"]), self.status):
            return False
        if self.at is not None and entry["at"] < self.at:
            return False
        return self.path is None or _path_matches(self.path, entry["path"])


def _invalid(reason: str) -> ServiceError:
    return ServiceError("control-invalid", reason=reason)


def _wrong(name: str, allowed: str, value: str) -> ServiceError:
    return _invalid(f"{name} must be {allowed}; got {value[:60]!r}")


def _method(value: str) -> str:
    if not value.isascii() or not value.isalpha():
        raise _wrong("method", "a method's name, such as GET", value)
    return value.upper()


def _status(value: str) -> str:
    if not re.fullmatch(r"[1-5](\d\d|xx)", value, re.IGNORECASE | re.ASCII):
        raise _wrong("status", "a status such as 404, or a class such as 4xx", value)
    return value.lower().replace("x", "?")


def _limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", value) or not 1 <= int(value) <= MAX_LIMIT:
        raise _wrong("limit", f"a whole number from 1 to {MAX_LIMIT}", value)
    return int(value)


def _since(value: str) -> dict[str, Any]:
    """An entry's number (entries after it), or an instant of the emulator's time (entries from then on)."""
    if re.fullmatch(r"[0-9]{1,8}", value) and int(value) < FIRST_INSTANT:
        return {"number": int(value)}
    try:
        seconds = epoch_seconds(value)
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < 1e12:
        raise _wrong("since", "an entry's number, epoch seconds, or a time such as 2026-01-01T00:00:00Z", value)
    return {"at": seconds}


def _path_matches(wanted: str, path: str) -> bool:
    """By glob where there is one, else by beginning; the service's base path may be left out."""
    glob = wanted if "*" in wanted or "?" in wanted else f"{wanted}*"
    return fnmatchcase(path, glob) or fnmatchcase(path.removeprefix(BASE), glob)


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {"method": _method, "status": _status, "limit": _limit}
