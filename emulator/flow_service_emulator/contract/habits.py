"""What a client does over several requests and would suffer for in production: polling, pages left unread, old etags, tokens.

All memory is bounded; what is forgotten first is what was seen longest ago.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qs

from flow_service_emulator.contract.rules import ETAG_NOT_LATEST, IF_MATCH_FORM, TOKEN_EXPIRED
from flow_service_emulator.contract.sighting import Finding, Sighting

K = TypeVar("K")
V = TypeVar("V")

POLLING_SECONDS: Final = 60.0
POLLS: Final = 3
"""So many times in a row the same question is asked before it is polling: twice is looking again."""
ETAG_SECONDS: Final = 3_600.0
TOKEN_SECONDS: Final = 300.0
WHOLE_PAGE: Final = 20
"""A smaller `limit` is taken as asking for the first few on purpose."""
MAX_REMEMBERED: Final = 5_000
_NEVER: Final = (0.0, 0.0, 0, -1)
_CREATED: Final = b'{"id":"'
"""How the answer of a creation begins."""
_ETAG: Final = r'"[^"]+"'
_BARE_ETAG: Final = r"\*|[0-9A-Fa-f-]{1,80}"
"""What is no etag and still no secret: one without its quotes, which many clients send."""
_MORE: Final = rb'"end":(\d+),"total":\d+,"hasNext":true\}\}$'


class Recent(Generic[K, V]):
    """A mapping that forgets its oldest entries."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self.entries: OrderedDict[K, V] = OrderedDict()

    def put(self, key: K, value: V) -> V | None:
        """Sets an entry, as the newest one; answers the value that had to be forgotten for it."""
        self.entries[key] = value
        self.entries.move_to_end(key)
        return self.entries.popitem(last=False)[1] if len(self.entries) > self._limit else None


