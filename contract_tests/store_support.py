"""What the tests of the store share."""

from __future__ import annotations

from typing import Any, Final

import orjson

from flow_service_emulator.store.store import Records, Scope, Store

PROD: Final[Scope] = ("ORG@AdobeOrg", "prod")
DEV: Final[Scope] = ("ORG@AdobeOrg", "dev")
INDEXES: Final = {"runs": ("flowId",), "flows": ("sourceConnectionIds", "targetConnectionIds")}


def entity(id: str, **fields: Any) -> dict[str, Any]:
    """An entity with what every one has, and more."""
    return {"id": id, "createdAt": 1_700_000_000_000, "etag": f'"{id}-1"', **fields}


def ids(records: Records) -> list[str]:
    """The ids of records, newest first."""
    return [record.id for record in records]


def contents(store: Store) -> dict[str, Any]:
    """Everything that a store holds, without the number that comes next."""
    tables: dict[str, Any] = orjson.loads(b"".join(store.moment().pieces()))["tables"]
    return tables
