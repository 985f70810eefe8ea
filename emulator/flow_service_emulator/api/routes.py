"""The Flow Service's route table, and its handlers.

Source of every route: reference, section "Endpoints".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from flow_service_emulator.api.exchange import Endpoint, Exchange, Handler, Reply
from flow_service_emulator.api.gateway import Gateway
from flow_service_emulator.api.landing_zone import LandingZone
from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.pieces import AT_ONCE, Pieces
from flow_service_emulator.query.pages import Page, run
from flow_service_emulator.query.query import parse, parse_page_window
from flow_service_emulator.service.service import FlowService, not_found

BASE: Final = "/data/foundation/flowservice"
ADHOC_PATH: Final = "/data/core/activation/disflowprovider/adhocrun"
LANDING_ZONE_PATH: Final = "/data/foundation/connectors/landingzone"
WRITABLE: Final = ("connections", "sourceConnections", "targetConnections", "flows")
READABLE: Final = (*WRITABLE, "runs")


class Operation(NamedTuple):
    """One row of the route table. `name` is its name in the journal, the contract report and the OpenAPI description."""

    name: str
    method: str
    path: str
    handler: Handler


class SpecRecord(NamedTuple):
    """A spec in the form that the query room reads."""

    seq: int
    created_at: int
    raw: bytes


class Routes:
    """The handlers, each of a few lines: what is asked goes to the service, what it answers goes out."""

    def __init__(
        self, *, service: FlowService, catalog: Catalog, library: Library, gateway: Gateway, landing_zone: LandingZone
    ) -> None:
        self._service = service
        self._catalog = catalog
        self._library = library
        self._gateway = gateway
        self._landing_zone = landing_zone

    def operations(self) -> list[Operation]:
        """The whole route table."""
        table = [
            *self._spec_operations("connectionSpecs", self._catalog.connection_specs),
            Operation("listConfigs", "GET", f"{BASE}/connectionSpecs/{{id}}/configs", self.configs),
            *self._spec_operations("flowSpecs", self._catalog.flow_specs),
        ]
        for collection in READABLE:
            path = f"{BASE}/{collection}"
            table.append(Operation(f"list:{collection}", "GET", path, self._list(collection)))
            table.append(Operation(f"get:{collection}", "GET", f"{path}/{{id}}", self._get(collection)))
        for collection in WRITABLE:
            path = f"{BASE}/{collection}"
            table.append(Operation(f"create:{collection}", "POST", path, self._create(collection)))
            table.append(Operation(f"patch:{collection}", "PATCH", f"{path}/{{id}}", self._patch(collection)))
            table.append(Operation(f"delete:{collection}", "DELETE", f"{path}/{{id}}", self._delete(collection)))
        table += [
            Operation("testConnection", "GET", f"{BASE}/connections/{{id}}/test", self.test_connection),
            Operation("actOnFlow", "POST", f"{BASE}/flows/{{id}}/action", self.act),
            Operation("create:runs", "POST", f"{BASE}/runs", self.run_now),
            Operation("adhocRun", "POST", ADHOC_PATH, self.adhoc_run),
            Operation("landingZone", "GET", LANDING_ZONE_PATH, self._landing_zone.container),
            Operation(
                "landingZoneCredentials", "GET", f"{LANDING_ZONE_PATH}/credentials", self._landing_zone.credentials
            ),
            Operation("token", "POST", "/ims/token/v3", self._gateway.token),
            Operation("tokenV2", "POST", "/ims/token/v2", self._gateway.token),
        ]
        for name, method, path, feature in UNSUPPORTED:
            table.append(Operation(name, method, path, _unsupported(feature)))
        return table

    def _list(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            page = await self._service.page(exchange.caller, collection, exchange.query)
            return Reply(_page_body(collection, page))

        return handler

    def _get(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            entity_id = exchange.path_params["id"]
            raw = self._service.raw(exchange.caller, collection, entity_id)
            return Reply(b'{"items":[' + raw + b"]}", headers=(("etag", orjson.loads(raw)["etag"]),))

        return handler

    def _create(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            await self._library.refresh()
            entity = self._service.create(exchange.caller, collection, exchange.json())
            return Reply(_tag(entity), 201)

        return handler

    def _patch(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            if_match = exchange.headers.get("if-match")
            entity = self._service.patch(
                exchange.caller, collection, exchange.path_params["id"], if_match, exchange.json
            )
            return Reply(_tag(entity))

        return handler

    def _delete(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            self._service.delete(exchange.caller, collection, exchange.path_params["id"])
            return Reply(status=202)

        return handler

    def _spec_operations(self, collection: str, specs: Mapping[str, ConnectionSpec | FlowSpec]) -> list[Operation]:
        encoded = {spec.id: orjson.dumps(spec.body) for spec in specs.values()}
        # first in the fixtures, first in the list; a list of entities has the newest first
        records = [SpecRecord(-index, 0, raw) for index, raw in enumerate(encoded.values())]
        fields = frozenset().union(*(spec.body for spec in specs.values()))

        async def list_specs(exchange: Exchange) -> Reply:
            query = parse(exchange.query, collection=collection, fields=fields)
            return Reply(_page_body(collection, run(query, records)))

        async def get_spec(exchange: Exchange) -> Reply:
            raw = encoded.get(exchange.path_params["id"])
            if raw is None:
                raise not_found(collection, exchange.path_params["id"])
            return Reply(b'{"items":[' + raw + b"]}")

        path = f"{BASE}/{collection}"
        return [
            Operation(f"list:{collection}", "GET", path, list_specs),
            Operation(f"get:{collection}", "GET", f"{path}/{{id}}", get_spec),
        ]

    async def configs(self, exchange: Exchange) -> Reply:
        """The eligible datasets; the spec named may be the data lake's or a destination's."""
        spec_id = exchange.path_params["id"]
        if spec_id not in self._catalog.connection_specs:
            allowed = {spec.name: spec.id for spec in self._catalog.connection_specs.values()}
            raise ServiceError("spec-id-invalid", report={"field": "id", "value": spec_id[:100], "allowed": allowed})
        window = parse_page_window(exchange.query)
        await self._library.refresh()
        items = self._library.page(window.start, window.limit)
        if window.properties is not None:
            kept = {"id", *window.properties}
            items = [{name: value for name, value in item.items() if name in kept} for item in items]
        total, end = len(self._library), window.start + len(items) - 1
        page_info = {
            "start": window.start,
            "end": max(end, 0),
            "total": total,
            "hasNext": window.start + len(items) < total,
        }
        return Reply({"items": items, "pageInfo": page_info})

    async def test_connection(self, exchange: Exchange) -> Reply:
        """A stored connection's credentials were checked for their form when they came in; so the test is whether it is there."""
        entity = self._service.entity(exchange.caller, "connections", exchange.path_params["id"])
        return Reply({"id": entity["id"], "connectionSpec": entity["connectionSpec"], "status": "success"})

    async def act(self, exchange: Exchange) -> Reply:
        """Enables or disables a flow; a body is not needed, and refused as elsewhere when it cannot be read."""
        exchange.json()
        return Reply(_tag(self._service.act(exchange.caller, exchange.path_params["id"], exchange.query)))

    async def run_now(self, exchange: Exchange) -> Reply:
        return Reply(_tag(self._service.run_now(exchange.caller, exchange.json())), 201)

    async def adhoc_run(self, exchange: Exchange) -> Reply:
        """Runs of single datasets; each status URL points at the host that was asked and ends in the run's id."""
        destinations = self._service.run_adhoc(exchange.caller, exchange.json())
        host = exchange.headers.get("host", "127.0.0.1")
        for destination in destinations:
            for dataset in destination["datasets"]:
                dataset["statusURL"] = f"http://{host}{BASE}/runs/{dataset.pop('runId')}"
        return Reply({"destinations": destinations})


