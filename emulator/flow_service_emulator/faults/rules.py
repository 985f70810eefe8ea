"""Rules of injected faults: reads them from JSON, and refuses what is unknown, contradictory or could never match.

A rule says which requests it meets (`operation`, `method`, `path`, `org`, `sandbox`, `entity`, `header`) or which runs
(`kind` "run": `flow`, `destination`, `dataset`, `org`, `sandbox`), which of these it hits (`nth`, `times`, `rate`), and what
it does to them (`kind` and that kind's own fields).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.faults.fields import READERS, RuleError, ServiceCall, Vocabulary, nearest_to, reaches, shown
from flow_service_emulator.globs import glob_matches

MAX_RULES: Final = 100
BEFORE, DURING, AFTER = "before", "during", "after"
PIECES: Final = 10
"""In how many pieces a slow body is sent, unless a rule says otherwise."""
TOKEN_PREFIX: Final = "/data/"
"""Only paths behind the gateway want a token."""
READ_ONLY: Final = ("matched", "fired", "repeats")
"""What answers tell beside a rule; taken back without a word, so that an answer can be changed and sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that was checked. None and empty mean "any" for what is matched, and "not used" for the rest."""

    id: str
    kind: str
    operation: str | None = None
    """A glob over the names of the route table, such as `create:*`."""
    method: str | None = None
    path: str | None = None
    """A glob over the whole path, or over the path below the base path; `*` stands for slashes as well."""
    org: str | None = None
    sandbox: str | None = None
    entity: str | None = None
    """The id in the path."""
    header: Mapping[str, str] = field(default_factory=dict)
    """Header in lower case -> glob over its value."""
    nth: int | None = None
    """From which matching request or run on it fires, counted from 1."""
    times: int | None = None
    """How often it fires; None is until it is deleted."""
    rate: float | None = None
    seed: int | None = None
    error: str | None = None
    """The error's name in the error table."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What stands in the error's message."""
    retry_after: int | None = None
    seconds: float = 0.0
    stage: str = BEFORE
    bytes: int | None = None
    """How many bytes of the body are sent; None is half of them."""
    pieces: int = PIECES
    flow: str | None = None
    destination: str | None = None
    dataset: str | None = None
    code: str | None = None
    """The failed run's code; None is the service's own."""
    message: str | None = None

    @property
    def is_run(self) -> bool:
        return self.kind == "run"

    def as_json(self) -> dict[str, Any]:
        """The rule with its defaults, in the form in which it is sent; `times` null is until it is deleted."""
        given = {name: getattr(self, _attribute(name)) for name in fields_of(self.kind)}
        kept = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in given.items()
            if value not in (None, {})
        }
        return {**kept, "times": self.times}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a kind does, which fields of its own it has, which of them are needed, and what the others are when they are not given."""

    does: str
    own: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[str, ...] = (BEFORE, AFTER)


KINDS: Final[Mapping[str, _Kind]] = {
    "error": _Kind(
        "answers with a documented error, without doing anything (`before`), or once it has been done (`after`)",
        ("error", "fields", "retryAfter", "stage"),
        ("error",),
        {"stage": BEFORE},
    ),
    "rate-limit": _Kind(
        "answers 429 with `Retry-After`, and so all that comes before these seconds are over",
        ("retryAfter",),
        defaults={"retryAfter": 1},
    ),
    "delay": _Kind("waits before the request is looked at", ("seconds",), ("seconds",)),
    "reset": _Kind(
        "ends the connection with a TCP reset, `before` or `after` it is done", ("stage",), defaults={"stage": BEFORE}
    ),
    "truncate": _Kind("cuts the answer off after so many bytes, half of them unless told", ("bytes",)),
    "slow": _Kind(
        "sends the answer's body over so many seconds, in pieces",
        ("seconds", "pieces"),
        ("seconds",),
        {"pieces": PIECES},
    ),
    "token-expired": _Kind(
        "lets the request's token expire: 401 (401013) from now on, until the client has another one",
        defaults={"times": 1},
    ),
    "etag-changed": _Kind("changes the entity just before a PATCH with its latest etag: 412", defaults={"times": 1}),
    "run": _Kind(
        "lets an export fail `before`, `during` or `after` the writing of its files; none stay",
        ("flow", "destination", "dataset", "stage", "code", "message"),
        defaults={"stage": DURING},
        stages=(BEFORE, DURING, AFTER),
    ),
}
"""Every kind. A token that has expired and an etag that has changed would leave a client no way on, were it so each time;
so these two happen once unless `times` says otherwise."""
_COUNTING = ("nth", "times", "rate", "seed")
_HTTP = ("operation", "method", "path", "org", "sandbox", "entity", "header")
_RUN = ("org", "sandbox")


def fields_of(kind: str) -> tuple[str, ...]:
    """The names that a rule of a kind may have."""
    return ("id", "kind", *(_RUN if kind == "run" else _HTTP), *_COUNTING, *KINDS[kind].own)


