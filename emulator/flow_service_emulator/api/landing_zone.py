"""The Data Landing Zone that comes with an organization: its container, and credentials that open nothing.

Source: reference, section "Endpoints".
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.clock import Clock
from flow_service_emulator.errors import ServiceError

CONTAINERS: Final = {"dlz_destination": "dlz-destination", "user_drop_zone": "dlz-user-container"}
"""`type` -> name of the container."""
CONTAINER_TTL_DAYS: Final = "7"
CREDENTIAL_DAYS: Final = 90


class LandingZone:
    """Answers for the landing zone of the organization that asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def container(self, exchange: Exchange) -> Reply:
        """GET /data/foundation/connectors/landingzone."""
        return Reply({"containerName": _container(exchange), "containerTTL": CONTAINER_TTL_DAYS})

    async def credentials(self, exchange: Exchange) -> Reply:
        """GET /data/foundation/connectors/landingzone/credentials."""
        container = _container(exchange)
        expiry = datetime.fromtimestamp(self._clock.now() + CREDENTIAL_DAYS * 86_400, UTC).strftime("%Y-%m-%d")
        digest = hashlib.sha256(
            "/".join((*exchange.scope, container, expiry)).encode("utf-8", "surrogatepass")
        ).hexdigest()
        account = f"emulator{digest[:12]}"
        token = f"sv=2022-11-02&sr=c&se={expiry}T00%3A00%3A00Z&sp=racwdlm&sig={quote(digest[:43] + '=', safe='')}"
        return Reply(
            {
                "containerName": container,
                "SASToken": token,
                "storageAccountName": account,
                "SASUri": f"https://{account}.blob.core.windows.net/{container}?{token}",
                "expiryDate": expiry,
            }
        )


def _container(exchange: Exchange) -> str:
    kind = dict(exchange.query).get("type", "(missing)")
    if kind not in CONTAINERS:
        raise ServiceError("value-invalid", value=kind[:100], field="type", report={"allowed": list(CONTAINERS)})
    return CONTAINERS[kind]
