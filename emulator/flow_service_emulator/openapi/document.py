"""The OpenAPI description as a whole: every row of the route table with its description, schemas and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from flow_service_emulator import __version__
from flow_service_emulator.api.gateway import DEFAULT_SANDBOX, GATEWAY_PREFIX, GRANTS, MAX_NAME
from flow_service_emulator.api.routes import Operation
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.control.control import CONTROL
from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.openapi.answers import ETAG, SCHEMAS, TEXT, Schema, record
from flow_service_emulator.openapi.console import CONSOLE_SCHEMAS
from flow_service_emulator.openapi.description import JSON, Description, header
from flow_service_emulator.openapi.errors import INJECTED, error_responses, error_schemas
from flow_service_emulator.openapi.faults import FAULT_SCHEMAS
from flow_service_emulator.openapi.operations import descriptions
from flow_service_emulator.openapi.reports import REPORT_SCHEMAS
from flow_service_emulator.openapi.requests import request_schemas

OPENAPI: Final = "3.1.0"
_GATEWAY_ERRORS: Final = (
    *(
        "gateway-token-missing",
        "gateway-token-not-valid",
        "gateway-api-key-missing",
        "gateway-api-key-invalid",
        "gateway-org-missing",
    ),
    *(
        "gateway-org-not-entitled",
        "org-header-empty",
        "org-no-access",
        "sandbox-not-found",
        "token-empty",
        "token-invalid",
    ),
)
_NAME: Final[Schema] = {"type": "string", "maxLength": MAX_NAME}
_ORG: Final = header(
    "x-gw-ims-org-id",
    {**_NAME, "minLength": 1},
    "the organization; entities of one are invisible to every other",
    required=True,
)
_SANDBOX: Final = header("x-sandbox-name", _NAME, f"the sandbox; {DEFAULT_SANDBOX} when absent or empty")
_ABOUT: Final = (
    "A local emulator of the Flow Service: dataset export to cloud storage. Every GET is answered for HEAD too. "
    "An operation's operationId is its name in the emulator's journal and contract report."
)


def encoded_document(table: Sequence[Operation], catalog: Catalog) -> bytes:
    """The description as JSON. Raises KeyError for an operation that nothing describes."""
    return orjson.dumps(document(table, catalog))


def document(table: Sequence[Operation], catalog: Catalog) -> dict[str, Any]:
    """The description of a route table."""
    described = descriptions(catalog)
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        path = openapi_path(operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(
            operation, described[operation.name], table, catalog.errors
        )
    tags = list(dict.fromkeys(described[operation.name].tag for operation in table))
    return {
        "openapi": OPENAPI,
        "info": {"title": "Flow Service emulator", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": {
                **SCHEMAS,
                **FAULT_SCHEMAS,
                **REPORT_SCHEMAS,
                **CONSOLE_SCHEMAS,
                **request_schemas(catalog),
                "TokenRequest": _token_request(),
                **error_schemas(catalog.errors),
            },
            "headers": {
                "x-request-id": {
                    "required": True,
                    "description": "the request's own x-request-id where it had a usable one",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
                },
                "ETag": {"required": True, "description": "the same as the body's etag", "schema": ETAG},
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "POST /ims/token/v3 gives one; checked with --check-auth only",
                },
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def openapi_path(path: str) -> str:
    """A route's path without Starlette's convertors: `/exports/{path:path}` -> `/exports/{path}`."""
    return path.replace(":path}", "}")


def _operation(
    operation: Operation, described: Description, table: Sequence[Operation], errors: ErrorTable
) -> dict[str, Any]:
    behind_gateway = operation.path.startswith(GATEWAY_PREFIX)
    parameters = [*_path_parameters(operation, described), *described.parameters]
    if behind_gateway:
        parameters += [_ORG, _SANDBOX]
    responses = {str(status): _answer(schema, described) for status, schema in described.answers.items()}
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [described.tag],
        "summary": described.summary,
        "parameters": parameters,
        "responses": responses | error_responses(_errors(operation, described, table, errors), errors),
        "security": [{"token": [], "apiKey": []}] if behind_gateway else [],
    }
    if described.notes:
        entry["description"] = described.notes
    if described.body is not None:
        entry["requestBody"] = {
            "required": described.body_required,
            "content": {
                described.request_type: {"schema": described.body},
                **{form: {"schema": {"type": "string"}} for form in described.other_request_types},
            },
        }
    return entry


def _path_parameters(operation: Operation, described: Description) -> list[Schema]:
    """The path's parameters that the description does not have more to say about."""
    own = {parameter["name"] for parameter in described.parameters if parameter["in"] == "path"}
    names = [part.strip("{}") for part in openapi_path(operation.path).split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in names
        if name not in own
    ]


def _errors(operation: Operation, described: Description, table: Sequence[Operation], errors: ErrorTable) -> list[str]:
    """The operation's own errors, and those that follow from where it is and what it takes."""
    names = [*described.errors, "body-too-large", "content-encoding-unsupported"]
    if operation.path.startswith(GATEWAY_PREFIX):
        names += _GATEWAY_ERRORS
        names += [kind.name for kind in errors.kinds.values() if kind.applies_to.startswith(INJECTED)]
        if described.body is not None:
            names += ["content-type-missing", "body-malformed"]
    elif described.body is not None and described.request_type == JSON:
        names.append("body-malformed")
    if operation.path.startswith(CONTROL):
        names.append("host-not-allowed")
    if operation.path.endswith("}") or "}/" in operation.path:
        names.append("path-not-found")  # an id with a slash in it leads to a path that is none
        if any(other.path.startswith(operation.path + "/") for other in table):
            names.append("method-not-allowed")  # or to one that has other methods
    return names


def _answer(schema: Schema | None, described: Description) -> Schema:
    """A success."""
    names = ("x-request-id", *described.answer_headers)
    answer: Schema = {
        "description": described.summary,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if schema is not None:
        answer["content"] = {described.answer_type: {"schema": schema}, **{form: {} for form in described.other_types}}
    if described.links:
        answer["links"] = {
            name.replace(":", "-"): {"operationId": name, **given} for name, given in described.links.items()
        }
    return answer


def _token_request() -> Schema:
    """The token endpoint's form."""
    forms = [
        record(
            {
                "grant_type": {"const": grant},
                **{name: {"type": "string", "minLength": 1} for name in fields},
                "scope": TEXT,
                "org_id": TEXT,
            },
            required=("grant_type", *fields),
        )
        for grant, fields in GRANTS.items()
    ]
    return {"anyOf": forms}
