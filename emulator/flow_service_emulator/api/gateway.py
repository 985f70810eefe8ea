"""Who may call: the API gateway in front of the service (headers, tokens, organizations and sandboxes), and for control calls a
guard against web pages of other origins.

Source: reference, section "Address and headers", and the error table.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import random
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.clock import Clock
from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.settings import Settings

GATEWAY_PREFIX = "/data/"
"""Paths behind the gateway; the token endpoint and the control calls are not."""
TOKEN_SECONDS = 86_399
"""How long a token is good, in seconds (reference: Endpoints, POST /ims/token/v3)."""
DEFAULT_SANDBOX = "prod"
MAX_NAME = 256
"""Characters of an organization's or sandbox's name at most."""
GRANTS: Mapping[str, tuple[str, ...]] = {
    "client_credentials": ("client_id", "client_secret"),
    "authorization_code": ("client_id", "client_secret", "code"),
}
CONTROL_PREFIX: Final = "/__emulator"
ANY_HOST: Final = "*"
UNREGISTRABLE: Final = (".localhost", ".test", ".local", ".internal")
"""Ends of names that nobody can have in the public DNS (RFC 6761 and 6762; ICANN resolution 2024.07.29.06 for `.internal`)."""
FOREIGN_SITES: Final = ("cross-site", "same-site")
"""What `Sec-Fetch-Site` says of a page of another origin (W3C "Fetch Metadata Request Headers"). Another port of localhost is
the same site."""


def claimed_scope(headers: Mapping[str, str]) -> Scope:
    """The organization and sandbox that a request names, good or bad; an organization that is not named is empty."""
    sandbox = headers.get("x-sandbox-name") or DEFAULT_SANDBOX
    return headers.get("x-gw-ims-org-id", "")[:MAX_NAME], sandbox[:MAX_NAME]


class Gateway:
    """Checks every request's headers before the service sees it, and issues tokens.

    These need no memory: each carries its client and its end, and is signed with this server's key.
    """

    def __init__(self, settings: Settings, clock: Clock, rng: random.Random) -> None:
        self._check_auth = settings.check_auth
        self._orgs = frozenset(settings.orgs)
        self._sandboxes = frozenset(settings.sandboxes)
        self._clock = clock
        self._rng = rng
        self._key = rng.randbytes(32)

    def check(self, exchange: Exchange) -> None:
        """Raise the first of the gateway's errors that applies to a request."""
        headers = exchange.headers
        claims = self._check_token(headers.get("authorization"))
        api_key = headers.get("x-api-key")
        if not api_key:
            raise ServiceError("gateway-api-key-missing")
        if claims is not None and claims["client_id"] != api_key:
            raise ServiceError("gateway-api-key-invalid")
        org = headers.get("x-gw-ims-org-id")
        if org is None:
            raise ServiceError("gateway-org-missing")
        if not org.strip():
            raise ServiceError("org-header-empty")
        if claims is not None and claims["org"] not in (None, org):
            raise ServiceError("gateway-org-not-entitled")
        if len(org) > MAX_NAME or (self._orgs and org not in self._orgs):
            raise ServiceError("org-no-access", known=sorted(self._orgs))
        sandbox = headers.get("x-sandbox-name") or DEFAULT_SANDBOX
        if len(sandbox) > MAX_NAME or (self._sandboxes and sandbox not in self._sandboxes):
            raise ServiceError("sandbox-not-found", name=sandbox[:100], known=sorted(self._sandboxes))

    def _check_token(self, authorization: str | None) -> dict[str, Any] | None:
        """The token's claims, where tokens are checked."""
        if authorization is None:
            raise ServiceError("gateway-token-missing")
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise ServiceError("token-invalid")
        if not token.strip():
            raise ServiceError("token-empty")
        if not self._check_auth:
            return None
        signed, _, signature = token.strip().rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            raise ServiceError("gateway-token-not-valid", expired=None)
        payload = signed.partition(".")[2]
        claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if claims["expires"] <= self._clock.now():
            raise ServiceError("gateway-token-not-valid", expired=claims["expires"])
        return claims

    def _signature(self, signed: str) -> str:
        return _base64(hmac.digest(self._key, signed.encode("utf-8", "surrogatepass"), hashlib.sha256))

    async def token(self, exchange: Exchange) -> Reply:
        """POST /ims/token/v3: an access token for client credentials, sent as a form or, as older clients do, in the query."""
        try:
            form = parse_qs(exchange.body.decode("utf-8"), keep_blank_values=True, max_num_fields=20)
            for name, value in exchange.query:
                form.setdefault(name, [value])
        except ValueError:
            raise ServiceError("token-request-invalid", reason="the body must be form-encoded UTF-8") from None
        grant = form.get("grant_type", [""])[0]
        if grant not in GRANTS:
            if grant:
                raise ServiceError("token-grant-unsupported", grant=grant[:100])
            reason = "grant_type is missing; it must be client_credentials"
            raise ServiceError("token-request-invalid", place="grant_type", kind="required", reason=reason)
        for name in GRANTS[grant]:
            if not form.get(name, [""])[0]:
                raise ServiceError("token-request-invalid", place=name, kind="required", reason=f"{name} is missing")
        client_id, org = form["client_id"][0][:MAX_NAME], form.get("org_id", [None])[0]
        claims = {"client_id": client_id, "org": org, "expires": self._clock.now() + TOKEN_SECONDS}
        # under a frozen clock, too, each token is another one: a client that fetched a new one is told from one that did not
        payload = _base64(orjson.dumps({**claims, "id": f"{self._rng.getrandbits(64):016x}"}))
        signed = f"{_HEADER}.{payload}"
        token = f"{signed}.{self._signature(signed)}"
        return Reply({"access_token": token, "token_type": "bearer", "expires_in": TOKEN_SECONDS})


class OriginGuard:
    """Refuses control calls from other origins, and under names that a stranger could own: no page of another site may make them,
    whatever it makes a developer's browser do.

    A browser tells where a page is from (`Origin`, and `Sec-Fetch-Site` where it sends no `Origin`, as for a picture) and which
    name it looked up (`Host`). A page cannot choose any of them; what it can do is have its own name resolve to 127.0.0.1 (DNS
    rebinding), and that is what the check of `Host` is for. The service's own calls need no such check: their headers (`x-api-key`
    and others) are none that a browser sends to another origin unasked.
    """

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


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _base64(b'{"alg":"HS256","typ":"JWT"}')
