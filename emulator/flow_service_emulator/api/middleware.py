"""What happens to every request: request id, size, faults, gateway, its handler, errors, recording. From top to bottom, in one layer."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from flow_service_emulator.api.exchange import Exchange, Reply, encoded
from flow_service_emulator.api.gateway import (
    CONTROL_PREFIX,
    DEFAULT_SANDBOX,
    GATEWAY_PREFIX,
    Gateway,
    OriginGuard,
    claimed_scope,
)
from flow_service_emulator.api.injection import SERVICE_PREFIXES, ConnectionEnded, Injector
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.clock import Clock
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.faults.rules import Rule
from flow_service_emulator.masking import Masker, replaced
from flow_service_emulator.settings import MAX_BODY_BYTES
from flow_service_emulator.store.store import StoreError
from flow_service_emulator.validation.validation import Finding

request_log = logging.getLogger("emulator.requests")
MAX_REQUEST_ID: Final = 128
IDENTITY: Final = "identity"
"""The coding of a body that comes as it is."""
MEANT_ONCE: Final = frozenset({"authorization", "content-type", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"})
"""Headers of the service that have one value."""
PREFLIGHT: Final = "OPTIONS"
"""Asks which methods a path has. A browser does so before a call, so it is no call of the client's, and counts nowhere."""
POLLED: Final = frozenset({"control:health", "control:overview"})
"""Operations that health checks and the dashboard ask for every two seconds: the log is not to be full of them."""
UNSEEN: Final = (CONTROL_PREFIX, "/openapi.json", "/favicon.ico")
"""Beginnings of paths that are the emulator's own, or a browser's doing: they are not recorded."""
FRONT_DOOR: Final = "/"
"""What a person types who has only been told the address; it leads to the dashboard."""
_ENTITY: Final = re.compile(rf"({re.escape(BASE)}/\w+)/[^/]+")
Methods = dict[str, Operation]


class Router:
    """Finds the operation of a request without trying one pattern after the other, as Starlette's router does: with these 70 paths
    that took a fifth of a look-up's time. A path has one name at most, `{id}` or, for all that follows, `{path:path}`."""

    def __init__(self, table: Iterable[Operation], apis: Mapping[str, str]) -> None:
        """`apis` are the other APIs of the real platform, by their base paths."""
        self._apis = apis
        self._paths: dict[str, tuple[str, Methods]] = {}
        """Path, with {} or {*} in the place of the name -> name and operations."""
        for operation in table:
            before, found, rest = operation.path.partition("{")
            name, _, after = rest.partition("}")
            name, _, kind = name.partition(":")
            place = ("{*}" if kind else "{}") if found else ""
            _, methods = self._paths.setdefault(f"{before}{place}{after}", (name, {}))
            methods[operation.method] = operation
        for _, methods in self._paths.values():
            if "GET" in methods:
                methods["HEAD"] = methods["GET"]

    def find(self, path: str) -> tuple[Methods, Mapping[str, str]]:
        """The operations of a path, by method, and what stands in the path for its name; nothing where there is no route."""
        found, value, end = self._paths.get(path), "", len(path)
        while found is None and (end := path.rfind("/", 0, end)) >= 0:
            value, slash, after = path[end + 1 :].partition("/")
            found = self._paths.get(f"{path[:end]}/{{}}{slash}{after}") if value else None
            if found is None and (found := self._paths.get(f"{path[:end]}/{{*}}")):
                value = path[end + 1 :]
        if found is None:
            return {}, {}
        name, methods = found
        return methods, {name: value} if name else {}

    def missing(self, methods: Methods, method: str, path: str) -> ServiceError:
        """The error for a request that no operation is for."""
        place = _ENTITY.sub(r"\1/{id}", path, count=1)[:100]
        if methods:
            allowed = ", ".join(methods)
            headers = {"Allow": allowed}
            return ServiceError(
                "method-not-allowed", place=place, headers=headers, method=method, path=path[:200], allowed=allowed
            )
        for base, name in self._apis.items():
            if path == base or path.startswith(f"{base}/"):
                return ServiceError("unsupported", place=base, feature=f"The {name} ({base})")
        hint = "GET /openapi.json describes every route."
        if path.startswith("/__emulator/datasets/"):  # a slash, even as %2F, parts a path before it gets here
            hint = f"A dataset's id has no slash; {hint}"
        elif not path.startswith((BASE, CONTROL_PREFIX)):
            hint = f"The service's base path is {BASE}; {hint}"
        return ServiceError("path-not-found", place=place, method=method, path=path[:200], hint=hint)


