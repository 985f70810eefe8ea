"""What happens to every request before and after its handler: request id, body limit, gateway checks, errors, journal.

One pure ASGI layer; a stack of wrappers would cost each request more than its handler does.
"""

from __future__ import annotations

import logging
import random
from typing import Any

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from emulator.errors import ErrorTable, ServiceError
from emulator.exchange import Exchange, Reply, send_reply
from emulator.gateway import GATEWAY_PREFIX, Gateway
from emulator.settings import MAX_BODY_BYTES

log = logging.getLogger("emulator.requests")
MAX_DRAINED_BYTES = 16_000_000
"""How much of an oversized body is read and thrown away, so that the client gets to read the answer."""
MAX_REQUEST_ID = 128


class Middleware:
    """Wraps the routes."""

    def __init__(self, app: ASGIApp, *, errors: ErrorTable, gateway: Gateway, rng: random.Random) -> None:
        self._app = app
        self._errors = errors
        self._gateway = gateway
        self._rng = rng

    async def __call__(self, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        if asgi["type"] != "http":
            await self._app(asgi, receive, send)
            return
        exchange = self._exchange(asgi)
        asgi["exchange"] = exchange
        status = 500

        async def noted_send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            exchange.body = await _read_body(receive)
            if exchange.path.startswith(GATEWAY_PREFIX):
                exchange.scope = self._gateway.check(exchange)
            await self._app(asgi, receive, noted_send)
        except ClientGone:
            return
        except ServiceError as error:
            await self._send_error(noted_send, exchange, error)
        except Exception:
            log.exception("%s %s failed", exchange.method, exchange.path[:200])
            await self._send_error(noted_send, exchange, ServiceError("internal-error"))
        log.info("%s %s %d%s", exchange.method, exchange.path[:200], status, f" {exchange.error}" if exchange.error else "")

    def _exchange(self, asgi: AsgiScope) -> Exchange:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in asgi["headers"]}
        path: str = asgi["path"]
        if len(path) > 1 and path.endswith("/") and path.startswith(GATEWAY_PREFIX):
            path = asgi["path"] = path.rstrip("/")  # real clients send a trailing slash
        return Exchange(
            method=asgi["method"],
            path=path,
            query_string=asgi["query_string"].decode("latin-1"),
            headers=headers,
            request_id=self._request_id(headers.get("x-request-id")),
        )

    def _request_id(self, sent: str | None) -> str:
        """The client's own id where it sent a usable one, else a new one."""
        if sent and len(sent) <= MAX_REQUEST_ID and sent.isascii() and sent.isprintable():
            return sent
        return f"{self._rng.getrandbits(128):032x}"

    async def _send_error(self, send: Send, exchange: Exchange, error: ServiceError) -> None:
        status, body = self._errors.answer(error, exchange.request_id)
        exchange.error, exchange.answer = error.name, body
        await send_reply(send, exchange, Reply(body, status, tuple(error.headers.items())))


class ClientGone(Exception):
    """The client went away before its request was complete."""


async def _read_body(receive: Receive) -> bytes:
    """The whole body; `body-too-large` when it is over the limit."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        elif size > MAX_DRAINED_BYTES:
            break
        if not message.get("more_body", False):
            break
    if size > MAX_BODY_BYTES:
        raise ServiceError("body-too-large", limit=MAX_BODY_BYTES)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
