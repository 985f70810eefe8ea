"""What a request's headers say about the client: which of those that every request carries are missing, and which look wrong.

The gateway answers with the first header that is missing; here all of them are told, so that one round fixes them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from flow_service_emulator.contract.sighting import Finding, Sighting
from flow_service_emulator.validation.violation_text import literal

AUTHORIZATION: Final = "headers.authorization"
API_KEY: Final = "headers.x-api-key"
ORG: Final = "headers.x-gw-ims-org-id"
SANDBOX: Final = "headers.x-sandbox-name"
REQUIRED: Final[Mapping[str, str]] = {
    "gateway-token-missing": AUTHORIZATION,
    "gateway-api-key-missing": API_KEY,
    "gateway-org-missing": ORG,
    "org-header-empty": ORG,
}
"""The errors of a missing header, and which it is."""
REFUSED_BY_GATEWAY: Final = frozenset(
    (
        *REQUIRED,
        *("token-invalid", "token-empty", "gateway-token-not-valid", "gateway-api-key-invalid"),
        *("gateway-org-not-entitled", "org-no-access", "sandbox-not-found"),
    )
)
"""The errors with which the gateway answers before the service sees a request."""
_ORG_END: Final = "@AdobeOrg"
_SANDBOX_NAME: Final = re.compile(r"[a-z0-9-]*")


def missing_headers(seen: Sighting, messages: Mapping[str, str]) -> Iterator[Finding]:
    """The headers that a request lacks which the gateway refused, as the errors that they would be answered with.

    `messages` are the sentences of the errors in REQUIRED.
    """
    exchange = seen.exchange
    if exchange.injected or exchange.error not in REFUSED_BY_GATEWAY:
        return
    headers = exchange.headers
    if "authorization" not in headers:
        yield _missing("gateway-token-missing", messages)
    if not headers.get("x-api-key"):
        yield _missing("gateway-api-key-missing", messages)
    if "x-gw-ims-org-id" not in headers:
        yield _missing("gateway-org-missing", messages)
    elif not headers["x-gw-ims-org-id"].strip():
        yield _missing("org-header-empty", messages)


def header_warnings(seen: Sighting) -> Iterator[Finding]:
    """What is taken here, and that no real organization or sandbox looks like; and a sandbox that was not named."""
    headers = seen.exchange.headers
    org = headers.get("x-gw-ims-org-id", "").strip()
    if org and not org.endswith(_ORG_END) and not _is_repeated(seen, ORG):
        yield Finding("org-id-form", ORG, f"{ORG} was {_told(seen, 'x-gw-ims-org-id')}")
    sandbox = headers.get("x-sandbox-name", "")
    if not sandbox:
        yield Finding("sandbox-header-missing", SANDBOX, "x-sandbox-name was not sent; prod is assumed")
    elif sandbox != "prod" and _SANDBOX_NAME.fullmatch(sandbox) is None and not _is_repeated(seen, SANDBOX):
        yield Finding("sandbox-name-form", SANDBOX, f"{SANDBOX} was {_told(seen, 'x-sandbox-name')}")


def _is_repeated(seen: Sighting, place: str) -> bool:
    """Whether a header was sent several times: then its values stand in one line."""
    return any(warning.path == place for warning in seen.exchange.warnings)


def _told(seen: Sighting, header: str) -> str:
    return literal(seen.headers.get(header, ""))


def _missing(error: str, messages: Mapping[str, str]) -> Finding:
    return Finding(error, REQUIRED[error], messages[error])
