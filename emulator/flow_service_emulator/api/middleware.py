"""What happens to every request: request id, size, faults, gateway, its handler, errors, recording. From top to bottom, in one layer."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from flow_service_emulator.api.exchange import Exchange, Reply, encoded
from flow_service_emulator.api.gateway import DEFAULT_SANDBOX, GATEWAY_PREFIX, Gateway, claimed_scope
from flow_service_emulator.api.injection import SERVICE_PREFIXES, ConnectionEnded, Injector
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.api.origins import CONTROL_PREFIX, OriginGuard
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.clock import Clock
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.masking import Masker, replaced
from flow_service_emulator.settings import MAX_BODY_BYTES, MAX_CONTROL_BYTES, MAX_DATASET_BYTES
from flow_service_emulator.store.store import StoreError
from flow_service_emulator.validation.validation import ContractWarning

log = logging.getLogger("emulator.requests")
MAX_REQUEST_ID: Final = 128
LARGE: Final = (
    ("PUT", f"{CONTROL_PREFIX}/state", MAX_CONTROL_BYTES),
    ("PUT", f"{CONTROL_PREFIX}/datasets/", MAX_DATASET_BYTES),
    ("POST", f"{CONTROL_PREFIX}/datasets/", MAX_DATASET_BYTES),
)
"""The control calls that take large bodies: method, how the path begins, and how many bytes."""
IDENTITY: Final = "identity"
"""The coding of a body that comes as it is."""
MEANT_ONCE: Final = frozenset({"authorization", "content-type", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"})
"""Headers of the service that have one value."""
PREFLIGHT: Final = "OPTIONS"
"""Asks which methods a path has. A browser does so before a call, so it is no call of the client's, and counts nowhere."""
POLLED: Final = frozenset({"control:health", "control:overview"})
"""Operations that health checks and the dashboard ask for every two seconds: the log is not to be full of them."""
_ENTITY: Final = re.compile(rf"({re.escape(BASE)}/\w+)/[^/]+")
UNSEEN: Final = (CONTROL_PREFIX, "/openapi.json", "/favicon.ico")
"""Beginnings of paths that are the emulator's own, or a browser's doing: they are not recorded."""
FRONT_DOOR: Final = "/"
"""What a person types who has only been told the address; it leads to the dashboard."""
Methods = dict[str, Operation]


class Found(NamedTuple):
    """The operations of a path, by method, and what stands in the path for the names of the route. None where there is no route."""

    methods: Mapping[str, Operation]
    params: Mapping[str, str]


NOTHING = Found({}, {})


class Router:
    """Finds the operation of a request: by its whole path, or by what comes before the first name in a path with names.

    Starlette's router tries one pattern after the other, which took a fifth of a look-up's time with these 70 paths.
    """

    def __init__(self, table: Iterable[Operation], apis: Mapping[str, str]) -> None:
        """`apis` are the other APIs of the real platform, by their base paths."""
        self._apis = apis
        by_path: dict[str, Methods] = {}
        for operation in table:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        for methods in by_path.values():
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
        self._whole = {path: Found(methods, {}) for path, methods in by_path.items() if "{" not in path}
        self._named: dict[str, list[tuple[re.Pattern[str], Methods]]] = {}
        for path, methods in by_path.items():
            if "{" in path:
                self._named.setdefault(path.partition("{")[0], []).append((compile_path(path)[0], methods))

    def find(self, path: str) -> Found:
        """What there is at a path; nothing where there is no route."""
        found = self._whole.get(path)
        end = len(path)
        while found is None and (end := path.rfind("/", 0, end)) >= 0:
            for pattern, methods in self._named.get(path[: end + 1], ()):
                if match := pattern.match(path):
                    return Found(methods, match.groupdict())
        return found or NOTHING

    def missing(self, found: Found, method: str, path: str) -> ServiceError:
        """The error for a request that no operation is for."""
        place = _ENTITY.sub(r"\1/{id}", path, count=1)[:100]
        if found.methods:
            allowed = ", ".join(found.methods)
            fields: dict[str, Any] = {"method": method, "path": path[:200], "allowed": allowed}
            return ServiceError("method-not-allowed", place=place, headers={"Allow": allowed}, **fields)
        for base, name in self._apis.items():
            if path == base or path.startswith(f"{base}/"):
                return ServiceError("unsupported", place=base, feature=f"The {name} ({base})")
        hint = "GET /openapi.json describes every route."
        if path.startswith("/__emulator/datasets/"):  # a slash, even as %2F, parts a path before it gets here
            hint = f"A dataset's id has no slash; {hint}"
        elif not path.startswith((BASE, CONTROL_PREFIX)):
            hint = f"The service's base path is {BASE}; {hint}"
        return ServiceError("path-not-found", place=place, method=method, path=path[:200], hint=hint)


