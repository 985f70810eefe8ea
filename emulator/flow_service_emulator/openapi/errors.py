"""The errors of the OpenAPI description: one schema for each row of the error table, and the responses made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from flow_service_emulator.errors import ErrorKind, ErrorTable
from flow_service_emulator.openapi.answers import TEXT, Schema, record, ref

PREFIX: Final = "error."
"""What the names of the error components begin with; the error's name follows."""
INJECTED: Final = "injected fault"
"""How `appliesTo` begins for errors that only occur where a test asks for them."""

_STATUS: Final[Schema] = {"type": "integer", "minimum": 400, "maximum": 599}
_VIOLATION: Final[Schema] = record(
    {"path": TEXT, "message": TEXT, "rule": TEXT, "pattern": TEXT, "example": {}}, required=("path", "message", "rule")
)
_REPORT: Final[Schema] = record(
    {
        "detailed-message": TEXT,
        "request-id": {"type": "string", "description": "the same as the x-request-id header"},
        "id": {"type": "string", "description": "where one resource is meant"},
        "type": {"type": "string", "description": "that resource's collection"},
        "violations": {"type": "array", "items": _VIOLATION, "description": "everything that is wrong with the body"},
        "field": TEXT,
        "value": {},
        "allowed": {"description": "what the field may hold"},
    },
    required=("detailed-message", "request-id"),
)
FAMILY_SCHEMAS: Final[dict[str, Schema]] = {
    "flow": record(
        {
            "type": {"type": "string", "pattern": "^https://ns\\.adobe\\.com/aep/errors/FLOW-[0-9]{4}-[0-9]{3}$"},
            "title": TEXT,
            "status": _STATUS,
            "report": _REPORT,
            "errorMessage": TEXT,
            "errorDetails": TEXT,
        },
        description="The service's own errors.",
    ),
    "gateway": record(
        {"error_code": {"type": "string", "pattern": "^[0-9]{6}$"}, "message": TEXT},
        description="The API gateway's errors.",
    ),
    "problem": record(
        {"type": {"const": "/placeholder/type/uri"}, "status": _STATUS, "title": TEXT, "detail": TEXT},
        description="What the service's web framework answers, and the emulator's own errors.",
    ),
    "message": record({"message": TEXT}, description="The ad hoc run's errors.", additionalProperties=False),
    "ims": record(
        {"error": TEXT, "error_description": TEXT}, description="The token endpoint's errors (RFC 6749, section 5.2)."
    ),
}
"""Family -> shape of its bodies."""


def error_schemas(errors: ErrorTable) -> dict[str, Schema]:
    """The components of all errors, and of the families that they belong to."""
    schemas = {family_name(family): schema for family, schema in FAMILY_SCHEMAS.items()}
    for kind in errors.kinds.values():
        schemas[PREFIX + kind.name] = {
            "title": f"{kind.code} {kind.title}".strip() or kind.name,
            "description": f"{kind.message} ({kind.applies_to})",
            "allOf": [ref(family_name(kind.family))],
            "properties": _fixed_fields(kind),
        }
    return schemas


def family_name(family: str) -> str:
    """`flow` -> `FlowError`."""
    return f"{family.capitalize()}Error"


def _fixed_fields(kind: ErrorKind) -> dict[str, Schema]:
    """The fields in which an error differs from the others of its family."""
    if kind.family == "flow":
        fixed: dict[str, Any] = {
            "type": f"https://ns.adobe.com/aep/errors/FLOW-{kind.code}",
            "title": kind.title,
            "status": kind.status,
        }
    elif kind.family == "gateway":
        fixed = {"error_code": kind.code}
    elif kind.family == "problem":
        fixed = {"title": kind.title, "status": kind.status}
    elif kind.family == "ims":
        fixed = {"error": kind.code}
    else:
        fixed = {}
    return {name: {"const": value} for name, value in fixed.items()}


def error_responses(names: Iterable[str], errors: ErrorTable) -> dict[str, Schema]:
    """Status -> response, for the errors of these names. Raises KeyError for a name that the table does not have."""
    by_status: dict[int, list[ErrorKind]] = {}
    for name in dict.fromkeys(names):
        kind = errors.kinds[name]
        by_status.setdefault(kind.status, []).append(kind)
    return {str(status): _response(kinds) for status, kinds in sorted(by_status.items())}


def _response(kinds: list[ErrorKind]) -> Schema:
    schemas = [ref(PREFIX + kind.name) for kind in kinds]
    headers: Schema = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    if any(kind.status == 429 for kind in kinds):
        headers["Retry-After"] = {"description": "seconds", "schema": TEXT}
    if any(kind.status == 405 for kind in kinds):
        headers["Allow"] = {"required": True, "schema": TEXT}
    return {
        "description": "; ".join(dict.fromkeys(kind.title or kind.message for kind in kinds)),
        "headers": headers,
        "content": {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}},
    }