class Habits:
    """Watches the requests of every organization and sandbox apart.

    `expiry` answers when a token expires (epoch seconds), and None for tokens that are not known or not checked: where
    nobody checks, a test that lets days pass says nothing about the client's tokens.
    """

    def __init__(self, expiry: Callable[[str], float | None]) -> None:
        self._expiry = expiry
        self.reset()

    def reset(self) -> None:
        self._polls: Recent[int, tuple[float, float, int, int]] = Recent()
        self._changes: Recent[Any, int] = Recent()
        self._tokens: Recent[int, float | None] = Recent(500)
        self._shown: Recent[str, float] = Recent()
        self._deleted: Recent[str, bool] = Recent()
        self._pages: Recent[str, dict[str, Any]] = Recent()

    def begin_anew(self) -> None:
        """Forgets what would be told of requests before; what is known of tokens and entities is still true."""
        self._pages = Recent()

    def note(self, seen: Sighting, findings: list[Finding]) -> None:
        """Adds what this request shows of the client's habits."""
        exchange = seen.exchange
        if exchange.path.startswith("/data/"):
            self._token(seen, findings)
        if exchange.operation is None:
            return
        if exchange.method == "GET":
            self._poll(seen, findings)
            if seen.status == 200:
                self._shows(seen)
        elif seen.status < 400:
            self._changes.put(exchange.scope, self._changes.entries.get(exchange.scope, 0) + 1)
            self._changed(seen, findings)

    def was_deleted(self, seen: Sighting) -> bool:
        """Whether the request looks for something that was deleted before: a client that makes sure does nothing wrong."""
        return seen.exchange.method == "GET" and _place(seen) in self._deleted.entries

    def knows_token(self, seen: Sighting) -> bool:
        """Whether the request's token is one of this emulator's, be it good or expired."""
        return self._expires(seen) is not None

    def open_pages(self) -> Iterator[dict[str, Any]]:
        """The pages that were announced and not fetched: `operation`, and of the announcement `entry`, `path` and `at`."""
        yield from self._pages.entries.values()

    def snapshot(self) -> dict[str, Any]:
        """What has a meaning on another server; what was measured by this machine's time has none."""
        return {
            "deleted": list(self._deleted.entries),
            "shown": list(self._shown.entries.items()),
            "pages": list(self._pages.entries.items()),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.reset()
        for key in snapshot["deleted"]:
            self._deleted.put(key, True)
        for key, at in snapshot["shown"]:
            self._shown.put(key, at)
        for key, page in snapshot["pages"]:
            self._pages.put(key, page)

    def _token(self, seen: Sighting, findings: list[Finding]) -> None:
        """Whether a token of the emulator's own had expired, or was about to."""
        expires = self._expires(seen)
        if expires is None or (left := expires - seen.at) > TOKEN_SECONDS:
            return
        place = "headers.authorization"
        if left > 0:
            findings.append(Finding("token-near-expiry", place, f"the token expires in {left:.0f} s"))
        else:
            findings.append(Finding(TOKEN_EXPIRED, place, f"the token expired {-left:.0f} s ago"))

    def _expires(self, seen: Sighting) -> float | None:
        header = seen.exchange.headers.get("authorization", "")
        key = hash(header)  # the token itself is not kept
        if key not in self._tokens.entries:
            self._tokens.put(key, self._expiry(header.partition(" ")[2].strip()))
        return self._tokens.entries[key]

    def _poll(self, seen: Sighting, findings: list[Finding]) -> None:
        """Whether the same was asked again within a minute, of the machine's time as well as the emulator's.

        Both clocks count: a client that sleeps a minute while time is frozen does not poll, nor does a test that lets an
        hour of emulator time pass between two looks. A change made in between is a reason to look again, and so is a fault
        that was injected: it is what a good client repeats its request for.
        """
        exchange = seen.exchange
        key = hash((exchange.scope, exchange.path, exchange.query_string))
        changes = self._changes.entries.get(exchange.scope, 0)
        steady, at, times, before = self._polls.entries.get(key, _NEVER)
        apart = max(seen.steady - steady, seen.at - at)
        times = times + 1 if before == changes and apart < POLLING_SECONDS else 1
        if exchange.fault is not None:
            times = 0
        self._polls.put(key, (seen.steady, seen.at, times, changes))
        if times >= POLLS:
            text = f"asked {times} times in a row without a change in between, the last time after {apart:.1f} s"
            findings.append(Finding("polling", "", text))

    def _shows(self, seen: Sighting) -> None:
        """Remembers which etags an answer showed and which next page it announced, and forgets the page that was fetched."""
        name = seen.name
        if name.startswith("get:"):
            self._shown.put(_place(seen), seen.at)
        elif name.startswith("list:"):
            self._shown.put(_place(seen), seen.at)
            self._page(seen)
        elif name == "listConfigs":
            self._page_of_configs(seen)

    def _page(self, seen: Sighting) -> None:
        exchange = seen.exchange
        if "continuationToken=" in exchange.query_string:
            token = _parameters(exchange.query_string).get("continuationToken", "")
            self._pages.entries.pop(_digest(exchange.scope, token.encode("utf-8", "replace")), None)
        end = seen.end or seen.answer
        if end.endswith(b'"}}}') and not _asks_for_few(exchange.query_string):
            announced = end.rpartition(b"?continuationToken=")[2].removesuffix(b'"}}}')
            self._announce(_digest(exchange.scope, announced), seen)

    def _page_of_configs(self, seen: Sighting) -> None:
        exchange = seen.exchange
        path = exchange.path.encode("utf-8", "replace")
        start = _parameters(exchange.query_string).get("start", "0")
        self._pages.entries.pop(_digest(exchange.scope, path + start.encode("utf-8", "replace")), None)
        more = re.search(_MORE, seen.answer[-200:])
        if more is not None and not _asks_for_few(exchange.query_string):
            self._announce(_digest(exchange.scope, path + b"%d" % (int(more[1]) + 1)), seen)

    def _announce(self, key: str, seen: Sighting) -> None:
        page = {"operation": seen.name, "entry": seen.number, "path": seen.exchange.path[:200], "at": seen.at}
        self._pages.put(key, page)

    def _changed(self, seen: Sighting, findings: list[Finding]) -> None:
        """After a change: when was its etag read, and what is known of the entity from now on."""
        name, place = seen.name, _place(seen)
        if name.startswith("delete:"):
            self._deleted.put(place, True)
        elif name.startswith("patch:"):
            read = max(self._shown.entries.get(key, 0.0) for key in (place, place.rpartition("/")[0]))
            if read and seen.at - read > ETAG_SECONDS:
                hours = (seen.at - read) / 3600
                text = f"the etag was read {hours:.1f} h before it was used; it was still the latest, by luck"
                findings.append(Finding("etag-old", "headers.if-match", text))
            self._shown.put(place, seen.at)
        elif name == "actOnFlow":
            self._shown.put(place.removesuffix("/action"), seen.at)
        elif name.startswith("create:") and seen.answer.startswith(_CREATED):
            created = seen.answer.removeprefix(_CREATED).partition(b'"')[0]
            self._shown.put(f"{place}/{created.decode('utf-8', 'replace')}", seen.at)


def refused_etag(seen: Sighting) -> Finding:
    """What a 412 says about the client: that its etag was old, which happens, or that it was none."""
    sent = seen.exchange.headers.get("if-match", "").strip()
    if re.fullmatch(_ETAG, sent):
        return Finding(ETAG_NOT_LATEST, "headers.if-match", seen.message)
    what = f"as {sent}" if re.fullmatch(_BARE_ETAG, sent) else f"as {len(sent)} other characters"
    return Finding(
        IF_MATCH_FORM, "headers.if-match", f"If-Match was sent {what}; an etag in its double quotes is needed"
    )


def _place(seen: Sighting) -> str:
    """Organization, sandbox and path."""
    return "\n".join((*seen.exchange.scope, seen.exchange.path))


def _parameters(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}


def _asks_for_few(query: str) -> bool:
    limit = _parameters(query).get("limit", "") if "limit" in query else ""
    return limit.isdecimal() and int(limit) < WHOLE_PAGE


def _digest(scope: tuple[str, str], token: bytes) -> str:
    return blake2b("\n".join(scope).encode("utf-8", "replace") + b"\n" + token, digest_size=8).hexdigest()
