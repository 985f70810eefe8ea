"""Rules of injected faults: the kinds and their fields.

A rule says which requests it meets (`operation`, `method`, `path`, `org`, `sandbox`, `entity`, `header`) or which runs (`kind` "run":
`flow`, `destination`, `dataset`, `org`, `sandbox`), which of these it hits (`nth`, `times`, `rate`), and what it does to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_SECONDS: Final = 60.0
"""How long a delay or a slow body lasts at most, in seconds of the machine."""
MAX_RETRY_AFTER: Final = 3600
MAX_COUNT: Final = 1_000_000_000
MAX_PIECES: Final = 1_000
MAX_TEXT: Final = 256
BEFORE, DURING, AFTER = "before", "during", "after"
METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT")
COUNTS: Final = ("matched", "fired", "repeats")
"""What answers tell beside a rule."""


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
    "adhoc-not-ready": Kind(
        "refuses ad hoc runs of a flow until ten minutes of the emulator's time have passed since its creation",
        ("flow",),
    ),
}
"""Every kind. A token that has expired and an etag that has changed would leave a client no way on, were it so each time;
so these two happen once unless `times` says otherwise."""


_OF_FLOWS: Final = ("run", "adhoc-not-ready")


def fields_of(kind: str) -> tuple[str, ...]:
    """The names that a rule of a kind may have."""
    met = (
        ("org", "sandbox")
        if kind in _OF_FLOWS
        else ("operation", "method", "path", "org", "sandbox", "entity", "header")
    )
    return ("id", "kind", *met, "nth", "times", "rate", "seed", *KINDS[kind].own)


def stages_of(kind: str) -> tuple[str, ...]:
    """What the `stage` of a rule of a kind may be."""
    return (BEFORE, DURING, AFTER) if kind == "run" else (BEFORE, AFTER)


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
    """Until when (`Clock.waited`) a rate limit goes on."""
    expired: dict[str, None] = field(default_factory=dict)
    """Digests of the tokens that have expired."""

    @property
    def id(self) -> str:
        return str(self.says["id"])

    @property
    def kind(self) -> str:
        return str(self.says["kind"])

    @property
    def is_of_flows(self) -> bool:
        """Whether it is about flows and their runs, and not about requests."""
        return self.kind in _OF_FLOWS

    @property
    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}

    def as_json(self) -> dict[str, Any]:
        """The rule with its defaults and counts; `times` null is until it is deleted."""
        return {**self.says, "times": self.says.get("times"), **self.counts}


def _whole(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _number(most: float) -> dict[str, Any]:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": most}


_TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_TEXTS: Final = {"type": "object", "minProperties": 1, "maxProperties": 10, "additionalProperties": _TEXT}
FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    **dict.fromkeys(("operation", "path", "org", "sandbox", "entity", "flow", "destination", "dataset"), _TEXT),
    **dict.fromkeys(("kind", "error", "code", "message"), _TEXT),
    "id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "method": {"enum": list(METHODS)},
    **dict.fromkeys(("header", "fields"), _TEXTS),
    **dict.fromkeys(("nth", "times"), _whole(1, MAX_COUNT)),
    "rate": _number(1),
    "seed": _whole(-(2**63), 2**63 - 1),
    "retryAfter": _whole(0, MAX_RETRY_AFTER),
    "seconds": _number(MAX_SECONDS),
    "bytes": _whole(0, MAX_COUNT),
    "pieces": _whole(2, MAX_PIECES),
}
"""Field -> its JSON Schema. `operation`, `path` and a header's value are globs: `*` is any characters, slashes too, and `?` is one."""
