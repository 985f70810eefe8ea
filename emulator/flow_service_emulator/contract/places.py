"""Where in a request a refusal points to, what kind of mistake it is, and how it is told.

By place and kind, one finding of a rule is told from another.

A place is `query.limit` for a parameter, `headers.if-match` for a header, `params.bucketName` for a field of the body,
`/scheduleParams/interval` for what a patch names, and a path for what no route takes. A kind is the keyword that was
broken, such as `required`, `enum` or `pattern`; empty where a rule knows one kind of mistake only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flow_service_emulator.api.routes import BASE, elsewhere
from flow_service_emulator.contract.sighting import Sighting
from flow_service_emulator.validation.violation_text import literal

MAX_PLACE: Final = 100
"""Characters of a place that a client made up."""
REQUIRED: Final = "required"
"""The kind of what is missing, in the query as in a body."""
_PROPERTY: Final = "property"
_OF_PARAMETER: Final[Mapping[str, str]] = {
    "limit-with-count": "limit",
    "sort-order-invalid": "orderby",
    "orderby-field-invalid": "orderby",
    "filter-operator-not-implemented": _PROPERTY,
    "filter-operator-single-value": _PROPERTY,
    "filter-operator-unsupported-for-field": _PROPERTY,
    "filter-field-invalid": _PROPERTY,
    "filter-operator-invalid": _PROPERTY,
    "sub-action-unsupported": "subOp",
}
"""Errors that are about one query parameter, and which."""
_ENTITY: Final = re.compile(rf"({re.escape(BASE)}/\w+)/[^/]+")
_POINTER: Final = re.compile(r"(?:^|[ (])(/[^\s:;,)]*)")
_MISSING: Final = re.compile(r"(\w+) is missing")


def place_and_kind(seen: Sighting) -> tuple[str, str]:
    """Of a refused request whose answer names no field of the body."""
    error = seen.exchange.error or ""
    if error in ("path-not-found", "method-not-allowed"):
        return _ENTITY.sub(r"\1/{id}", seen.path, count=1)[:MAX_PLACE], ""
    if error == "unsupported":
        return elsewhere(seen.path) or "", ""
    if error == "patch-invalid":
        return _found(_POINTER, seen.fields.get("detail", "")), ""
    if error == "token-request-invalid":
        name = _found(_MISSING, seen.fields.get("reason", ""))
        return name, REQUIRED if name else ""
    name, kind = _parameter(seen, error)
    return f"query.{name[:MAX_PLACE]}" if name else "", kind


def message_of(seen: Sighting) -> str:
    """The sentence that was answered, with the details of the answer that it does not have: what was sent, what is allowed."""
    message, report = seen.message, seen.report
    allowed = report.get("allowed")
    if "field" in report:
        field, value = report["field"], report.get("value")
        if isinstance(value, str):
            return message if value in message else f"{message} {field} was {literal(value)}"
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        told = f"{message} {field} was {'the number ' if number else ''}{literal(value)}"
        if isinstance(allowed, list) and len(allowed) == 1:
            told += f"; the text {literal(allowed[0])} is needed"
        return told
    if isinstance(allowed, (str, list)) and allowed:
        return f"{message} Allowed: {allowed if isinstance(allowed, str) else ', '.join(map(str, allowed))}"
    return message


def _parameter(seen: Sighting, error: str) -> tuple[str, str]:
    """The query parameter that was refused, and the kind; both empty for what is not about one."""
    sent = {part.partition("=")[0] for part in seen.exchange.query_string.split("&")[:100]}
    if error == "query-param-unknown":
        return seen.fields.get("param", ""), ""
    if error == "value-invalid":
        field = seen.fields.get("field", "")
        if field in sent:
            return field, ""
        # a list's own parameters may all be left out: another name is a field's, in a filter
        return (_PROPERTY, "") if seen.name.startswith("list:") else (field, REQUIRED)
    if error == "query-value-invalid":
        return next((name for name in (_PROPERTY, "orderby") if name in sent), ""), ""
    if error == "operation-unsupported" and seen.name == "actOnFlow":
        return "op", "" if "op" in sent else REQUIRED
    return _OF_PARAMETER.get(error, ""), ""


def _found(pattern: re.Pattern[str], text: str) -> str:
    """The first match's group, as a place; empty without one."""
    match = pattern.search(text)
    return match[1][:MAX_PLACE] if match else ""
