"""A large JSON body decoded piece by piece: while one call of orjson is at it, no other thread runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from flow_service_emulator.datasets.record_rows import GoOn

_PIECE_BYTES: Final = 1 << 20
_MOST_MISSES: Final = 40
"""How many cuts may turn out to be within a record before all is decoded at once."""
_SPACE: Final = rb"[ \t\r\n]*+"
_PLAIN_FIELD: Final = rb'"(?:name|rowsPerHour)"%b:%b(?:"[^"\\]*+"|[-+.0-9eE]++)%b' % (_SPACE, _SPACE, _SPACE)
_BEFORE: Final = re.compile(
    rb'%b(?:\{%b(?:%b,%b)*+"records"%b:%b)?\[%b' % (_SPACE, _SPACE, _PLAIN_FIELD, _SPACE, _SPACE, _SPACE, _SPACE)
)
"""An array of records, or an object with one, up to the first of them."""
_BEHIND: Final = re.compile(rb"\]%b(?:(?:,%b%b)*+\}%b)?" % (_SPACE, _SPACE, _PLAIN_FIELD, _SPACE))
_MOST_BEHIND: Final = 10_000
_OPENING: Final = re.compile(rb'\{%b"(?:[^"\\]|\\.)*+"' % _SPACE)
"""A record's brace and the name of its first field."""


def loads(body: bytes, go_on: GoOn = lambda: None) -> Any:
    """What orjson makes of a body. Raises JSONDecodeError, and what `go_on` raises. For a worker thread.

    The records of a large one are decoded a megabyte at a time, where they can be told apart without looking at all of it: before
    the same name that the first one begins with. Whether a cut was between two records shows when the piece before it is decoded:
    what is JSON by itself was some whole records.
    """
    end = body.rfind(b"]")
    before = _BEFORE.match(body) if len(body) > 2 * _PIECE_BYTES else None
    if before is None or len(body) - end > _MOST_BEHIND or _BEHIND.fullmatch(body, end) is None:
        return orjson.loads(body)
    try:
        records = []
        for piece in _pieces(body, before.end(), end):
            go_on()
            records += piece
        whole = orjson.loads(body[: before.end()] + body[end:])
    except orjson.JSONDecodeError:
        return orjson.loads(body)  # which says where the fault is
    if isinstance(whole, list):
        return records
    whole["records"] = records
    return whole


def _pieces(body: bytes, start: int, end: int) -> Iterator[list[Any]]:
    """The records between two places, some at a time. Raises JSONDecodeError where they are none, or cannot be told apart."""
    opening = _OPENING.match(body, start, end)
    if opening is not None:
        between = re.compile(rb"\}%b,%b(?=%b)" % (_SPACE, _SPACE, re.escape(opening[0])))
        misses = 0
        cut = between.search(body, start + _PIECE_BYTES, end)
        while cut is not None:
            try:
                piece = orjson.loads(b"[" + body[start : cut.start() + 1] + b"]")
            except orjson.JSONDecodeError:
                misses += 1
                if misses > _MOST_MISSES:
                    raise
                cut = between.search(body, cut.end(), end)
                continue
            yield piece
            start = cut.end()
            cut = between.search(body, start + _PIECE_BYTES, end)
    yield orjson.loads(b"[" + body[start:end] + b"]")
