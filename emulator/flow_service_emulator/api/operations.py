"""The table of the service's operations: one row for each. The routes and the OpenAPI description are made of it.

Source of every row: reference, section "Endpoints". To add an operation, write its handler and its row. `body` and `answer` name
schemas of the description: a new one goes into `fixtures/bodies.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from flow_service_emulator.api.exchange import Handler
from flow_service_emulator.api.gateway import Gateway
from flow_service_emulator.api.routes import BASE, CONTAINERS, REFRESH, Routes, unsupported
from flow_service_emulator.query.query import MAX_LIMIT
from flow_service_emulator.service.eligible import DEFAULT_LIMIT
from flow_service_emulator.service.service import ACTIONS, RETRIGGERS
from flow_service_emulator.settings import MAX_BODY_BYTES

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. `name` is the operation's name in the journal, the contract report and the OpenAPI description.

    `errors` are names of rows of `fixtures/errors.json`. What the gateway, the path and the reading of the body cause is added
    where the description is made.
    """

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    errors: tuple[str, ...] = ()
    answer: str | None = None
    status: int = 200
    body: str | None = None
    parameters: tuple[Schema, ...] = ()
    limit: int = MAX_BODY_BYTES
    """How many bytes the body may have."""
    unclear: str = ""
    """What no source settles, and what the emulator does there."""


def parameter(
    name: str, schema: Schema, text: str, *, where: str = "query", required: bool = False, **more: Any
) -> Schema:
    """A parameter of the query, or of the header."""
    return {"name": name, "in": where, "required": required, "description": text, "schema": schema, **more}


