"""One request and its answer, and the one adapter that writes JSON.

Handlers take an `Exchange` and answer a `Reply`; they know nothing of ASGI.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson
from starlette.types import Send

from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.service.service import Caller
from flow_service_emulator.validation.validation import MAX_DEPTH, ContractWarning, is_shallow

MAX_QUERY_FIELDS = 100
JSON_TYPE = "application/json"


@dataclass(slots=True)
class Reply:
    """What a handler answers. `body` is JSON as Python values, or bytes as they are; None is an empty body.

    With `file`, the file's content is the body, sent piece by piece.
    """

    body: Any = None
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    content_type: str = JSON_TYPE
    file: Path | None = None


class Finding(NamedTuple):
    """A rule that a request met.

    `place` is where in the request: `query.limit`, `headers.if-match`, `params.bucketName` for a field of the body,
    `/scheduleParams/interval` for what a patch names, and a path for what no route takes; empty for all of it. `kind` is which
    way of several the rule was broken in, such as `required` or `enum`; empty where it has one. `fix` is how this very mistake
    is fixed; empty where the rule's own fix says all. Findings that differ in one of these but the message are different.
    """

    rule: str
    place: str
    message: str
    kind: str = ""
    fix: str = ""


@dataclass(slots=True)
class Exchange:
    """A request as the handlers see it, and what is noted about it on the way."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    request_id: str
    body: bytes = b""
    scope: Scope = ("", "prod")
    """Organization and sandbox that the headers name; those of a request that the gateway refuses, too."""
    path_params: Mapping[str, str] = field(default_factory=dict)
    operation: str | None = None
    """The name of the operation that the route table found for the request."""
    warnings: list[ContractWarning] = field(default_factory=list)
    error: str | None = None
    """The name of the error that was answered."""
    answer: Any = None
    """The error's body, as it was answered."""
    findings: list[Finding] = field(default_factory=list)
    """What the refusal says about the client."""
    hint: str = ""
    """What is wrong with a refused request and how to fix it, in one line."""
    fault: str | None = None
    """The id of the rule of injected faults that hit the request."""
    injected: bool = False
    """Whether the error that was answered is that rule's doing and not the client's."""
    _query: list[tuple[str, str]] | None = field(default=None, init=False)

    @property
    def resource(self) -> tuple[str, str] | None:
        """Collection and id of the one entity that the path names; None for any other path."""
        entity_id = self.path_params.get("id")
        if entity_id is None or not self.path.startswith("/data/"):
            return None
        return self.path.split("/")[4], entity_id

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's parameters in order. Raises `query-value-invalid` when there are too many."""
        if self._query is None:
            try:
                self._query = parse_qsl(self.query_string, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
            except ValueError:
                value = f"more than {MAX_QUERY_FIELDS} parameters"
                raise ServiceError("query-value-invalid", place="query", value=value) from None
        return self._query

    @property
    def caller(self) -> Caller:
        return Caller(self.scope, self.warnings)

    def json(self) -> Any:
        """The body as JSON; None when it is empty. Raises the documented errors for what cannot be read."""
        if not self.body.strip():
            return None
        media_type = self.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != JSON_TYPE:
            raise ServiceError("content-type-missing")
        return decode_json(self.body)


Handler = Callable[[Exchange], Awaitable[Reply]]


def decode_json(body: bytes, depth: int = MAX_DEPTH) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no comments, no NaN, nested at most `depth` deep. Raises `body-malformed`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise ServiceError("body-malformed", reason="it is not UTF-8, which JSON is sent in") from None
        raise ServiceError(
            "body-malformed", reason=f"{fault.msg} (line {fault.lineno}, column {fault.colno})"
        ) from None
    if not is_shallow(value, depth):
        raise ServiceError("body-malformed", reason=f"it is nested deeper than {depth} levels")
    return value


class Answered:
    """Sends an answer on, and remembers it for the recorder; of its body nothing unless the request is recorded (`seen`).

    `began` is when its request came in, in seconds of `Clock.steady`.
    """

    __slots__ = ("_send", "began", "headers", "pieces", "seen", "status")

    def __init__(self, send: Send, began: float, *, seen: bool = True) -> None:
        self._send = send
        self.began = began
        self.seen = seen
        self.status = 0
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.pieces: list[bytes] = []

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif self.seen:
            self.pieces.append(message.get("body", b""))
        await self._send(message)

    @property
    def body(self) -> bytes:
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


def encoded(exchange: Exchange, reply: Reply) -> tuple[dict[str, Any], bytes]:
    """A reply as the ASGI message that begins it, and its body: the only place where JSON goes out."""
    body = reply.body
    data: bytes = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    headers = [(b"x-request-id", exchange.request_id.encode("latin-1")), (b"content-length", b"%d" % len(data))]
    if data:
        headers.append((b"content-type", reply.content_type.encode("latin-1")))
    for name, value in reply.headers:
        headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    return {"type": "http.response.start", "status": reply.status, "headers": headers}, data
