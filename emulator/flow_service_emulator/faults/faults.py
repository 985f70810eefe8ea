"""Which injected faults there are, and what hits a request or a run.

Knows no web framework: a request comes in as a `Call`, the answer is a `Decision`; a run comes in as what it exports, the
answer is a `RunFault`. All calls are made on the event loop.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from flow_service_emulator.entities import Scope
from flow_service_emulator.faults.rules import DURING, KINDS, MAX_SECONDS, Rule

READY_SECONDS: Final = 600
"""How long a new flow cannot be run ad hoc (reference, Beyond the tutorial)."""
MAX_EXPIRED: Final = 1_000
"""Expired tokens that a rule remembers; the first are forgotten beyond that."""
TOKEN_PREFIX: Final = "/data/"
"""Only paths behind the gateway want a token."""
T = TypeVar("T")


class Call(NamedTuple):
    """A request as rules see it. `entity` is the id in the path; `short_path` the path below the Flow Service's base path."""

    operation: str | None
    method: str
    path: str
    short_path: str
    entity: str | None
    scope: Scope
    headers: Mapping[str, str]
    is_latest_etag: Callable[[], bool]
    """Whether the request's If-Match is the entity's present etag, so that a change meanwhile would make a difference."""

    @property
    def token(self) -> str | None:
        """A digest of the bearer token; None where none is sent or none is wanted."""
        scheme, _, token = self.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip() or not self.path.startswith(TOKEN_PREFIX):
            return None
        return hashlib.sha256(token.strip().encode("utf-8", "surrogatepass")).hexdigest()


class Decision(NamedTuple):
    """What is to happen to a request: a wait of `delay` seconds, and then what `rule` says, if there is one.

    `label` is the id of the rule, or of the last delay; None when nothing fired. `retry_after` is in seconds.
    """

    delay: float = 0.0
    rule: Rule | None = None
    label: str | None = None
    retry_after: int | None = None


class RunFault(Exception):
    """How a run is to fail: before, during or after the writing of the export with this index. It is raised then.

    `code` and `message` are the service's own where they are None.
    """

    def __init__(self, stage: str = "", index: int = 0, code: str | None = None, message: str | None = None) -> None:
        super().__init__(stage)
        self.stage, self.index, self.code, self.message = stage, index, code, message

    def strike(self, stage: str) -> None:
        """Raise this fault if it is of this stage."""
        if stage == self.stage:
            raise self

    def break_off(self, index: int, batches: Iterable[T]) -> Iterator[T]:
        """The batches of an export; if the run fails while that one is written, its first batch and then the fault."""
        if self.stage != DURING or index != self.index:
            yield from batches
            return
        yield from islice(batches, 1)
        raise self


NO_FAULT: Final = RunFault()


