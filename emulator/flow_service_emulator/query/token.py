"""Continuation tokens: a small JSON value as opaque, URL-safe text without `=`.

A token carries a checksum, which guards against accidents (a token cut short, made up or of another version)
and is no secret: whoever builds a token by hand gets no more than a query could ask for anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from typing import Any, Final

import orjson

MAX_TOKEN_CHARS: Final = 60_000
MAX_PAYLOAD_BYTES: Final = 200_000

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")
_CHECK_BYTES: Final = 8


def encode_token(payload: Any) -> str:
    """The token of a JSON value."""
    packed = zlib.compress(orjson.dumps(payload), 6)
    return base64.urlsafe_b64encode(_check(packed) + packed).rstrip(b"=").decode()


def decode_token(token: str) -> Any:
    """The JSON value of a token. Raises ValueError for everything that `encode_token` did not make."""
    if len(token) > MAX_TOKEN_CHARS or _TOKEN.fullmatch(token) is None:
        raise ValueError("not a token")
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error as error:
        raise ValueError("not a token") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != token:
        raise ValueError("the token's last character was changed")
    check, packed = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if _check(packed) != check:
        raise ValueError("the token's checksum is wrong")
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise ValueError("not a token") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the token is too long")
    return orjson.loads(text)


def _check(packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=_CHECK_BYTES, person=b"continuation").digest()
