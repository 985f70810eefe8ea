"""What the emulator answers, as JSON Schemas: the components of the OpenAPI description.

Source of the service's shapes: reference, sections "Endpoints" and "Entities".
"""

from __future__ import annotations

from typing import Any, Final

from flow_service_emulator.clock import MODES
from flow_service_emulator.control.control import STATE_FORMAT
from flow_service_emulator.entities import SERVER_FIELDS, STATES

Schema = dict[str, Any]

RUN_STATES: Final = ("waiting", "inProgress", "success", "failed")
ENTITY_SCHEMAS: Final = {
    "connections": "Connection",
    "sourceConnections": "SourceConnection",
    "targetConnections": "TargetConnection",
    "flows": "Flow",
    "runs": "Run",
    "connectionSpecs": "ConnectionSpec",
    "flowSpecs": "FlowSpec",
}
"""Collection -> name of the schema of one of its entities."""


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: Schema, *, required: tuple[str, ...] | None = None, **more: Any) -> Schema:
    """An object; every property is required unless `required` says which are."""
    names = list(properties) if required is None else list(required)
    return (
        {"type": "object", "required": names, "properties": properties, **more}
        if names
        else {"type": "object", "properties": properties, **more}
    )


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def page_of(collection: str) -> Schema:
    """A page of a list, or its count."""
    fields = ref(f"{ENTITY_SCHEMAS[collection]}Fields")
    links = record(
        {
            "next": record(
                {"href": {"type": "string", "pattern": f"^/{collection}\\?continuationToken=[A-Za-z0-9_-]+$"}}
            )
        },
        required=(),
    )
    page = record({"items": array(fields, maxItems=100), "_links": links}, title="A page")
    return {"anyOf": [page, record({"count": COUNT}, title="With count=true")]}


def look_up_of(collection: str) -> Schema:
    """The answer of a look-up by id."""
    return record({"items": array(ref(ENTITY_SCHEMAS[collection]), minItems=1, maxItems=1)})


TEXT: Final[Schema] = {"type": "string"}
OPTIONAL_TEXT: Final[Schema] = {"type": ["string", "null"]}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
MILLISECONDS: Final[Schema] = {"type": "integer", "minimum": 0, "description": "epoch milliseconds"}
SECONDS: Final[Schema] = {"type": "number", "minimum": 0, "description": "epoch seconds"}
UUID: Final[Schema] = {"type": "string", "format": "uuid"}
ETAG: Final[Schema] = {
    "type": "string",
    "pattern": '^"[^"]+"$',
    "description": "contains its own double quotes",
    "examples": ['"0000d781-0000-0200-0000-63e29f420000"'],
}
SPEC: Final[Schema] = record({"id": TEXT, "version": TEXT})
STATE: Final[Schema] = {"type": "string", "enum": list(STATES)}
RUN_STATE: Final[Schema] = {"type": "string", "enum": list(RUN_STATES)}
BASE: Final[Schema] = record({"id": TEXT, "connectionSpec": SPEC})
STATUS_ERRORS: Final[Schema] = array(record({"code": TEXT, "message": TEXT}))
DURATION: Final[Schema] = record(
    {"startedAtUTC": MILLISECONDS, "completedAtUTC": MILLISECONDS}, required=("startedAtUTC",)
)
SIZES: Final[Schema] = record({"inputBytes": COUNT, "outputBytes": COUNT})
FILES: Final[Schema] = record({"inputFileCount": COUNT, "outputFileCount": COUNT})
_COUNTS: Final[Schema] = dict.fromkeys(
    ("inputRecordCount", "outputRecordCount", "createdRecordCount", "skippedRecordCount"), COUNT
)
SUMMARY: Final[Schema] = record(
    {
        "id": TEXT,
        **_COUNTS,
        "entitySummaries": array(
            record({"id": {"type": "string", "pattern": "^dataset:"}, **_COUNTS}, required=("id",))
        ),
    },
    required=("id", "entitySummaries"),
)
RECORDS: Final[Schema] = record(
    {**_COUNTS, "sourceSummaries": array(SUMMARY), "targetSummaries": array(SUMMARY), "failedInfo": STATUS_ERRORS},
    required=tuple(_COUNTS),
)
STATUS: Final[Schema] = record(
    {"status": RUN_STATE, "errors": STATUS_ERRORS, "activityRefs": array(TEXT), "extensions": {"type": "object"}},
    required=("status",),
)

