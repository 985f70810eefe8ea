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

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any, NamedTuple

FAMILIES = ("flow", "gateway", "problem", "message", "ims")
MAX_ID = 100
"""Characters of an id that a report repeats."""
SEVERITIES = ("violation", "warning")
"""What is refused, and what works but is fragile; the worse first."""
_TEXT_KEYS = ("name", "family", "code", "title", "message", "appliesTo", "source", "fix")


class ServiceError(Exception):
    """One of the documented errors, to be answered to the client.

    `name` is a row's name in `fixtures/errors.json`; `fields` fill the row's message template. `report` adds keys to the
    body's `report` (such as `violations`); `headers` go out with the answer (such as `Retry-After`).
    """

    def __init__(
        self,
        name: str,
        /,
        *,
        report: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **fields: object,
    ) -> None:
        super().__init__(name, fields)
        self.name = name
        self.fields = fields
        self.report = report or {}
        self.headers = headers or {}


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


class ErrorTable:
    """All errors by name, and the one place where an error becomes a body."""

    def __init__(self, kinds: Iterable[ErrorKind]) -> None:
        self.kinds: dict[str, ErrorKind] = {kind.name: kind for kind in kinds}

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> ErrorTable:
        """Builds the table from `fixtures/errors.json`'s rows; raises ValueError that names the row and the fault."""
        kinds: dict[str, ErrorKind] = {}
        for index, row in enumerate(rows):
            for key in _TEXT_KEYS:
                if not isinstance(row.get(key), str):
                    hint = "; an empty one where the error is not the client's doing" if key == "fix" else ""
                    raise ValueError(f"/{index}/{key}: a text is needed{hint}")
            if row["family"] not in FAMILIES:
                raise ValueError(f"/{index}/family: {row['family']!r} is none of {', '.join(FAMILIES)}")
            status = row.get("status")
            if not isinstance(status, int) or not 400 <= status <= 599:
                raise ValueError(f"/{index}/status: a status from 400 to 599 is needed, got {status!r}")
            if row["name"] in kinds:
                raise ValueError(f"/{index}/name: {row['name']!r} is there twice")
            fields = {"rule": row["title"] or row["message"], "severity": SEVERITIES[0], "place": "", **row}
            if fields["severity"] not in SEVERITIES:
                raise ValueError(f"/{index}/severity: {fields['severity']!r} is none of {', '.join(SEVERITIES)}")
            try:
                kinds[row["name"]] = ErrorKind(applies_to=fields.pop("appliesTo"), **fields)
            except TypeError:
                unknown = ", ".join(fields.keys() - set(ErrorKind._fields))
                raise ValueError(f"/{index}: an error has no {unknown}") from None
        return cls(kinds.values())

    def answer(
        self, error: ServiceError, request_id: str, resource: tuple[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON body for an error. Raises KeyError when the table has no such name.

        `resource` is the collection and id of the one entity that is meant, which the report then names (reference:
        Address and headers).
        """
        kind = self.kinds[error.name]
        message = kind.message.format_map(error.fields)
        if kind.family == "gateway":
            return kind.status, {"error_code": kind.code, "message": message}
        if kind.family == "message":
            return kind.status, {"message": message}
        if kind.family == "ims":
            return kind.status, {"error": kind.code, "error_description": message}
        if kind.family == "problem":
            return kind.status, {
                "type": "/placeholder/type/uri",
                "status": kind.status,
                "title": kind.title,
                "detail": message,
                **error.report,
            }
        report: dict[str, Any] = {"detailed-message": message}
        if error.name == "resource-not-found":
            report |= {"id": error.fields["id"], "type": error.fields["collection"]}
        elif resource is not None:
            report |= {"id": resource[1][:MAX_ID], "type": resource[0]}
        report |= {"request-id": request_id, **error.report}
        return kind.status, {
            "type": f"https://ns.adobe.com/aep/errors/FLOW-{kind.code}",
            "title": kind.title,
            "status": kind.status,
            "report": report,
            "errorMessage": message,
            "errorDetails": message,
        }
