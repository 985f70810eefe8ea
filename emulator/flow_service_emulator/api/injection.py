"""Carries out what fault rules say about requests: waits, errors in the service's place, broken connections and bodies.

Pure ASGI, but for ending connections: uvicorn gives an application no way to them but its request cycle, which `receive` is a
method of. Under another server an answer is left incomplete, which any server ends by closing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.types import Receive, Send

from flow_service_emulator.api.exchange import Exchange, Reply, encoded
from flow_service_emulator.api.gateway import Gateway
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.faults.faults import Call, Decision, Faults
from flow_service_emulator.faults.rules import AFTER, Rule
from flow_service_emulator.service.service import FlowService

SERVICE_PREFIXES: Final = ("/data/", "/ims/")
"""What rules can hit: the service's calls and its token endpoint, never a control call."""
SAMPLES: Final[Mapping[str, str]] = {"permission": "Manage and Activate Dataset Destinations"}
"""What stands in an error's message where a rule does not say."""
NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`: on, for 0 seconds. Closing a socket then drops what is unsent and sends RST instead of FIN."""

Deliver = Callable[[Any, bytes], Awaitable[None]]
"""Sends an answer in another way, given its `http.response.start` message and its body."""


class ConnectionEnded(Exception):
    """The connection of a request is gone, by a rule or because the client went away; there is nobody to answer."""


class Injector:
    """Meets requests with the rules. Ask it only while `faults.active`."""

    def __init__(self, faults: Faults, gateway: Gateway, service: FlowService, errors: ErrorTable) -> None:
        self.faults = faults
        self._gateway = gateway
        self._service = service
        self._errors = errors
        self._pauses: dict[asyncio.Future[None], bool] = {}
        """What ends each delay that is under way, and whether its request is dropped then."""
        self._stopping = False

    def stop(self) -> None:
        """End every delay that is under way, so that a server can shut down at once. Call it on the event loop."""
        self._stopping = True
        self._end_pauses(dropped=False)

    def drop_delayed(self) -> None:
        """End the connections of all requests that are being delayed: what they were sent to is gone, as after a reset.

        Carried out later, they would change what came after the reset. Call it on the event loop.
        """
        self._end_pauses(dropped=True)

    def _end_pauses(self, *, dropped: bool) -> None:
        for pause in self._pauses:
            if not pause.done():
                self._pauses[pause] = dropped
                pause.set_result(None)

    async def meet(
        self, exchange: Exchange, operation: Operation | None, params: Mapping[str, str], receive: Receive, send: Send
    ) -> Deliver | None:
        """Do what the rules say before a request is handled. Return how its answer is to be sent; None is the usual way.

        The request's body must have been read. Raises ServiceError for an error in the service's place, and ConnectionEnded
        when the connection has been ended.
        """
        name = None if operation is None else operation.name
        call = Call(
            name,
            exchange.method,
            exchange.path,
            exchange.path.removeprefix(BASE),
            params.get("id"),
            exchange.scope,
            exchange.headers,
            lambda: self._is_latest_etag(exchange, call),
        )
        decision = self.faults.decide(call, asyncio.get_running_loop().time())
        if decision.label is not None:
            exchange.fault, exchange.operation = decision.label, name
        if decision.delay:
            await self._pause(exchange, receive, send, decision.delay)
        rule = decision.rule
        if rule is None:
            return None
        says = rule.says
        match rule.kind:
            case "error" | "rate-limit" | "token-expired":
                exchange.injected = True
                error = self._error(rule, decision, call)
                if says.get("stage") != AFTER:
                    raise error
                return self._instead(error, exchange, send)
            case "etag-changed":
                self._service.touch(exchange.scope, *_entity_of(call))
                return None
            case "reset":
                if says["stage"] != AFTER:
                    await _reset(receive, send)
                return lambda start, body: _reset(receive, send)
            case "truncate":
                return _cut(says.get("bytes"), exchange.method, receive, send)
            case _:
                return self._dripping(says["seconds"], says["pieces"], exchange, receive, send)

    def _is_latest_etag(self, exchange: Exchange, call: Call) -> bool:
        if call.entity is None or not (call.operation or "").startswith("patch:"):
            return False
        try:
            etag = self._service.etag(self._gateway.check(exchange), *_entity_of(call))
        except ServiceError:
            return False
        return etag == exchange.headers.get("if-match", "").strip()

    def _error(self, rule: Rule, decision: Decision, call: Call) -> ServiceError:
        """The error that a rule answers, with its message filled; a field that nobody knows shows its name."""
        names = {"rate-limit": "gateway-too-many-requests", "token-expired": "gateway-token-not-valid"}
        name = names.get(rule.kind) or rule.says["error"]
        headers = {} if decision.retry_after is None else {"Retry-After": str(decision.retry_after)}
        known = {
            **SAMPLES,
            "id": call.entity or "<id>",
            "collection": (call.operation or "").partition(":")[2] or "flows",
            "method": call.method,
            "path": call.path[:200],
            **rule.says.get("fields", {}),
        }
        fields: dict[str, Any] = {
            field: known.get(field, f"<{field}>") for field in self._errors.kinds[name].message_fields
        }
        return ServiceError(name, headers=headers, **fields)

    def _instead(self, error: ServiceError, exchange: Exchange, send: Send) -> Deliver:
        """An error in the place of the answer to a request that was carried out."""

        async def deliver(start: Any, body: bytes) -> None:
            status, answer = self._errors.answer(error, exchange.request_id)
            exchange.error, exchange.answer = error.name, answer
            start, body = encoded(exchange, Reply(answer, status, tuple(error.headers.items())))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        return deliver

    def _dripping(self, seconds: float, count: int, exchange: Exchange, receive: Receive, send: Send) -> Deliver:
        """The body in pieces, with a wait before each."""

        async def deliver(start: Any, body: bytes) -> None:
            await send(start)
            size = max(1, -(-len(body) // count))
            pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
            for number, piece in enumerate(pieces, 1):
                await self._pause(exchange, receive, send, seconds / len(pieces))
                await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

        return deliver

    async def _pause(self, exchange: Exchange, receive: Receive, send: Send, seconds: float) -> None:
        """Wait, in seconds of the machine. Raises ConnectionEnded when the client goes away meanwhile, or is dropped.

        Of a request that is dropped nothing is noted, as it belongs to what was before.
        """
        if self._stopping:
            return
        pause = asyncio.get_running_loop().create_future()
        client = asyncio.ensure_future(_gone(receive))
        self._pauses[pause] = False
        try:
            await asyncio.wait((pause, client), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            dropped, gone = self._pauses.pop(pause), client.done()
            client.cancel()
        if dropped:
            exchange.fault = None
            await _reset(receive, send)
        if gone:
            raise ConnectionEnded


async def _gone(receive: Receive) -> None:
    """Wait for the client to go away."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(0.1)  # not as uvicorn does it


async def _reset(receive: Receive, send: Send) -> None:
    """Drop the connection without an answer: the client gets a TCP reset. Raises ConnectionEnded."""
    transport = _transport(receive)
    if transport is None:
        await _leave_open(send)
    else:
        with contextlib.suppress(OSError):  # closed already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        transport.abort()
        await receive()  # until the server has noticed: it logs an error for a request without an answer
    raise ConnectionEnded


def _cut(kept: int | None, method: str, receive: Receive, send: Send) -> Deliver:
    """The headers as they are and a part of the body; an answer without a body is cut before its first byte."""

    async def deliver(start: Any, body: bytes) -> None:
        transport = _transport(receive)
        if body and method != "HEAD":
            part = body[: len(body) // 2 if kept is None else min(kept, len(body) - 1)]
            await send(start)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        elif transport is None:
            await _leave_open(send)
        if transport is not None:
            transport.close()
            await receive()
        raise ConnectionEnded

    return deliver


def _transport(receive: Receive) -> Any:
    """The transport of a request's connection; None under another server than uvicorn."""
    return getattr(getattr(receive, "__self__", None), "transport", None)


async def _leave_open(send: Send) -> None:
    """Begin an answer that never ends: the server closes the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


def _entity_of(call: Call) -> tuple[str, str]:
    """Collection and id of the entity that a call changes."""
    return (call.operation or "").partition(":")[2], call.entity or ""
