"""`GET /openapi.json`: the emulator's own OpenAPI description, made of the route table when it is first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.api.routes import Operation
from flow_service_emulator.catalog import Catalog

PATH: Final = "/openapi.json"


class OpenApi:
    """Answers the description of a route table.

    `table` may still grow until the first request; what is in it then is described. The description is made once and kept
    as bytes: it depends on the routes and the fixtures alone, which do not change while a server runs.
    """

    def __init__(self, catalog: Catalog, table: Sequence[Operation]) -> None:
        self._catalog = catalog
        self._table = table
        self._encoded: bytes | None = None

    def operation(self) -> Operation:
        """The row of the route table."""
        return Operation("openapi", "GET", PATH, self.describe)

    async def describe(self, exchange: Exchange) -> Reply:
        """GET /openapi.json."""
        if self._encoded is None:
            from flow_service_emulator.openapi.document import (
                encoded_document,
            )  # a server that is never asked does not pay for it

            self._encoded = encoded_document(self._table, self._catalog)
        return Reply(self._encoded)
