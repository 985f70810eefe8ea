"""Named bundles of fault rules: what a client meets in production, and what a good one does about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flow_service_emulator.faults.rules import KINDS, Kind


class Scenario(NamedTuple):
    """A name, what happens, what a good client does, and the rules, in the form in which `/__emulator/faults` takes them."""

    name: str
    happens: str
    good_client: str
    rules: tuple[Mapping[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "happens": self.happens,
            "goodClient": self.good_client,
            "rules": [dict(rule) for rule in self.rules],
        }


_ALL = (
    Scenario(
        "rate-limited",
        "The second request is answered 429 with Retry-After, and a tenth of the later ones; pressing on before that time is refused, too.",
        "Waits as many seconds as Retry-After says, then sends the same request again; other requests wait as well.",
        (
            {"kind": "rate-limit", "nth": 2, "retryAfter": 1},
            {"kind": "rate-limit", "rate": 0.1, "retryAfter": 1},
        ),
    ),
    Scenario(
        "token-expiry",
        "The access token of the third request expires: it is answered 401 (401013), as is every later one that still carries it.",
        "Fetches a new access token once, sends the request again with it, and uses it from then on.",
        ({"kind": "token-expired", "nth": 3},),
    ),
    Scenario(
        "flaky-gateway",
        "The first creation is carried out, but answered 504; other requests meet 503, resets, cut-off bodies and delays now and then.",
        "Repeats reads with growing waits; after a creation without an answer, looks whether the entity is there before creating it again.",
        (
            {"kind": "error", "error": "gateway-timeout", "operation": "create:*", "stage": "after", "nth": 1},
            {"kind": "delay", "seconds": 0.2, "rate": 0.1},
            {"kind": "error", "error": "service-unavailable", "rate": 0.15},
            {"kind": "reset", "rate": 0.05},
            {"kind": "truncate", "method": "GET", "rate": 0.05},
        ),
    ),
    Scenario(
        "lost-update",
        "Somebody else changes the entity just before the first PATCH is looked at, so its etag is not the latest any more: 412.",
        "On 412 fetches the entity again, makes its change again on what is there now, and sends it with the new etag.",
        ({"kind": "etag-changed"},),
    ),
    Scenario(
        "export-outage",
        "The next two exports fail while their files are being written; none stay, and the rows come with the next export that succeeds.",
        "Looks at each run's status before taking its files, reports failed runs, and waits for the next one instead of copying rows itself.",
        ({"kind": "run", "stage": "during", "times": 2},),
    ),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}


def kinds_table() -> str:
    """Every kind of rule with what it does and its own fields, as Markdown for the README."""
    rows = ((f"`{name}`", kind.does, _own(kind)) for name, kind in KINDS.items())
    return _table(("kind", "what it does", "its own fields"), rows)


def scenarios_table() -> str:
    """Every scenario with what happens and what a good client does, as Markdown for the README."""
    rows = ((f"`{each.name}`", each.happens, each.good_client) for each in SCENARIOS.values())
    return _table(("scenario", "what happens", "a good client"), rows)


def _own(kind: Kind) -> str:
    """The fields, each with whether it is needed or what it is by default."""
    told = []
    for name in dict.fromkeys((*kind.own, *kind.defaults)):
        note = " (needed)" if name in kind.needed else f" ({kind.defaults[name]})" if name in kind.defaults else ""
        told.append(f"`{name}`{note}")
    return ", ".join(told)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(
        [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    )
