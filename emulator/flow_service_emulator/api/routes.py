"""The handlers of the Flow Service's operations, and what is answered for a path that is none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from flow_service_emulator.api.exchange import Exchange, Handler, Reply
from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.filters import MISSING, doubts, value_invalid
from flow_service_emulator.query.query import MAX_LIMIT, Listed, Page, Params, parse, run
from flow_service_emulator.service import eligible
from flow_service_emulator.service.bodies import FIELDS
from flow_service_emulator.service.service import Caller, FlowService, not_found, search_params

BASE: Final = "/data/foundation/flowservice"
CONTAINERS: Final = {"dlz_destination": "dlz-destination", "user_drop_zone": "dlz-user-container"}
"""`type` of a landing zone -> name of its container."""
CONTAINER_TTL_DAYS: Final = "7"
CREDENTIAL_DAYS: Final = 90


MAX_SEARCHED: Final = 1_000
"""Items on a page of a search at most (Flow Service API 3.0.1, `FlowFilterRequest`)."""
REFRESH: Final = "refresh"

Pages = Callable[[Caller, Params, int], Awaitable[Page]]
"""What makes a page of a collection, for a caller, of a list's parameters, with so many items at most."""


class Routes:
    """The handlers, each of a few lines: what is asked goes to the service, what it answers goes out."""

    def __init__(
        self, service: FlowService, catalog: Catalog, library: Library, clock: Clock, sas_url: str | None
    ) -> None:
        """`sas_url` is the address, with a SAS, of the container that is to be everybody's landing zone."""
        self._service = service
        self._catalog = catalog
        self._library = library
        self._clock = clock
        self._zone = _zone_at(sas_url) if sas_url else {}
        self._specs: Mapping[str, Mapping[str, ConnectionSpec | FlowSpec]] = {
            "connectionSpecs": catalog.connection_specs,
            "flowSpecs": catalog.flow_specs,
        }

    def list(self, collection: str) -> Handler:
        page = self._pages(collection)

        async def handler(exchange: Exchange) -> Reply:
            return Reply(_page_body(collection, await page(exchange.caller, exchange.query, MAX_LIMIT)))

        return handler

    def search(self, collection: str) -> Handler:
        """POST /{collection}/search: the list language in a body, the token of a next page in the query."""
        page = self._pages(collection)

        async def handler(exchange: Exchange) -> Reply:
            params = search_params(exchange.json(), exchange.warnings) + exchange.query
            return Reply(_page_body(collection, await page(exchange.caller, params, MAX_SEARCHED)))

        return handler

    def _pages(self, collection: str) -> Pages:
        if collection not in self._specs:
            return partial(self._service.page, collection)
        # first in the fixtures, first in the list; a list of entities has the newest first
        specs = self._specs[collection]
        records = [Listed(-index, orjson.dumps(spec.body)) for index, spec in enumerate(specs.values())]
        fields = {**dict.fromkeys(name for spec in specs.values() for name in spec.body), **FIELDS[collection]}

        async def page(caller: Caller, params: Params, most: int) -> Page:
            return run(parse(params, collection, fields, most=most, warnings=caller.warnings), records)

        return page

    def get(self, collection: str) -> Handler:
        async def of_spec(exchange: Exchange) -> Reply:
            spec = self._specs[collection].get(exchange.path_params["id"])
            if spec is None:
                raise not_found(collection, exchange.path_params["id"])
            return Reply({"items": [spec.body]})

        async def of_entity(exchange: Exchange) -> Reply:
            raw = self._service.raw(exchange.caller, collection, exchange.path_params["id"])
            return Reply(b'{"items":[' + raw + b"]}", headers=(("etag", orjson.loads(raw)["etag"]),))

        return of_spec if collection in self._specs else of_entity

    def create(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            if collection == "sourceConnections":  # only these name datasets
                await self._library.refresh()
            return Reply(_tag(self._service.create(exchange.caller, collection, exchange.json())), 201)

        return handler

    def patch(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            caller, entity_id = exchange.caller, exchange.path_params["id"]
            stored = self._service.to_change(caller, collection, entity_id, exchange.headers.get("if-match"))
            return Reply(_tag(self._service.patch(caller, collection, stored, exchange.json())))

        return handler

    def delete(self, collection: str) -> Handler:
        async def handler(exchange: Exchange) -> Reply:
            self._service.delete(exchange.caller, collection, exchange.path_params["id"])
            return Reply(status=202)

        return handler

    async def configs(self, exchange: Exchange) -> Reply:
        """The eligible datasets; the spec named may be the data lake's or a destination's."""
        spec_id = exchange.path_params["id"]
        if spec_id not in self._catalog.connection_specs:
            allowed = {spec.name: spec.id for spec in self._catalog.connection_specs.values()}
            raise ServiceError("spec-id-invalid", report={"field": "id", "value": spec_id[:100], "allowed": allowed})
        await self._library.refresh()
        exchange.warnings += doubts(value for name, value in exchange.query if name == "property")
        return Reply(eligible.page(self._library, exchange.scope, exchange.query))

    async def test_connection(self, exchange: Exchange) -> Reply:
        """A stored connection's credentials were checked for their form when they came in; so the test is whether it is there.

        Source of the answer: Flow Service API 3.0.1, `TestConnectionResponse`.
        """
        self._service.raw(exchange.caller, "connections", exchange.path_params["id"])
        return Reply({"result": True})

    async def act(self, exchange: Exchange) -> Reply:
        """Enable or disable a flow; a body is not needed, and refused as elsewhere when it cannot be read."""
        exchange.json()
        return Reply(_tag(self._service.act(exchange.caller, exchange.path_params["id"], exchange.query)))

    async def retrigger(self, exchange: Exchange) -> Reply:
        """The datasets of a failed run once more, as a new run."""
        exchange.json()
        return Reply(_tag(self._service.retrigger(exchange.caller, exchange.path_params["id"], exchange.query)))

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

    async def landing_zone(self, exchange: Exchange) -> Reply:
        """The Data Landing Zone that comes with an organization: its container (reference, section "Endpoints")."""
        return Reply(
            {"containerName": self._credentials(exchange)["containerName"], "containerTTL": CONTAINER_TTL_DAYS}
        )

    async def landing_zone_credentials(self, exchange: Exchange) -> Reply:
        """GET, and POST with `action=refresh`, which gives others (guide "Data Landing Zone destination")."""
        given = dict(exchange.query)
        if given.get("action", REFRESH if exchange.method == "GET" else MISSING) != REFRESH:
            raise value_invalid(given.get("action", MISSING), "action", [REFRESH])
        answer = self._credentials(exchange)
        if "action" in given:
            self._service.refreshed(exchange.scope, answer["containerName"], again=True)
            answer = self._credentials(exchange)
        return Reply(answer)

    def _credentials(self, exchange: Exchange) -> dict[str, str]:
        """Those of the container that was given; else such that open nothing, the same for a day or until they are refreshed."""
        kind = dict(exchange.query).get("type", MISSING)
        if kind not in CONTAINERS:
            raise value_invalid(kind, "type", [*CONTAINERS])
        container = CONTAINERS[kind]
        expiry = datetime.fromtimestamp(self._clock.now() + CREDENTIAL_DAYS * 86_400, UTC).strftime("%Y-%m-%d")
        refreshed = self._service.refreshed(exchange.scope, container)
        account = f"emulator{_digest(*exchange.scope, container)[:12]}"
        digest = _digest(*exchange.scope, container, expiry, str(refreshed))
        token = f"sv=2022-11-02&sr=c&se={expiry}T00%3A00%3A00Z&sp=racwdlm&sig={quote(digest[:43] + '=', safe='')}"
        return {
            "containerName": container,
            "SASToken": token,
            "storageAccountName": account,
            "SASUri": f"https://{account}.blob.core.windows.net/{container}?{token}",
            "expiryDate": expiry,
            **(self._zone if kind == "dlz_destination" else {}),
        }


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _zone_at(sas_url: str) -> dict[str, str]:
    """The fields of the credentials for a container, `https://ACCOUNT.…/CONTAINER?SAS` or `http://HOST/ACCOUNT/CONTAINER?SAS`."""
    parts = urlsplit(sas_url)
    *account, container = parts.path.strip("/").split("/")
    expiry = parse_qs(parts.query).get("se", [""])[0][:10]
    return {
        "containerName": container,
        "SASToken": parts.query,
        "storageAccountName": account[0] if account else (parts.hostname or "").partition(".")[0],
        "SASUri": sas_url,
        **({"expiryDate": expiry} if expiry else {}),
    }


def unsupported(feature: str) -> Handler:
    async def handler(exchange: Exchange) -> Reply:
        raise ServiceError("unsupported", feature=feature)

    return handler


def _tag(entity: dict[str, Any]) -> dict[str, str]:
    return {"id": entity["id"], "etag": entity["etag"]}


def _page_body(collection: str, page: Page) -> Any:
    if page.count is not None:
        return {"count": page.count}
    links = f'{{"next":{{"href":"/{collection}?continuationToken={page.next_token}"}}}}' if page.next_token else "{}"
    end = b'],"_links":' + links.encode() + b"}"
    return b'{"items":[' + b",".join(page.items) + end
