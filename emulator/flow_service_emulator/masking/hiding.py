"""Known secrets hidden wherever a message or a body repeats them, at a cost that is bounded whatever a client sends.

All texts of a value are searched as one: as many searches as there are secrets, not as many as secrets times texts. Every
place where a secret begins is looked at by itself, so that nothing of a secret that repeats itself, such as `abababab`, is
left beside what was masked. How many places are looked at is bounded; where there are more, every text is masked.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from flow_service_emulator.validation.validation import MASK

MIN_SECRET: Final = 5
"""Characters from which on a masked value is also looked for where it may be repeated: shorter ones are everywhere."""
HEAD: Final = 16
"""So much of a long secret gives it away where it is repeated cut short."""
MIN_TELLING: Final = 8
"""Characters of a secret that is no word from which on it is hidden in the middle of a word, too."""
MAX_PLACES: Final = 1_000
"""Places of a value that are compared with a secret; each costs as much as the longest of its texts at most."""
CUT: Final = re.compile(r"[\"'…\s.,:;)\]]")
"""What follows a text that was cut short, unless it ends there."""
_WORD: Final = r"[A-Za-z]?[a-z]*"
_BETWEEN: Final = "\n"
_ESCAPED: Final = ('"', "'", "\\")
"""Signs in front of which Python or JSON puts another one."""

Needles = Mapping[str, list[str]]
"""What is looked for, by its beginning."""


class TooManyPlaces(Exception):
    """There are more places where a secret may begin than are looked at."""


def is_telling(secret: str) -> bool:
    """Whether a secret can be told from the words of a message: short ones and plain words, such as `orders`, cannot."""
    return len(secret) >= HEAD or (len(secret) >= MIN_TELLING and re.fullmatch(_WORD, secret) is None)


def is_sought(secret: str) -> bool:
    """Whether a secret is looked for in texts. One such as `hunter2`, which is too short to tell, is found as a whole word."""
    return len(secret) >= HEAD or (len(secret) >= MIN_SECRET and re.fullmatch(_WORD, secret) is None)


def hide(value: Any, secrets: Iterable[str]) -> Any:
    """A JSON value in whose texts none of the secrets stands, whole or cut short, quoted or not; nor in names, if it is telling.

    The value itself where nothing of them is in it.
    """
    sought = [secret for secret in dict.fromkeys(secrets) if is_sought(secret)]
    if not sought:
        return value
    texts, names = _texts_and_names(value)
    shown = hidden(texts, sought)
    renamed = hidden(names, [secret for secret in sought if is_telling(secret)]) if names else {}
    if not shown and not renamed:
        return value
    return map_texts(value, lambda text: shown.get(text, text), lambda name: renamed.get(name, name))


def hidden(texts: Collection[str], secrets: Iterable[str]) -> dict[str, str]:
    """The texts that have a secret in them, and how they look without it."""
    needles: dict[str, list[str]] = {}
    for needle in dict.fromkeys(form for secret in secrets for form in _forms(secret)):
        needles.setdefault(needle[:HEAD], []).append(needle)
    if not needles or not texts:
        return {}
    try:
        return _without(list(texts), needles)
    except TooManyPlaces:
        return {text: MASK for text in texts if len(text) >= MIN_SECRET}


def _without(texts: list[str], needles: Needles) -> dict[str, str]:
    joined = _BETWEEN.join(texts)
    starts = [0]
    for text in texts[:-1]:
        starts.append(starts[-1] + len(text) + len(_BETWEEN))
    places: dict[int, list[tuple[int, int]]] = {}
    looked = 0
    for head, forms in needles.items():
        at = joined.find(head)
        while at >= 0:
            looked += len(forms)
            if looked > MAX_PLACES:
                raise TooManyPlaces
            index = bisect_right(starts, at) - 1
            text, start = texts[index], at - starts[index]
            sizes = [_size(text, start, form) for form in forms]
            if any(sizes):
                places.setdefault(index, []).append((start, start + max(sizes)))
            at = joined.find(head, at + 1)
    return {texts[index]: _cut_out(texts[index], sorted(spans)) for index, spans in places.items()}


def _size(text: str, start: int, needle: str) -> int:
    """Characters of the needle that have to go, where its beginning may stand in a text; 0 where they give nothing away."""
    room = min(len(needle), len(text) - start)
    if room < min(HEAD, len(needle)):
        return 0  # it was found across two texts
    size = room if text.startswith(needle[:room], start) else _common(text, start, needle, room)
    end = start + size
    if size < len(needle):
        return size if end == len(text) or CUT.match(text, end) else 0
    if size < MIN_TELLING and (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
        return 0
    return size


def _common(text: str, start: int, needle: str, room: int) -> int:
    """Characters that a needle and a text have in common from there on: `HEAD` and more, and fewer than `room`.

    Halving what is left to compare takes two passes at most over all of it, whatever the characters are.
    """
    low, high = HEAD, room
    while high - low > 1:
        middle = (low + high) // 2
        if text.startswith(needle[low:middle], start + low):
            low = middle
        else:
            high = middle
    return low


def _cut_out(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with one MASK for each span, and for all of those that overlap."""
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done:
            pieces += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*pieces, text[done:]])


def _forms(secret: str) -> Iterator[str]:
    """How a secret looks inside a message: as it is, and as Python and as JSON write it."""
    yield secret
    if secret.isascii() and secret.isprintable() and not any(sign in secret for sign in _ESCAPED):
        return
    yield repr(secret)[1:-1]
    yield orjson.dumps(secret).decode()[1:-1]


def head(secret: str) -> bytes:
    """How the beginning of a secret looks in JSON."""
    return orjson.dumps(secret[:HEAD])[1:-1]


def _texts_and_names(value: Any) -> tuple[Collection[str], Collection[str]]:
    """The texts of a JSON value, and the names of its fields; each once."""
    texts: dict[str, None] = {}
    names: dict[str, None] = {}
    waiting = [value]
    for item in waiting:
        if isinstance(item, str):
            texts[item] = None
        elif isinstance(item, dict):
            names.update(dict.fromkeys(item))
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return texts, names


def map_texts(value: Any, change: Callable[[str], str], rename: Callable[[str], str] | None = None) -> Any:
    """A copy of a JSON value with every text changed, and every name by `rename` where it is given."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {
            name if rename is None else rename(name): map_texts(item, change, rename) for name, item in value.items()
        }
    if isinstance(value, list):
        return [map_texts(item, change, rename) for item in value]
    return value