ADHOC: Final = "/data/core/activation/disflowprovider/adhocrun"
LANDING_ZONE: Final = "/data/foundation/connectors/landingzone"
WRITABLE: Final[Mapping[str, str]] = {
    "connections": "Connection",
    "sourceConnections": "SourceConnection",
    "targetConnections": "TargetConnection",
    "flows": "Flow",
}
READABLE: Final[Mapping[str, str]] = {
    "connectionSpecs": "ConnectionSpec",
    "flowSpecs": "FlowSpec",
    **WRITABLE,
    "runs": "Run",
}
"""Collection -> name of the schema of one of its entities."""
SEARCHABLE: Final = ("connections", "flows", "flowSpecs")
"""Collections that have a search (Flow Service API 3.0.1)."""
UNCLEAR: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (f"search:{names}" for names in SEARCHABLE),
        "which form queryString has is not published: a list's query string (property=…&property=…) and its conditions alone "
        "are both taken; groupByProperty answers 501",
    ),
    **dict.fromkeys((f"delete:{names}" for names in WRITABLE), "one of the references has 204 for 202"),
    "listConfigs": "which of the Catalog's parameters are passed on is not published: orderBy, name, property, created, updated, "
    "tags, limit, start and properties are taken, and the operator ~ answers 501",
    "retriggerRun": "the API reference has op=RE_TRIGGER, the guide on retrying dataflow runs op=re-trigger: both are taken",
    "create:targetConnections": "whether exports of datasets have a manifest where includeFileManifest is absent: they have",
    "patch:targetConnections": "whether a part of /params replaces all of it: the rest is kept, with a warning",
}
"""Operation's name -> what no source settles about it, and what the emulator does."""
# fmt: off
GONE: Final = ("resource-not-found",)
FULL: Final = ("store-unavailable",)
VALUES: Final = ("query-param-unknown", "query-value-invalid")
FILTER: Final = (
    "filter-operator-single-value", "filter-operator-unsupported-for-field", "filter-field-invalid",
    "filter-operator-invalid", "value-invalid", *VALUES,
)
LIST: Final = (
    "limit-with-count", "sort-order-invalid", "orderby-field-invalid", "filter-operator-not-implemented", *FILTER
)
SEARCH: Final = (*LIST, "body-empty", "provider-rejected", "unsupported")
CONFIGS: Final = (*FILTER, "spec-id-invalid", "unsupported")
DELETE: Final = GONE + FULL
CREATE: Final = (
    "body-empty", "provider-rejected", "spec-id-invalid", "spec-version-missing", "state-invalid", *FULL
)
PATCH: Final = (*GONE, "if-match-missing", "version-mismatch", "patch-invalid", "operation-unsupported", *CREATE)
ACT: Final = (
    *GONE, "operation-unsupported", "unsupported", "sub-action-unsupported", "action-not-applicable", *VALUES, *FULL
)
RETRIGGER: Final = (
    *GONE, "operation-unsupported", "action-not-applicable", "run-flow-not-found", *VALUES, *FULL
)
RUN: Final = (
    "body-empty", "flow-id-empty", "run-flow-not-found", "action-not-applicable", "provider-rejected", *FULL
)
ADHOC_RUN: Final = (
    "body-empty", "provider-rejected", "adhoc-invalid", "adhoc-not-ready", "adhoc-out-of-range", "adhoc-running", *FULL
)
ZONE: Final = ("value-invalid", "query-value-invalid")
TOKEN: Final = ("token-request-invalid", "token-grant-unsupported")
OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "create:connections": ("auth-spec-not-found",),
    "create:flows": ("state-in-create",),
    "patch:connections": ("auth-spec-not-found", "connection-spec-immutable"),
    "delete:connections": ("base-connection-in-use",),
    "delete:sourceConnections": ("in-active-flow",),
    "delete:targetConnections": ("in-active-flow",),
}
"""Operation's name -> the errors that the others of its kind do not have."""
_TEXT: Final[Schema] = {"type": "string"}
_PAGE_SIZE: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
_INDEX: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 999_999_999, "default": 0}
_NAMES: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_$@-]{1,100}(,[A-Za-z0-9_$@-]{1,100}){0,20}$"}
_ETAG: Final[Schema] = {"type": "string", "minLength": 1}
_IF_MATCH: Final = (parameter("If-Match", _ETAG, "the entity's etag, with its quotes", where="header", required=True),)
_LIST: Final = (
    parameter(
        "property",
        {"type": "array", "items": _TEXT},
        "a filter `<path><operator><value>` with an operator out of == != < > <= >=, where `[]` reaches into an array and a "
        "value with commas means any of them; or, without an operator, the top-level fields to answer, separated by commas. "
        "Several filters are ANDed.",
        style="form",
        explode=True,
        examples={"filter": {"value": ['name=="a name"']}, "projection": {"value": ["id,name"]}},
    ),
    parameter("orderby", _TEXT, "fields separated by commas, each with + (ascending) or - before it", example="-id"),
    parameter("limit", _PAGE_SIZE, "items on a page; not together with count=true"),
    parameter("count", {"type": "boolean"}, "true answers how many there are, and none of them"),
    parameter("continuationToken", _TEXT, "where the next page begins, from _links.next of the page before"),
)
_CONFIGS: Final = (
    parameter("outputType", {"const": "activationDatasets"}, "what to list", required=True),
    parameter("outputField", {"const": "datasets"}, "what to list", required=True),
    parameter("start", _INDEX, "index of the first item"),
    parameter("limit", {**_PAGE_SIZE, "default": DEFAULT_LIMIT}, "items on a page"),
    parameter("properties", _NAMES, "fields of each item to answer, beside id", example="name,state"),
    parameter("orderBy", _TEXT, "fields, each with asc: or desc: before it", example="desc:created,name"),
    parameter("name", _TEXT, "the dataset's name", example="AAM Devices Data"),
    parameter("created", _TEXT, "when it was created, in epoch milliseconds"),
    parameter("updated", _TEXT, "when it was last changed, in epoch milliseconds"),
    parameter("tags", _TEXT, "tags that it has, as name:value or name:*", example="adobe/pqs/table:*"),
    _LIST[0] | {"description": "a filter as in lists, or a field that is there",
                "examples": {"filter": {"value": ["state==DRAFT"]}}},
)
_ZONE: Final = (parameter("type", {"enum": list(CONTAINERS)}, "which landing zone", required=True),)
_REFRESH: Final = (parameter("action", {"const": REFRESH}, "to get new credentials"),)
_REFRESHED: Final = ({**_REFRESH[0], "required": True},)
_RETRIGGER: Final = (parameter("op", {"enum": list(RETRIGGERS)}, "in any letter case", required=True),)
_ACTION: Final = (parameter("op", {"enum": list(ACTIONS)}, "in any letter case", required=True),)


