"""`GET /openapi.json`: the description of the service, made of the table of operations when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import orjson

from flow_service_emulator.api.exchange import Exchange, Handler, Reply
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.catalog import Catalog

PATH: Final = "/openapi.json"


def description(table: Sequence[Operation], catalog: Catalog) -> dict[str, Any]:
    """The OpenAPI description of the operations of a table."""
    from flow_service_emulator.openapi.document import document  # a server that is never asked does not pay for it

    return document(table, catalog)


def answering(table: Sequence[Operation], catalog: Catalog) -> Handler:
    """The handler of `GET /openapi.json`. The table may grow until the first request."""

    @cache
    def encoded() -> bytes:
        return orjson.dumps(description(table, catalog))

    async def handler(exchange: Exchange) -> Reply:
        return Reply(encoded())

    return handler
