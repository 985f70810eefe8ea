"""The handlers of the Flow Service's operations, and what is answered for a path that is none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.filters import MISSING, doubts, value_invalid
from flow_service_emulator.query.query import MAX_LIMIT, Listed, Params, parse, run
from flow_service_emulator.service import eligible
from flow_service_emulator.service.bodies import FIELDS
from flow_service_emulator.service.service import FlowService, not_found, search_params

BASE: Final = "/data/foundation/flowservice"
CONTAINERS: Final = {"dlz_destination": "dlz-destination", "user_drop_zone": "dlz-user-container"}
"""`type` of a landing zone -> name of its container."""
CONTAINER_TTL_DAYS: Final = "7"
CREDENTIAL_DAYS: Final = 90
MAX_SEARCHED: Final = 1_000
"""Items on a page of a search at most (Flow Service API 3.0.1, `FlowFilterRequest`)."""
REFRESH: Final = "refresh"


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

    async def list(self, collection: str, exchange: Exchange) -> Reply:
        return await self._page(collection, exchange, exchange.query, MAX_LIMIT)

    async def search(self, collection: str, exchange: Exchange) -> Reply:
        """POST /{collection}/search: the list language in a body, the token of a next page in the query."""
        params = search_params(exchange.json(), exchange.warnings) + exchange.query
        return await self._page(collection, exchange, params, MAX_SEARCHED)

    async def _page(self, collection: str, exchange: Exchange, params: Params, most: int) -> Reply:
        """A page of a collection, of so many items at most."""
        if collection in self._specs:
            # first in the fixtures, first in the list; a list of entities has the newest first
            specs = [spec.body for spec in self._specs[collection].values()]
            records = [Listed(-index, orjson.dumps(spec)) for index, spec in enumerate(specs)]
            fields = {**dict.fromkeys(name for spec in specs for name in spec), **FIELDS[collection]}
            page = run(parse(params, collection, fields, most=most, warnings=exchange.warnings), records)
        else:
            page = await self._service.page(collection, exchange.caller, params, most)
        if page.total is not None:
            return Reply({"count": page.total})
        links = (
            f'{{"next":{{"href":"/{collection}?continuationToken={page.next_token}"}}}}' if page.next_token else "{}"
        )
        return Reply(b'{"items":[%b],"_links":%b}' % (b",".join(page.items), links.encode()))

    async def get(self, collection: str, exchange: Exchange) -> Reply:
        entity_id = exchange.path_params["id"]
        if collection in self._specs:
            if (spec := self._specs[collection].get(entity_id)) is None:
                raise not_found(collection, entity_id)
            return Reply({"items": [spec.body]})
        raw = self._service.raw(exchange.caller, collection, entity_id)
        return Reply(b'{"items":[%b]}' % raw, headers=(("etag", orjson.loads(raw)["etag"]),))

    async def create(self, collection: str, exchange: Exchange) -> Reply:
        if collection == "sourceConnections":  # only these name datasets
            await self._library.refresh()
        return _tag(self._service.create(exchange.caller, collection, exchange.json()), 201)

    async def patch(self, collection: str, exchange: Exchange) -> Reply:
        caller, entity_id = exchange.caller, exchange.path_params["id"]
        stored = self._service.to_change(caller, collection, entity_id, exchange.headers.get("if-match"))
        return _tag(self._service.patch(caller, collection, stored, exchange.json()))

    async def delete(self, collection: str, exchange: Exchange) -> Reply:
        self._service.delete(exchange.caller, collection, exchange.path_params["id"])
        return Reply(status=202)

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
        return _tag(self._service.act(exchange.caller, exchange.path_params["id"], exchange.query))

    async def retrigger(self, exchange: Exchange) -> Reply:
        """The datasets of a failed run once more, as a new run."""
        exchange.json()
        return _tag(self._service.retrigger(exchange.caller, exchange.path_params["id"], exchange.query))

    async def run_now(self, exchange: Exchange) -> Reply:
        return _tag(self._service.run_now(exchange.caller, exchange.json()), 201)

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


async def unsupported(feature: str, exchange: Exchange) -> Reply:
    raise ServiceError("unsupported", feature=feature)


def _tag(entity: dict[str, Any], status: int = 200) -> Reply:
    return Reply({"id": entity["id"], "etag": entity["etag"]}, status)