@dataclass(eq=False, kw_only=True)
class Middleware:
    """The application."""

    router: Router
    lifespan: Callable[[Receive, Send], Awaitable[None]]
    """What is not HTTP."""
    errors: ErrorTable
    gateway: Gateway
    guard: OriginGuard
    injector: Injector
    masker: Masker
    clock: Clock
    rng: random.Random
    explain: Callable[[Exchange, ServiceError, Sequence[str]], None]
    """Notes what a refusal says about the client, without these secrets."""
    record: Callable[[Exchange], None]
    """Takes what has been answered."""
    tell: Callable[[int, str], None]
    """Takes a line of the log, with its level."""

    async def __call__(self, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        if asgi["type"] != "http":
            await self.lifespan(receive, send)
            return
        exchange = self._exchange(asgi)

        async def send_noted(message: Message) -> None:
            exchange.note(message)
            await send(message)

        try:
            await self._answer(exchange, asgi, receive, send_noted)
        except ConnectionEnded:
            if exchange.fault is None:
                return
        self._log(exchange)
        self.record(exchange)

    async def _answer(self, exchange: Exchange, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        """The request's way to its answer, good or bad. Raises ConnectionEnded when there is nobody to answer any more."""
        method, path, headers = exchange.method, exchange.path, exchange.headers
        met = None
        try:
            methods, params = self.router.find(path)
            operation = methods.get(method)
            if path.startswith(CONTROL_PREFIX):
                self.guard.check(method, headers)  # before a stranger's body is read
            if method == PREFLIGHT and methods:
                reply = Reply(headers=(("Allow", ", ".join((*methods, PREFLIGHT))),))
            else:
                if "content-length" in headers or "transfer-encoding" in headers:
                    exchange.body = await _body(receive, operation.limit if operation else MAX_BODY_BYTES)
                if self.injector.faults.active and path.startswith(SERVICE_PREFIXES):
                    met = await self.injector.meet(exchange, operation, params, receive)
                if path.startswith(GATEWAY_PREFIX):
                    self.gateway.check(exchange)
                if exchange.body and headers.get("content-encoding", IDENTITY).strip().lower() != IDENTITY:
                    raise ServiceError("content-encoding-unsupported", headers={"Accept-Encoding": IDENTITY})
                if operation is None:
                    raise self.router.missing(methods, method, path)
                exchange.operation, exchange.path_params = operation.name, params
                reply = await operation.handler(exchange)
        except ServiceError as error:
            reply = self._refusal(exchange, error)
        except StoreError as reason:
            request_log.error("%s %s: %s", method, self._told_path(exchange), reason)
            reply = self._refusal(exchange, ServiceError("store-unavailable", reason=reason))
        except (ConnectionEnded, asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # what arro3 raises where it panics is no `Exception`
            request_log.exception("%s %s failed", method, self._told_path(exchange))
            reply = self._refusal(exchange, ServiceError("internal-error"))
        if isinstance(met, ServiceError):
            reply = self._refusal(exchange, met)
        if reply.file is not None:
            from starlette.responses import FileResponse  # on first use: only downloads need it

            headers = {"x-request-id": exchange.request_id}
            await FileResponse(reply.file, headers=headers, media_type=reply.content_type)(asgi, receive, send)
            return
        start, body = encoded(exchange, reply)
        if isinstance(met, Rule):
            await self.injector.deliver(met, exchange, start, body, receive, send)
        else:
            await send(start)
            await send({"type": "http.response.body", "body": body})

    def _log(self, exchange: Exchange) -> None:
        if exchange.operation in POLLED and not exchange.findings:
            return
        notes = f" {exchange.hint or exchange.error}" if exchange.error else ""
        if exchange.fault is not None:
            notes += f" (fault {exchange.fault})"
        level = logging.WARNING if exchange.findings else logging.INFO
        self.tell(level, f"{exchange.method} {self._told_path(exchange)} {exchange.status}{notes}")

    def _exchange(self, asgi: AsgiScope) -> Exchange:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in asgi["headers"]}
        path: str = asgi["path"]
        warnings: list[Finding] = []
        if len(headers) < len(asgi["headers"]):
            warnings += _joined(headers, asgi["headers"])
        behind_gateway = path.startswith(GATEWAY_PREFIX)
        if behind_gateway and path.endswith("/"):
            path = path.rstrip("/")  # real clients send a trailing slash
            warnings.append(Finding("trailing-slash", "path", "the path was sent with a slash at its end"))
        return Exchange(
            asgi["method"],
            path,
            asgi["query_string"].decode("latin-1"),
            headers,
            self._request_id(headers),
            scope=claimed_scope(headers) if behind_gateway else ("", DEFAULT_SANDBOX),
            began=self.clock.steady(),
            seen=not path.startswith(UNSEEN) and path != FRONT_DOOR and asgi["method"] != PREFLIGHT,
            warnings=warnings,
        )

    def _request_id(self, headers: Mapping[str, str]) -> str:
        """The client's own id where it sent a usable one, else a new one."""
        sent = headers.get("x-request-id")
        if sent and len(sent) <= MAX_REQUEST_ID and sent.isascii() and sent.isprintable():
            return sent
        return f"{self.rng.getrandbits(128):032x}"

    def _told_path(self, exchange: Exchange) -> str:
        """The path as the log has it."""
        path = exchange.path.removeprefix(BASE)
        told: str = path if exchange.error is None else replaced(path, self._secrets(exchange))
        return told[:200]

    def _secrets(self, exchange: Exchange) -> list[str]:
        """What nothing that is told of a refused request may have in it. What names the request or an entity stays."""
        secrets = self.masker.secrets(exchange.path, exchange.query_string, exchange.headers, exchange.body)
        ids = {exchange.request_id, *exchange.scope, *exchange.path_params.values()}
        return [secret for secret in secrets if secret not in ids]

    def _refusal(self, exchange: Exchange, error: ServiceError) -> Reply:
        status, body = self.errors.answer(error, exchange.request_id, exchange.resource)
        secrets, exchange.error = self._secrets(exchange), error.name
        exchange.problem = body = replaced(body, secrets)
        self.explain(exchange, error, secrets)
        hint = [("x-emulator-hint", exchange.hint)] if status < 500 or exchange.findings else []
        return Reply(body, status, (*error.headers.items(), *hint))


def _joined(headers: dict[str, str], fields: Iterable[tuple[bytes, bytes]]) -> list[Finding]:
    """Put all values of a header that was sent several times into it (RFC 9110, section 5.3), and warn of it."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    repeated = {name: given for name, given in values.items() if len(given) > 1}
    headers.update((name, ("; " if name == "cookie" else ", ").join(given)) for name, given in repeated.items())
    return [
        Finding("header-repeated", f"headers.{name}", f"the header {name} was sent {len(repeated[name])} times")
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
