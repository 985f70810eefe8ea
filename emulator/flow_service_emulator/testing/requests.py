"""What a test has sent, as the journal of a running emulator has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, overload

from flow_service_emulator.testing.control_client import ControlClient
from flow_service_emulator.testing.journal_text import explained

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


class Requests(Sequence[dict[str, Any]]):
    """The requests that this test has sent, as the journal has them, newest last.

    Each has `number`, `at`, `durationMs`, `method`, `path`, `query`, `operation`, `request` and `answer` (`headers`, `body`),
    `status`, `error`, `verdict` ("ok", "warning", "violation", "injected" or "failed") and `findings`.
    """

    def __init__(self, client: ControlClient, scope: Mapping[str, str]) -> None:
        self._client = client
        self._scope = scope

    def find(self, **filters: Any) -> list[dict[str, Any]]:
        """Those that fit: `method`, `path`, `status` (404 or "4xx"), `operation`, `verdict`, `since`, `limit`."""
        items = self._client.call("GET", "/requests", **{**self._scope, **filters})["items"]
        return cast("list[dict[str, Any]]", items)

    def text(self, limit: int = 50) -> str:
        """For people: the newest of them, and all older ones that are bad; for each bad one why, and how to fix it."""
        found = self.find()
        older, newest = found[: max(0, len(found) - limit)], found[max(0, len(found) - limit) :]
        bad = [entry for entry in older if entry["verdict"] != "ok"]
        if not older:
            return explained(newest)
        told = f"{len(older) - len(bad)} older requests that were in order are left out here"
        return f"{told}\n{explained([*bad, *newest])}"

    def __len__(self) -> int:
        return len(self.find())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.find())

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        found = self.find()
        if isinstance(index, int) and not -len(found) <= index < len(found):
            raise IndexError(f"{len(found)} requests of this test have come in")
        return found[index]
