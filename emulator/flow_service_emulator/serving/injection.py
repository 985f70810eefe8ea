"""Carries out what fault rules say about requests: waits, errors in the service's place, broken connections and bodies.

Pure ASGI, but for ending connections: uvicorn gives an application no way to them but its request cycle, which `receive` is a
method of. Under another server an answer is left incomplete, which any server ends by closing.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from starlette.routing import compile_path
from starlette.types import Receive, Send

from flow_service_emulator.api.exchange import Exchange, Reply, send_reply
from flow_service_emulator.api.gateway import Gateway
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.faults.faults import Call, Decision, Faults
from flow_service_emulator.faults.fields import ServiceCall
from flow_service_emulator.faults.rules import AFTER, Rule
from flow_service_emulator.service.service import FlowService

SERVICE_PREFIXES: Final = ("/data/", "/ims/")
"""What rules can hit: the service's calls and its token endpoint, never a control call."""
SAMPLES: Final[Mapping[str, str]] = {"permission": "Manage and Activate Dataset Destinations"}
"""What stands in an error's message where a rule does not say."""

_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`: on, for 0 seconds. Closing a socket then drops what is unsent and sends RST instead of FIN."""

Deliver = Callable[[Any, bytes], Awaitable[None]]
"""Sends an answer on, given its `http.response.start` message and its whole body."""


class ConnectionEnded(Exception):
    """The connection of a request is gone, by a rule or because the client went away; there is nobody to answer."""


def service_calls(operations: Iterable[Operation]) -> list[ServiceCall]:
    """The operations that rules can hit."""
    return [
        ServiceCall(operation.name, operation.method, operation.path, _short(operation.path))
        for operation in operations
        if operation.path.startswith(SERVICE_PREFIXES)
    ]


class Injector:
    """Meets requests with the rules. Ask it only while `faults.active`."""

    def __init__(
        self,
        *,
        faults: Faults,
        calls: Iterable[ServiceCall],
        gateway: Gateway,
        service: FlowService,
        errors: ErrorTable,
    ) -> None:
        self.faults = faults
        self._gateway = gateway
        self._service = service
        self._errors = errors
        self._routes: list[tuple[re.Pattern[str], str, str]] = [
            (compile_path(call.path)[0], call.method, call.name) for call in calls
        ]
        self._pauses: set[asyncio.Timeout] = set()
        self._dropped: set[asyncio.Timeout] = set()
        self._stopping = False

    def stop(self) -> None:
        """Ends every delay that is under way, so that a server can shut down at once. To be called on the event loop."""
        self._stopping = True
        self._end_pauses()

    def drop_delayed(self) -> None:
        """Ends the connections of all requests that are being delayed: what they were sent to is gone, as after a reset.

        Carried out later, they would change what has begun anew. To be called on the event loop.
        """
        self._dropped |= self._pauses
        self._end_pauses()

    def _end_pauses(self) -> None:
        for pause in self._pauses:
            if not pause.expired():
                pause.reschedule(asyncio.get_running_loop().time())

    async def meet(self, exchange: Exchange, receive: Receive, send: Send) -> Send:
        """Does what the rules say before a request is looked at, and answers the `send` that its answer is to take.

        The request's body must have been read. Raises ServiceError for an error in the service's place, and ConnectionEnded
        when the connection has been ended.
        """
        if not exchange.path.startswith(SERVICE_PREFIXES):
            return send
        call = self._call(exchange)
        decision = self.faults.decide(call, asyncio.get_running_loop().time())
        if decision.label is not None:
            exchange.fault, exchange.operation = decision.label, call.operation
        ending = _Ending(receive, send)
        if decision.delay:
            await self._pause(exchange, ending, decision.delay)
        rule = decision.rule
        if rule is None:
            return send
        match rule.kind:
            case "error" | "rate-limit" | "token-expired":
                error = self._error(rule, decision, call)
                exchange.injected = True
                if rule.stage != AFTER:
                    raise error
                return _Held(self._instead(error, exchange, send))
            case "etag-changed":
                self._service.touch(self._gateway.check(exchange), *_entity_of(call))
                return send
            case "reset" if rule.stage != AFTER:
                await ending.reset()
                return send
            case "reset":
                return _Held(ending.instead)
            case "truncate":
                return _Held(_cut(rule, exchange.method, ending))
            case _:
                return _Held(self._dripping(rule, exchange, ending))

    def _call(self, exchange: Exchange) -> Call:
        method = "GET" if exchange.method == "HEAD" else exchange.method
        operation = entity = None
        for pattern, of, name in self._routes:
            if of == method and (found := pattern.match(exchange.path)):
                operation, entity = name, found.groupdict().get("id")
                break

        def is_latest_etag() -> bool:
            if entity is None or operation is None or not operation.startswith("patch:"):
                return False
            try:
                etag = self._service.etag(self._gateway.check(exchange), *_entity_of(call))
            except ServiceError:
                return False
            return etag == exchange.headers.get("if-match", "").strip()

        call = Call(
            operation, exchange.method, exchange.path, _short(exchange.path), entity, exchange.headers, is_latest_etag
        )
        return call

    def _error(self, rule: Rule, decision: Decision, call: Call) -> ServiceError:
        """The error that a rule answers, with its message filled; a field that nobody knows shows its name."""
        name = {"rate-limit": "gateway-too-many-requests", "token-expired": "gateway-token-not-valid"}.get(
            rule.kind, rule.error or ""
        )
        headers = {} if decision.retry_after is None else {"Retry-After": str(decision.retry_after)}
        collection = (call.operation or "").partition(":")[2] or "flows"
        known = {
            **SAMPLES,
            "id": call.entity or "<id>",
            "collection": collection,
            "method": call.method,
            "path": call.path[:200],
            **rule.fields,
        }
        wanted = self._errors.kinds[name].message_fields
        fields: dict[str, Any] = {field: known.get(field, f"<{field}>") for field in wanted}
        return ServiceError(name, headers=headers, **fields)

    def _instead(self, error: ServiceError, exchange: Exchange, send: Send) -> Deliver:
        """An error in the place of the answer to a request that was carried out."""

        async def deliver(start: Any, body: bytes) -> None:
            status, answer = self._errors.answer(error, exchange.request_id)
            exchange.error, exchange.answer = error.name, answer
            await send_reply(send, exchange, Reply(answer, status, tuple(error.headers.items())))

        return deliver

    def _dripping(self, rule: Rule, exchange: Exchange, ending: _Ending) -> Deliver:
        """The body in pieces, with a wait before each."""

        async def deliver(start: Any, body: bytes) -> None:
            await ending.send(start)
            size = max(1, -(-len(body) // rule.pieces))
            pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
            now = asyncio.get_running_loop().time
            began = now()
            for number, piece in enumerate(pieces, 1):
                # until the instant that it is due at: each wait by itself takes a little longer than it should
                await self._pause(exchange, ending, began + rule.seconds * number / len(pieces) - now())
                await ending.send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

        return deliver

    async def _pause(self, exchange: Exchange, ending: _Ending, seconds: float) -> None:
        """Waits, in seconds of the machine. Raises ConnectionEnded when the client goes away meanwhile, or is dropped.

        Of a request that is dropped nothing is noted, as it belongs to what was before.
        """
        if self._stopping or seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds) as pause:
                self._pauses.add(pause)
                if (await ending.receive())["type"] != "http.disconnect":
                    await asyncio.sleep(seconds)  # not as a server does it, but no reason to go on early
                    return
        except TimeoutError:
            if pause not in self._dropped:
                return
            exchange.fault = None
            await ending.reset()
        finally:
            self._pauses.discard(pause)
            self._dropped.discard(pause)
        raise ConnectionEnded


class _Ending:
    """The ways in which the connection of one request can be ended. Each raises ConnectionEnded when it is done."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self.send = send

    async def reset(self) -> None:
        """Drops the connection without an answer: the client gets a TCP reset."""
        transport = self._transport()
        if transport is None:
            await self._leave_open()
        else:
            opened = transport.get_extra_info("socket")
            if opened is not None:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
            await self.receive()  # until the server has noticed, lest it miss the answer
        raise ConnectionEnded

    async def instead(self, start: Any, body: bytes) -> None:
        """Drops the connection in the place of an answer."""
        await self.reset()

    async def close(self, *, started: bool) -> None:
        """Closes the connection after what has been sent."""
        transport = self._transport()
        if transport is not None:
            transport.close()
            await self.receive()
        elif not started:
            await self._leave_open()
        raise ConnectionEnded

    def _transport(self) -> asyncio.Transport | None:
        return getattr(getattr(self.receive, "__self__", None), "transport", None)

    async def _leave_open(self) -> None:
        """Begins an answer that never ends: the server closes the connection."""
        await self.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


class _Held:
    """A `send` that holds an answer back until it is whole, and then has it delivered in another way."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._start: Any = None
        self._pieces: list[bytes] = []

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            await self._deliver(self._start, b"".join(self._pieces))


def _cut(rule: Rule, method: str, ending: _Ending) -> Deliver:
    """The headers as they are and a part of the body; an answer without a body is cut before its first byte."""

    async def deliver(start: Any, body: bytes) -> None:
        if not body or method == "HEAD":
            await ending.close(started=False)
        kept = len(body) // 2 if rule.bytes is None else min(rule.bytes, len(body) - 1)
        await ending.send(start)
        await ending.send({"type": "http.response.body", "body": body[:kept], "more_body": True})
        await ending.close(started=True)

    return deliver


def _entity_of(call: Call) -> tuple[str, str]:
    """Collection and id of the entity that a call changes."""
    return (call.operation or "").partition(":")[2], call.entity or ""


def _short(path: str) -> str:
    """The path below the Flow Service's base path, where it is one."""
    return path.removeprefix(BASE)
