"""The beginning of a long JSON text, made whole so that it can be read: masking the rest would hold up others for nothing."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_CLOSED_BY: Final = {b"{": b"}", b"[": b"]"}


def beginning(text: bytes) -> tuple[bytes, bytes]:
    """So much of a JSON text that was cut off as are whole values, and the brackets that make JSON of it.

    A value that went on is left out: half a secret does not look like one. Of what is no JSON something comes that is none
    either.
    """
    closing: list[bytes] = []
    named = False  # whether a name's colon was the last token of an object
    end, brackets = 0, b""
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in _CLOSED_BY:
            closing.append(_CLOSED_BY[sign])
        elif sign in (b"}", b"]"):
            if not closing or closing.pop() != sign:
                break
        elif sign == b":":
            named = True
            continue
        elif sign == b"," or (closing and closing[-1] == b"}" and not named):
            continue  # a comma, or a name
        elif sign[:1] != b'"' and token.end() == len(text):
            break  # a number that may go on
        named = False
        end, brackets = token.end(), b"".join(reversed(closing))
    return text[:end], brackets
