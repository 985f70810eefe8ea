"""Entities of the service: ids, etags and the fields that the server fills. Pure functions of their arguments.

Source of the fields: reference, section "Entities". Times are epoch milliseconds.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

Entity = dict[str, Any]
Scope = tuple[str, str]
"""(imsOrgId, sandboxName): entities of one are invisible to every other."""

AUTHORIZED: Final = "authorizedDate"
"""Stands in `auth.params` of every base connection that has them (API reference, all examples): a date such as 2022-11-03."""
ENABLED, DISABLED = "enabled", "disabled"
STATES: Final = (ENABLED, DISABLED, "initializing")
CLIENT = "flow-service-emulator"
USER = "flow-service-emulator@AdobeID"
"""Stand for the caller in createdBy and the like: an API key is not repeated in answers."""


def uuid_text(rng: random.Random) -> str:
    """A version 4 UUID from the generator."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def hex_text(rng: random.Random) -> str:
    """32 hex digits, the form of a run's providerRefId."""
    return f"{rng.getrandbits(128):032x}"


def etag_text(rng: random.Random, now_ms: int, previous: str | None = None) -> str:
    """A new etag with its own double quotes, such as `"0000d781-0000-0200-0000-63e29f420000"`, never the previous one."""
    while True:
        etag = f'"{rng.getrandbits(32):08x}-0000-0200-0000-{now_ms // 1000 & 0xFFFFFFFF:08x}0000"'
        if etag != previous:
            return etag


@lru_cache(1024)
def derived_uuid(*names: str) -> str:
    """The version 4 UUID that stands for these names, always the same: what was not created by a call has its id from it."""
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def new_entity(body: Mapping[str, Any], *, scope: Scope, rng: random.Random, now_ms: int) -> Entity:
    """Make an entity of what the server fills and a body, which has nothing of that."""
    etag = etag_text(rng, now_ms)
    org, sandbox = scope
    return {
        "id": uuid_text(rng),
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "createdBy": USER,
        "updatedBy": USER,
        "createdClient": CLIENT,
        "updatedClient": CLIENT,
        "sandboxId": derived_uuid(*scope),
        "sandboxName": sandbox,
        "imsOrgId": org,
        **body,
        "version": etag,
        "etag": etag,
    }


def changed_entity(entity: Mapping[str, Any], changes: Mapping[str, Any], *, rng: random.Random, now_ms: int) -> Entity:
    """Return the entity with changes, a new etag and version, and the time of the change."""
    etag = etag_text(rng, now_ms, entity["etag"])
    by = {"updatedAt": now_ms, "updatedBy": USER, "updatedClient": CLIENT}
    return {**entity, **changes, **by, "version": etag, "etag": etag}


def operation_record(operation: str, started_ms: int, ops: Any = None) -> dict[str, Any]:
    """A flow's `lastOperation`: what was last done to it; `ops` are a patch's operations (API reference, examples of flows)."""
    return {
        "started": started_ms,
        "updated": started_ms,
        "percentCompleted": 100,
        "status": {"value": "completed", **({} if ops is None else {"properties": None}), "errors": []},
        **({} if ops is None else {"ops": ops}),
        "operation": operation,
    }
