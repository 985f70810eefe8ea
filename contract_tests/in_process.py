"""The emulator within the test's own process: an application that starts and ends in milliseconds, and a client for it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import httpx

from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, SOURCE_CONNECTION, Destination
from flow_service_emulator.app import create_app
from flow_service_emulator.clock import Clock, Mode
from flow_service_emulator.settings import Settings

HEADERS = {"Authorization": "Bearer test-token", "x-api-key": "test-key", "x-gw-ims-org-id": "TEST@AdobeOrg"}


class LocalEmulator:
    """An emulator, between `async with` and its end. Its calls fail where the answer is no success."""

    def __init__(self, settings: Settings, *, now: float = FROZEN_NOW, mode: Mode = "frozen") -> None:
        self.export_dir = settings.export_dir
        self.clock = Clock(mode, now=now)
        self.app = create_app(settings, self.clock)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url="http://127.0.0.1", headers=HEADERS, timeout=60
        )
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._life = asyncio.create_task(self.app(scope, self._inbox.get, self._outbox.put))
        await self._tell("lifespan.startup")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tell("lifespan.shutdown")
        await self._life
        await self.http.aclose()

    async def _tell(self, what: str) -> None:
        await self._inbox.put({"type": what})
        answer = await self._outbox.get()
        assert answer["type"] == f"{what}.complete", answer

    async def control(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """A control call's answer."""
        response = await self.http.request(method, f"/__emulator{path}", json=body, **options)
        assert response.status_code == 200, response.text
        return response.json()

    async def advance(self, seconds: float) -> list[dict[str, Any]]:
        """Moves the clock on; answers the runs on the way."""
        runs: list[dict[str, Any]] = (await self.control("POST", "/clock/advance", {"seconds": seconds}))["runs"]
        return runs

    async def created(self, collection: str, body: Any) -> str:
        """Creates an entity and answers its id."""
        response = await self.http.post(f"{BASE}/{collection}", json=body)
        assert response.status_code == 201, response.text
        entity_id: str = response.json()["id"]
        return entity_id

    async def source(self, *datasets: str) -> str:
        params = {"datasets": [{"dataSetId": dataset} for dataset in datasets]}
        return await self.created("sourceConnections", {**SOURCE_CONNECTION, "params": params})

    async def target(self, destination: Destination, **params: Any) -> str:
        base = await self.created("connections", destination.base_connection())
        return await self.created("targetConnections", destination.target_connection(base, **params))

    async def patch(self, path: str, *operations: dict[str, Any]) -> None:
        """Changes an entity, whatever its etag is."""
        etag = (await self.http.get(BASE + path)).headers["etag"]
        response = await self.http.patch(BASE + path, json=list(operations), headers={"If-Match": etag})
        assert response.status_code == 200, response.text
