"""Secrets in texts, by what they look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flow_service_emulator.validation.validation import MASK

MIN_LOOKS: Final = 20
"""Characters of the shortest text that is a credential beyond doubt."""

_CERTAIN: Final = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"LS0tLS1CRUdJTi(?!BQVUJ|BDRVJ)[A-Za-z0-9+/=_-]{10,}",  # the same in base64, not of a public key or certificate
    r"(?<![A-Za-z0-9_-])-?(eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){0,3})",
    r"(?i)(?:account|sharedaccess)key=([A-Za-z0-9+/]{16,}={0,2})",
    r"(?i)(?<![a-z])sig=([A-Za-z0-9%+/_-]{20,}={0,2})",
    r"(?<![A-Za-z0-9_~.])[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,40}",  # of a service principal
)
"""What secrets look like that nobody could take for anything else."""
_LIKELY: Final = (
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    r"(?i)(?<=\bbearer\s)\s*[A-Za-z0-9+/=._~-]{6,}",
    r"(?i)(?<![a-z])(?:(?:account|shared ?access|secret|access|api|private)[ _-]?key|sig|signature|password|passwd"
    r"|pwd|(?:client[ _-]?)?secret|(?:access|sas|refresh)?[ _-]?token)"
    r"(?:\s{0,9}=\s{0,9}|:\s{0,9}(?=\S{0,99}[0-9!#$%+/=@^~]))([^\s;&,\"'<>]{4,})",
)
"""What secrets look like in prose and in URLs; a name such as `password=new` may be meant, too.

Where a pattern has a group, that is the secret, else the whole match is. No pattern looks at a character more than a bounded
number of times, whatever the text. They are compiled when something hints at a secret for the first time.
"""
_RANDOM: Final = r"(?<![A-Za-z0-9+/])(?=([A-Za-z0-9/+]{40})(?![A-Za-z0-9+/_-]))"
"""The secret keys of Amazon S3 and of Google's HMAC: 40 characters of base64, `/` among them, and nothing that tells them.

A part of a longer path, from one `/` to another, is none: of made-up paths every tenth would have such a part.
"""
_RANDOM_IN_PATH: Final = r"(?<![A-Za-z0-9+])(?!//)(?=([A-Za-z0-9/+]{40})(?![A-Za-z0-9+_-]))"
"""The same in what begins with `/`, the path of a URL or of a JSON Patch, where a key may be a step."""
_CUT_SHORT: Final = r"(?<![A-Za-z0-9+/])(?=([A-Za-z0-9/+]{40,})(?:\.\.\.|…))"
"""The beginning of a longer key, as messages quote it."""
_ACCOUNT_KEY: Final = r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="
"""The key of a storage account of Azure, by itself."""
_PIECES: Final = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
_MANY_PIECES: Final = 14
_SINGLE_PIECES: Final = 4
"""So many words and numbers, or single letters and digits among them, hardly stand in a path of 40 characters."""
_MAX_SLASHES: Final = 4
"""More of them has a path of so many words; of random keys one in 2,500."""
_HINTS: Final = (
    *(b"key", b"secret", b"private", b"eyj", b"://", b"bearer", b"sig", b"passw", b"pwd", b"token"),
    *(b"ls0tls1c", b"q~"),
)
"""Lower-case words of which one stands in every text that `_CERTAIN` and `_LIKELY` find something in."""
_RUNS: Final = bytes(
    ord("x") if char in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/" else 32
    for char in range(256)
)
_RUN: Final = b"x" * 40


def hints(lower: bytes) -> bool:
    """Whether something in a text, which has to be in lower case, looks as if a secret might be near."""
    return _has_word(lower) or _has_run(lower)


def _has_word(lower: bytes) -> bool:
    for hint in _HINTS:  # noqa: SIM110 - any() would double what it costs, and this runs for every request
        if hint in lower:
            return True
    return False


def _has_run(lower: bytes) -> bool:
    """Whether 40 characters of base64 follow one another, as they do in the keys that nothing else tells."""
    return _RUN in lower.translate(_RUNS)


def scrubbed(text: str, secrets: list[str]) -> str:
    """A text with what looks like a secret masked; it goes into `secrets`."""
    lower = text.lower().encode("utf-8", "replace")
    if _has_word(lower):
        text = _without_any(text, (*_CERTAIN, *_LIKELY), secrets)
    if _has_run(lower):
        pattern = _RANDOM_IN_PATH if text.startswith("/") else _RANDOM
        text = _without_random(_without_any(text, (_ACCOUNT_KEY,), secrets), pattern, secrets)
    return text


def scrubbed_quote(text: str, secrets: list[str]) -> str:
    """The same for a message, which may quote no more than the beginning of a key: of such one nothing tells how long it is."""
    text = scrubbed(text, secrets)
    return _without_random(text, _CUT_SHORT, secrets) if "..." in text or "…" in text else text


def without_credentials(text: str, *, random: bool) -> str:
    """A text that is to be stored, with what is a credential beyond doubt masked.

    `random` counts keys among them that are nothing but 40 random characters, which a name may be, too.
    """
    if len(text) < MIN_LOOKS:
        return text
    lower = text.lower().encode("utf-8", "replace")
    if _has_word(lower):
        text = _without_any(text, _CERTAIN, [])
    if _has_run(lower):
        text = _without_any(text, (_ACCOUNT_KEY,), [])
        text = _without_random(text, _RANDOM, []) if random else text
    return text


def _without_any(text: str, patterns: Sequence[str], secrets: list[str]) -> str:
    def masked(match: re.Match[str]) -> str:
        group = 1 if match.re.groups else 0
        secrets.append(match[group])
        whole, start = match[0], match.start(group) - match.start()
        return whole[:start] + MASK + whole[start + len(match[group]) :]

    for pattern in patterns:
        text = re.sub(pattern, masked, text)
    return text


def _without_random(text: str, pattern: str, secrets: list[str]) -> str:
    pieces, done = [], 0
    for match in re.finditer(pattern, text):
        if match.start() >= done and _is_random(match[1]):
            secrets.append(match[1])
            pieces += [text[done : match.start()], MASK]
            done = match.start() + len(match[1])
    return "".join([*pieces, text[done:]])


def _is_random(run: str) -> bool:
    if run.count("/") > _MAX_SLASHES or run.islower() or run.isupper() or not any(char.isdigit() for char in run):
        return False
    pieces = re.findall(_PIECES, run)
    return len(pieces) >= _MANY_PIECES or sum(len(piece) == 1 for piece in pieces) >= _SINGLE_PIECES
