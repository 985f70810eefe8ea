"""What each operation of the route table does, takes and answers: one row for each, by the operation's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from flow_service_emulator.api.landing_zone import CONTAINERS
from flow_service_emulator.api.routes import READABLE, UNSUPPORTED, WRITABLE
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.openapi.answers import ENTITY_SCHEMAS, Schema, look_up_of, page_of, ref
from flow_service_emulator.openapi.control_operations import CONTROL_OPERATIONS
from flow_service_emulator.openapi.description import FORM, Description, header, parameter
from flow_service_emulator.query.query import DEFAULT_WINDOW, MAX_LIMIT, MAX_PROPERTIES
from flow_service_emulator.service.service import ACTIONS

_TEXT: Final[Schema] = {"type": "string"}
_PAGE_SIZE: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
_TYPE: Final = parameter("type", {"enum": list(CONTAINERS)}, "which landing zone", required=True)
_IF_MATCH: Final = header(
    "If-Match", {"type": "string", "minLength": 1}, "the entity's etag with its double quotes", required=True
)
_LIST_EXAMPLES: Final[Mapping[str, tuple[str, str, str]]] = {
    "runs": ("metrics.statusSummary.status==success", "id,metrics", "-createdAt"),
    "connectionSpecs": ('name=="Amazon S3"', "id,name", "name"),
    "flowSpecs": ('name=="Amazon S3"', "id,name", "name"),
}
"""Collection -> a filter, a projection and an order, where those of the others do not fit."""
_LIST_ERRORS: Final = (
    *("limit-with-count", "sort-order-invalid", "orderby-field-invalid", "filter-operator-not-implemented"),
    *(
        "filter-operator-single-value",
        "filter-operator-unsupported-for-field",
        "filter-field-invalid",
        "filter-operator-invalid",
    ),
    *("query-param-unknown", "value-invalid", "query-value-invalid"),
)
_CHECKED: Final = ("body-empty", "provider-rejected", "spec-id-invalid", "spec-version-missing", "state-invalid")
_OWN_ERRORS: Final[Mapping[str, tuple[str, ...]]] = {
    "create:connections": ("auth-spec-not-found",),
    "create:flows": ("state-in-create",),
    "patch:connections": ("auth-spec-not-found", "connection-spec-immutable"),
    "delete:connections": ("base-connection-in-use",),
    "delete:sourceConnections": ("in-active-flow",),
    "delete:targetConnections": ("in-active-flow",),
}
_CONFIG_PARAMETERS: Final = (
    parameter("outputType", {"const": "activationDatasets"}, "what to list", required=True),
    parameter("outputField", {"const": "datasets"}, "what to list", required=True),
    parameter(
        "start", {"type": "integer", "minimum": 0, "maximum": 999_999_999, "default": 0}, "index of the first item"
    ),
    parameter("limit", {**_PAGE_SIZE, "default": DEFAULT_WINDOW}, "items on a page"),
    parameter(
        "properties",
        {"type": "string", "pattern": "^[A-Za-z0-9_$@-]{1,100}(,[A-Za-z0-9_$@-]{1,100}){0,20}$"},
        "fields of each item to answer, beside id",
        example="name,state",
    ),
)
_ACTION_PARAMETERS: Final = (parameter("op", {"enum": list(ACTIONS)}, "in any letter case", required=True),)


def descriptions(catalog: Catalog) -> dict[str, Description]:
    """Operation's name -> its description."""
    table: dict[str, Description] = {"openapi": Description("emulator", "This description", {200: ref("OpenApi")})}
    for collection in ("connectionSpecs", "flowSpecs", *READABLE):
        table |= _reading(collection)
    for collection in WRITABLE:
        table |= _writing(collection)
    table |= _ACTIONS
    table["listConfigs"] = _configs(catalog)
    for name, _, _, feature in UNSUPPORTED:
        table[name] = Description("not emulated", f"Not emulated: {feature}", {}, ("unsupported",))
    return table | {f"control:{name}": description for name, description in CONTROL_OPERATIONS.items()}


def _list_parameters(collection: str) -> tuple[Schema, ...]:
    condition, fields, order = _LIST_EXAMPLES.get(
        collection, ('name=="a name"', "id,name,createdAt", "-createdAt,name")
    )
    return (
        parameter(
            "property",
            {"type": "array", "items": _TEXT, "maxItems": MAX_PROPERTIES},
            "a filter `<path><operator><value>` with an operator out of == != < > <= >=, where `[]` reaches into an array and a "
            "value with commas means any of them; or, without an operator, the top-level fields to answer, separated by commas. "
            "Several filters are ANDed.",
            style="form",
            explode=True,
            examples={"filter": {"value": [condition]}, "projection": {"value": [fields]}},
        ),
        parameter(
            "orderby", _TEXT, "fields separated by commas, each with + (ascending) or - before it", example=order
        ),
        parameter("limit", _PAGE_SIZE, "items on a page; not together with count=true"),
        parameter("count", {"type": "boolean"}, "true answers how many there are, and none of them"),
        parameter("continuationToken", _TEXT, "where the next page begins, from _links.next of the page before"),
    )


