"""Injected faults: which rules there are, how often each has matched and fired, and what hits a request or a run.

Knows no web framework: a request comes in as a `Call`, the answer is a `Decision`; a run comes in as what it exports, the
answer is a `RunFault`. All calls are made on the event loop.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from flow_service_emulator.entities import Scope
from flow_service_emulator.faults.fields import MAX_SECONDS, Vocabulary
from flow_service_emulator.faults.rules import DURING, READ_ONLY, TOKEN_PREFIX, Rule, read_rules
from flow_service_emulator.globs import glob_matches

MAX_EXPIRED: Final = 1_000
"""Expired tokens that a rule remembers; the first are forgotten beyond that."""
MAX_COUNT: Final = 2**52
"""Of what a snapshot has counted, at most: there is room above it for what comes on top."""
DEFAULT_SANDBOX: Final = "prod"
T = TypeVar("T")


class Call(NamedTuple):
    """A request as rules see it. `entity` is the id in the path; `short_path` the path below the Flow Service's base path."""

    operation: str | None
    method: str
    path: str
    short_path: str
    entity: str | None
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


class RunFailure(Exception):
    """A run fails because a rule says so."""

    def __init__(self, fault: RunFault) -> None:
        super().__init__(fault.rule_id)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class RunFault:
    """How a run is to fail: before, during or after the writing of the export with this index."""

    rule_id: str
    stage: str
    index: int
    code: str | None = None
    message: str | None = None
    """Both are the service's own where the rule says nothing."""

    def strike(self, stage: str) -> None:
        """Raises RunFailure if this is the stage at which the run fails."""
        if stage == self.stage:
            raise RunFailure(self)

    def break_off(self, index: int, batches: Iterable[T]) -> Iterator[T]:
        """The batches of an export; if the run fails while that one is written, its first batch and then RunFailure."""
        if self.stage != DURING or index != self.index:
            yield from batches
            return
        yield from islice(batches, 1)
        raise RunFailure(self)


