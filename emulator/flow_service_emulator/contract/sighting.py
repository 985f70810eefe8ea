"""One answered request as the journal and the contract see it, with every secret masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flow_service_emulator.api.exchange import Exchange


class Finding(NamedTuple):
    """A rule that a request met.

    `place` is where in the request, such as `params.bucketName`; empty for all of it. `kind` is which way of several the
    rule was broken in, such as `required` or `enum`; empty where it has one.
    """

    rule: str
    place: str
    message: str
    kind: str = ""


@dataclass
class Sighting:
    """One answered request.

    `exchange` is the request as it came in, to be looked at and not to be kept; all other fields are masked. `at` is
    emulator time and `steady` the machine's steady counter, both in seconds, `duration` is milliseconds. `status` is 0
    when no answer went out. `body` is the request's JSON or form, None where there is none that could be read, and
    `unread` then says why; `body_json` is the same as JSON. `answer` is the answer's body, `refusal` the same as a value when it is an error,
    and `fields` what stands in that error's message. `cut_from` is how long an answer is of which `answer` has the beginning
    only, as that is all that is kept, and `end` is the end of such a one, not masked.
    """

    number: int
    exchange: Exchange
    at: float
    steady: float
    duration: float
    status: int
    path: str
    query: str
    headers: Mapping[str, str]
    answer: bytes
    answer_headers: Mapping[str, str]
    size: int = 0
    cut_from: int = 0
    end: bytes = b""
    body: Any = None
    body_json: bytes = b""
    unread: str | None = None
    refusal: Any = None
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The operation's name; for a request that no route took, its method."""
        return self.exchange.operation or self.exchange.method[:16]

    @property
    def message(self) -> str:
        """The sentence of the error that was answered; empty without one."""
        if not isinstance(self.refusal, dict):
            return ""
        names = ("errorMessage", "message", "detail", "error_description")
        return next((self.refusal[name] for name in names if isinstance(self.refusal.get(name), str)), "")

    @property
    def report(self) -> Mapping[str, Any]:
        """The details of the error that was answered, such as `violations` or `allowed`."""
        report = self.refusal.get("report", self.refusal) if isinstance(self.refusal, dict) else {}
        return report if isinstance(report, dict) else {}