def _reading(collection: str) -> Iterable[tuple[str, Description]]:
    name = ENTITY_SCHEMAS[collection]
    parameters = _list_parameters(collection)
    yield (
        f"list:{collection}",
        Description(collection, f"List {collection}", {200: page_of(collection)}, _LIST_ERRORS, parameters),
    )
    headers = () if collection.endswith("Specs") else ("ETag",)
    yield (
        f"get:{collection}",
        Description(
            collection,
            f"Look up a {name}",
            {200: look_up_of(collection)},
            ("resource-not-found",),
            answer_headers=headers,
        ),
    )


def _writing(collection: str) -> Iterable[tuple[str, Description]]:
    kind = ENTITY_SCHEMAS[collection]
    create, patch, delete = (f"{verb}:{collection}" for verb in ("create", "patch", "delete"))
    by_id: Schema = {"parameters": {"id": "$response.body#/id"}}
    links: dict[str, Schema] = {
        f"get:{collection}": by_id,
        patch: {"parameters": {**by_id["parameters"], "If-Match": "$response.body#/etag"}},
        delete: by_id,
    }
    if collection == "flows":
        links["actOnFlow"] = by_id
        links["create:runs"] = {"requestBody": {"flowId": "$response.body#/id"}}
    yield (
        create,
        Description(
            collection,
            f"Create a {kind}",
            {201: ref("Created")},
            (*_CHECKED, *_OWN_ERRORS.get(create, ()), "store-unavailable"),
            body=ref(f"{kind}Request"),
            links=links,
        ),
    )
    yield (
        patch,
        Description(
            collection,
            f"Change a {kind}",
            {200: ref("Created")},
            (
                *(
                    "resource-not-found",
                    "if-match-missing",
                    "version-mismatch",
                    "patch-invalid",
                    "operation-unsupported",
                ),
                *(*_CHECKED, *_OWN_ERRORS.get(patch, ()), "store-unavailable"),
            ),
            (_IF_MATCH,),
            body=ref("Patch"),
        ),
    )
    yield (
        delete,
        Description(
            collection,
            f"Delete a {kind}",
            {202: None},
            ("resource-not-found", *_OWN_ERRORS.get(delete, ()), "store-unavailable"),
        ),
    )


def _configs(catalog: Catalog) -> Description:
    known = {"name": "id", "in": "path", "required": True, "schema": {"enum": list(catalog.connection_specs)}}
    return Description(
        "connectionSpecs",
        "List the datasets that can be exported",
        {200: ref("Configs")},
        ("spec-id-invalid", "query-param-unknown", "value-invalid", "query-value-invalid"),
        (known, *_CONFIG_PARAMETERS),
    )


_ACTIONS: Final[dict[str, Description]] = {
    "testConnection": Description(
        "connections", "Test a stored connection", {200: ref("ConnectionTest")}, ("resource-not-found",)
    ),
    "actOnFlow": Description(
        "flows",
        "Enable or disable a Flow",
        {200: ref("Created")},
        (
            *("resource-not-found", "operation-unsupported", "sub-action-unsupported", "action-not-applicable"),
            *("query-param-unknown", "query-value-invalid", "store-unavailable"),
        ),
        _ACTION_PARAMETERS,
    ),
    "create:runs": Description(
        "runs",
        "Run a Flow now",
        {201: ref("Created")},
        (
            "body-empty",
            "flow-id-empty",
            "run-flow-not-found",
            "action-not-applicable",
            "provider-rejected",
            "store-unavailable",
        ),
        body=ref("RunRequest"),
        links={"get:runs": {"parameters": {"id": "$response.body#/id"}}},
    ),
    "adhocRun": Description(
        "runs",
        "Export single datasets of Flows now",
        {200: ref("AdhocRun")},
        ("body-empty", "provider-rejected", "adhoc-invalid", "store-unavailable"),
        body=ref("AdhocRunRequest"),
    ),
    "landingZone": Description(
        "landing zone",
        "The Data Landing Zone's container",
        {200: ref("LandingZone")},
        ("value-invalid", "query-value-invalid"),
        (_TYPE,),
    ),
    "landingZoneCredentials": Description(
        "landing zone",
        "Credentials for the Data Landing Zone",
        {200: ref("LandingZoneCredentials")},
        ("value-invalid", "query-value-invalid"),
        (_TYPE,),
    ),
    "token": Description(
        "token",
        "An access token",
        {200: ref("Token")},
        ("token-request-invalid", "token-grant-unsupported"),
        body=ref("TokenRequest"),
        request_type=FORM,
    ),
    "tokenV2": Description(
        "token",
        "An access token, at the older address",
        {200: ref("Token")},
        ("token-request-invalid", "token-grant-unsupported"),
        body=ref("TokenRequest"),
        request_type=FORM,
    ),
}
