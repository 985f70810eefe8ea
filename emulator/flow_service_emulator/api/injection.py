"""Carries out what fault rules say about requests: waits, errors in the service's place, broken connections and bodies.

Pure ASGI, but for ending connections: uvicorn gives an application no way to them but its request cycle.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import Message, Receive, Send

from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.api.gateway import Gateway
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.clock import Clock
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.faults.faults import Call, Decision, Faults
from flow_service_emulator.faults.rules import AFTER, Rule
from flow_service_emulator.service.service import FlowService

SERVICE_PREFIXES: Final = ("/data/", "/ims/")
"""What rules can hit: the service's calls and its token endpoint, never a control call."""
NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`: on, for 0 seconds. Closing a socket then drops what is unsent and sends RST instead of FIN."""


class ConnectionEnded(Exception):
    """The connection of a request is gone, by a rule or because the client went away; there is nobody to answer."""


@dataclass(eq=False)
class Injector:
    """Meets requests with the rules. Ask it only while `faults.active`."""

    faults: Faults
    gateway: Gateway
    service: FlowService
    errors: ErrorTable
    clock: Clock
    pauses: dict[asyncio.Future[None], bool] = field(default_factory=dict)
    """What ends each delay that is under way, and whether its request is dropped then."""
    stopping: bool = False

    def stop(self) -> None:
        """End every delay that is under way, so that a server can shut down at once. Call it on the event loop."""
        self.stopping = True
        self.end_delays(dropped=False)

    def end_delays(self, *, dropped: bool) -> None:
        """End every delay that is under way. Call it on the event loop.

        `dropped` ends the connections too: after a reset what they were sent to is gone, and carried out later they would
        change what came after it.
        """
        for pause in self.pauses:
            if not pause.done():
                self.pauses[pause] = dropped
                pause.set_result(None)

    async def meet(
        self, exchange: Exchange, operation: Operation | None, params: Mapping[str, str], receive: Receive
    ) -> ServiceError | Rule | None:
        """Do what the rules say before a request is handled; return the error that they have in its answer's place, or the rule that
        says how the answer is to be sent (`deliver`).

        The request's body must have been read. Raises ServiceError for an error in the service's place, and ConnectionEnded
        when the connection has been ended.
        """
        name = None if operation is None else operation.name
        method, path, scope, headers = exchange.method, exchange.path, exchange.scope, exchange.headers
        collection = (name or "").partition(":")[2]
        entity = (scope, collection, params.get("id", ""))

        def is_latest_etag() -> bool:
            if not (name or "").startswith("patch:"):
                return False
            try:
                self.gateway.check(exchange)
            except ServiceError:
                return False
            return self.service.etag(*entity) == headers.get("if-match", "").strip()

        call = Call(name, method, path, path.removeprefix(BASE), params.get("id"), scope, headers, is_latest_etag)
        decision = self.faults.decide(call, self.clock.waited())
        if decision.label is not None:
            exchange.fault, exchange.operation = decision.label, name
        if decision.delay:
            await self._pause(exchange, receive, decision.delay)
        rule = decision.rule
        if rule is None:
            return None
        at_once = rule.says.get("stage") != AFTER
        match rule.kind:
            case "error" | "rate-limit" | "token-expired":
                exchange.injected = True
                error = self._error(rule, decision, exchange, params, collection)
                if at_once:
                    raise error
                return error
            case "etag-changed":
                self.service.touch(*entity)
                return None
            case "reset" if at_once:
                await _reset(receive)
        return rule

    async def deliver(
        self, rule: Rule, exchange: Exchange, start: Message, body: bytes, receive: Receive, send: Send
    ) -> None:
        """Send an answer as a rule says: not at all, a part of it, or in pieces with a wait before each. Raises ConnectionEnded."""
        says = rule.says
        if rule.kind == "reset":
            await _reset(receive)
        if rule.kind == "truncate":
            if body and exchange.method != "HEAD":  # an answer without a body is cut before its first byte
                kept = says.get("bytes", len(body) // 2)
                await send(start)
                await send({"type": "http.response.body", "body": body[: min(kept, len(body) - 1)], "more_body": True})
            _transport(receive).close()
            await _gone(receive)
            raise ConnectionEnded
        await send(start)
        size = max(1, -(-len(body) // says["pieces"]))
        pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        for number, piece in enumerate(pieces, 1):
            await self._pause(exchange, receive, says["seconds"] / len(pieces))
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    def _error(
        self, rule: Rule, decision: Decision, exchange: Exchange, params: Mapping[str, str], collection: str
    ) -> ServiceError:
        """The error that a rule answers, with its message filled; a field that nobody knows shows its name."""
        names = {"rate-limit": "gateway-too-many-requests", "token-expired": "gateway-token-not-valid"}
        name = names.get(rule.kind) or rule.says["error"]
        headers = {} if decision.retry_after is None else {"Retry-After": f"{decision.retry_after:.0f}"}
        known = {"permission": "Manage and Activate Dataset Destinations", "id": params.get("id", "<id>"),
                 "collection": collection or "flows", "method": exchange.method, "path": exchange.path[:200],
                 **rule.says.get("fields", {})}  # fmt: skip
        fields: dict[str, Any] = {each: known.get(each, f"<{each}>") for each in self.errors.kinds[name].message_fields}
        return ServiceError(name, headers=headers, **fields)

    async def _pause(self, exchange: Exchange, receive: Receive, seconds: float) -> None:
        """Wait, in seconds of the machine. Raises ConnectionEnded when the client goes away meanwhile, or is dropped.

        Of a request that is dropped nothing is noted, as it belongs to what was before.
        """
        if self.stopping:
            return
        pause = asyncio.get_running_loop().create_future()
        client = asyncio.ensure_future(_gone(receive))
        self.pauses[pause] = False
        try:
            await asyncio.wait((pause, client), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            dropped, gone = self.pauses.pop(pause), client.done()
            client.cancel()
        if dropped:
            exchange.fault = None
            await _reset(receive)
        if gone:
            raise ConnectionEnded


async def _gone(receive: Receive) -> None:
    """Wait for the client to go away."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)


def _transport(receive: Receive) -> Any:
    """The transport of a request's connection: `receive` is a method of uvicorn's request cycle."""
    return receive.__self__.transport  # type: ignore[attr-defined]


async def _reset(receive: Receive) -> None:
    """Drop the connection without an answer: the client gets a TCP reset. Raises ConnectionEnded."""
    transport = _transport(receive)
    with contextlib.suppress(OSError):  # closed already
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
    await _gone(receive)  # until the server has noticed: it logs an error for a request without an answer
    raise ConnectionEnded
