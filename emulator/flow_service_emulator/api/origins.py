"""Who may make control calls: no page of another site may, whatever it makes a developer's browser do.

A browser tells where a page is from (`Origin`, and `Sec-Fetch-Site` where it sends no `Origin`, as for a picture) and which
name it looked up (`Host`). A page cannot choose any of them; what it can do is have its own name resolve to 127.0.0.1 (DNS
rebinding), and that is what the check of `Host` is for. The service's own calls need no such check: their headers (`x-api-key`
and others) are none that a browser sends to another origin unasked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

from flow_service_emulator.errors import ServiceError

CONTROL_PREFIX: Final = "/__emulator"
ANY_HOST: Final = "*"
UNREGISTRABLE: Final = (".localhost", ".test", ".local", ".internal")
"""Ends of names that nobody can have in the public DNS (RFC 6761 and 6762; ICANN resolution 2024.07.29.06 for `.internal`)."""
FOREIGN_SITES: Final = ("cross-site", "same-site")
"""What `Sec-Fetch-Site` says of a page of another origin (W3C "Fetch Metadata Request Headers"). Another port of localhost is
the same site."""


class OriginGuard:
    """Refuses control calls from other origins, and under names that a stranger could own."""

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        """`allowed_hosts` are further names: whole ones, `.example.org` for all below it, or `*` for any."""
        self._allowed = frozenset(name.lower().rstrip(".") for name in allowed_hosts)
        self._suffixes = (*UNREGISTRABLE, *(name for name in self._allowed if name.startswith(".")))

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Raise `host-not-allowed`. A client that sends none of the headers is no browser."""
        host = headers.get("host", "")
        if host and not self._is_ours(_name_of(host)):
            raise ServiceError(
                "host-not-allowed",
                reason=f"Control calls are not answered under the host name {_name_of(host)[:100]!r}; --allowed-hosts can allow it",
            )
        origin = headers.get("origin")
        if origin is not None and (not host or origin.lower().partition("://")[2] != host.lower()):
            raise ServiceError(
                "host-not-allowed", reason=f"Control calls are not answered to pages of {origin[:100]!r}"
            )
        if headers.get("sec-fetch-site") in FOREIGN_SITES and not _follows_a_link(method, headers):
            raise ServiceError("host-not-allowed", reason="Control calls are not answered to pages of another site")

    def _is_ours(self, name: str) -> bool:
        """Whether no stranger can have a page under this name: an address, a name without a dot, or one that is allowed."""
        if ANY_HOST in self._allowed or name in self._allowed or _is_address(name):
            return True
        return "." not in name or name.endswith(self._suffixes)


def _follows_a_link(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a person goes to the page from elsewhere, where they see it and the page that they leave does not."""
    going = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return method == "GET" and going == ("navigate", "document")


def _name_of(host: str) -> str:
    """The name or address in a `Host` header, without the port and an IPv6 address's brackets."""
    name = re.sub(r":\d*$", "", host.strip().lower()) if not host.strip().endswith("]") else host.strip()
    return name.removeprefix("[").removesuffix("]").rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
