"""The request bodies as JSON Schemas: what every destination has in common.

They check the outer form; `params` and `auth` are checked against the specs in `fixtures/`. The OpenAPI description shows
these same schemas.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]


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
