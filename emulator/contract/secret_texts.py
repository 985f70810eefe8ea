"""Secrets in texts: what looks like one, and where a known one is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import orjson

from emulator.validation.validation import MASK

MIN_SECRET: Final = 5
"""Characters from which on a masked value is also looked for where it may be repeated: shorter ones are everywhere."""
_HEAD: Final = 16
"""So much of a long secret gives it away where it is repeated cut short."""

_SECRETS: Final = (
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    r"(?i)(?<=\bbearer\s)\s*[A-Za-z0-9+/=._~-]{6,}",
    r"(?i)(?<![a-z])(?:(?:account|shared ?access|secret|access|api|private)[ _-]?key|sig|signature|password|passwd"
    r"|pwd|(?:client[ _-]?)?secret|(?:access|sas|refresh)?[ _-]?token)"
    r"(?:\s{0,9}=\s{0,9}|:\s{0,9}(?=\S{0,99}[0-9!#$%+/=@^~]))([^\s;&,\"'<>]{4,})",
)
"""What secrets look like; where a pattern has a group, that is the secret, else the whole match is.

No pattern looks at a character more than a bounded number of times, whatever the text. They are compiled when something
hints at a secret for the first time.
"""
_HINTS: Final = (b"key", b"secret", b"private", b"eyj", b"://", b"bearer", b"sig", b"passw", b"pwd", b"token")
"""Lower-case words of which one stands in every text that `_SECRETS` finds something in."""


def hints(lower: bytes) -> bool:
    """Whether something in a text, which has to be in lower case, looks as if a secret might be near."""
    for hint in _HINTS:  # noqa: SIM110 - this runs for every request; any() would double what it costs
        if hint in lower:
            return True
    return False


def scrubbed(text: str, secrets: list[str]) -> str:
    """A text with what looks like a secret masked; it goes into `secrets`."""
    if not hints(text.lower().encode("utf-8", "replace")):
        return text

    def masked(match: re.Match[str]) -> str:
        group = 1 if match.re.groups else 0
        secrets.append(match[group])
        whole, start = match[0], match.start(group) - match.start()
        return whole[:start] + MASK + whole[start + len(match[group]) :]

    for pattern in _SECRETS:
        text = re.sub(pattern, masked, text)
    return text


def hide(value: Any, secrets: Iterable[str]) -> Any:
    """A JSON value in whose texts none of the secrets stands, whole or cut short, quoted or not."""
    needles = [secret for secret in secrets if len(secret) >= MIN_SECRET]
    needles += [form for secret in needles for form in _written(secret) if form != secret]

    def without_any(text: str) -> str:
        for needle in needles:
            if needle[:_HEAD] in text:
                text = _without(text, needle)
        return text

    return map_texts(value, without_any) if needles else value


def _without(text: str, needle: str) -> str:
    """The text with every place masked where the needle, or its beginning, stands."""
    start = text.find(needle[:_HEAD])
    while start >= 0:
        size = min(_HEAD, len(needle))
        while size < len(needle) and text[start + size : start + size + 1] == needle[size]:
            size += 1
        text = text[:start] + MASK + text[start + size :]
        start = text.find(needle[:_HEAD], start + len(MASK))
    return text


def _written(secret: str) -> Iterator[str]:
    """How a secret looks inside a message: as Python and as JSON write it."""
    yield repr(secret)[1:-1]
    yield orjson.dumps(secret).decode()[1:-1]


def head(secret: str) -> bytes:
    """How the beginning of a secret looks in JSON."""
    return orjson.dumps(secret[:_HEAD])[1:-1]


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a JSON value with every text changed; names stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: map_texts(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [map_texts(item, change) for item in value]
    return value
