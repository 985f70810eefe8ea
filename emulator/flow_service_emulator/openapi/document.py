"""The OpenAPI description as a whole, made of the table of operations, the fixtures and the table of errors.

A control call has its summary here and no more; the documentation says what it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from flow_service_emulator import __version__
from flow_service_emulator.api.gateway import DEFAULT_SANDBOX, GATEWAY_PREFIX, MAX_NAME
from flow_service_emulator.api.injection import SERVICE_PREFIXES
from flow_service_emulator.api.operations import READABLE, Operation, parameter
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.errors import ErrorKind, ErrorTable
from flow_service_emulator.openapi.components import answer_schemas, ref, request_schemas
from flow_service_emulator.service.bodies import Schema, schema_of

JSON: Final = "application/json"
ERROR: Final = "error."
"""What the names of the error components begin with; the error's name follows."""
ABOUT: Final = (
    "A local emulator of the Flow Service: dataset export to cloud storage. Every GET is answered for HEAD too. "
    "An operation's operationId is its name in the emulator's journal and contract report."
)
_ANYWHERE: Final = ("body-too-large", "content-encoding-unsupported")
_GATEWAY: Final = (
    *("gateway-token-missing", "gateway-token-not-valid", "gateway-api-key-missing", "gateway-api-key-invalid"),
    *("gateway-org-missing", "gateway-org-not-entitled", "org-header-empty", "org-no-access", "sandbox-not-found"),
    *("token-empty", "token-invalid"),
)
_NAME: Final[Schema] = {"type": "string", "maxLength": MAX_NAME}
_SCOPE: Final = (
    parameter("x-gw-ims-org-id", {**_NAME, "minLength": 1}, "the organization", where="header", required=True),
    parameter("x-sandbox-name", _NAME, f"the sandbox; {DEFAULT_SANDBOX} when absent or empty", where="header"),
)
_REQUEST_ID: Final[Schema] = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
_HEADERS: Final[Schema] = {
    "x-request-id": {
        "required": True,
        "description": "the request's own x-request-id where it had a usable one",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "ETag": {"required": True, "description": "the same as the body's etag", "schema": schema_of("etag")},
}
_SECURITY: Final[Schema] = {
    "token": {"type": "http", "scheme": "bearer", "description": "POST /ims/token/v3 gives one"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def document(table: Sequence[Operation], catalog: Catalog) -> dict[str, Any]:
    """The description of a table of operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(_path(operation), {})[operation.method.lower()] = {
            "operationId": operation.name,
            "tags": [_tag(operation)],
            "summary": operation.summary,
            **(
                _described(operation, table, catalog.errors)
                if operation.path.startswith(SERVICE_PREFIXES)
                else _control_call(operation)
            ),
        }
    tags = dict.fromkeys(map(_tag, table))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flow Service emulator", "version": __version__, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": {**answer_schemas(), **request_schemas(catalog), **_error_schemas(catalog.errors)},
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _path(operation: Operation) -> str:
    """The path without a convertor: `/exports/{path:path}` -> `/exports/{path}`."""
    return operation.path.replace(":path}", "}")


def _tag(operation: Operation) -> str:
    """The heading that an operation stands under."""
    if operation.status >= 400:
        return "not emulated"
    if operation.path.startswith(BASE):
        return operation.path.removeprefix(BASE).split("/")[1]
    tags = {"/landingzone": "landing zone", "/adhocrun": "runs", "/ims/": "token"}
    return next((tag for words, tag in tags.items() if words in operation.path), "emulator")


def _control_call(operation: Operation) -> Schema:
    responses = {"default": {"description": operation.summary}}
    return {"parameters": _path_parameters(operation), "responses": responses, "security": []}


def _described(operation: Operation, table: Sequence[Operation], errors: ErrorTable) -> Schema:
    behind_gateway = operation.path.startswith(GATEWAY_PREFIX)
    entry: Schema = {
        **({"description": f"Unclear: {operation.unclear}."} if operation.unclear else {}),
        "parameters": [*_path_parameters(operation), *operation.parameters, *(_SCOPE if behind_gateway else ())],
        "responses": _answer(operation, table) | _error_responses(_errors(operation, table, errors), errors),
        "security": [{"token": [], "apiKey": []}] if behind_gateway else [],
    }
    if operation.body is not None:
        form = JSON if behind_gateway else "application/x-www-form-urlencoded"
        entry["requestBody"] = {"required": True, "content": {form: {"schema": ref(operation.body)}}}
    return entry


def _path_parameters(operation: Operation) -> list[Schema]:
    names = [part.strip("{}") for part in _path(operation).split("/") if part.startswith("{")]
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _answer(operation: Operation, table: Sequence[Operation]) -> Schema:
    """The success of an operation; none of those that the emulator does not have."""
    if operation.status >= 400:
        return {}
    collection = operation.name.removeprefix("get:")
    headers = dict(_REQUEST_ID)
    if collection in READABLE and not collection.endswith("Specs"):
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    answer: Schema = {"description": operation.summary, "headers": headers}
    if operation.answer is not None:
        answer["content"] = {JSON: {"schema": ref(operation.answer)}}
    if operation.answer == "Created" and operation.status == 201:
        answer["links"] = _links(operation, table)
    return {str(operation.status): answer}


def _links(creation: Operation, table: Sequence[Operation]) -> Schema:
    """The operations on an entity, given the answer of its creation."""
    links: Schema = {}
    for operation in table:
        if operation.path.startswith(f"{creation.path}/{{id}}") and operation.status < 400:
            given = {"id": "$response.body#/id"}
            if any(each["name"] == "If-Match" for each in operation.parameters):
                given["If-Match"] = "$response.body#/etag"
            links[operation.name.replace(":", "-")] = {"operationId": operation.name, "parameters": given}
    return links


def _errors(operation: Operation, table: Sequence[Operation], errors: ErrorTable) -> list[str]:
    """The operation's own errors, and those that follow from where it is and what it takes."""
    names = [*operation.errors, *_ANYWHERE]
    if operation.path.startswith(GATEWAY_PREFIX):
        names += _GATEWAY
        names += [kind.name for kind in errors.kinds.values() if kind.applies_to.startswith("injected fault")]
        if operation.body is not None:
            names += ["content-type-missing", "body-malformed"]
    if "{id}" in operation.path:
        names.append("path-not-found")  # an id with a slash in it leads to a path that is none
        if any(other.path.startswith(operation.path + "/") for other in table):
            names.append("method-not-allowed")  # or to one that has other methods
    return names


def _error_responses(names: Iterable[str], errors: ErrorTable) -> Schema:
    """Status -> response. Raises KeyError for a name that the table of errors does not have."""
    by_status: dict[int, list[ErrorKind]] = {}
    for name in dict.fromkeys(names):
        by_status.setdefault(errors.kinds[name].status, []).append(errors.kinds[name])
    return {str(status): _error_response(status, kinds) for status, kinds in sorted(by_status.items())}


def _error_response(status: int, kinds: list[ErrorKind]) -> Schema:
    schemas = [ref(ERROR + kind.name) for kind in kinds]
    headers = dict(_REQUEST_ID)
    if status == 429:
        headers["Retry-After"] = {"description": "seconds", "schema": schema_of("text")}
    if status == 405:
        headers["Allow"] = {"required": True, "schema": schema_of("text")}
    return {
        "description": "; ".join(dict.fromkeys(kind.title or kind.message for kind in kinds)),
        "headers": headers,
        "content": {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}},
    }


def _error_schemas(errors: ErrorTable) -> dict[str, Schema]:
    """One component for each row of the table of errors."""
    schemas = {}
    for kind in errors.kinds.values():
        schemas[ERROR + kind.name] = {
            "title": f"{kind.code} {kind.title}".strip() or kind.name,
            "description": f"{kind.message} ({kind.applies_to})",
            "allOf": [ref(f"{kind.family.capitalize()}Error")],
            "properties": {name: {"const": value} for name, value in kind.fixed.items()},
        }
    return schemas
