"""What a client does over several requests: pages that it leaves unread, and looks for what it has deleted.

All memory is bounded; what was seen longest ago is forgotten first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

from flow_service_emulator.contract.seen import Seen

Value = TypeVar("Value")

WHOLE_PAGE: Final = 20
"""A smaller `limit` is taken as asking for the first few on purpose."""
MAX_REMEMBERED: Final = 5_000
_END: Final = b'"}}}'
"""How a list ends that announces a next page."""
_MORE: Final = re.compile(rb'"end":(\d+),"total":\d+,"hasNext":true\}\}$')
"""How a list of datasets ends that has more."""


class Habits:
    """Watches the requests of every organization and sandbox apart."""

    def __init__(self, deleted: Collection[str] = (), pages: Mapping[str, dict[str, Any]] | None = None) -> None:
        self._deleted = dict.fromkeys(deleted, True)
        self.pages: dict[str, dict[str, Any]] = dict(pages or {})
        """The pages that were announced and not fetched: the `operation`, and which request announced it (`where`)."""

    def note(self, seen: Seen) -> None:
        """Remembers what was deleted and which next page was announced, and forgets the page that was fetched."""
        name = seen.exchange.operation
        if name is None or not seen.was_taken:
            return
        if name.startswith("list:"):
            self._page(seen)
        elif name == "listConfigs":
            self._page_of_configs(seen)
        elif name.startswith("delete:"):
            _put(self._deleted, seen.place, True)

    def was_deleted(self, seen: Seen) -> bool:
        """Whether the request looks for something that was deleted before: a client that makes sure does nothing wrong."""
        return seen.exchange.method == "GET" and seen.place in self._deleted

    def snapshot(self) -> dict[str, Any]:
        return {"deleted": list(self._deleted), "pages": dict(self.pages)}

    def _page(self, seen: Seen) -> None:
        query = seen.exchange.query_string
        if "continuationToken=" in query:
            self.pages.pop(_page_key(seen, _parameter(query, "continuationToken")), None)
        if seen.answer.endswith(_END) and not _asks_for_few(query):
            announced = seen.answer.rpartition(b"?continuationToken=")[2].removesuffix(_END)
            self._announce(_page_key(seen, announced.decode()), seen)

    def _page_of_configs(self, seen: Seen) -> None:
        query = seen.exchange.query_string
        self.pages.pop(_page_key(seen, _parameter(query, "start") or "0"), None)
        more = _MORE.search(seen.answer[-200:])
        if more is not None and not _asks_for_few(query):
            self._announce(_page_key(seen, str(int(more[1]) + 1)), seen)

    def _announce(self, key: str, seen: Seen) -> None:
        _put(self.pages, key, {"operation": seen.name, "where": seen.where})


def _put(entries: dict[str, Value], key: str, value: Value) -> None:
    entries.pop(key, None)
    entries[key] = value
    if len(entries) > MAX_REMEMBERED:
        del entries[next(iter(entries))]


def _page_key(seen: Seen, page: str) -> str:
    return f"{seen.place}\n{page}"


def _parameter(query: str, name: str) -> str:
    return parse_qs(query, keep_blank_values=True).get(name, [""])[-1]


def _asks_for_few(query: str) -> bool:
    limit = _parameter(query, "limit") if "limit" in query else ""
    return limit.isdecimal() and int(limit) < WHOLE_PAGE
