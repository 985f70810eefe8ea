"""Rules of injected faults: the kinds, the fields, and how a rule is read from JSON.

A rule says which requests it meets (`operation`, `method`, `path`, `org`, `sandbox`, `entity`, `header`) or which runs (`kind` "run":
`flow`, `destination`, `dataset`, `org`, `sandbox`), which of these it hits (`nth`, `times`, `rate`), and what it does to them.
What a rule names must be there; whether it can ever match is not proved, `matched` says whether it did.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from flow_service_emulator.errors import ErrorTable

MAX_RULES: Final = 100
MAX_SECONDS: Final = 60.0
"""How long a delay or a slow body lasts at most, in seconds of the machine."""
MAX_RETRY_AFTER: Final = 3600
MAX_COUNT: Final = 1_000_000_000
MAX_PIECES: Final = 1_000
MAX_TEXT: Final = 256
MAX_TOLD: Final = 20
"""A longer list is not told whole in a sentence."""
BEFORE, DURING, AFTER = "before", "during", "after"
METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT")
READ_ONLY: Final = ("matched", "fired", "repeats")
"""What answers tell beside a rule; ignored where it comes back, so that an answer can be changed and sent again."""
CONTROL_ONLY: Final = "a control call"
"""How the error table marks what the service itself never answers."""


class RuleError(ValueError):
    """A rule that is refused. `place` is such as `rules[0].kind`; `allowed` lists what could stand there, where that is known.

    The text has a short list whole, and of a long one what is spelt most like `value`, and how many there are.
    """

    def __init__(self, place: str, reason: str, allowed: Iterable[str] = (), value: Any = None) -> None:
        self.place = place
        self.allowed = list(allowed)
        if len(self.allowed) > MAX_TOLD:
            nearest = get_close_matches(value[:MAX_TEXT], self.allowed) if isinstance(value, str) else []
            reason += f"; nearest: {', '.join(nearest)}" if nearest else ""
            reason += f'; {len(self.allowed)} are allowed, all listed in this answer\'s "allowed"'
        elif self.allowed:
            reason += f"; allowed: {', '.join(self.allowed)}"
        super().__init__(f"{place}: {reason}" if place else reason)


class Vocabulary(NamedTuple):
    """What rules may name. `seed` is what `rate` is drawn from where a rule has no seed of its own."""

    operations: Sequence[str]
    errors: ErrorTable
    destinations: Sequence[str]
    seed: int


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind does, which fields of its own it has, which of them are needed, and what the others are by default."""

    does: str
    own: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


KINDS: Final[Mapping[str, Kind]] = {
    "error": Kind(
        "answers with a documented error, without doing anything (`before`), or once it has been done (`after`)",
        ("error", "fields", "retryAfter", "stage"),
        ("error",),
        {"stage": BEFORE},
    ),
    "rate-limit": Kind(
        "answers 429 with `Retry-After`, and so all that comes before these seconds are over",
        ("retryAfter",),
        defaults={"retryAfter": 1},
    ),
    "delay": Kind("waits before the request is looked at", ("seconds",), ("seconds",)),
    "reset": Kind(
        "ends the connection with a TCP reset, `before` or `after` it is done", ("stage",), defaults={"stage": BEFORE}
    ),
    "truncate": Kind("cuts the answer off after so many bytes, half of them unless told", ("bytes",)),
    "slow": Kind(
        "sends the answer's body over so many seconds, in pieces",
        ("seconds", "pieces"),
        ("seconds",),
        {"pieces": 10},
    ),
    "token-expired": Kind(
        "lets the request's token expire: 401 (401013) from now on, until the client has another one",
        defaults={"times": 1},
    ),
    "etag-changed": Kind("changes the entity just before a PATCH with its latest etag: 412", defaults={"times": 1}),
    "run": Kind(
        "lets an export fail `before`, `during` or `after` the writing of its files; none stay",
        ("flow", "destination", "dataset", "stage", "code", "message"),
        defaults={"stage": DURING},
    ),
}
"""Every kind. A token that has expired and an etag that has changed would leave a client no way on, were it so each time;
so these two happen once unless `times` says otherwise."""


