"""One request and its answer, and the one adapter that writes JSON.

Handlers take an `Exchange` and answer a `Reply`; they know nothing of ASGI.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import Message

from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.service.service import Caller
from flow_service_emulator.validation.validation import MAX_DEPTH, Finding, is_shallow

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


@dataclass(slots=True)
class Exchange:
    """A request as the handlers see it, its answer, and what is noted about them on the way."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    request_id: str
    scope: Scope = ("", "prod")
    """Organization and sandbox that the headers name; those of a request that the gateway refuses, too."""
    began: float = 0.0
    """When it came in, in seconds of `Clock.steady`."""
    seen: bool = True
    """Whether it is recorded. Of an answer that is not, the body is not remembered."""
    body: bytes = b""
    path_params: Mapping[str, str] = field(default_factory=dict)
    operation: str | None = None
    """The name of the operation that the route table found for the request."""
    warnings: list[Finding] = field(default_factory=list)
    error: str | None = None
    """The name of the error that was answered."""
    problem: Any = None
    """The error's body."""
    findings: Sequence[Finding] = ()
    """What a refusal says about the client; of a recorded request, all that is said."""
    hint: str = ""
    """What is wrong with a refused request and how to fix it, in one line."""
    fault: str | None = None
    """The id of the rule of injected faults that hit the request."""
    injected: bool = False
    """Whether the error that was answered is that rule's doing and not the client's."""
    status: int = 0
    """Of the answer; 0 where none went out."""
    answer_headers: Sequence[tuple[bytes, bytes]] = ()
    answer: bytes = b""
    """The body of the answer, as far as it went out."""
    number: int = 0
    """Which of the recorded requests it is, from 1 on; the fields from here on are set when it is recorded."""
    at: float = 0.0
    """When it had been answered, in emulator time (epoch seconds)."""
    duration: float = 0.0
    """How long it took, in the machine's milliseconds."""
    sizes: tuple[int, int] = (0, 0)
    """Bytes of its body and of the answer's, which may be too long to be stored."""
    verdict: str = ""
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
    def name(self) -> str:
        """The operation's name; for a request that no route took, its method."""
        return self.operation or self.method[:16]

    @property
    def place(self) -> str:
        """Organization, sandbox and path."""
        return "\n".join((*self.scope, self.path))

    @property
    def was_taken(self) -> bool:
        """Whether the request was carried out, as far as its answer says."""
        return 200 <= self.status < 400

    @property
    def where(self) -> dict[str, Any]:
        """Which request it was, for the report."""
        return {
            "entry": self.number, "requestId": self.request_id, "method": self.method,
            "path": self.path[:200], "status": self.status, "at": self.at,
        }  # fmt: skip

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

    def note(self, message: Message) -> None:
        """Note a part of the answer that goes out."""
        if message["type"] == "http.response.start":
            self.status, self.answer_headers = message["status"], message["headers"]
        elif self.seen:
            self.answer += message.get("body", b"")


Handler = Callable[[Exchange], Awaitable[Reply]]


def read_json(body: bytes) -> Any:
    """What was sent, for those who look at it afterwards; None for what is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


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
