"""One answered request as the rules see it: plain values, so that a recorded request can be judged without a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from flow_service_emulator.api.exchange import Exchange


class Finding(NamedTuple):
    """A rule that a request met.

    `place` is where in the request: `query.limit`, `headers.if-match`, `params.bucketName` for a field of the body,
    `/scheduleParams/interval` for what a patch names, and a path for what no route takes; empty for all of it. `kind` is which
    way of several the rule was broken in, such as `required` or `enum`; empty where it has one.
    """

    rule: str
    place: str
    message: str
    kind: str = ""


@dataclass
class Seen:
    """A request with its answer. `at` is emulator time (epoch seconds), `status` is 0 when no answer went out."""

    exchange: Exchange
    number: int
    at: float
    status: int
    answer: bytes

    @property
    def name(self) -> str:
        """The operation's name; for a request that no route took, its method."""
        return self.exchange.operation or self.exchange.method[:16]

    @property
    def place(self) -> str:
        """Organization, sandbox and path."""
        return "\n".join((*self.exchange.scope, self.exchange.path))

    @property
    def was_taken(self) -> bool:
        """Whether the request was carried out, as far as its answer says."""
        return 200 <= self.status < 400

    @property
    def where(self) -> dict[str, Any]:
        """Which request it was, for the report."""
        exchange = self.exchange
        return {
            "entry": self.number, "requestId": exchange.request_id, "method": exchange.method,
            "path": exchange.path[:200], "status": self.status, "at": self.at,
        }  # fmt: skip

    @cached_property
    def body(self) -> Any:
        """The request's body; None for what is no JSON."""
        try:
            return orjson.loads(self.exchange.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def message(self) -> str:
        """The sentence of the error that was answered."""
        answer = self.exchange.answer
        names = ("errorMessage", "message", "detail", "error_description")
        return next((answer[name] for name in names if isinstance(answer.get(name), str)), "")

    @property
    def report(self) -> Mapping[str, Any]:
        """The details of the error that was answered, such as `violations` or `allowed`."""
        answer = self.exchange.answer
        report = answer.get("report", answer)
        return report if isinstance(report, dict) else {}

    @property
    def fields(self) -> Mapping[str, Any]:
        """What stands in the message of the error that was answered."""
        return self.exchange.error_fields or {}
