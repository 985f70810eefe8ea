"""What the service answers, as JSON Schemas: components of the OpenAPI description.

Source of the shapes: reference, sections "Endpoints" and "Entities".
"""

from __future__ import annotations

from typing import Any, Final

from flow_service_emulator.api.operations import READABLE
from flow_service_emulator.entities import SERVER_FIELDS, STATES

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: Schema, *, required: tuple[str, ...] | None = None, **more: Any) -> Schema:
    """An object; every property is required unless `required` says which are."""
    names = list(properties) if required is None else list(required)
    return {"type": "object", **({"required": names} if names else {}), "properties": properties, **more}


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


TEXT: Final[Schema] = {"type": "string"}
ETAG: Final[Schema] = {
    "type": "string",
    "pattern": '^"[^"]+"$',
    "description": "contains its own double quotes",
    "examples": ['"0000d781-0000-0200-0000-63e29f420000"'],
}
_OBJECT: Final[Schema] = {"type": "object"}
_BOOLEAN: Final[Schema] = {"type": "boolean"}
_URI: Final[Schema] = {"type": "string", "format": "uri"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TIME: Final[Schema] = {"type": "integer", "minimum": 0, "description": "epoch milliseconds"}
_UUID: Final[Schema] = {"type": "string", "format": "uuid"}
_SPEC: Final = record({"id": TEXT, "version": TEXT})
_BASE: Final = record({"id": TEXT, "connectionSpec": _SPEC})
_RUN_STATE: Final[Schema] = {"type": "string", "enum": ["waiting", "inProgress", "success", "failed"]}
_ERRORS: Final = array(record({"code": TEXT, "message": TEXT}))
_SKIPPED: Final = array(record({"code": TEXT, "message": TEXT, "count": _COUNT}))
_TIMES: Final[Schema] = {"startedAtUTC": _TIME, "completedAtUTC": _TIME}
_COUNTS: Final[Schema] = dict.fromkeys(
    ("inputRecordCount", "outputRecordCount", "createdRecordCount", "skippedRecordCount"), _COUNT
)
_OF_DATASET: Final = record({"id": {"type": "string", "pattern": "^dataset:"}, **_COUNTS}, required=("id",))
_SIDE: Final = {"id": TEXT, **_COUNTS, "entitySummaries": array(_OF_DATASET)}
_SIDES: Final = array(record(_SIDE, required=("id", "entitySummaries")))
_RECORDS: Final = {
    **_COUNTS,
    "sourceSummaries": _SIDES,
    "targetSummaries": _SIDES,
    "failedInfo": _ERRORS,
    "skippedInfo": _SKIPPED,
}
_STATUS: Final = {"status": _RUN_STATE, "errors": _ERRORS, "activityRefs": array(TEXT), "extensions": _OBJECT}
_SUMMARIES: Final[Schema] = {
    "durationSummary": record(_TIMES, required=("startedAtUTC",)),
    "sizeSummary": record({"inputBytes": _COUNT, "outputBytes": _COUNT}, required=()),
    "recordSummary": record(_RECORDS, required=()),
    "fileSummary": record({"inputFileCount": _COUNT, "outputFileCount": _COUNT}, required=()),
    "statusSummary": record(_STATUS, required=("status",)),
}
_UNIT: Final[Schema] = {"enum": ["hour", "day"]}
_SCHEDULE: Final = {"interval": _COUNT, "timeUnit": _UNIT, "startTime": _COUNT, "endTime": _COUNT, "exportMode": TEXT}
_INHERITED: Final = {
    "properties": record({"isDestinationFlow": {"const": True}}),
    "sourceConnections": array(_BASE),
    "targetConnections": array(record({"id": TEXT, "connectionSpec": _SPEC, "baseConnection": _BASE})),
}
_LAST_OPERATION: Final = {
    "started": _TIME,
    "updated": _TIME,
    "percentCompleted": _COUNT,
    "status": record(
        {"value": TEXT, "properties": {"type": "null"}, "errors": {"type": "array"}}, required=("value", "errors")
    ),
    "ops": array(_OBJECT),
    "operation": TEXT,
}
_SERVER: Final[Schema] = {
    "id": _UUID,
    "createdAt": _TIME,
    "updatedAt": _TIME,
    **dict.fromkeys(("createdBy", "updatedBy", "createdClient", "updatedClient"), TEXT),
    **dict.fromkeys(("sandboxId", "sandboxName", "imsOrgId"), TEXT),
    "version": ETAG,
    "etag": ETAG,
}
_NAMED: Final[Schema] = {"name": TEXT, "description": {"type": ["string", "null"]}, "state": {"enum": list(STATES)}}
_SPEC_FIELDS: Final[Schema] = dict.fromkeys(("id", "name", "providerId", "version"), TEXT)
_FORM: Final = record({"name": TEXT, "type": TEXT, "spec": _OBJECT})
_KINDS: Final[dict[str, tuple[Schema, tuple[str, ...]]]] = {
    "Connection": (
        {
            **_SERVER,
            **_NAMED,
            "connectionSpec": _SPEC,
            "auth": record({"specName": TEXT, "params": _OBJECT}, description="Passwords are masked."),
        },
        (*SERVER_FIELDS, "name", "connectionSpec", "state"),
    ),
    "SourceConnection": (
        {
            **_SERVER,
            **_NAMED,
            "connectionSpec": _SPEC,
            "baseConnectionId": TEXT,
            "data": {"type": ["object", "null"]},
            "params": record({"datasets": array(record({"dataSetId": TEXT, "name": TEXT}, required=("dataSetId",)))}),
            "inheritedAttributes": record({"baseConnection": _BASE}),
        },
        (*SERVER_FIELDS, "name", "connectionSpec", "params", "inheritedAttributes", "state"),
    ),
    "TargetConnection": (
        {
            **_SERVER,
            **_NAMED,
            "baseConnectionId": TEXT,
            "connectionSpec": _SPEC,
            "params": _OBJECT,
            "inheritedAttributes": record({"baseConnection": _BASE}),
        },
        (*SERVER_FIELDS, "name", "baseConnectionId", "connectionSpec", "params", "inheritedAttributes", "state"),
    ),
    "Flow": (
        {
            **_SERVER,
            **_NAMED,
            "flowSpec": _SPEC,
            **dict.fromkeys(("sourceConnectionIds", "targetConnectionIds"), array(TEXT, minItems=1)),
            "transformations": array(_OBJECT),
            "scheduleParams": record(_SCHEDULE, required=("interval", "timeUnit", "startTime")),
            "inheritedAttributes": record(_INHERITED),
            "runs": {"type": "string", "pattern": r"^/runs\?property=flowId=="},
            "lastOperation": record(_LAST_OPERATION, required=tuple(_LAST_OPERATION.keys() - {"ops"})),
            "lastRunDetails": record({"id": TEXT, "state": _RUN_STATE, **_TIMES}),
        },
        (
            *(*SERVER_FIELDS, "name", "flowSpec", "sourceConnectionIds", "targetConnectionIds", "transformations"),
            *("scheduleParams", "inheritedAttributes", "runs", "lastOperation", "state"),
        ),
    ),
    "Run": (
        {
            **{name: type_ for name, type_ in _SERVER.items() if name != "version"},
            "flowId": _UUID,
            "flowSpec": _SPEC,
            "providerRefId": TEXT,
            "metrics": record(_SUMMARIES, required=("statusSummary",)),
            "activities": array(
                record({"id": TEXT, "name": TEXT, "updatedAtUTC": _TIME, "latencySummary": _OBJECT, **_SUMMARIES})
            ),
        },
        (*(SERVER_FIELDS - {"version"}), "flowId", "flowSpec", "providerRefId", "metrics", "activities"),
    ),
    "ConnectionSpec": (
        {
            **_SPEC_FIELDS,
            "authSpec": array(_FORM),
            "encryptionSpecs": array(_OBJECT),
            "targetSpec": _FORM,
            "sourceSpec": _FORM,
        },
        ("id", "name", "version"),
    ),
    "FlowSpec": (
        {
            **_SPEC_FIELDS,
            **dict.fromkeys(("sourceConnectionSpecIds", "targetConnectionSpecIds"), array(TEXT)),
            "attributes": _OBJECT,
            "transformationSpecs": {"type": "array"},
            "scheduleSpec": _OBJECT,
        },
        ("id", "name", "version"),
    ),
}
"""Kind of entity -> its fields, and which of them are always there."""
_CONFIG: Final[Schema] = {
    **dict.fromkeys(("id", "name", "description", "aspect", "state"), TEXT),
    "fileDescription": record({"persisted": _BOOLEAN, "containerFormat": TEXT, "format": TEXT}, required=()),
    **dict.fromkeys(("imsOrg", "sandboxId", "namespace", "version", "lastBatchId", "lastBatchStatus", "files"), TEXT),
    **dict.fromkeys(("createdClient", "createdUser", "updatedUser"), TEXT),
    **dict.fromkeys(("created", "updated"), _TIME),
    "schemaRef": record({"id": TEXT, "contentType": TEXT}, required=()),
    "tags": {"type": "object", "additionalProperties": array(TEXT)},
    "classification": record({"managedBy": TEXT}, required=()),
}
_OTHERS: Final[Schema] = {
    "Created": record({"id": _UUID, "etag": ETAG}, additionalProperties=False),
    "Configs": record(
        {
            "items": array(record(_CONFIG, required=("id",)), maxItems=100),
            "pageInfo": record({"start": _COUNT, "end": _COUNT, "total": _COUNT, "hasNext": _BOOLEAN}),
        }
    ),
    "ConnectionTest": record({"result": {"const": True}}),
    "AdhocRun": record(
        {"destinations": array(record({"flowId": TEXT, "datasets": array(record({"id": TEXT, "statusURL": _URI}))}))}
    ),
    "LandingZone": record(
        {"containerName": TEXT, "containerTTL": {"type": "string", "description": "days", "examples": ["7"]}}
    ),
    "LandingZoneCredentials": record(
        {
            **dict.fromkeys(("containerName", "SASToken", "storageAccountName"), TEXT),
            "SASUri": _URI,
            "expiryDate": {"type": "string", "format": "date"},
        }
    ),
    "Token": record(
        {"access_token": TEXT, "token_type": {"const": "bearer"}, "expires_in": {**_COUNT, "description": "seconds"}}
    ),
}


def answer_schemas() -> dict[str, Schema]:
    """Name -> component. Of each kind `<Kind>Fields`, which a projection may cut down, `<Kind>`, which is whole, and the answers."""
    schemas: dict[str, Schema] = dict(_OTHERS)
    for collection, kind in READABLE.items():
        fields, required = _KINDS[kind]
        schemas[f"{kind}Fields"] = record(fields, required=())
        schemas[kind] = {"allOf": [ref(f"{kind}Fields")], "required": list(required)}
        schemas[f"{kind}Item"] = record({"items": array(ref(kind), minItems=1, maxItems=1)})
        href = {"type": "string", "pattern": rf"^/{collection}\?continuationToken=[A-Za-z0-9_-]+$"}
        links = record({"next": record({"href": href})}, required=())
        page = record({"items": array(ref(f"{kind}Fields"), maxItems=100), "_links": links}, title="A page")
        schemas[f"{kind}Page"] = {"anyOf": [page, record({"count": _COUNT}, title="With count=true")]}
    return schemas
