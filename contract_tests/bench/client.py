"""A small HTTP client on asyncio, for hundreds of connections at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from contract_tests.bench.load import request


class Answer(NamedTuple):
    """An answer: status, headers with names in lower case, and the body as bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection that is kept alive, with one request at a time. Raises OSError or EOFError when it breaks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Sends a request with the service's headers and answers its answer."""
        if self._streams is None:
            address = urlsplit(self._url)
            self._streams = await asyncio.open_connection(address.hostname, address.port)
        reader, writer = self._streams
        writer.write(request(method, self._url, path, body, dict(headers or {})).encode("latin-1"))
        return await read_answer(reader)

    def close(self) -> None:
        """Closes the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer of a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    return Answer(int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0))))