@dataclass(slots=True)
class Armed:
    """A rule and what has become of it.

    `matched` counts the requests or runs that it met, `fired` those that it hit of its own accord (`times` bounds these), and
    `repeats` those that met a limit that was still on, or a token that had expired.
    """

    rule: Rule
    matched: int = 0
    fired: int = 0
    repeats: int = 0
    limited_until: float = -math.inf
    """Until when (the machine's monotonic seconds) a rate limit goes on."""
    expired: dict[str, None] = field(default_factory=dict)
    """Digests of the tokens that have expired."""

    def as_json(self) -> dict[str, Any]:
        return {**self.rule.as_json(), "matched": self.matched, "fired": self.fired, "repeats": self.repeats}

    def hits(self, draw: Callable[[int, str], float]) -> bool:
        """Counts a match, and says whether the rule fires for it."""
        rule = self.rule
        self.matched += 1
        if self.matched < (rule.nth or 1) or (rule.times is not None and self.fired >= rule.times):
            return False
        if rule.rate is not None and draw(rule.seed or 0, f"faults/{rule.id}/{self.matched}") >= rule.rate:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in their order. `active` says whether a request could be hit at all: the one look that a request costs else."""

    def __init__(self, draw: Callable[[int, str], float]) -> None:
        """`draw(seed, salt)` is a number from 0 to below 1, always the same for the same seed and salt."""
        self._draw = draw
        self._armed: list[Armed] = []
        self.active = False

    @property
    def armed(self) -> Sequence[Armed]:
        """The rules in their order, with their counts."""
        return tuple(self._armed)

    def set(self, armed: Iterable[Armed]) -> None:
        """Puts these in the place of all rules. Requests and runs that were hit before are not touched."""
        self._armed = list(armed)
        self.active = any(not entry.rule.is_run for entry in self._armed)

    def add(self, rules: Iterable[Rule]) -> None:
        """Puts rules behind those that are there."""
        self.set([*self._armed, *(Armed(rule) for rule in rules)])

    def remove(self, rule_id: str) -> bool:
        """Takes one rule away; answers whether it was there."""
        kept = [entry for entry in self._armed if entry.rule.id != rule_id]
        found = len(kept) < len(self._armed)
        self.set(kept)
        return found

    def decide(self, call: Call, now: float) -> Decision:
        """What hits a request. `now` is in the machine's monotonic seconds.

        The rules are asked in their order. A delay that fires is taken, and the next rule is asked; any other rule that fires
        ends the search, and those behind it do not see (nor count) the request.
        """
        delay, label = 0.0, None
        for entry in self._armed:
            rule = entry.rule
            if rule.is_run or not self._hits_call(entry, call, now):
                continue
            label = rule.id
            if rule.kind != "delay":
                return Decision(min(delay, MAX_SECONDS), rule, label, self._retry_after(entry, now))
            delay += rule.seconds
        return Decision(min(delay, MAX_SECONDS), None, label)

    def plan_run(self, scope: Scope, flow_id: str, exports: Sequence[tuple[str, str]]) -> RunFault | None:
        """Whether and how a run fails; `exports` are its (destination, dataset id) pairs in the order of writing.

        Called once for each run, before it writes. The first rule that fires decides; those behind it do not count the run.
        """
        org, sandbox = scope
        for entry in self._armed:
            rule = entry.rule
            if (
                not rule.is_run
                or rule.org not in (None, org)
                or rule.sandbox not in (None, sandbox)
                or rule.flow not in (None, flow_id)
            ):
                continue
            meant = (
                index
                for index, (destination, dataset_id) in enumerate(exports)
                if rule.destination in (None, destination) and rule.dataset in (None, dataset_id)
            )
            index = next(meant, None)
            if index is not None and entry.hits(self._draw):
                return RunFault(rule.id, rule.stage, index, rule.code, rule.message)
        return None

    def _hits_call(self, entry: Armed, call: Call, now: float) -> bool:
        """Whether a rule for requests fires for this one."""
        rule = entry.rule
        token = call.token if rule.kind == "token-expired" else None
        if token is not None and token in entry.expired:  # whatever it is sent to, and whatever else the rule asks for
            entry.repeats += 1
            return True
        if not _meets(rule, call) or (rule.kind == "token-expired" and token is None):
            return False
        if rule.kind == "rate-limit" and now < entry.limited_until:
            entry.matched += 1
            entry.repeats += 1
            return True
        if not entry.hits(self._draw):
            return False
        if token is not None:
            entry.expired[token] = None
            if len(entry.expired) > MAX_EXPIRED:
                del entry.expired[next(iter(entry.expired))]
        if rule.kind == "rate-limit":
            entry.limited_until = now + (rule.retry_after or 0)
        return True

    @staticmethod
    def _retry_after(entry: Armed, now: float) -> int | None:
        """The seconds for the header Retry-After: of a rate limit, what is left of it."""
        if entry.rule.kind == "rate-limit":
            # adding and subtracting can leave a trace above the whole number of seconds, which would be rounded up
            return min(max(0, math.ceil(entry.limited_until - now)), entry.rule.retry_after or 0)
        return entry.rule.retry_after


def _meets(rule: Rule, call: Call) -> bool:
    """Whether a request is one that a rule is about."""
    headers = call.headers
    return (
        rule.method in (None, call.method)
        and rule.entity in (None, call.entity)
        and rule.org in (None, headers.get("x-gw-ims-org-id"))
        and rule.sandbox in (None, headers.get("x-sandbox-name") or DEFAULT_SANDBOX)
        and (rule.operation is None or (call.operation is not None and glob_matches(rule.operation, call.operation)))
        and (rule.path is None or glob_matches(rule.path, call.path) or glob_matches(rule.path, call.short_path))
        and all(name in headers and glob_matches(glob, headers[name]) for name, glob in rule.header.items())
        and (rule.kind != "etag-changed" or call.is_latest_etag())
    )


class FaultsState:
    """The rules and their counts as a part of the emulator's state: forgotten by a reset, carried by a snapshot.

    A rate limit that is on ends with the snapshot: it counts the machine's seconds.
    """

    def __init__(self, faults: Faults, words: Vocabulary) -> None:
        self._faults = faults
        self._words = words

    def reset(self) -> None:
        self._faults.set(())

    def snapshot(self) -> list[dict[str, Any]]:
        return [{**entry.as_json(), "expired": list(entry.expired)} for entry in self._faults.armed]

    def restore(self, read: list[Armed]) -> None:
        self._faults.set(read)

    def read(self, snapshot: Any) -> list[Armed]:
        """Raises ValueError, saying what is wrong, for what is no snapshot of rules."""
        entries = snapshot if isinstance(snapshot, list) else [snapshot]
        plain = [
            {name: value for name, value in entry.items() if name != "expired"} if isinstance(entry, dict) else entry
            for entry in entries
        ]
        rules = read_rules(plain, self._words)
        armed = []
        for index, (rule, entry) in enumerate(zip(rules, entries, strict=True)):
            counts = {name: entry.get(name) for name in READ_ONLY}
            for name, count in counts.items():
                if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
                    raise ValueError(f"rules[{index}].{name}: a whole number from 0 to {MAX_COUNT} is needed")
            expired = entry.get("expired")
            if not isinstance(expired, list) or not all(isinstance(token, str) for token in expired):
                raise ValueError(f"rules[{index}].expired: an array of texts is needed")
            armed.append(
                Armed(
                    rule,
                    counts["matched"],
                    counts["fired"],
                    counts["repeats"],
                    expired=dict.fromkeys(expired[:MAX_EXPIRED]),
                )
            )
        return armed
