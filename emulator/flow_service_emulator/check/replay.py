"""The emulator's rules without its server: a recorded request in, what the emulator would have said out.

Entities are those that the recording itself has told of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.types import Message

from flow_service_emulator.api.exchange import Exchange, read_json
from flow_service_emulator.check.traffic import Exchanged
from flow_service_emulator.clock import Clock
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.entities import Entity, Scope, new_entity
from flow_service_emulator.service.bodies import SERVER_FIELDS
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Change, Delete, Put

ASSUMED_HEADERS: Final = {
    "authorization": "Bearer recorded",
    "x-api-key": "recorded",
    "x-gw-ims-org-id": "recorded@AdobeOrg",
}
"""What a recording may have been cleaned of, and every request that got past the gateway had."""
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "connections": ("connectionSpec",),
    "sourceConnections": ("connectionSpec", "params"),
    "targetConnections": ("connectionSpec", "params", "baseConnectionId"),
    "flows": ("flowSpec", "sourceConnectionIds", "targetConnectionIds", "scheduleParams"),
}
"""Collection -> what an entity must have to be learned from an answer."""


class Replay:
    """The application with a store of what was learned."""

    def __init__(self) -> None:
        self.clock = Clock("frozen", now=0)
        self.service = Emulator(Settings(), self.clock)
        self._store = self.service.store
        self._application = self.service.application(self.service.table, self._record, lambda level, told: None)
        self._last: Exchange

    async def __call__(self, call: Exchanged) -> tuple[Exchange, int]:
        """What the emulator says to a request; afterwards it knows what the real service's answer told."""
        self.clock.restore({"mode": "frozen", "now": call.at, "speed": 0})
        headers = {**call.headers, "content-length": str(len(call.body))}
        if not (isinstance(call.answer, dict) and "error_code" in call.answer):
            headers = ASSUMED_HEADERS | headers
        asgi = {
            "type": "http", "method": call.method, "path": call.path, "query_string": call.query.encode(),
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
        }  # fmt: skip
        pieces = iter([{"type": "http.request", "body": call.body}])

        async def receive() -> Message:
            return next(pieces, {"type": "http.disconnect"})

        await self._application(asgi, receive, _nowhere)
        exchange = self._last
        self._learn(call, exchange)
        return exchange, exchange.status

    def _record(self, exchange: Exchange) -> None:
        self._last = exchange

    def _entity(self, scope: Scope, entity_id: str, fields: Mapping[str, Any]) -> Entity:
        now_ms = self.clock.now_ms()
        body = {"name": "", "state": "enabled"} | {name: fields[name] for name in fields if name not in SERVER_FIELDS}
        entity = new_entity(body, scope=scope, rng=self.service.ids, now_ms=now_ms)
        told = {name: fields[name] for name in ("createdAt", "etag") if name in fields}
        return {**entity, **told, "id": entity_id}

    def _learn(self, call: Exchanged, exchange: Exchange) -> None:
        """Takes over what the real service's answer says of entities: a new one's id, an etag, whole entities."""
        if not 200 <= call.status < 300 or exchange.operation is None:
            return
        action, _, collection = exchange.operation.partition(":")
        scope, told = exchange.scope, call.answer if isinstance(call.answer, dict) else {}
        changes: list[Change] = []
        if action == "create" and collection in NEEDED and isinstance(told.get("id"), str):
            ours = orjson.loads(exchange.answer)["id"] if exchange.status == 201 else ""
            stored = self._store.get(scope, collection, ours) or read_json(call.body)
            changes = [Delete(scope, collection, ours)]
            if isinstance(stored, dict) and NEEDED[collection][0] in stored:
                changes.append(Put(scope, collection, self._entity(scope, told["id"], {**stored, **told})))
        elif action in ("get", "list") and collection in NEEDED:
            for item in _list(told.get("items")):
                if isinstance(item, dict) and all(name in item for name in ("id", "etag", *NEEDED[collection])):
                    changes.append(Put(scope, collection, item))
        elif (resource := exchange.resource) is not None and isinstance(told.get("etag"), str):
            collection, entity_id = resource
            if (entity := self._store.get(scope, collection, entity_id)) is not None:
                changes = [Put(scope, collection, {**entity, "etag": told["etag"]})]
        self._store.write(changes)


async def _nowhere(message: Message) -> None:
    """Where the emulator's own answers go."""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