class Faults:
    """The rules in their order. `active` says whether a request could be hit at all: the one look that a request costs else."""

    def __init__(self, draw: Callable[[int, str], float]) -> None:
        """`draw(seed, salt)` is a number from 0 to below 1, always the same for the same seed and salt."""
        self._draw = draw
        self.rules: Sequence[Rule] = ()
        self.active = False

    def set(self, rules: Iterable[Rule]) -> None:
        """Put these in the place of all rules. Requests and runs that were hit before are not touched."""
        self.rules = tuple(rules)
        self.active = any(not KINDS[rule.kind].of_flows for rule in self.rules)

    def snapshot(self) -> list[dict[str, Any]]:
        """The rules with their counts, for `read`. A rate limit that is on is left out: it counts the machine's seconds."""
        return [{"says": rule.says, **rule.counts, "expired": list(rule.expired)} for rule in self.rules]

    def read(self, snapshot: Any) -> list[Rule]:
        return [Rule(**{**each, "expired": dict.fromkeys(each["expired"])}) for each in snapshot]

    def decide(self, call: Call, now: float) -> Decision:
        """What hits a request. `now` is `Clock.waited`.

        The rules are asked in their order. A delay that fires is taken, and the next rule is asked; any other rule that fires
        ends the search, and those behind it do not see (nor count) the request.
        """
        delay, label = 0.0, None
        for rule in self.rules:
            if KINDS[rule.kind].of_flows or not self._hits_call(rule, call, now):
                continue
            label = rule.id
            if rule.kind != "delay":
                retry_after = rule.says.get("retryAfter")
                if rule.kind == "rate-limit":  # what is left of it, without the trace that subtracting can leave
                    retry_after = min(max(0, math.ceil(rule.limited_until - now)), rule.says["retryAfter"])
                return Decision(min(delay, MAX_SECONDS), rule, label, retry_after)
            delay += rule.says["seconds"]
        return Decision(min(delay, MAX_SECONDS), None, label)

    def plan_run(self, scope: Scope, flow_id: str, exports: Sequence[tuple[str, str]]) -> RunFault:
        """Whether and how a run fails; `exports` are its (destination, dataset id) pairs in the order of writing.

        Called once for each run, before it writes. The first rule that fires decides; those behind it do not count the run.
        """
        for rule in self.rules:
            says = rule.says
            if rule.kind != "run" or not _within(says, scope) or says.get("flow", flow_id) != flow_id:
                continue
            for index, (destination, dataset) in enumerate(exports):
                if says.get("destination", destination) == destination and says.get("dataset", dataset) == dataset:
                    if self._fires(rule):
                        return RunFault(says["stage"], index, says.get("code"), says.get("message"))
                    break
        return NO_FAULT

    def not_ready(self, scope: Scope, flow_id: str, age: float) -> bool:
        """Whether a flow that was created `age` seconds ago cannot be run ad hoc yet."""
        for rule in self.rules:
            met = _within(rule.says, scope) and rule.says.get("flow", flow_id) == flow_id and age < READY_SECONDS
            if rule.kind == "adhoc-not-ready" and met and self._fires(rule):
                return True
        return False

    def _hits_call(self, rule: Rule, call: Call, now: float) -> bool:
        """Whether a rule for requests fires for this one."""
        token = call.token if rule.kind == "token-expired" else None
        if token is not None and token in rule.expired:  # whatever it is sent to, and whatever else the rule asks for
            rule.repeats += 1
            return True
        if not _meets(rule, call) or (rule.kind == "token-expired" and token is None):
            return False
        if rule.kind == "rate-limit" and now < rule.limited_until:
            rule.matched += 1
            rule.repeats += 1
            return True
        if not self._fires(rule):
            return False
        if token is not None:
            rule.expired[token] = None
            if len(rule.expired) > MAX_EXPIRED:
                del rule.expired[next(iter(rule.expired))]
        if rule.kind == "rate-limit":
            rule.limited_until = now + rule.says["retryAfter"]
        return True

    def _fires(self, rule: Rule) -> bool:
        """Count a match, and return whether the rule fires for it."""
        says = rule.says
        rule.matched += 1
        if rule.matched < says.get("nth", 1) or rule.fired >= says.get("times", math.inf):
            return False
        if "rate" in says and self._draw(says["seed"], f"faults/{rule.id}/{rule.matched}") >= says["rate"]:
            return False
        rule.fired += 1
        return True


def _meets(rule: Rule, call: Call) -> bool:
    """Whether a request is one that a rule is about."""
    says, headers = rule.says, call.headers
    operation, path = says.get("operation"), says.get("path")
    return (
        says.get("method", call.method) == call.method
        and says.get("entity", call.entity) == call.entity
        and _within(says, call.scope)
        and (operation is None or (call.operation is not None and fnmatchcase(call.operation, operation)))
        and (path is None or fnmatchcase(call.path, path) or fnmatchcase(call.short_path, path))
        and all(name in headers and fnmatchcase(headers[name], glob) for name, glob in says.get("header", {}).items())
        and (rule.kind != "etag-changed" or call.is_latest_etag())
    )


def _within(says: Mapping[str, Any], scope: Scope) -> bool:
    org, sandbox = scope
    return bool(says.get("org", org) == org and says.get("sandbox", sandbox) == sandbox)