UNSUPPORTED: Final = (
    ("exploreConnection", "GET", f"{BASE}/connections/{{id}}/explore", "exploring a source's files"),
    ("exploreConnectionSpec", "GET", f"{BASE}/connectionSpecs/{{id}}/explore", "exploring a source's files"),
    ("refreshLandingZone", "POST", f"{LANDING_ZONE_PATH}/credentials", "new credentials for the landing zone"),
    ("createConnectionSpec", "POST", f"{BASE}/connectionSpecs", "creating connection specs (self-serve sources)"),
    ("encryptionKeys", "GET", "/data/foundation/connectors/encryption/keys", "encryption keys for sources"),
    ("createEncryptionKey", "POST", "/data/foundation/connectors/encryption/keys", "encryption keys for sources"),
)
"""(name, method, path, what it is): calls that the real service has and the emulator answers 501."""

ELSEWHERE: Final[Mapping[str, str]] = {
    "/data/foundation/access-control": "Access Control API",
    "/data/foundation/audit": "Audit Query API",
    "/data/foundation/catalog": "Catalog Service API",
    "/data/foundation/conversion": "Data Prep API",
    "/data/foundation/dulepolicy": "Policy Service API",
    "/data/foundation/exim": "Sandbox Tooling API",
    "/data/foundation/export": "Data Access API",
    "/data/foundation/import": "Batch Ingestion API",
    "/data/foundation/query": "Query Service API",
    "/data/foundation/sandbox-management": "Sandbox API",
    "/data/foundation/schemaregistry": "Schema Registry API",
    "/data/core/activation/authoring": "Destination Authoring API",
    "/data/core/ca": "Computed Attributes API",
    "/data/core/hygiene": "Data Hygiene API",
    "/data/core/identity": "Identity Service API",
    "/data/core/idnamespace": "Identity Service API",
    "/data/core/privacy": "Privacy Service API",
    "/data/core/ups": "Real-Time Customer Profile API",
    "/data/core/xcore": "Offer Decisioning API",
    "/data/infrastructure/observability": "Observability Insights API",
}
"""Base path -> the API that the real platform has there, by the name that Adobe's API references give it (source: the
"API paths" at the head of each of these references, or the paths in its guide). All of them are answered 501."""


