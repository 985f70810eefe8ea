"""What a running emulator has seen of the client under test: its requests, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flow_service_emulator.testing.answers import RecordedRequest, RuleReport
from flow_service_emulator.testing.client import REASONS, ControlClient, Listed, Part

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


class Requests(Listed[RecordedRequest]):
    """The requests that this test has sent, as the journal has them, newest last."""

    none = "{} requests of this test have come in"

    def find(self, **filters: Any) -> list[RecordedRequest]:
        """Those that fit: `method`, `path`, `status` (404 or "4xx"), `operation`, `verdict`, `since`, `limit`."""
        items: list[RecordedRequest] = self._client.call("GET", "/requests", **{**self._client.scope, **filters})[
            "items"
        ]
        return items

    def text(self, limit: int = 50) -> str:
        """For people: the newest of them, and all older ones that are bad; for each bad one why, and how to fix it."""
        found = self.find()
        older = found[: max(0, len(found) - limit)]
        shown = [entry for entry in older if entry["verdict"] != "ok"] + found[len(older) :]
        left_out = len(found) - len(shown)
        lines = [f"{left_out} older requests that were in order are left out here"] if left_out else []
        lines += [line for entry in shown for line in _explained(entry)]
        return "\n".join(lines) or "No requests came in."

    def _all(self) -> list[RecordedRequest]:
        return self.find()

    def __repr__(self) -> str:
        return self.text()


class Contract(Part):
    """What the client under test does wrong (violations), what is fragile (warnings), and what it has met (coverage)."""

    def __init__(self, client: ControlClient, requests: Requests | None) -> None:
        """`requests` are this test's on a shared server, whose report is everybody's."""
        super().__init__(client)
        self._requests = requests

    def __repr__(self) -> str:
        return f"<contract: {len(self.violations)} rules violated, {len(self.warnings)} warnings>"

    def report(self) -> dict[str, Any]:
        """The server's whole report, as `/__emulator/contract` gives it."""
        report: dict[str, Any] = self._client.call("GET", "/contract")
        return report

    @property
    def violations(self) -> list[RuleReport]:
        """The rules that were broken."""
        return self._met("violation")

    @property
    def warnings(self) -> list[RuleReport]:
        """Likewise what worked, but is undocumented, deprecated or fragile."""
        return self._met("warning")

    @property
    def coverage(self) -> dict[str, Any]:
        """What the client has met and what not, by `operations`, `parameters`, `destinations` and more; the server's own."""
        coverage: dict[str, Any] = self.report()["coverage"]
        return coverage

    def assert_clean(self, *, warnings: bool = False, ignore: Sequence[str] = ()) -> None:
        """Raise AssertionError when there are violations, or `warnings` where these count as well.

        `ignore` names rules that are known and accepted.
        """
        met = [*self.violations, *(self.warnings if warnings else ())]
        lines = []
        for rule in (rule for rule in met if rule["id"] not in ignore):
            times = f", {rule['count']} times" if rule["count"] > 1 else ""
            lines.append(f"{rule['id']} ({rule['severity']}{times})")
            lines += [f"  {finding['message']}" for finding in rule["findings"]]
            lines += [
                f"  to fix it: {fix}" for fix in dict.fromkeys(each["fix"] or rule["fix"] for each in rule["findings"])
            ]
        if lines:
            raise AssertionError("\n".join(["the contract is not kept:", *lines]))

    def save(self, path: Path | str) -> None:
        """Write the report to a file: `.html`, `.json`, `.xml` (JUnit), `.md` or `.txt`."""
        path = Path(path)
        path.write_bytes(self._client.send("GET", "/__emulator/contract", format=report_format(path)))

    def _met(self, severity: str) -> list[RuleReport]:
        if self._requests is None:
            met: list[RuleReport] = self.report()[f"{severity}s"]
            return met
        rules: dict[str, RuleReport] = {}
        for entry in self._requests.find():
            for finding in entry["findings"]:
                if finding.get("severity") == severity:
                    name, fix = finding["rule"], finding.get("fix", "")
                    new: RuleReport = {"id": name, "severity": severity, "fix": fix, "count": 0, "findings": []}
                    rule = rules.setdefault(name, new)
                    rule["count"] += 1
                    rule["findings"].append({**finding, "operation": entry["operation"], "count": 1})
        return list(rules.values())


def report_format(path: Path) -> str:
    """The form of report that a file's ending asks for. Raises ValueError for another ending."""
    from flow_service_emulator.reports.forms import ENDINGS, form_of

    form = form_of(path)
    if form is None:
        raise ValueError(f"a name that ends in {', '.join(ENDINGS)} is needed, got {path.name!r}")
    return form


def _explained(entry: RecordedRequest) -> Iterator[str]:
    """A request on a line, and below a bad one why it is bad and how to fix it."""
    query = f"?{entry['query']}" if entry["query"] else ""
    verdict = "" if entry["verdict"] == "ok" else f"  [{entry['verdict']}]"
    answer = f"{entry['status'] or 'no answer'} ({entry['durationMs']:.1f} ms)"
    yield f"#{entry['number']} {entry['method']} {entry['path']}{query} -> {answer}{verdict}"
    if entry["fault"]:
        yield f"     by the fault rule {entry['fault']}"
    findings, fixed = entry["findings"], set()
    for finding in findings:
        yield f"     {finding['rule']}: {finding['message']}"
        if finding["fix"] not in fixed:
            fixed.add(finding["fix"])
            yield f"     to fix it: {finding['fix']}"
    body = entry["answer"].get("body")
    if entry["status"] >= 400 and not findings and isinstance(body, dict):
        yield from [f"     {body[name]}" for name in REASONS if body.get(name)][:1]
