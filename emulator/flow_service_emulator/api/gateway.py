"""The API gateway in front of the service: headers, tokens, organizations and sandboxes.

Source: reference, section "Address and headers", and the error table.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.clock import Clock
from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError

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


class Tokens:
    """Access tokens that need no memory: each carries its client and its end, and is signed with this server's key."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._key = rng.randbytes(32)
        self._rng = rng

    def issue(self, client_id: str, org: str | None) -> str:
        """A new token for a client, bound to an organization when one is named."""
        claims = {"client_id": client_id[:MAX_NAME], "org": org, "expires": self._clock.now() + TOKEN_SECONDS}
        # under a frozen clock, too, each token is another one: a client that fetched a new one is told from one that did not
        payload = _base64(orjson.dumps({**claims, "id": f"{self._rng.getrandbits(64):016x}"}))
        signed = f"{_HEADER}.{payload}"
        return f"{signed}.{self._signature(signed)}"

    def expiry(self, token: str) -> float | None:
        """When a token of this server's expires or did expire (epoch seconds); None for any other token."""
        claims = self._claims(token)
        return None if claims is None else float(claims["expires"])

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that is known and not expired; None otherwise."""
        claims = self._claims(token)
        return claims if claims is not None and claims["expires"] > self._clock.now() else None

    def _claims(self, token: str) -> dict[str, Any] | None:
        parts = token.split(".")
        if len(parts) != 3 or not hmac.compare_digest(
            parts[2].encode(), self._signature(f"{parts[0]}.{parts[1]}").encode()
        ):
            return None
        claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return claims

    def _signature(self, signed: str) -> str:
        return _base64(hmac.digest(self._key, signed.encode("utf-8", "surrogatepass"), hashlib.sha256))


def claimed_scope(headers: Mapping[str, str]) -> Scope:
    """The organization and sandbox that a request names, good or bad; an organization that is not named is empty."""
    sandbox = headers.get("x-sandbox-name") or DEFAULT_SANDBOX
    return headers.get("x-gw-ims-org-id", "")[:MAX_NAME], sandbox[:MAX_NAME]


class Gateway:
    """Checks every request's headers before the service sees it, and issues tokens."""

    def __init__(self, *, tokens: Tokens, check_auth: bool, orgs: tuple[str, ...], sandboxes: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._check_auth = check_auth
        self._orgs = frozenset(orgs)
        self._sandboxes = frozenset(sandboxes)

    def check(self, exchange: Exchange) -> Scope:
        """The organization and sandbox of a request. Raises the gateway's errors, the first that applies."""
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
        return org, sandbox

    def _check_token(self, authorization: str | None) -> dict[str, Any] | None:
        if authorization is None:
            raise ServiceError("gateway-token-missing")
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise ServiceError("token-invalid")
        if not token.strip():
            raise ServiceError("token-empty")
        if not self._check_auth:
            return None
        claims = self._tokens.read(token.strip())
        if claims is None:
            raise ServiceError("gateway-token-not-valid", expired=self._tokens.expiry(token.strip()))
        return claims

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
        token = self._tokens.issue(form["client_id"][0], form.get("org_id", [None])[0])
        return Reply({"access_token": token, "token_type": "bearer", "expires_in": TOKEN_SECONDS})


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _base64(b'{"alg":"HS256","typ":"JWT"}')
