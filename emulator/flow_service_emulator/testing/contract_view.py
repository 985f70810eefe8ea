"""What a running emulator says of the client under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from flow_service_emulator.reports.formats import ENDINGS, form_of
from flow_service_emulator.testing.control_client import ControlClient
from flow_service_emulator.testing.requests import Requests

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


class Contract:
    """What the client under test does wrong (violations), what is fragile (warnings), and what it has met (coverage)."""

    def __init__(self, client: ControlClient, requests: Requests | None) -> None:
        """`requests` are this test's on a shared server, whose report is everybody's."""
        self._client = client
        self._requests = requests

    def report(self) -> dict[str, Any]:
        """The server's whole report, as `/__emulator/contract` gives it."""
        return cast("dict[str, Any]", self._client.call("GET", "/contract"))

    @property
    def violations(self) -> list[dict[str, Any]]:
        """The rules that were broken, each with `id`, `fix`, `count` and `findings` (`place`, `message`)."""
        return self._met("violation")

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """Likewise what worked, but is undocumented, deprecated or fragile."""
        return self._met("warning")

    @property
    def coverage(self) -> dict[str, Any]:
        """What the client has met and what not, by `operations`, `parameters`, `destinations` and more; the server's own."""
        return cast("dict[str, Any]", self.report()["coverage"])

    def assert_clean(self, *, warnings: bool = False, ignore: Sequence[str] = ()) -> None:
        """Raises AssertionError when there are violations, or `warnings` where these count as well.

        `ignore` names rules that are known and accepted.
        """
        met = [*self.violations, *(self.warnings if warnings else ())]
        broken = [rule for rule in met if rule["id"] not in ignore]
        if broken:
            raise AssertionError("the contract is not kept:\n" + "\n".join(_rule_text(rule) for rule in broken))

    def save(self, path: Path | str) -> None:
        """Writes the report to a file: `.html`, `.json`, `.xml` (JUnit) or `.txt`."""
        path = Path(path)
        path.write_bytes(self._client.send("GET", "/__emulator/contract", format=report_format(path)))

    def _met(self, severity: str) -> list[dict[str, Any]]:
        if self._requests is None:
            return cast("list[dict[str, Any]]", self.report()[f"{severity}s"])
        rules: dict[str, dict[str, Any]] = {}
        for entry in self._requests.find():
            for finding in entry["findings"]:
                if finding.get("severity") == severity:
                    met = {
                        "id": finding["rule"],
                        "severity": severity,
                        "fix": finding.get("fix", ""),
                        "count": 0,
                        "findings": [],
                    }
                    rule = rules.setdefault(finding["rule"], met)
                    rule["count"] += 1
                    rule["findings"].append({**finding, "operation": entry["operation"], "count": 1})
        return list(rules.values())


def report_format(path: Path) -> str:
    """The form of report that a file's ending asks for. Raises ValueError for another ending."""
    form = form_of(path)
    if form is None:
        raise ValueError(f"a name that ends in {', '.join(ENDINGS)} is needed, got {path.name!r}")
    return form


def _rule_text(rule: Mapping[str, Any]) -> str:
    lines = [
        f"{rule['id']} ({rule['severity']}, {rule['count']} times)"
        if rule["count"] > 1
        else f"{rule['id']} ({rule['severity']})"
    ]
    lines += [f"  {finding['message']}" for finding in rule["findings"][:5]]
    return "\n".join([*lines, f"  to fix it: {rule['fix']}"])
