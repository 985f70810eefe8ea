"""The descriptions of the journal and the contract report."""

from __future__ import annotations

from typing import Final

from flow_service_emulator.contract.contract import VERDICTS
from flow_service_emulator.contract.journal import MAX_LIMIT
from flow_service_emulator.openapi.answers import COUNT, NUMBER, TEXT, Schema, array, record, ref
from flow_service_emulator.openapi.description import Description, parameter
from flow_service_emulator.reports.formats import FORMATS
from flow_service_emulator.reports.words import DETAILS, REPORT_FORMAT, SEVERITIES

_KIND: Final[Schema] = {
    "type": "string",
    "description": "such as required or enum; empty where a rule has one kind only",
}
_OPTIONAL: Final[Schema] = {"type": ["string", "null"]}
_BODY: Final[Schema] = record(
    {
        "headers": {"type": "object", "additionalProperties": TEXT},
        "size": {**COUNT, "description": "bytes"},
        "body": {"description": "the JSON or the form, without its secrets"},
        "text": {"type": "string", "description": "the beginning of a body that is too long, or was cut off"},
        "unread": {"type": "string", "description": "why nothing is kept of the body"},
    },
    required=("headers", "size"),
)
_WHERE: Final[Schema] = record(
    {
        "entry": {**COUNT, "description": "the request's number in the journal"},
        "requestId": TEXT,
        "method": TEXT,
        "path": TEXT,
        "status": COUNT,
        "at": NUMBER,
        "inJournal": {"const": False, "description": "there when the journal does not have the request any more"},
    },
    required=("entry", "requestId", "method", "path", "status", "at"),
)
_RULE: Final[Schema] = record(
    {
        "id": TEXT,
        "severity": {"enum": list(SEVERITIES)},
        "title": TEXT,
        "code": TEXT,
        "status": COUNT,
        "source": TEXT,
        "sourceUrl": {"type": "string", "format": "uri", "description": "where that can be read, if it is public"},
        "fix": {"type": "string", "description": "how to fix it"},
        "count": {**COUNT, "description": "requests that met the rule"},
        "findings": array(
            record(
                {
                    "operation": TEXT,
                    "place": TEXT,
                    "kind": _KIND,
                    "message": TEXT,
                    "count": COUNT,
                    "first": _WHERE,
                    "last": _WHERE,
                }
            )
        ),
    },
    required=("id", "severity", "title", "source", "fix", "count"),
)
_NAMED: Final[Schema] = record({"name": TEXT, "title": TEXT, "count": COUNT}, required=("name", "title"))

REPORT_SCHEMAS: Final[dict[str, Schema]] = {
    "Requests": record(
        {
            "items": array(
                record(
                    {
                        "number": COUNT,
                        "at": {**NUMBER, "description": "epoch seconds of the emulator's time"},
                        "durationMs": {**NUMBER, "description": "milliseconds of the machine's time"},
                        **dict.fromkeys(("requestId", "method", "path", "query", "org", "sandbox"), TEXT),
                        "operation": _OPTIONAL,
                        "request": _BODY,
                        "status": {**COUNT, "description": "0 when no answer went out"},
                        "answer": _BODY,
                        "error": {**_OPTIONAL, "description": "the error's name"},
                        "fault": {**_OPTIONAL, "description": "the id of the fault rule that hit the request"},
                        "verdict": {"enum": list(VERDICTS)},
                        "findings": array(
                            record(
                                {
                                    **dict.fromkeys(("rule", "place", "message", "severity", "fix"), TEXT),
                                    "kind": _KIND,
                                },
                                required=("rule", "place", "kind", "message"),
                            )
                        ),
                    }
                )
            ),
            "number": {**COUNT, "description": "the newest request's; as since it asks for what comes after"},
            "dropped": {**COUNT, "description": "requests that are not in the journal any more"},
        }
    ),
    "RequestsDeleted": record({"status": {"const": "ok"}, "number": COUNT}),
    "ContractDeleted": record({"status": {"const": "ok"}}),
    "Contract": record(
        {
            "format": {"const": REPORT_FORMAT},
            "emulator": TEXT,
            "now": NUMBER,
            "summary": {"type": "object"},
            "violations": array(_RULE),
            "warnings": array(_RULE),
            "coverage": {
                "type": "object",
                "additionalProperties": record({"total": COUNT, "met": array(_NAMED), "never": array(_NAMED)}),
            },
            "rules": array(_RULE),
        }
    ),
}
"""Name -> schema of a component."""

REPORT_OPERATIONS: Final[dict[str, Description]] = {
    "listRequests": Description(
        "emulator",
        "The journal of the service's requests, newest last",
        {200: ref("Requests")},
        ("control-invalid", "query-value-invalid"),
        (
            parameter("method", {"type": "string", "pattern": "^[A-Za-z]+$"}, "the method"),
            parameter("path", {"type": "string", "minLength": 1}, "beginning of the path, or a glob with * and ?"),
            parameter("status", {"type": "string", "pattern": "^[1-5]([0-9][0-9]|xx)$"}, "a status, or a class: 4xx"),
            parameter(
                "since",
                {"type": "number", "minimum": 0, "exclusiveMaximum": 10**12},
                "entries after this number, or from this instant on (epoch seconds, or ISO 8601)",
            ),
            parameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "of what is found the newest"),
            parameter("operation", {"type": "string", "minLength": 1}, "the operationId"),
            parameter("verdict", {"enum": list(VERDICTS)}, "what the contract says of the request"),
            parameter("org", {"type": "string", "minLength": 1}, "the organization"),
            parameter("sandbox", {"type": "string", "minLength": 1}, "the sandbox"),
        ),
        notes="Secrets are masked. Control calls are not in it.",
    ),
    "deleteRequests": Description(
        "emulator", "Empty the journal", {200: ref("RequestsDeleted")}, ("control-invalid", "query-value-invalid")
    ),
    "getContract": Description(
        "emulator",
        "The contract report: violations, warnings, coverage",
        {200: ref("Contract")},
        ("control-invalid", "query-value-invalid"),
        (
            parameter("format", {"enum": list(FORMATS), "default": "json"}, "the form"),
            parameter(
                "fail-on", {"enum": list(SEVERITIES), "default": "violation"}, "from what on JUnit's test cases fail"
            ),
            parameter("coverage", {"enum": list(DETAILS), "default": "short"}, "how much a text says of the coverage"),
        ),
        other_types=tuple(form.partition(";")[0] for name, form in FORMATS.items() if name != "json"),
    ),
    "deleteContract": Description(
        "emulator",
        "Let the contract report begin anew",
        {200: ref("ContractDeleted")},
        ("control-invalid", "query-value-invalid"),
        notes="The journal and all entities stay.",
    ),
}