def fields_of(kind: str) -> tuple[str, ...]:
    """The names that a rule of a kind may have."""
    met = ("org", "sandbox") if kind == "run" else ("operation", "method", "path", "org", "sandbox", "entity", "header")
    return ("id", "kind", *met, "nth", "times", "rate", "seed", *KINDS[kind].own)


@dataclass(slots=True)
class Rule:
    """A rule that was checked, in the form in which it is sent, and what has become of it.

    `matched` counts the requests or runs that it met, `fired` those that it hit of its own accord (`times` bounds these), and
    `repeats` those that met a limit that was still on, or a token that had expired.
    """

    says: Mapping[str, Any]
    """Its fields, with defaults. What it does not say it does not ask for."""
    matched: int = 0
    fired: int = 0
    repeats: int = 0
    limited_until: float = -math.inf
    """Until when (the machine's monotonic seconds) a rate limit goes on."""
    expired: dict[str, None] = field(default_factory=dict)
    """Digests of the tokens that have expired."""

    @property
    def id(self) -> str:
        return str(self.says["id"])

    @property
    def kind(self) -> str:
        return str(self.says["kind"])

    @property
    def is_run(self) -> bool:
        return self.kind == "run"

    def as_json(self) -> dict[str, Any]:
        """The rule with its defaults and counts; `times` null is until it is deleted."""
        counts = {name: getattr(self, name) for name in READ_ONLY}
        return {**self.says, "times": self.says.get("times"), **counts}


def read_rules(value: Any, words: Vocabulary, *, taken: Iterable[str] = (), prefix: str | None = None) -> list[Rule]:
    """The rules in a JSON array. `taken` are ids in use; a rule without an id gets one made of `prefix` (or its kind) and a number.

    Raises RuleError for the first rule that is refused.
    """
    if not isinstance(value, list):
        raise RuleError("rules", f"an array of rules is needed, got {shown(value)}")
    ids = set(taken)
    if len(value) + len(ids) > MAX_RULES:
        raise RuleError("rules", f"at most {MAX_RULES} rules can be there, these would make {len(value) + len(ids)}")
    given = {rule["id"] for rule in value if isinstance(rule, dict) and isinstance(rule.get("id"), str)}
    rules = []
    for index, item in enumerate(value):
        says = _read_rule(item, words, f"rules[{index}]")
        if "id" not in says:
            stem, number = prefix or says["kind"], 1
            while f"{stem}-{number}" in ids | given:
                number += 1
            says = {"id": f"{stem}-{number}", **says}
        if says["id"] in ids:
            raise RuleError(f"rules[{index}].id", f"{says['id']!r} is there already")
        ids.add(says["id"])
        rules.append(Rule(says))
    return rules