_SERVER_FIELDS: Final[Schema] = {
    "id": UUID,
    "createdAt": MILLISECONDS,
    "updatedAt": MILLISECONDS,
    **dict.fromkeys(
        ("createdBy", "updatedBy", "createdClient", "updatedClient", "sandboxId", "sandboxName", "imsOrgId"), TEXT
    ),
    "version": ETAG,
    "etag": ETAG,
}
_ENTITIES: Final[dict[str, tuple[Schema, tuple[str, ...]]]] = {
    "Connection": (
        {
            "name": TEXT,
            "description": OPTIONAL_TEXT,
            "connectionSpec": SPEC,
            "auth": record({"specName": TEXT, "params": {"type": "object"}}, description="Passwords are masked."),
            "state": STATE,
        },
        ("name", "connectionSpec", "state"),
    ),
    "SourceConnection": (
        {
            "name": TEXT,
            "description": OPTIONAL_TEXT,
            "connectionSpec": SPEC,
            "data": {"type": ["object", "null"]},
            "params": record({"datasets": array(record({"dataSetId": TEXT, "name": TEXT}, required=("dataSetId",)))}),
            "inheritedAttributes": record({"baseConnection": BASE}),
            "state": STATE,
        },
        ("name", "connectionSpec", "params", "inheritedAttributes", "state"),
    ),
    "TargetConnection": (
        {
            "name": TEXT,
            "description": OPTIONAL_TEXT,
            "baseConnectionId": TEXT,
            "connectionSpec": SPEC,
            "params": {"type": "object"},
            "inheritedAttributes": record({"baseConnection": BASE}),
            "state": STATE,
        },
        ("name", "baseConnectionId", "connectionSpec", "params", "inheritedAttributes", "state"),
    ),
    "Flow": (
        {
            "name": TEXT,
            "description": OPTIONAL_TEXT,
            "flowSpec": SPEC,
            "sourceConnectionIds": array(TEXT, minItems=1),
            "targetConnectionIds": array(TEXT, minItems=1),
            "transformations": array({"type": "object"}),
            "scheduleParams": record(
                {
                    "interval": COUNT,
                    "timeUnit": {"enum": ["hour", "day"]},
                    "startTime": COUNT,
                    "endTime": COUNT,
                    "exportMode": TEXT,
                },
                required=("interval", "timeUnit", "startTime"),
            ),
            "inheritedAttributes": record(
                {
                    "properties": record({"isDestinationFlow": {"const": True}}),
                    "sourceConnections": array(BASE),
                    "targetConnections": array(record({"id": TEXT, "connectionSpec": SPEC, "baseConnection": BASE})),
                }
            ),
            "runs": {"type": "string", "pattern": "^/runs\\?property=flowId=="},
            "lastOperation": record(
                {
                    "started": MILLISECONDS,
                    "updated": MILLISECONDS,
                    "percentCompleted": COUNT,
                    "status": record({"value": TEXT, "errors": {"type": "array"}}),
                    "operation": TEXT,
                }
            ),
            "lastRunDetails": record({"id": TEXT, "state": RUN_STATE, **DURATION["properties"]}),
            "state": STATE,
        },
        (
            *("name", "flowSpec", "sourceConnectionIds", "targetConnectionIds", "transformations", "scheduleParams"),
            *("inheritedAttributes", "runs", "lastOperation", "state"),
        ),
    ),
    "Run": (
        {
            "flowId": UUID,
            "flowSpec": SPEC,
            "providerRefId": TEXT,
            "metrics": record(
                {
                    "durationSummary": DURATION,
                    "sizeSummary": SIZES,
                    "recordSummary": RECORDS,
                    "fileSummary": FILES,
                    "statusSummary": STATUS,
                },
                required=("statusSummary",),
            ),
            "activities": array(
                record(
                    {
                        "id": TEXT,
                        "name": TEXT,
                        "updatedAtUTC": MILLISECONDS,
                        "durationSummary": DURATION,
                        "latencySummary": {"type": "object"},
                        "sizeSummary": SIZES,
                        "recordSummary": RECORDS,
                        "fileSummary": FILES,
                        "statusSummary": STATUS,
                    }
                )
            ),
        },
        ("flowId", "flowSpec", "providerRefId", "metrics", "activities"),
    ),
}
_SPECS: Final[dict[str, tuple[Schema, tuple[str, ...]]]] = {
    "ConnectionSpec": (
        {
            **dict.fromkeys(("id", "name", "providerId", "version"), TEXT),
            "authSpec": array(record({"name": TEXT, "type": TEXT, "spec": {"type": "object"}})),
            "encryptionSpecs": array({"type": "object"}),
            **dict.fromkeys(
                ("targetSpec", "sourceSpec"), record({"name": TEXT, "type": TEXT, "spec": {"type": "object"}})
            ),
        },
        ("id", "name", "version"),
    ),
    "FlowSpec": (
        {
            **dict.fromkeys(("id", "name", "providerId", "version"), TEXT),
            **dict.fromkeys(("sourceConnectionSpecIds", "targetConnectionSpecIds"), array(TEXT)),
            "attributes": {"type": "object"},
            "transformationSpecs": {"type": "array"},
            "scheduleSpec": {"type": "object"},
        },
        ("id", "name", "version"),
    ),
}