def operations(routes: Routes, gateway: Gateway, unbuilt: Sequence[Mapping[str, str]]) -> list[Operation]:
    """The whole table; `unbuilt` are rows of `fixtures/unsupported.json`."""
    row, table = Operation, []
    for names, kind in READABLE.items():
        many, one = f"{BASE}/{names}", f"{BASE}/{names}/{{id}}"
        table += [
            row(f"list:{names}", "GET", many, partial(routes.list, names), f"List {names}", LIST, f"{kind}Page", parameters=_LIST),
            row(f"get:{names}", "GET", one, partial(routes.get, names), f"Look up a {kind}", GONE, f"{kind}Item"),
        ]
    for names, kind in WRITABLE.items():
        many, one = f"{BASE}/{names}", f"{BASE}/{names}/{{id}}"
        create, patch, delete = f"create:{names}", f"patch:{names}", f"delete:{names}"
        table += [
            row(create, "POST", many, partial(routes.create, names), f"Create a {kind}",
                CREATE + OWN.get(create, ()), "Created", 201, f"{kind}Request"),
            row(patch, "PATCH", one, partial(routes.patch, names), f"Change a {kind}",
                PATCH + OWN.get(patch, ()), "Created", 200, "Patch", parameters=_IF_MATCH),
            row(delete, "DELETE", one, partial(routes.delete, names), f"Delete a {kind}",
                DELETE + OWN.get(delete, ()), status=202),
        ]
    table += [
        row("listConfigs", "GET", f"{BASE}/connectionSpecs/{{id}}/configs", routes.configs,
            "List the datasets that can be exported", CONFIGS, "Configs", parameters=_CONFIGS),
        row("testConnection", "GET", f"{BASE}/connections/{{id}}/test", routes.test_connection,
            "Test a stored connection", GONE, "ConnectionTest"),
        row("actOnFlow", "POST", f"{BASE}/flows/{{id}}/action", routes.act,
            "Enable or disable a Flow", ACT, "Created", parameters=_ACTION),
        row("retriggerRun", "POST", f"{BASE}/runs/{{id}}/action", routes.retrigger,
            "Run the datasets of a failed Run again", RETRIGGER, "Created", parameters=_RETRIGGER),
        row("create:runs", "POST", f"{BASE}/runs", routes.run_now,
            "Run a Flow now", RUN, "Created", 201, "RunRequest"),
        row("adhocRun", "POST", ADHOC, routes.adhoc_run,
            "Export single datasets of Flows now", ADHOC_RUN, "AdhocRun", 200, "AdhocRunRequest"),
        row("landingZone", "GET", LANDING_ZONE, routes.landing_zone,
            "The Data Landing Zone's container", ZONE, "LandingZone", parameters=_ZONE),
        row("landingZoneCredentials", "GET", f"{LANDING_ZONE}/credentials", routes.landing_zone_credentials,
            "Credentials for the Data Landing Zone", ZONE, "LandingZoneCredentials", parameters=_ZONE + _REFRESH),
        row("refreshLandingZone", "POST", f"{LANDING_ZONE}/credentials", routes.landing_zone_credentials,
            "New credentials for the Data Landing Zone", ZONE, "LandingZoneCredentials", parameters=_ZONE + _REFRESHED),
        row("token", "POST", "/ims/token/v3", gateway.token,
            "An access token", TOKEN, "Token", 200, "TokenRequest"),
        row("tokenV2", "POST", "/ims/token/v2", gateway.token,
            "An access token, at the older address", TOKEN, "Token", 200, "TokenRequest"),
    ]
    for names in SEARCHABLE:
        table.append(
            row(f"search:{names}", "POST", f"{BASE}/{names}/search", partial(routes.search, names), f"Search {names}", SEARCH,
                f"{READABLE[names]}Page", body="SearchRequest", parameters=_LIST[-1:]))
    for each in unbuilt:
        told = f"Not emulated: {each['feature']}"
        handler = partial(unsupported, each["feature"])
        table.append(row(each["name"], each["method"], each["path"], handler, told, ("unsupported",), status=501))
    return [replace(each, unclear=UNCLEAR.get(each.name, "")) for each in table]
# fmt: on
