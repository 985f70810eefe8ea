"""The kinds of entities as data: the bodies that create them, their fields, what a patch may change, what keeps them from deletion.

The bodies' JSON Schemas check the outer form; `params` and `auth` are checked against the specs in `fixtures/`. The OpenAPI
description shows these same schemas, and those of the entities say which fields a filter may name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from flow_service_emulator.built_in import built_in
from flow_service_emulator.catalog import ConnectionSpec, FlowSpec
from flow_service_emulator.entities import Entity
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.filters import Fields, field_kinds, top_level
from flow_service_emulator.validation.validation import SchemaValidator, Violation
from flow_service_emulator.validation.violation_text import echo

Schema = dict[str, Any]
MAX_NAMED: Final = 5
"""Violations that the message itself names, and unknown fields that are warned of, at most."""
_WRITTEN: Final[Mapping[str, Any]] = built_in("bodies.json")


def schema_of(shape: Any) -> Schema:
    """The JSON Schema of a shape of `fixtures/bodies.json`.

    A shape is the name of a type or of a part, an array of one shape, or an object of fields. A field is required unless its
    name ends in `?`; `...` names parts whose fields stand in its place, and what comes later wins.
    """
    if isinstance(shape, list):
        return {"type": "array", "items": schema_of(shape[0])}
    if isinstance(shape, str):
        types: Mapping[str, Schema] = _WRITTEN["types"]
        return types[shape] if shape in types else schema_of(_WRITTEN["parts"][shape])
    fields = _fields(shape)
    required = [name for name, (_, is_required) in fields.items() if is_required]
    properties = {name: schema_of(below) for name, (below, _) in fields.items()}
    return {"type": "object", **({"required": required} if required else {}), "properties": properties}


def _fields(shape: Mapping[str, Any]) -> dict[str, tuple[Any, bool]]:
    """Name -> shape, and whether it is required."""
    found: dict[str, tuple[Any, bool]] = {}
    for name, below in shape.items():
        if name == "...":
            for part in below:
                found |= _fields(_WRITTEN["parts"][part])
        else:
            found[name.removesuffix("?")] = below, not name.endswith("?")
    return found


BODIES: Final[dict[str, Schema]] = {name: schema_of(shape) for name, shape in _WRITTEN["requests"].items()}
"""Collection -> schema of the body that creates one of its entities; also of a search and of an ad hoc run."""
ENTITIES: Final[dict[str, Schema]] = {name: schema_of(shape) for name, shape in _WRITTEN["entities"].items()}
"""Collection -> schema of its entities."""
SERVER_FIELDS: Final = frozenset(_WRITTEN["parts"]["entity"])
"""What the server fills on every entity; a client's own values for them are ignored at creation and refused in a patch."""
ANSWERS: Final[Mapping[str, Any]] = _WRITTEN["answers"]
"""Name in the OpenAPI description -> shape of another answer, or of a family of errors."""
FIELDS: Final[dict[str, Fields]] = {
    name: field_kinds(schema) for name, schema in {**ENTITIES, "datasets": schema_of("dataset")}.items()
}
"""Collection -> what filters and orders may name."""


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
        name, reference, SchemaValidator(BODIES[name]), top_level(FIELDS[name]), frozenset(derived), fixed, blocked
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
    return value if value is None or isinstance(value, int | float) else echo(value)
