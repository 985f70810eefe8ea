"""Rules of injected faults: the kinds, and the JSON Schema of every field.

A rule says which requests it meets (`operation`, `method`, `path`, `org`, `sandbox`, `entity`, `header`) or which runs (`kind` "run":
`flow`, `destination`, `dataset`, `org`, `sandbox`), which of these it hits (`nth`, `times`, `rate`), and what it does to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_SECONDS: Final = 60.0
"""How long a delay or a slow body lasts at most, in seconds of the machine."""
MAX_COUNT: Final = 1_000_000_000
BEFORE, DURING, AFTER = "before", "during", "after"
COUNTS: Final = ("matched", "fired", "repeats")
"""What answers tell beside a rule."""
Schema = Mapping[str, Any]


def _whole(least: int, most: int, **more: Any) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, **more}


def _number(most: float) -> Schema:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": most}


_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 256}
_TEXTS: Final[Schema] = {"type": "object", "minProperties": 1, "maxProperties": 10, "additionalProperties": _TEXT}
_STAGE: Final[Schema] = {"enum": [BEFORE, AFTER], "default": BEFORE}
_ONCE: Final = {"times": _whole(1, MAX_COUNT, default=1)}
_OF_ANY: Final[Mapping[str, Schema]] = {
    "id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "kind": _TEXT,
    "org": _TEXT,
    "sandbox": _TEXT,
    "nth": _whole(1, MAX_COUNT),
    "times": _whole(1, MAX_COUNT),
    "rate": _number(1),
    "seed": _whole(-(2**63), 2**63 - 1),
}
_OF_REQUESTS: Final[Mapping[str, Schema]] = {
    **dict.fromkeys(("operation", "path", "entity"), _TEXT),
    "method": {"enum": ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT"]},
    "header": _TEXTS,
}
"""`operation`, `path` and a header's value are globs: `*` is any characters, slashes too, and `?` is one."""


class Kind(NamedTuple):
    """What a kind does, the schemas of its own fields, with their defaults, and which of them are needed.

    One that is `of_flows` is about flows and their runs, and not about requests.
    """

    does: str
    own: Mapping[str, Schema]
    needed: tuple[str, ...] = ()
    of_flows: bool = False

    @property
    def fields(self) -> Mapping[str, Schema]:
        """All that a rule of this kind may have."""
        return {**_OF_ANY, **({} if self.of_flows else _OF_REQUESTS), **self.own}


KINDS: Final[Mapping[str, Kind]] = {
    "error": Kind(
        "answers with a documented error, without doing anything (`before`), or once it has been done (`after`)",
        {"error": _TEXT, "fields": _TEXTS, "retryAfter": _whole(0, 3600), "stage": _STAGE},
        ("error",),
    ),
    "rate-limit": Kind(
        "answers 429 with `Retry-After`, and so all that comes before these seconds are over",
        {"retryAfter": _whole(0, 3600, default=1)},
    ),
    "delay": Kind("waits before the request is looked at", {"seconds": _number(MAX_SECONDS)}, ("seconds",)),
    "reset": Kind("ends the connection with a TCP reset, `before` or `after` it is done", {"stage": _STAGE}),
    "truncate": Kind(
        "cuts the answer off after so many bytes, half of them unless told", {"bytes": _whole(0, MAX_COUNT)}
    ),
    "slow": Kind(
        "sends the answer's body over so many seconds, in pieces",
        {"seconds": _number(MAX_SECONDS), "pieces": _whole(2, 1_000, default=10)},
        ("seconds",),
    ),
    "token-expired": Kind(
        "lets the request's token expire: 401 (401013) from now on, until the client has another one", _ONCE
    ),
    "etag-changed": Kind("changes the entity just before a PATCH with its latest etag: 412", _ONCE),
    "run": Kind(
        "lets an export fail `before`, `during` or `after` the writing of its files; none stay",
        {
            **dict.fromkeys(("flow", "destination", "dataset"), _TEXT),
            "stage": {"enum": [BEFORE, DURING, AFTER], "default": DURING},
            **dict.fromkeys(("code", "message"), _TEXT),
        },
        of_flows=True,
    ),
    "adhoc-not-ready": Kind(
        "refuses ad hoc runs of a flow until ten minutes of the emulator's time have passed since its creation",
        {"flow": _TEXT},
        of_flows=True,
    ),
}
"""Every kind. A token that has expired and an etag that has changed would leave a client no way on, were it so each time;
so these two happen once unless `times` says otherwise."""


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
    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}

    def as_json(self) -> dict[str, Any]:
        """The rule with its defaults and counts; `times` null is until it is deleted."""
        return {**self.says, "times": self.says.get("times"), **self.counts}
