"""The kinds of entities as data: the bodies that create them, their fields, what a patch may change, what keeps them from deletion.

The bodies' JSON Schemas check the outer form; `params` and `auth` are checked against the specs in `fixtures/`. The OpenAPI
description shows these same schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from flow_service_emulator.catalog import ConnectionSpec, FlowSpec
from flow_service_emulator.entities import SERVER_FIELDS, Entity
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.validation.validation import SchemaValidator, Violation
from flow_service_emulator.validation.violation_text import literal

Schema = dict[str, Any]
MAX_NAMED: Final = 5
"""Violations that the message itself names, and unknown fields that are warned of, at most."""


def _object(required: list[str], properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: Schema, most: int) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": most, "uniqueItems": True, "items": items}


_TEXT: Final[Schema] = {"type": "string"}
_KEY: Final[Schema] = {"type": "string", "minLength": 1}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_ANY_OBJECT: Final[Schema] = {"type": "object"}
_SPEC: Final = _object(["id", "version"], {"id": _TEXT, "version": _TEXT})
_STATE: Final[Schema] = {"type": "string", "enum": ["enabled", "disabled", "initializing"]}
_AUTH: Final = _object(["specName", "params"], {"specName": _TEXT, "params": _ANY_OBJECT}) | {
    "type": ["object", "null"]
}

BODIES: Final[dict[str, Schema]] = {
    "connections": _object(
        ["name"],
        {"name": _KEY, "description": _TEXT_OR_NULL, "connectionSpec": _SPEC, "auth": _AUTH, "state": _STATE},
    ),
    "sourceConnections": _object(
        ["name", "connectionSpec", "params"],
        {
            "name": _KEY,
            "description": _TEXT_OR_NULL,
            "connectionSpec": _SPEC,
            "data": {"type": ["object", "null"]},
            "params": _ANY_OBJECT,
            "state": _STATE,
        },
    ),
    "targetConnections": _object(
        ["name", "baseConnectionId", "connectionSpec", "params"],
        {
            "name": _KEY,
            "description": _TEXT_OR_NULL,
            "baseConnectionId": _KEY,
            "connectionSpec": _SPEC,
            "params": _ANY_OBJECT,
            "state": _STATE,
        },
    ),
    "flows": _object(
        ["name", "flowSpec", "sourceConnectionIds", "targetConnectionIds", "scheduleParams"],
        {
            "name": _KEY,
            "description": _TEXT_OR_NULL,
            "flowSpec": _SPEC,
            "sourceConnectionIds": _list(_TEXT, 20),
            "targetConnectionIds": _list(_TEXT, 20),
            "transformations": {"type": ["array", "null"], "items": _ANY_OBJECT},
            "scheduleParams": _ANY_OBJECT,
        },
    ),
}
"""Collection -> schema of the body that creates one of its entities."""

RUN_BODY: Final = _object(["flowId"], {"flowId": _KEY})

SEARCH_BODY: Final = _object(
    [],
    {
        "queryString": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 1_000},
        "orderby": _TEXT,
        "count": {"type": "boolean"},
        "projectionFields": _TEXT,
        "groupByProperty": _TEXT,
    },
)
"""Flow Service API 3.0.1: `FlowFilterRequest`, `ConnectionFilterRequest` and `FlowSpecFilterRequest`."""

_DESTINATION: Final = _object(
    ["flowId", "datasets"], {"flowId": _TEXT, "datasets": _list(_object(["id"], {"id": _TEXT}), 100)}
)
ADHOC_BODY: Final = _object(
    ["activationInfo"], {"activationInfo": _object(["destinations"], {"destinations": _list(_DESTINATION, 100)})}
)

_OTHER_FIELDS: Final[dict[str, set[str]]] = {
    "connections": {"encryption", "params"},
    "sourceConnections": {"baseConnectionId", "inheritedAttributes"},
    "targetConnections": {"data", "inheritedAttributes"},
    "flows": {"state", "inheritedAttributes", "runs", "lastOperation", "lastRunDetails"},
    "runs": {"flowId", "flowSpec", "providerRefId", "metrics", "activities", "state"},
}
FIELDS: Final[dict[str, frozenset[str]]] = {
    collection: frozenset(others) | frozenset(BODIES.get(collection, {}).get("properties", ()))
    for collection, others in _OTHER_FIELDS.items()
}
"""Collection -> the top-level fields of its entities beside the server's; filters and orders may name these."""


class Kind(NamedTuple):
    """What differs between connections, source connections, target connections and flows.

    `reference` is the field that names its spec. A patch may touch neither the fields in `derived`, which the server derives, nor
    the paths in `fixed`, each with the reason. `blocked_by` says which flows keep an entity from deletion (`any`, `enabled` or
    none), and the error's name.
    """

    collection: str
    reference: str
    envelope: SchemaValidator
    """The outer form of its bodies."""
    fields: frozenset[str]
    """The top-level fields that it can have, the server's among them."""
    derived: frozenset[str]
    fixed: Mapping[str, str]
    blocked_by: tuple[str, str]


_SPEC_FIXED: Final = {"/connectionSpec": "create a new one with the other spec"}
_DATASETS: Final = "create a new source connection with the other datasets and put it into the flow"
_INHERITS: Final = ("inheritedAttributes",)
_IN_FLOW: Final = ("enabled", "in-active-flow")
KINDS: Final[dict[str, Kind]] = {
    name: Kind(
        name, reference, SchemaValidator(BODIES[name]), FIELDS[name] | SERVER_FIELDS, frozenset(derived), fixed, blocked
    )
    for name, reference, derived, fixed, blocked in (
        ("connections", "connectionSpec", (), {}, ("any", "base-connection-in-use")),
        ("sourceConnections", "connectionSpec", _INHERITS, {**_SPEC_FIXED, "/params/datasets": _DATASETS}, _IN_FLOW),
        ("targetConnections", "connectionSpec", _INHERITS, _SPEC_FIXED, _IN_FLOW),
        (
            *("flows", "flowSpec", (*_INHERITS, "runs", "lastOperation", "lastRunDetails")),
            *({"/flowSpec": "create a new flow with the other spec"}, ("", "")),
        ),
    )
}
"""Collection -> kind."""


def inherited(connection: Entity) -> dict[str, Any]:
    """What a flow says of a connection that it names."""
    return {"id": connection["id"], "connectionSpec": connection["connectionSpec"]}


def refuse_all(violations: list[Violation]) -> NoReturn:
    """Raises the documented error for the violations of a body."""
    named = [violation.message for violation in violations[:MAX_NAMED]]
    more = len(violations) - len(named)
    detail = "; ".join(named) + (f"; and {more} more" if more else "")
    raise ServiceError(
        "provider-rejected",
        provider_error=detail,
        report={"violations": [violation.as_json() for violation in violations]},
    )


def unknown_spec(known: Mapping[str, ConnectionSpec | FlowSpec], name: str, reference: Any) -> ServiceError:
    """1413-400 for a `connectionSpec` or `flowSpec` as it was sent; None where there is none."""
    place, value = (f"{name}.id", reference.get("id")) if isinstance(reference, dict) else (name, reference)
    allowed = {spec.name: spec.id for spec in known.values()}
    return ServiceError("spec-id-invalid", report={"field": place, "value": as_sent(value), "allowed": allowed})


def as_sent(value: Any) -> Any:
    """A value for a report, so that 1.0 and "1.0" look different there."""
    return value if value is None or isinstance(value, int | float) else short(value)


def short(value: Any) -> str:
    text = value if isinstance(value, str) else literal(value)
    return text if len(text) <= 80 else text[:77] + "..."