def _entity_schemas() -> dict[str, Schema]:
    """Two schemas for each kind: `<Kind>Fields`, which a projection may cut down, and `<Kind>`, which is whole."""
    schemas: dict[str, Schema] = {}
    server = tuple(name for name in _SERVER_FIELDS if name in SERVER_FIELDS)
    for name, (fields, required) in _ENTITIES.items():
        schemas[f"{name}Fields"] = record({**_SERVER_FIELDS, **fields}, required=())
        schemas[name] = {"allOf": [ref(f"{name}Fields")], "required": [*server, *required]}
    for name, (fields, required) in _SPECS.items():
        schemas[f"{name}Fields"] = record(fields, required=())
        schemas[name] = {"allOf": [ref(f"{name}Fields")], "required": list(required)}
    return schemas


CREATED: Final[Schema] = record({"id": UUID, "etag": ETAG}, additionalProperties=False)
CLOCK: Final[Schema] = record(
    {"mode": {"type": "string", "enum": list(MODES)}, "now": SECONDS, "speed": {"type": "number", "minimum": 0}},
    additionalProperties=False,
)
DONE: Final[Schema] = record({"status": {"const": "ok"}, "now": SECONDS})

SCHEMAS: Final[dict[str, Schema]] = {
    **_entity_schemas(),
    "Created": CREATED,
    "Configs": record(
        {
            "items": array(
                record(
                    {
                        **dict.fromkeys(("id", "name", "description", "aspect", "state"), TEXT),
                        "fileDescription": record(
                            {"persisted": {"type": "boolean"}, "containerFormat": TEXT, "format": TEXT}, required=()
                        ),
                    },
                    required=("id",),
                ),
                maxItems=100,
            ),
            "pageInfo": record({"start": COUNT, "end": COUNT, "total": COUNT, "hasNext": {"type": "boolean"}}),
        }
    ),
    "ConnectionTest": record({"id": UUID, "connectionSpec": SPEC, "status": {"const": "success"}}),
    "AdhocRun": record(
        {
            "destinations": array(
                record(
                    {
                        "flowId": TEXT,
                        "datasets": array(record({"id": TEXT, "statusURL": {"type": "string", "format": "uri"}})),
                    }
                )
            )
        }
    ),
    "LandingZone": record(
        {"containerName": TEXT, "containerTTL": {"type": "string", "description": "days", "examples": ["7"]}}
    ),
    "LandingZoneCredentials": record(
        {
            **dict.fromkeys(("containerName", "SASToken", "storageAccountName"), TEXT),
            "SASUri": {"type": "string", "format": "uri"},
            "expiryDate": {"type": "string", "format": "date"},
        }
    ),
    "Token": record(
        {
            "access_token": TEXT,
            "token_type": {"const": "bearer"},
            "expires_in": {"type": "integer", "description": "seconds"},
        }
    ),
    "Clock": CLOCK,
    "Done": DONE,
    "Health": record({"status": {"const": "ok"}, "version": TEXT}),
    "State": {
        **record({"format": {"const": STATE_FORMAT}, "version": TEXT, "clock": CLOCK}),
        "description": "A snapshot; PUT it back as it is.",
    },
    "Advanced": record(
        {
            "now": SECONDS,
            "runs": array(
                record({"id": TEXT, "flowId": TEXT, "scheduledAt": COUNT, "status": {"enum": [*RUN_STATES, "dropped"]}})
            ),
        }
    ),
    "Exports": record(
        {
            "items": array(
                record({"path": TEXT, "size": COUNT, "rows": COUNT, "dataset": TEXT, "flow": TEXT, "run": TEXT})
            ),
            "inProgress": array(
                record(
                    {
                        "folder": {**TEXT, "description": "where the files will be when the run is over"},
                        "size": {**COUNT, "description": "bytes written so far"},
                        "rows": {**COUNT, "description": "rows written so far"},
                        **dict.fromkeys(("expectedRows",), COUNT),
                        **dict.fromkeys(("dataset", "flow", "run"), TEXT),
                    }
                )
            ),
        }
    ),
    "OpenApi": record(
        {"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}, "components": {"type": "object"}},
        required=("openapi", "info", "paths"),
    ),
}
"""Name -> schema of a component."""
