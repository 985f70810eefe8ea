"""What of a request's headers may be seen: the names of all, the values of those that hold no credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flow_service_emulator.entities import Scope
from flow_service_emulator.masking.hiding import hide
from flow_service_emulator.masking.texts import scrubbed
from flow_service_emulator.validation.validation import MASK

SHOWN_HEADERS: Final = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection"),
        *("content-encoding", "content-length", "content-type", "expect", "host", "if-match", "if-modified-since"),
        *("if-none-match", "if-unmodified-since", "keep-alive", "origin", "pragma", "prefer", "retry-after"),
        *("traceparent", "transfer-encoding", "user-agent", "x-gw-ims-org-id", "x-http-method-override"),
        *("x-request-id", "x-sandbox-name"),
    )
)
"""Headers whose values are shown; all others are masked."""
MIN_TOKEN: Final = 16
"""Characters of a token or key from which on it is looked for in what is stored and shown: clients of tests send short words."""
_CREDENTIALS: Final = ("authorization", "x-api-key")
_ETAGS: Final = r'\*|(?:(?:W/)?(?:"[^"]*"|[0-9A-Fa-f-]+)(?:\s*,\s*|\Z))*'
_ETAG_OF_WORDS: Final = r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*"
_ETAG_WORD: Final = r"[0-9A-Fa-f]+|[A-Z]?[a-z]{1,20}[0-9]{0,4}|[A-Z]{1,20}[0-9]{0,4}"
_MAX_ETAG: Final = 100
"""Characters of an etag that is made of words, such as `my-old-version-etag`."""
_MAX_REMEMBERED: Final = 2_000
_MAX_HEADER: Final = 300
"""Characters of the headers that are remembered as harmless."""


class HeaderMask:
    """Masks headers, whose names are in lower case. What was found harmless is remembered: clients send the same again and again."""

    def __init__(self) -> None:
        self._harmless: set[str] = set()

    def masked(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with the values of all but the harmless ones masked."""
        harmless = self._harmless
        shown = {
            name: MASK if name not in SHOWN_HEADERS else value if value in harmless else self._harmless_part(value)
            for name, value in headers.items()
        }
        if "authorization" in shown:
            scheme, space, _ = headers["authorization"].partition(" ")
            if space and scheme.lower() in ("bearer", "basic"):
                shown["authorization"] = f"{scheme} {MASK}"
        if "if-match" in shown and not is_etag(headers["if-match"]):
            shown["if-match"] = MASK
        said = "\n".join(shown.values())
        repeated = [token for token in tokens(headers) if token in said]
        return hide(shown, repeated) if repeated else shown

    def is_known_harmless(self, value: str) -> bool:
        """Whether a header's value was found to have nothing in it that looks like a secret; others may have nothing either."""
        return value in self._harmless

    def _harmless_part(self, value: str) -> str:
        """A header's value without what looks like a secret; those that have none are known from then on."""
        shown = scrubbed(value, [])
        if shown == value and len(value) <= _MAX_HEADER:
            if len(self._harmless) >= _MAX_REMEMBERED:
                self._harmless.clear()
            self._harmless.add(value)
        return shown

    def scope(self, scope: Scope, headers: Mapping[str, str]) -> Scope:
        """An organization and a sandbox as they are stored and shown: MASK for a name that is a secret in the wrong header."""
        harmless = self._harmless
        if scope[0] not in harmless or scope[1] not in harmless:
            scope = self._harmless_part(scope[0]), self._harmless_part(scope[1])
        for token in _credentials("authorization", headers.get("authorization", "")):
            if len(token) >= MIN_TOKEN and token in scope:
                scope = MASK if scope[0] == token else scope[0], MASK if scope[1] == token else scope[1]
        return scope

    def is_harmless(self, text: str, headers: Mapping[str, str]) -> bool:
        """Whether a text has nothing in it that looks like a secret, and is none that the headers hold."""
        return scrubbed(text, []) == text and not any(token in text for token in tokens(headers))

    def secrets(self, headers: Mapping[str, str]) -> list[str]:
        """What `masked` masks, for looking for it elsewhere."""
        found: list[str] = []
        for name, value in headers.items():
            if name in _CREDENTIALS:
                found += _credentials(name, value)
            elif name not in SHOWN_HEADERS or (name == "if-match" and not is_etag(value)):
                found.append(value)
        return found


def is_etag(value: str) -> bool:
    """Whether an If-Match header is, or was meant to be, an etag, or several: in double quotes or not.

    Without quotes it has to be hexadecimal, or made of words: what is random letters and digits may be a token.
    """
    value = value.strip()
    if re.fullmatch(_ETAGS, value):
        return True
    bare = value.removeprefix("W/")
    if len(bare) > _MAX_ETAG or re.fullmatch(_ETAG_OF_WORDS, bare) is None:
        return False
    return all(re.fullmatch(_ETAG_WORD, word) for word in re.split("[._-]", bare))


def credentials(authorization: str) -> str:
    """What follows the scheme in an Authorization header; all of it where there is no scheme."""
    return authorization.partition(" ")[2].strip() or authorization


def _credentials(name: str, value: str) -> list[str]:
    """The credentials in one of the headers that have them: several, where it was sent several times and joined."""
    values = value.split(", ") if ", " in value else [value]
    return [credentials(value) for value in values] if name == "authorization" else values


def tokens(headers: Mapping[str, str]) -> list[str]:
    """The secrets that every request carries in its headers, as far as they are too long to be a word of a message."""
    found = [headers["cookie"]] if "cookie" in headers else []
    for name in _CREDENTIALS:
        if name in headers:
            found += _credentials(name, headers[name])
    return [token for token in found if len(token) >= MIN_TOKEN]
