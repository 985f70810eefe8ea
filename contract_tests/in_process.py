"""The emulator within the test's own process: an application that starts and ends in milliseconds, and a client for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION, Destination
from flow_service_emulator.app import create_app
from flow_service_emulator.clock import Clock, Mode
from flow_service_emulator.settings import Settings

HEADERS = {"Authorization": "Bearer test-token", "x-api-key": "test-key", "x-gw-ims-org-id": "TEST@AdobeOrg"}


def stored(folder: Path, **others: Any) -> Settings:
    """Settings with the export folder and a data folder inside of `folder`."""
    return Settings(export_dir=folder / "exports", data_dir=folder / "data", **others)


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

    async def flow(self, *datasets: str, **schedule: Any) -> str:
        """A flow of these datasets to S3; answers its id."""
        return await self.created("flows", S3.flow(await self.source(*datasets), await self.target(S3), **schedule))

    async def act(self, flow: str, op: str) -> None:
        response = await self.http.post(f"{BASE}/flows/{flow}/action?op={op}")
        assert response.status_code == 200, response.text

    async def ends(self) -> list[tuple[str, str]]:
        """Status of every run, and why it failed; newest first."""
        runs = (await self.http.get(f"{BASE}/runs")).json()["items"]
        states = [run["metrics"]["statusSummary"] for run in runs]
        return [(state["status"], state.get("errors", [{"message": ""}])[0]["message"]) for state in states]

    async def exports(self, what: str = "items") -> list[dict[str, Any]]:
        """The exported files, or what is `inProgress`."""
        found: list[dict[str, Any]] = (await self.control("GET", "/exports"))[what]
        return found

    async def patch(self, path: str, *operations: dict[str, Any]) -> None:
        """Changes an entity, whatever its etag is."""
        etag = (await self.http.get(BASE + path)).headers["etag"]
        response = await self.http.patch(BASE + path, json=list(operations), headers={"If-Match": etag})
        assert response.status_code == 200, response.text
