"""The request bodies as JSON Schemas: what every destination has in common.

They check the outer form; `params` and `auth` are checked against the specs in `fixtures/`. The OpenAPI description shows
these same schemas.
"""

from __future__ import annotations

from typing import Any, Final

_NAME: Final = {"type": "string", "minLength": 1}
_TEXT: Final = {"type": ["string", "null"]}
_SPEC: Final = {
    "type": "object",
    "required": ["id", "version"],
    "properties": {"id": {"type": "string"}, "version": {"type": "string"}},
}
_STATE: Final = {"type": "string", "enum": ["enabled", "disabled", "initializing"]}
_IDS: Final = {"type": "array", "minItems": 1, "maxItems": 20, "uniqueItems": True, "items": {"type": "string"}}

BODIES: Final[dict[str, dict[str, Any]]] = {
    "connections": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": _NAME,
            "description": _TEXT,
            "connectionSpec": _SPEC,
            "auth": {
                "type": ["object", "null"],
                "required": ["specName", "params"],
                "properties": {"specName": {"type": "string"}, "params": {"type": "object"}},
            },
            "state": _STATE,
        },
    },
    "sourceConnections": {
        "type": "object",
        "required": ["name", "connectionSpec", "params"],
        "properties": {
            "name": _NAME,
            "description": _TEXT,
            "connectionSpec": _SPEC,
            "data": {"type": ["object", "null"]},
            "params": {"type": "object"},
            "state": _STATE,
        },
    },
    "targetConnections": {
        "type": "object",
        "required": ["name", "baseConnectionId", "connectionSpec", "params"],
        "properties": {
            "name": _NAME,
            "description": _TEXT,
            "baseConnectionId": {"type": "string", "minLength": 1},
            "connectionSpec": _SPEC,
            "params": {"type": "object"},
            "state": _STATE,
        },
    },
    "flows": {
        "type": "object",
        "required": ["name", "flowSpec", "sourceConnectionIds", "targetConnectionIds", "scheduleParams"],
        "properties": {
            "name": _NAME,
            "description": _TEXT,
            "flowSpec": _SPEC,
            "sourceConnectionIds": _IDS,
            "targetConnectionIds": _IDS,
            "transformations": {"type": ["array", "null"], "items": {"type": "object"}},
            "scheduleParams": {"type": "object"},
        },
    },
}
"""Collection -> schema of the body that creates one of its entities."""

RUN_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["flowId"],
    "properties": {"flowId": {"type": "string", "minLength": 1}},
}

ADHOC_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["activationInfo"],
    "properties": {
        "activationInfo": {
            "type": "object",
            "required": ["destinations"],
            "properties": {
                "destinations": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 100,
                    "uniqueItems": True,
                    "items": {
                        "type": "object",
                        "required": ["flowId", "datasets"],
                        "properties": {
                            "flowId": {"type": "string"},
                            "datasets": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "uniqueItems": True,
                                "items": {
                                    "type": "object",
                                    "required": ["id"],
                                    "properties": {"id": {"type": "string"}},
                                },
                            },
                        },
                    },
                }
            },
        }
    },
}

FIELDS: Final[dict[str, frozenset[str]]] = {
    "connections": frozenset({"name", "description", "connectionSpec", "auth", "state", "encryption", "params"}),
    "sourceConnections": frozenset(
        {"name", "description", "connectionSpec", "baseConnectionId", "data", "params", "state", "inheritedAttributes"}
    ),
    "targetConnections": frozenset(
        {"name", "description", "connectionSpec", "baseConnectionId", "data", "params", "state", "inheritedAttributes"}
    ),
    "flows": frozenset(
        {
            "name",
            "description",
            "flowSpec",
            "sourceConnectionIds",
            "targetConnectionIds",
            "transformations",
            "scheduleParams",
            "state",
            "inheritedAttributes",
            "runs",
            "lastOperation",
            "lastRunDetails",
        }
    ),
    "runs": frozenset({"flowId", "flowSpec", "providerRefId", "metrics", "activities", "state"}),
}
"""Collection -> the top-level fields of its entities beside the server's; filters and orders may name these."""
