"""The named table of errors and their bodies; knows no web framework.

Whoever finds something wrong raises `ServiceError` by the error's name in `fixtures/errors.json`; the one JSON adapter asks
the `ErrorTable` for the status and the body. These families of bodies exist (reference: Address and headers):

- `flow`: the Flow Service's own shape, with `type`, `title`, `status`, `report`, `errorMessage` and `errorDetails`;
- `gateway`: the API gateway's `{"error_code", "message"}`;
- `problem`: what the service's web framework answers: `{"type": "/placeholder/type/uri", "status", "title", "detail"}`;
- `message`: the ad hoc run's `{"message"}`;
- `ims`: the token endpoint's `{"error", "error_description"}` (RFC 6749).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, Final, NamedTuple

MESSAGES: Final = {
    "flow": "errorMessage", "gateway": "message", "problem": "detail", "message": "message", "ims": "error_description"
}  # fmt: skip
"""Family -> where the message stands."""
MAX_ID = 100
"""Characters of an id that a report repeats."""


class ServiceError(Exception):
    """One of the documented errors, to be answered to the client.

    `name` is a row's name in `fixtures/errors.json`; `fields` fill the row's message template. `report` adds keys to the
    body's `report` (such as `violations`); `headers` go out with the answer (such as `Retry-After`). `place` is where in the
    request the fault is, where the row does not say it, and `kind` which of several ways to go wrong it is: both tell findings
    of the contract report apart. `known` are the names of which one was to be sent, in place of the first of `fields`.
    """

    def __init__(
        self, name: str, /, *, place: str = "", kind: str = "", report: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None, known: Iterable[str] = (), **fields: object,
    ) -> None:  # fmt: skip
        super().__init__(name, fields)
        self.name = name
        self.place = place
        self.kind = kind
        self.fields = fields
        self.report = report or {}
        self.headers = headers or {}
        self.known = tuple(known)


class ErrorKind(NamedTuple):
    """One row of the error table. `message` is a template with `{field}` places.

    `fix` says how a client gets rid of the error; it is empty where the error is not the client's doing, and then there is
    no rule for it. `rule` is the rule's title in the contract report, and `place` where in a request the error points to.
    """

    name: str
    family: str
    code: str
    status: int
    title: str
    message: str
    applies_to: str
    source: str
    rule: str
    fix: str
    severity: str
    place: str

    @property
    def message_fields(self) -> frozenset[str]:
        """The names that the message template wants filled."""
        return frozenset(field for _, field, _, _ in Formatter().parse(self.message) if field)

    @property
    def fixed(self) -> dict[str, Any]:
        """The fields of its body in which it differs from the others of its family."""
        if self.family == "flow":
            address = f"https://ns.adobe.com/aep/errors/FLOW-{self.code}"
            return {"type": address, "title": self.title, "status": self.status}
        if self.family == "problem":
            return {"type": "/placeholder/type/uri", "status": self.status, "title": self.title}
        return {"gateway": {"error_code": self.code}, "ims": {"error": self.code}}.get(self.family, {})


class ErrorTable:
    """All errors by name, and the one place where an error becomes a body."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """`rows` are those of `fixtures/errors.json`, in the shape that `fixtures/shapes.json` has for them."""
        self.kinds: dict[str, ErrorKind] = {}
        for row in rows:
            fields = {"rule": row["title"] or row["message"], "severity": "violation", "place": "", **row}
            self.kinds[row["name"]] = ErrorKind(applies_to=fields.pop("appliesTo"), **fields)

    def answer(
        self, error: ServiceError, request_id: str, resource: tuple[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON body for an error. Raises KeyError when the table has no such name.

        `resource` is the collection and id of the one entity that is meant, which the report then names (reference:
        Address and headers).
        """
        kind = self.kinds[error.name]
        message = kind.message.format_map(error.fields)
        if kind.family != "flow":
            report = error.report if kind.family == "problem" else {}
            return kind.status, {**kind.fixed, MESSAGES[kind.family]: message, **report}
        told: dict[str, Any] = {"detailed-message": message}
        if error.name == "resource-not-found":
            told |= {"id": error.fields["id"], "type": error.fields["collection"]}
        elif resource is not None:
            told |= {"id": resource[1][:MAX_ID], "type": resource[0]}
        told |= {"request-id": request_id, **error.report}
        return kind.status, {**kind.fixed, "report": told, "errorMessage": message, "errorDetails": message}


def sentence(answer: Mapping[str, Any]) -> str:
    """The sentence of an error's body, of whichever family."""
    return next((answer[name] for name in MESSAGES.values() if isinstance(answer.get(name), str)), "")