class Middleware:
    """The application, but for what is no HTTP, which `lifespan` is for."""

    def __init__(
        self,
        router: Router,
        lifespan: ASGIApp,
        *,
        errors: ErrorTable,
        gateway: Gateway,
        rng: random.Random,
        injector: Injector,
        explain: Callable[[Exchange, ServiceError, Sequence[str]], None],
        record: Callable[[Exchange], None],
        masker: Masker,
        guard: OriginGuard,
        clock: Clock,
    ) -> None:
        """`explain` notes what a refusal says about the client, without these secrets; `record` takes what has been answered."""
        self._router = router
        self._lifespan = lifespan
        self._errors = errors
        self._gateway = gateway
        self._rng = rng
        self._injector = injector
        self._explain = explain
        self._record = record
        self._masker = masker
        self._guard = guard
        self._clock = clock

    async def __call__(self, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        if asgi["type"] != "http":
            await self._lifespan(asgi, receive, send)
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
        self._record(exchange)

    async def _answer(self, exchange: Exchange, asgi: AsgiScope, receive: Receive, send: Send) -> None:
        """The request's way to its answer, good or bad. Raises ConnectionEnded when there is nobody to answer any more."""
        method, path, headers = exchange.method, exchange.path, exchange.headers
        deliver = None
        try:
            found = self._router.find(path)
            operation = found.methods.get(method)
            if path.startswith(CONTROL_PREFIX):
                self._guard.check(method, headers)  # before a stranger's body is read
            if method == PREFLIGHT and found.methods:
                reply = Reply(headers=(("Allow", ", ".join((*found.methods, PREFLIGHT))),))
            else:
                if "content-length" in headers or "transfer-encoding" in headers:
                    exchange.body = await _body(receive, _body_limit(method, path))
                if self._injector.faults.active and path.startswith(SERVICE_PREFIXES):
                    deliver = await self._injector.meet(exchange, operation, found.params, receive, send, self._refusal)
                if path.startswith(GATEWAY_PREFIX):
                    self._gateway.check(exchange)
                if exchange.body and headers.get("content-encoding", IDENTITY).strip().lower() != IDENTITY:
                    raise ServiceError("content-encoding-unsupported", headers={"Accept-Encoding": IDENTITY})
                if operation is None:
                    raise self._router.missing(found, method, path)
                exchange.operation, exchange.path_params = operation.name, found.params
                reply = await operation.handler(exchange)
        except ServiceError as error:
            reply = self._refusal(exchange, error)
        except StoreError as reason:
            log.error("%s %s: %s", method, self._told_path(exchange), reason)
            reply = self._refusal(exchange, ServiceError("store-unavailable", reason=reason))
        except (ConnectionEnded, asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # what arro3 raises where it panics is no `Exception`
            log.exception("%s %s failed", method, self._told_path(exchange))
            reply = self._refusal(exchange, ServiceError("internal-error"))
        if reply.file is not None:
            from starlette.responses import FileResponse  # on first use: only downloads need it

            headers = {"x-request-id": exchange.request_id}
            await FileResponse(reply.file, headers=headers, media_type=reply.content_type)(asgi, receive, send)
            return
        start, body = encoded(exchange, reply)
        if deliver is not None:
            await deliver(start, body)
            return
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def _log(self, exchange: Exchange) -> None:
        level, notes = logging.INFO, ""
        if exchange.findings:
            level = logging.WARNING
        elif exchange.operation in POLLED:
            level = logging.DEBUG
        if exchange.error:
            notes = f" {exchange.hint or exchange.error}"
        if exchange.fault is not None:
            notes += f" (fault {exchange.fault})"
        log.log(level, "%s %s %d%s", exchange.method, self._told_path(exchange), exchange.status, notes)

    def _exchange(self, asgi: AsgiScope) -> Exchange:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in asgi["headers"]}
        path: str = asgi["path"]
        warnings: list[ContractWarning] = []
        if len(headers) < len(asgi["headers"]):
            warnings += _joined(headers, asgi["headers"])
        behind_gateway = path.startswith(GATEWAY_PREFIX)
        if behind_gateway and path.endswith("/"):
            path = path.rstrip("/")  # real clients send a trailing slash
            warnings.append(ContractWarning("trailing-slash", "path", "the path was sent with a slash at its end"))
        return Exchange(
            asgi["method"],
            path,
            asgi["query_string"].decode("latin-1"),
            headers,
            self._request_id(headers),
            scope=claimed_scope(headers) if behind_gateway else ("", DEFAULT_SANDBOX),
            began=self._clock.steady(),
            seen=not path.startswith(UNSEEN) and path != FRONT_DOOR and asgi["method"] != PREFLIGHT,
            warnings=warnings,
        )

    def _request_id(self, headers: Mapping[str, str]) -> str:
        """The client's own id where it sent a usable one, else a new one."""
        sent = headers.get("x-request-id")
        if sent and len(sent) <= MAX_REQUEST_ID and sent.isascii() and sent.isprintable():
            return sent
        return f"{self._rng.getrandbits(128):032x}"

    def _told_path(self, exchange: Exchange) -> str:
        """The path as the log has it."""
        path = exchange.path.removeprefix(BASE)
        told: str = path if exchange.error is None else replaced(path, self._secrets(exchange))
        return told[:200]

    def _secrets(self, exchange: Exchange) -> list[str]:
        """What nothing that is told of a refused request may have in it. What names the request or an entity stays."""
        secrets = self._masker.secrets(exchange.path, exchange.query_string, exchange.headers, exchange.body)
        ids = {exchange.request_id, *exchange.scope, *exchange.path_params.values()}
        return [secret for secret in secrets if secret not in ids]

    def _refusal(self, exchange: Exchange, error: ServiceError) -> Reply:
        status, body = self._errors.answer(error, exchange.request_id, exchange.resource)
        secrets, exchange.error = self._secrets(exchange), error.name
        exchange.problem = body = replaced(body, secrets)
        self._explain(exchange, error, secrets)
        hint = [("x-emulator-hint", exchange.hint)] if status < 500 or exchange.findings else []
        return Reply(body, status, (*error.headers.items(), *hint))


def _joined(headers: dict[str, str], fields: Iterable[tuple[bytes, bytes]]) -> list[ContractWarning]:
    """Put all values of a header that was sent several times into it (RFC 9110, section 5.3), and warn of it."""
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


def _body_limit(method: str, path: str) -> int:
    """How many bytes a request's body may have."""
    if path.startswith(CONTROL_PREFIX):
        for large_method, beginning, limit in LARGE:
            if method == large_method and path.startswith(beginning):
                return limit
    return MAX_BODY_BYTES
