"""What happens to every request before and after its handler: request id, body limit, gateway checks, errors, journal.

One pure ASGI layer; a stack of wrappers would cost each request more than its handler does.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from flow_service_emulator.api.exchange import Exchange, Reply, send_reply
from flow_service_emulator.api.gateway import GATEWAY_PREFIX, Gateway, claimed_scope
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.masking import Masker, replaced
from flow_service_emulator.serving.injection import ConnectionEnded, Injector
from flow_service_emulator.serving.origins import CONTROL_PREFIX, OriginGuard
from flow_service_emulator.settings import MAX_BODY_BYTES, MAX_CONTROL_BYTES, MAX_DATASET_BYTES
from flow_service_emulator.store.store import StoreError
from flow_service_emulator.validation.validation import ContractWarning

REQUESTS = "emulator.requests"
"""The logger of what was asked, whose texts have no secrets in them."""
log = logging.getLogger(REQUESTS)
MAX_REQUEST_ID = 128
LARGE = (
    ("PUT", f"{CONTROL_PREFIX}/state", MAX_CONTROL_BYTES),
    ("PUT", f"{CONTROL_PREFIX}/datasets/", MAX_DATASET_BYTES),
    ("POST", f"{CONTROL_PREFIX}/datasets/", MAX_DATASET_BYTES),
)
"""The control calls that take large bodies: method, how the path begins, and how many bytes."""
IDENTITY = "identity"
"""The coding of a body that comes as it is."""
MEANT_ONCE = frozenset({"authorization", "content-type", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"})
"""Headers of the service that have one value."""
POLLED = frozenset({"control:health", "control:overview"})
"""Operations that health checks and the page ask for every two seconds: the log is not to be full of them."""


class Middleware:
    """Wraps the routes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        errors: ErrorTable,
        gateway: Gateway,
        rng: random.Random,
        injector: Injector,
        recorder: Recorder,
        masker: Masker,
        guard: OriginGuard,
    ) -> None:
        self._app = app
        self._guard = guard
        self._errors = errors
        self._gateway = gateway
        self._rng = rng
        self._injector = injector
        self._faults = injector.faults
        self._recorder = recorder
        self._masker = masker

    async def __call__(self, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        if asgi["type"] != "http":
            await self._app(asgi, receive, send)
            return
        exchange = self._exchange(asgi)
        asgi["exchange"] = exchange
        answered = self._recorder.answered(exchange.path)

        async def noted_send(message: Any) -> None:
            answered.note(message)
            await send(message)

        try:
            await self._answer(exchange, asgi, receive, noted_send)
        except ConnectionEnded:
            if exchange.fault is None:
                return
        notes = f" {exchange.error}" if exchange.error else ""
        if exchange.fault is not None:
            notes += f" (fault {exchange.fault})"
        level = logging.DEBUG if exchange.operation in POLLED else logging.INFO
        log.log(level, "%s %s %d%s", exchange.method, self._told_path(exchange), answered.status, notes)
        self._recorder.record(exchange, answered)

    async def _answer(self, exchange: Exchange, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        """The request's way to its answer, good or bad. Raises ConnectionEnded when there is nobody to answer any more."""
        try:
            if exchange.path.startswith(CONTROL_PREFIX):
                self._guard.check(exchange.method, exchange.headers)  # before a stranger's body is read
            exchange.body = await _body(receive, _body_limit(exchange))
            if self._faults.active:
                send = await self._injector.meet(exchange, receive, send)
            if exchange.path.startswith(GATEWAY_PREFIX):
                self._gateway.check(exchange)
            if exchange.body and exchange.headers.get("content-encoding", IDENTITY).strip().lower() != IDENTITY:
                raise ServiceError("content-encoding-unsupported", headers={"Accept-Encoding": IDENTITY})
            await self._app(asgi, receive, send)
        except ConnectionEnded:
            raise
        except ServiceError as error:
            await self._send_error(send, exchange, error)
        except StoreError as reason:
            log.error("%s %s: %s", exchange.method, self._told_path(exchange), reason)
            await self._send_error(send, exchange, ServiceError("store-unavailable", reason=reason))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # what arro3 raises where it panics is no `Exception`
            log.exception("%s %s failed", exchange.method, self._told_path(exchange))
            await self._send_error(send, exchange, ServiceError("internal-error"))

    def _exchange(self, asgi: AsgiScope) -> Exchange:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in asgi["headers"]}
        path: str = asgi["path"]
        warnings: list[ContractWarning] = []
        if len(headers) < len(asgi["headers"]):
            warnings += _joined(headers, asgi["headers"])
        if len(path) > 1 and path.endswith("/") and path.startswith(GATEWAY_PREFIX):
            path = asgi["path"] = path.rstrip("/")  # real clients send a trailing slash
            warnings.append(ContractWarning("trailing-slash", "path", "the path was sent with a slash at its end"))
        return Exchange(
            method=asgi["method"],
            path=path,
            query_string=asgi["query_string"].decode("latin-1"),
            headers=headers,
            request_id=self._request_id(headers),
            warnings=warnings,
            scope=claimed_scope(headers) if path.startswith(GATEWAY_PREFIX) else ("", "prod"),
        )

    def _request_id(self, headers: Mapping[str, str]) -> str:
        """The client's own id where it sent a usable one, else a new one."""
        sent = headers.get("x-request-id")
        if sent and len(sent) <= MAX_REQUEST_ID and sent.isascii() and sent.isprintable():
            return sent
        return f"{self._rng.getrandbits(128):032x}"

    def _told_path(self, exchange: Exchange) -> str:
        """The path as the log has it."""
        told: str = exchange.path if exchange.error is None else self._told(exchange, exchange.path)
        return told[:200]

    def _told(self, exchange: Exchange, told: Any) -> Any:
        """What is told of a refused request, without its secrets. What names the request or an entity stays."""
        secrets = self._masker.secrets(exchange.path, exchange.query_string, exchange.headers, exchange.body)
        ids = {exchange.request_id, *exchange.scope, *exchange.path_params.values()}
        return replaced(told, [secret for secret in secrets if secret not in ids])

    async def _send_error(self, send: Send, exchange: Exchange, error: ServiceError) -> None:
        status, body = self._errors.answer(error, exchange.request_id, exchange.resource)
        body = self._told(exchange, body)
        exchange.error, exchange.error_fields, exchange.answer = error.name, error.fields, body
        await send_reply(send, exchange, Reply(body, status, tuple(error.headers.items())))


def _joined(headers: dict[str, str], fields: Iterable[tuple[bytes, bytes]]) -> list[ContractWarning]:
    """Puts all values of a header that was sent several times into it (RFC 9110, section 5.3), and warnings that."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    repeated = {name: given for name, given in values.items() if len(given) > 1}
    headers.update((name, ("; " if name == "cookie" else ", ").join(given)) for name, given in repeated.items())
    return [
        ContractWarning("header-repeated", f"headers.{name}", f"the header {name} was sent {len(repeated[name])} times")
        for name in MEANT_ONCE & repeated.keys()
    ]


async def _body(receive: Receive, limit: int) -> bytes:
    """A request's body. Raises `body-too-large`; the server reads the rest of such a body and throws it away."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionEnded
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        if size > limit:
            raise ServiceError("body-too-large", limit=limit)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _body_limit(exchange: Exchange) -> int:
    """How many bytes a request's body may have."""
    for method, path, limit in LARGE:
        if exchange.method == method and exchange.path.startswith(path):
            return limit
    return MAX_BODY_BYTES
