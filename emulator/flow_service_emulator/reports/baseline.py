"""What a contract report says beyond an older one: for clients that start with many findings and are to get no new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow_service_emulator.reports.merge import merged
from flow_service_emulator.reports.words import SEVERITIES, identity


def beyond(report: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The report without the findings that `baseline`, an older report, has as well.

    The same finding is one of the same rule, operation, place and kind, in whichever request and of whichever client. A
    rule of which nothing is left counts as not met, any other as often as what is left was met. `summary.known` says how
    many findings are left out. Requests and coverage stay as they are. Raises NoReport when one of the two is no contract report of this
    version.
    """
    known = set(_identities(merged([baseline])))
    new: dict[str, Any] = merged([report])
    before = sum(1 for _ in _identities(new))
    for severity in SEVERITIES:
        entries = [_beyond(entry, known) for entry in new[f"{severity}s"]]
        new[f"{severity}s"] = [entry for entry in entries if entry["findings"]]
        new["summary"][f"{severity}s"] = len(new[f"{severity}s"])
    new["summary"]["known"] = new["summary"].get("known", 0) + before - sum(1 for _ in _identities(new))
    counts = {entry["id"]: entry["count"] for severity in SEVERITIES for entry in new[f"{severity}s"]}
    new["rules"] = [rule | {"count": counts.get(rule["id"], 0)} for rule in new["rules"]]
    return new


def _identities(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for severity in SEVERITIES:
        for entry in report[f"{severity}s"]:
            for finding in entry["findings"]:
                yield entry["id"], *identity(finding)


def _beyond(entry: Mapping[str, Any], known: set[tuple[str, ...]]) -> dict[str, Any]:
    """A rule with the findings that are not known. A request can have several of them, so their sum may be too much."""
    left = [finding for finding in entry["findings"] if (entry["id"], *identity(finding)) not in known]
    return {**entry, "findings": left, "count": min(entry["count"], sum(finding["count"] for finding in left))}