def elsewhere(path: str) -> str | None:
    """The base path of another of the platform's APIs that a path belongs to; None for any other path."""
    return next((base for base in ELSEWHERE if path == base or path.startswith(f"{base}/")), None)


def _unsupported(feature: str) -> Handler:
    async def handler(exchange: Exchange) -> Reply:
        raise ServiceError("unsupported", feature=feature)

    return handler


def starlette_routes(operations: Iterable[Operation]) -> list[Route]:
    """One route for each path, with all its methods, so that a wrong method is told which ones there are."""
    by_path: dict[str, dict[str, tuple[str, Handler]]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = (operation.name, operation.handler)
    return [Route(path, Endpoint(handlers)) for path, handlers in by_path.items()]


async def no_route(asgi: AsgiScope, receive: Receive, send: Send) -> None:
    """The ASGI app for every path that is not in the table."""
    exchange: Exchange = asgi["exchange"]
    if (base := elsewhere(exchange.path)) is not None:
        raise ServiceError("unsupported", feature=f"The {ELSEWHERE[base]} ({base})")
    hint = "GET /openapi.json describes every route."
    if exchange.path.startswith("/__emulator/datasets/"):  # a slash, even as %2F, parts a path before it gets here
        hint = f"A dataset's id has no slash; {hint}"
    elif not exchange.path.startswith(BASE):
        hint = f"The service's base path is {BASE}; {hint}"
    raise ServiceError("path-not-found", method=exchange.method, path=exchange.path[:200], hint=hint)


def _tag(entity: dict[str, Any]) -> dict[str, str]:
    return {"id": entity["id"], "etag": entity["etag"]}


def _page_body(collection: str, page: Page) -> Any:
    if page.count is not None:
        return {"count": page.count}
    links = f'{{"next":{{"href":"/{collection}?continuationToken={page.next_token}"}}}}' if page.next_token else "{}"
    end = b'],"_links":' + links.encode() + b"}"
    if sum(map(len, page.items)) <= AT_ONCE:
        return b'{"items":[' + b",".join(page.items) + end
    pieces = [b'{"items":[']
    for item in page.items:
        pieces += (item, b",")
    pieces[-1] = end
    return Pieces(pieces)