def _read_rule(value: Any, words: Vocabulary, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RuleError(place, f"a rule is an object with a kind, got {shown(value)}")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RuleError(f"{place}.kind", f"{shown(kind)} is no kind of fault", KINDS, kind)
    known = fields_of(kind)
    given = {name: content for name, content in value.items() if name not in READ_ONLY}
    if given.get("times", 0) is None:
        del given["times"]
    for name in given:
        if name not in known:
            raise RuleError(f"{place}.{name[:60]}", f'the kind "{kind}" has no such field', known)
    for name in KINDS[kind].needed:
        if name not in given:
            raise RuleError(f"{place}.{name}", f'the kind "{kind}" needs it')
    read = {name: READERS[name](content, f"{place}.{name}", words) for name, content in given.items()}
    stages = (BEFORE, DURING, AFTER) if kind == "run" else (BEFORE, AFTER)
    if read.get("stage", AFTER) not in stages:
        raise RuleError(f"{place}.stage", f"{shown(read['stage'])} is no stage of this kind", stages)
    defaults = dict(KINDS[kind].defaults)
    if kind == "error":
        error = words.errors.kinds[read["error"]]
        for name in read.get("fields", {}):
            if name not in error.message_fields:
                reason = f"the message of {error.name} has no such field"
                raise RuleError(f"{place}.fields.{name[:60]}", reason, sorted(error.message_fields))
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            defaults["retryAfter"] = KINDS["rate-limit"].defaults["retryAfter"]
    if "nth" in read:
        defaults["times"] = 1
    if "rate" in read:
        defaults["seed"] = words.seed
    return {**defaults, **read}


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


Reader = Callable[[Any, str, Vocabulary], Any]
"""Answers a field's value as it is stored, given what was sent, its place, and what can be named. Raises RuleError."""


def _that(fits: Callable[[Any], object], needed: str) -> Reader:
    """A reader of what fits."""

    def read(value: Any, place: str, words: Vocabulary) -> Any:
        if not fits(value):
            raise RuleError(place, f"{needed} is needed, got {shown(value)}")
        return value

    return read


def _whole(least: int, most: int) -> Reader:
    return _that(lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}")


def _number(most: float) -> Reader:
    return _that(
        lambda value: type(value) in (int, float) and 0 < value <= most, f"a number above 0, at most {most:g},"
    )


_text = _that(
    lambda value: isinstance(value, str) and value.strip() and len(value) <= MAX_TEXT,
    f"a text of 1 to {MAX_TEXT} characters",
)
_name = _that(
    lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value),
    "an id of 1 to 64 letters, digits, dots, hyphens and underscores",
)
_object = _that(lambda value: isinstance(value, dict) and 1 <= len(value) <= 10, "an object of 1 to 10 fields")
_filling = _that(
    lambda value: type(value) in (str, int, float) and len(str(value)) <= MAX_TEXT,
    f"a text of at most {MAX_TEXT} characters or a number",
)


def _method(value: Any, place: str, words: Vocabulary) -> str:
    if not isinstance(value, str) or value.upper() not in METHODS:
        raise RuleError(place, f"{shown(value)} is no method", METHODS)
    return value.upper()


def _operation(value: Any, place: str, words: Vocabulary) -> str:
    glob: str = _text(value, place, words)
    if not any(fnmatchcase(name, glob) for name in words.operations):
        raise RuleError(place, f"no operation is called {shown(value)}", words.operations, value)
    return glob


def _headers(value: Any, place: str, words: Vocabulary) -> dict[str, str]:
    globs: dict[str, Any] = _object(value, place, words)
    return {name.lower(): _text(glob, f"{place}.{name[:60]}", words) for name, glob in globs.items()}


def _fields(value: Any, place: str, words: Vocabulary) -> dict[str, str]:
    fields: dict[str, Any] = _object(value, place, words)
    return {name: str(_filling(content, f"{place}.{name[:60]}", words)) for name, content in fields.items()}


def _error(value: Any, place: str, words: Vocabulary) -> str:
    """An error's name, for its name or its code."""
    kinds = [kind for kind in words.errors.kinds.values() if not kind.applies_to.startswith(CONTROL_ONLY)]
    if isinstance(value, str):
        code = value.removeprefix("FLOW-")
        for kind in kinds:
            if value == kind.name or (code and code == kind.code):
                return kind.name
    reason = f"{shown(value)} is neither the name nor the code of a documented error"
    raise RuleError(place, reason, [kind.name for kind in kinds], value)


def _destination(value: Any, place: str, words: Vocabulary) -> str:
    if value not in words.destinations:
        raise RuleError(place, f"{shown(value)} is no destination", words.destinations, value)
    return str(value)


READERS: Final[Mapping[str, Reader]] = {
    "id": _name,
    "kind": _text,
    "operation": _operation,
    "method": _method,
    "path": _text,
    "org": _text,
    "sandbox": _text,
    "entity": _text,
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
"""Field -> its reader. `operation`, `path` and a header's value are globs: `*` is any characters, slashes too, and `?` is one."""
