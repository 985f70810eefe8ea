"""The fields of a fault rule: what each may be, and what is wrong with one that is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.globs import MAX_GLOB, MAX_STARS, overlap

MAX_SECONDS: Final = 60.0
"""How long a delay or a slow body lasts at most, in seconds of the machine."""
MAX_RETRY_AFTER: Final = 3600
MAX_COUNT: Final = 1_000_000_000
MAX_PIECES: Final = 1_000
MAX_TEXT: Final = MAX_GLOB
METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT")
MAX_TOLD: Final = 20
"""A longer list is not told whole in a sentence."""
MAX_NEAREST: Final = 3
CONTROL_ONLY: Final = "a control call"
"""How the error table marks what the service itself never answers."""


class RuleError(ValueError):
    """A rule that is not taken. `place` is such as `rules[0].kind`; `allowed` lists what could stand there, where that is known.

    The text has a short list whole, and of a long one what is `nearest` to what was given, and how many there are.
    """

    def __init__(self, place: str, reason: str, allowed: Iterable[str] = (), nearest: Sequence[str] = ()) -> None:
        self.place = place
        self.allowed = tuple(allowed)
        self.is_whole = len(self.allowed) <= MAX_TOLD
        """Whether the text has all that is allowed."""
        told = ""
        if self.allowed and self.is_whole:
            told = f"; allowed: {', '.join(self.allowed)}"
        elif self.allowed:
            near = f"; nearest: {', '.join(nearest)}" if nearest else ""
            told = f"{near}; {len(self.allowed)} are allowed"
        super().__init__(f"{place}: {reason}{told}" if place else f"{reason}{told}")


class ServiceCall(NamedTuple):
    """One operation of the service as rules see it. `short_path` is the path below the Flow Service's base path."""

    name: str
    method: str
    path: str
    short_path: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What rules may name. `seed` is what `rate` is drawn from where a rule has no seed of its own."""

    calls: Sequence[ServiceCall]
    errors: ErrorTable
    destinations: Sequence[str]
    seed: int


def reaches(glob: str | None, call: ServiceCall, entity: str | None = None) -> bool:
    """Whether some path of the route, with this entity's id if one is given, matches the glob."""
    return glob is None or any(
        overlap(glob, path if entity is None else path.replace("{id}", entity)) for path in (call.path, call.short_path)
    )


def nearest_to(value: Any, options: Iterable[str]) -> list[str]:
    """The options that are spelt most like a text, the likeliest first; none for what is no text, or like none of them."""
    return get_close_matches(value[:MAX_TEXT], list(options), MAX_NEAREST) if isinstance(value, str) else []


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: Any, place: str, words: Vocabulary) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise RuleError(place, f"a text of 1 to {MAX_TEXT} characters is needed, got {shown(value)}")
    return value


def _name(value: Any, place: str, words: Vocabulary) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise RuleError(place, f"an id has 1 to 64 letters, digits, dots, hyphens and underscores, got {shown(value)}")
    return value


def _method(value: Any, place: str, words: Vocabulary) -> str:
    if not isinstance(value, str) or value.upper() not in METHODS:
        raise RuleError(place, f"{shown(value)} is no method", METHODS)
    return value.upper()


def _path(value: Any, place: str, words: Vocabulary) -> str:
    glob = _text(value, place, words)
    if glob.count("*") > MAX_STARS:
        raise RuleError(place, f"at most {MAX_STARS} asterisks are needed, got {glob.count('*')}")
    if not any(reaches(glob, call) for call in words.calls):
        raise RuleError(
            place,
            f"the service has no path that {shown(value)} matches",
            dict.fromkeys(call.path for call in words.calls),
            nearest_to(value, dict.fromkeys(path for call in words.calls for path in (call.path, call.short_path))),
        )
    return glob


def _entity(value: Any, place: str, words: Vocabulary) -> str:
    if "/" in (entity := _text(value, place, words)):
        raise RuleError(place, f"the id of one entity is needed, without a slash, got {shown(value)}")
    return entity


def _headers(value: Any, place: str, words: Vocabulary) -> dict[str, str]:
    if not isinstance(value, dict) or not 1 <= len(value) <= 10:
        raise RuleError(
            place, f'an object of 1 to 10 headers is needed, such as {{"x-api-key": "one*"}}, got {shown(value)}'
        )
    for name in value:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name):
            raise RuleError(place, f"{shown(name)} cannot be a header's name")
    return {name.lower(): _text(glob, f"{place}.{name}", words) for name, glob in value.items()}


def _whole(least: int, most: int) -> Callable[[Any, str, Vocabulary], int]:
    def read(value: Any, place: str, words: Vocabulary) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RuleError(place, f"a whole number from {least} to {most} is needed, got {shown(value)}")
        return value

    return read


def _number(most: float) -> Callable[[Any, str, Vocabulary], float]:
    """A number above 0."""

    def read(value: Any, place: str, words: Vocabulary) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
            or not 0 < value <= most
        ):
            raise RuleError(place, f"a number above 0, at most {most:g}, is needed, got {shown(value)}")
        return float(value)

    return read


def _error(value: Any, place: str, words: Vocabulary) -> str:
    """An error's name, for its name or its code."""
    kinds = {name: kind for name, kind in words.errors.kinds.items() if not kind.applies_to.startswith(CONTROL_ONLY)}
    if isinstance(value, str):
        wanted = value.removeprefix("FLOW-")
        for kind in kinds.values():
            if value == kind.name or (wanted and wanted == kind.code):
                return kind.name
    names = {**{kind.code: name for name, kind in kinds.items() if kind.code}, **{name: name for name in kinds}}
    nearest = dict.fromkeys(names[near] for near in nearest_to(value, names))
    raise RuleError(
        place, f"{shown(value)} is neither the name nor the code of a documented error", kinds, list(nearest)
    )


def _fields(value: Any, place: str, words: Vocabulary) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RuleError(place, f'an object is needed, such as {{"permission": "…"}}, got {shown(value)}')
    for name, content in value.items():
        if isinstance(content, bool) or not isinstance(content, (str, int, float)) or len(str(content)) > MAX_TEXT:
            raise RuleError(
                f"{place}.{name[:60]}",
                f"a text of at most {MAX_TEXT} characters or a number is needed, got {shown(content)}",
            )
    return {name: str(content) for name, content in value.items()}


def _destination(value: Any, place: str, words: Vocabulary) -> str:
    if not isinstance(value, str) or value not in words.destinations:
        raise RuleError(place, f"{shown(value)} is no destination", words.destinations)
    return value


READERS: Final[Mapping[str, Callable[[Any, str, Vocabulary], Any]]] = {
    "id": _name,
    "kind": _text,
    "operation": _text,
    "method": _method,
    "path": _path,
    "org": _text,
    "sandbox": _text,
    "entity": _entity,
    "header": _headers,
    "nth": _whole(1, MAX_COUNT),
    "times": _whole(1, MAX_COUNT),
    "rate": _number(1),
    "seed": _whole(-(2**63), 2**63 - 1),
    "error": _error,
    "fields": _fields,
    "retryAfter": _whole(0, MAX_RETRY_AFTER),
    "seconds": _number(MAX_SECONDS),
    "stage": _text,
    "bytes": _whole(0, MAX_COUNT),
    "pieces": _whole(2, MAX_PIECES),
    "flow": _text,
    "destination": _destination,
    "dataset": _text,
    "code": _text,
    "message": _text,
}