def read_rules(value: Any, words: Vocabulary, *, taken: Iterable[str] = (), prefix: str | None = None) -> list[Rule]:
    """The rules in a JSON array. `taken` are ids in use; a rule without an id gets one made of `prefix` (or its kind) and a number.

    Raises RuleError for the first rule that cannot be taken.
    """
    if not isinstance(value, list):
        raise RuleError("rules", f"an array of rules is needed, got {shown(value)}")
    ids = set(taken)
    if len(value) + len(ids) > MAX_RULES:
        raise RuleError("rules", f"at most {MAX_RULES} rules can be there, these would make {len(value) + len(ids)}")
    given = [rule.get("id") for rule in value if isinstance(rule, dict)]
    names = ids.union(name for name in given if isinstance(name, str))
    rules = []
    for index, item in enumerate(value):
        rule = _read_rule(item, words, f"rules[{index}]", names, prefix)
        if rule.id in ids:
            raise RuleError(f"rules[{index}].id", f"{rule.id!r} is there already")
        ids.add(rule.id)
        names.add(rule.id)
        rules.append(rule)
    return rules


def _read_rule(value: Any, words: Vocabulary, place: str, names: Iterable[str], prefix: str | None) -> Rule:
    if not isinstance(value, dict):
        raise RuleError(place, f"a rule is an object with a kind, got {shown(value)}")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RuleError(f"{place}.kind", f"{shown(kind)} is no kind of fault", KINDS)
    known = fields_of(kind)
    given = {
        name: content
        for name, content in value.items()
        if name not in READ_ONLY and not (name == "times" and content is None)
    }
    for name in given:
        if name not in known:
            raise RuleError(f"{place}.{name[:60]}", f'the kind "{kind}" has no such field', known)
    for name in KINDS[kind].needed:
        if name not in given:
            raise RuleError(f"{place}.{name}", f'the kind "{kind}" needs it')
    read = {name: READERS[name](content, f"{place}.{name}", words) for name, content in given.items()}
    _check_stage(read, kind, place)
    if kind == "error":
        _check_fields(read, words.errors, place)
    if kind != "run":
        _check_reach(read, kind, words.calls, place)
    defaults = dict(KINDS[kind].defaults)
    if kind == "error" and words.errors.kinds[read["error"]].status == HTTPStatus.TOO_MANY_REQUESTS:
        defaults["retryAfter"] = KINDS["rate-limit"].defaults["retryAfter"]
    if "nth" in read:
        defaults["times"] = 1
    if "rate" in read:
        defaults["seed"] = words.seed
    elif "seed" in read:
        raise RuleError(f"{place}.seed", 'only "rate" is drawn from a seed, and the rule has no rate')
    values = {**defaults, **read}
    if "id" not in values:
        values["id"] = _free_id(prefix or kind, names)
    return Rule(**{_attribute(name): content for name, content in values.items()})


def _check_stage(read: Mapping[str, Any], kind: str, place: str) -> None:
    stages = KINDS[kind].stages
    if "stage" in read and read["stage"] not in stages:
        raise RuleError(f"{place}.stage", f"{shown(read['stage'])} is no stage of this kind", stages)


def _check_fields(read: Mapping[str, Any], errors: ErrorTable, place: str) -> None:
    """An error's fields must be those of its message."""
    kind = errors.kinds[read["error"]]
    for name in read.get("fields", {}):
        if name not in kind.message_fields:
            allowed = sorted(kind.message_fields)
            reason = f"the message of {kind.name} has no such field" + ("" if allowed else ", and no others")
            raise RuleError(f"{place}.fields.{name[:60]}", reason, allowed)


def _check_reach(read: Mapping[str, Any], kind: str, calls: Sequence[ServiceCall], place: str) -> None:
    """Narrows the route table down by everything that the rule asks for; a rule that leaves nothing could never match."""
    operation, path, method, entity = (read.get(name) for name in ("operation", "path", "method", "entity"))
    left = [call for call in calls if operation is None or glob_matches(operation, call.name)]
    if not left:
        names = [call.name for call in calls]
        reason = f"no operation is called {shown(operation)}"
        raise RuleError(f"{place}.operation", reason, names, nearest_to(operation, names))
    tests: list[tuple[str, Callable[[ServiceCall], bool]]] = []
    if path is not None:
        tests.append(("path", lambda call: reaches(path, call)))
    if method is not None:
        tests.append(("method", lambda call: call.method == ("GET" if method == "HEAD" else method)))
    if entity is not None:
        tests.append(("entity", lambda call: "{id}" in call.path and reaches(path, call, entity)))
    if kind == "token-expired":
        tests.append(("kind", lambda call: call.path.startswith(TOKEN_PREFIX)))
    if kind == "etag-changed":
        tests.append(("kind", lambda call: call.name.startswith("patch:")))
    for name, fits in tests:
        fitting = [call for call in left if fits(call)]
        if not fitting:
            options = left if name == "method" else filter(fits, calls)
            allowed = dict.fromkeys({"method": call.method, "kind": call.name}.get(name, call.path) for call in options)
            reason = f"{shown(read.get(name, kind))} could never match, with what else the rule asks for"
            raise RuleError(f"{place}.{name}", reason, allowed)
        left = fitting


def _attribute(name: str) -> str:
    """The attribute of a JSON name."""
    return "retry_after" if name == "retryAfter" else name


def _free_id(stem: str, names: Iterable[str]) -> str:
    """`<stem>-<n>` with the first number that is free."""
    number = 1
    while f"{stem}-{number}" in names:
        number += 1
    return f"{stem}-{number}"
