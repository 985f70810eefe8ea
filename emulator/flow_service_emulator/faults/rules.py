"""Rules of injected faults: the kinds, the fields, and how a rule is read from JSON.

A rule says which requests it meets (`operation`, `method`, `path`, `org`, `sandbox`, `entity`, `header`) or which runs (`kind` "run":
`flow`, `destination`, `dataset`, `org`, `sandbox`), which of these it hits (`nth`, `times`, `rate`), and what it does to them.
What a rule names must be there; whether it can ever match is not proved, `matched` says whether it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.validation.validation import SchemaValidator
from flow_service_emulator.validation.violation_text import literal

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
        super().__init__(reason)


class Vocabulary(NamedTuple):
    """What rules may name. `seed` is what `rate` is drawn from where a rule has no seed of its own."""

    operations: Sequence[str]
    errors: ErrorTable
    destinations: Sequence[str]
    seed: int

    def known_errors(self) -> dict[str, str]:
        """Name -> code of what the service itself answers."""
        kinds = self.errors.kinds.values()
        return {kind.name: kind.code for kind in kinds if not kind.applies_to.startswith(CONTROL_ONLY)}


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

    def as_json(self) -> dict[str, Any]:
        """The rule with its defaults and counts; `times` null is until it is deleted."""
        counts = {name: getattr(self, name) for name in READ_ONLY}
        return {**self.says, "times": self.says.get("times"), **counts}


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
    "method": {"enum": METHODS},
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


@cache
def _validator(kind: str) -> SchemaValidator:
    stages = [BEFORE, DURING, AFTER] if kind == "run" else [BEFORE, AFTER]
    known = {name: {"enum": stages} if name == "stage" else FIELDS[name] for name in fields_of(kind)}
    needed = list(KINDS[kind].needed)
    return SchemaValidator({"type": "object", "properties": known, "required": needed, "additionalProperties": False})


def read_rules(value: Any, words: Vocabulary, *, taken: Iterable[str] = (), prefix: str | None = None) -> list[Rule]:
    """The rules in a JSON array. `taken` are ids in use; a rule without an id gets one made of `prefix` (or its kind) and a number.

    Raises RuleError for the first rule that is refused.
    """
    if not isinstance(value, list):
        raise RuleError("rules", f"rules: an array of rules is needed, got {literal(value)}")
    ids = set(taken)
    if len(value) + len(ids) > MAX_RULES:
        reason = f"rules: at most {MAX_RULES} rules can be there, these would make {len(value) + len(ids)}"
        raise RuleError("rules", reason)
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
            raise RuleError(f"rules[{index}].id", f"rules[{index}].id: {says['id']!r} is there already")
        ids.add(says["id"])
        rules.append(Rule(says))
    return rules


def _read_rule(value: Any, words: Vocabulary, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RuleError(place, f"{place}: a rule is an object with a kind, got {literal(value)}")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RuleError(f"{place}.kind", f"{place}.kind: {literal(kind)} is no kind of fault", KINDS, kind)
    validator = _validator(kind)
    given = {name: content for name, content in value.items() if name not in READ_ONLY}
    if given.get("times", 0) is None:
        del given["times"]
    read, _, _ = validator.read(given)
    for violation in validator.violations(read, path=place):
        told, allowed = violation.message, fields_of(kind) if violation.rule == "additionalProperties" else ()
        if violation.rule == "enum":
            name = violation.path.rpartition(".")[2]
            told = f"{violation.path}: {literal(read[name])} is unknown"
            allowed = validator.schema["properties"][name]["enum"]
        raise RuleError(violation.path, told, allowed)
    read = dict(read)
    if "header" in read:
        read["header"] = {name.lower(): glob for name, glob in read["header"].items()}
    errors, defaults = words.known_errors(), dict(KINDS[kind].defaults)
    if "error" in read:
        code = read["error"].removeprefix("FLOW-")
        read["error"] = next((name for name, its in errors.items() if its and its == code), read["error"])
    known = {"operation": words.operations, "error": errors, "destination": words.destinations}
    for name, value in ((name, read[name]) for name in known if name in read):
        if value not in known[name] and not (
            name == "operation" and any(fnmatchcase(each, value) for each in known[name])
        ):
            raise RuleError(
                f"{place}.{name}", f"{place}.{name}: no {name} is called {literal(value)}", known[name], value
            )
    if kind == "error":
        error = words.errors.kinds[read["error"]]
        for name in read.get("fields", {}):
            if name not in error.message_fields:
                reason = f"{place}.fields: the message of {error.name} has no field {literal(name)}"
                raise RuleError(f"{place}.fields.{name[:60]}", reason, sorted(error.message_fields))
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            defaults["retryAfter"] = KINDS["rate-limit"].defaults["retryAfter"]
    if "nth" in read:
        defaults["times"] = 1
    if "rate" in read:
        defaults["seed"] = words.seed
    return {**defaults, **read}
