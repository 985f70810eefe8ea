"""The rules of injected faults as JSON Schemas, one for each kind, made of the same table that the rules are read by."""

from __future__ import annotations

from typing import Final

from flow_service_emulator.faults.fields import MAX_COUNT, MAX_PIECES, MAX_RETRY_AFTER, MAX_SECONDS, MAX_TEXT
from flow_service_emulator.faults.rules import KINDS, MAX_RULES, READ_ONLY, fields_of
from flow_service_emulator.faults.scenarios import SCENARIOS
from flow_service_emulator.openapi.answers import COUNT, TEXT, Schema, array, record, ref

_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_COUNTER: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}
_SECONDS: Final[Schema] = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": MAX_SECONDS,
    "description": "seconds of the machine, not of the emulator's clock",
}
_FIELDS: Final[dict[str, Schema]] = {
    "id": {
        "type": "string",
        "pattern": "^[A-Za-z0-9._-]{1,64}$",
        "description": "made of the kind and a number when absent",
    },
    "operation": {**_NAME, "description": "glob over operationIds, such as create:*"},
    "method": {**_NAME, "description": "in any letter case"},
    "path": {
        **_NAME,
        "description": "glob over the whole path or the path below the base path; * stands for slashes as well",
    },
    "org": _NAME,
    "sandbox": {**_NAME, "description": "prod is also met by requests without a sandbox header"},
    "entity": {**_NAME, "description": "the id in the path"},
    "header": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 10,
        "additionalProperties": _NAME,
        "description": "header -> glob over its value",
    },
    "nth": {
        **_COUNTER,
        "description": "from which matching request or run on, counted from 1; once then, unless times says otherwise",
    },
    "times": {
        **_COUNTER,
        "type": ["integer", "null"],
        "description": "how often at most; null is until the rule is deleted",
    },
    "rate": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1,
        "description": "the share of matching requests or runs, drawn from the seed",
    },
    "seed": {
        "type": "integer",
        "minimum": -(2**63),
        "maximum": 2**63 - 1,
        "description": "the server's own when absent",
    },
    "error": {**_NAME, "description": "name or code of a documented error, such as 1103-503"},
    "fields": {
        "type": "object",
        "additionalProperties": {"type": ["string", "number"]},
        "description": "what stands in the error's message",
    },
    "retryAfter": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_RETRY_AFTER,
        "description": "seconds, for the header Retry-After",
    },
    "seconds": _SECONDS,
    "bytes": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_COUNT,
        "description": "how much of the body is sent; half when absent",
    },
    "pieces": {
        "type": "integer",
        "minimum": 2,
        "maximum": MAX_PIECES,
        "description": "in how many pieces the body is sent; 10 when absent",
    },
    "flow": {**_NAME, "description": "id of a flow that is there"},
    "destination": {**_NAME, "description": "folder name of a destination, such as amazon-s3"},
    "dataset": {**_NAME, "description": "id of an eligible dataset"},
    "code": {**_NAME, "description": "the failed run's code; the service's own when absent"},
    "message": {**_NAME, "description": "the failed run's message; the service's own when absent"},
}


def _rule(kind: str) -> Schema:
    fields = {name: _FIELDS[name] for name in fields_of(kind) if name not in ("kind", "stage")}
    if "stage" in KINDS[kind].own:
        fields["stage"] = {"enum": list(KINDS[kind].stages)}
    does = KINDS[kind].does
    counts: Schema = {name: {} for name in READ_ONLY}
    properties = {"kind": {"const": kind}, **fields, **counts}
    return record(
        properties,
        required=("kind", *KINDS[kind].needed),
        additionalProperties=False,
        title=kind,
        description=f"{does[:1].upper()}{does[1:]}.",
    )


_ANSWERED: Final = record(
    {
        "id": TEXT,
        "kind": {"enum": list(KINDS)},
        "times": {"type": ["integer", "null"]},
        "matched": COUNT,
        "fired": COUNT,
        "repeats": COUNT,
    }
)
FAULT_SCHEMAS: Final[dict[str, Schema]] = {
    "FaultRule": {"oneOf": [_rule(kind) for kind in KINDS]},
    "FaultRules": record({"rules": array(ref("FaultRule"), maxItems=MAX_RULES)}, additionalProperties=False),
    "FaultScenario": record(
        {"scenario": {"enum": list(SCENARIOS)}, "org": _NAME, "sandbox": _NAME},
        required=("scenario",),
        additionalProperties=False,
    ),
    "Faults": record({"rules": array(_ANSWERED)}),
    "FaultsDeleted": record({"deleted": COUNT}),
    "Scenarios": record(
        {"items": array(record({"name": TEXT, "happens": TEXT, "goodClient": TEXT, "rules": array(ref("FaultRule"))}))}
    ),
}
