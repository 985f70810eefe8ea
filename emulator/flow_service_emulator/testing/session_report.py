"""The contract report of a whole test run: of all tests, servers and workers, though each test has a clean server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from flow_service_emulator.reports.forms import fails, rendered
from flow_service_emulator.reports.report import SEVERITIES, Severity, beyond, merged, verdict
from flow_service_emulator.testing.client import FlowServiceError
from flow_service_emulator.testing.flow_service import FlowService
from flow_service_emulator.testing.requests import report_format

WORKER_KEY: Final = "flow_service_reports"
"""Under which a worker of pytest-xdist hands what it has seen to the run that started it."""


class SessionReport:
    """A pytest plugin that is there when a report was asked for."""

    def __init__(self, config: pytest.Config, files: list[Path], fail_on: str, baseline: Path | None) -> None:
        """The endings of `files` say which form each gets; what the report `baseline` (JSON) has is left out of all but JSON.

        Raises pytest.UsageError.
        """
        if fail_on and fail_on not in SEVERITIES:
            raise pytest.UsageError(f"flow_service_fail_on must be one of {', '.join(SEVERITIES)}, got {fail_on!r}")
        try:
            self._files = {file: report_format(file) for file in files}
        except ValueError as reason:
            raise pytest.UsageError(f"flow_service_report: {reason}") from None
        try:
            self._baseline = None if baseline is None else merged([json.loads(baseline.read_bytes())])
        except OSError as reason:
            raise pytest.UsageError(f"flow_service_baseline: cannot read {baseline}: {reason.strerror}") from None
        except ValueError:
            raise pytest.UsageError(
                f"flow_service_baseline: {baseline} is no contract report in JSON of this version"
            ) from None
        self._config = config
        self._fail_on: Severity | None = "warning" if fail_on == "warning" else "violation" if fail_on else None
        self._seen: list[dict[str, Any]] = []
        """What the servers that are reset for each test have said; merged as it comes, so one at most."""
        self._shared: dict[str, dict[str, Any]] = {}
        """What a shared server has said last, by its address; it is never reset, so that this is the whole."""
        self._troubles: list[str] = []
        """Tests whose requests are not in the report, and why."""
        self._outcome: list[str] = []
        """What was written, and why a run fails in which all tests have passed."""

    def take(self, service: FlowService, test: str) -> None:
        """Add what the server has seen since its last reset; to be called before each reset and at each test's end."""
        try:
            report = service.contract.report()
        except FlowServiceError as failure:
            self._troubles.append(f"{test} is left out: {failure}")
            return
        if service.server.shared:
            self._shared[service.server.url] = report
            return
        for finding in (finding for name in SEVERITIES for rule in report[f"{name}s"] for finding in rule["findings"]):
            finding["first"]["test"] = finding["last"]["test"] = test
        self._seen = [merged([*self._seen, report])]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker of pytest-xdist has seen; nothing of one that crashed."""
        told = getattr(node, "workeroutput", {}).get(WORKER_KEY)
        if told is None:
            return
        seen, shared, troubles = json.loads(told)
        if seen:
            self._seen = [merged([*self._seen, *seen])]
        for url, report in shared.items():
            known = self._shared.get(url)
            if known is None or known["summary"]["requests"] < report["summary"]["requests"]:
                self._shared[url] = report
        self._troubles += troubles

    def _reports(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The report of the run, and what is new in it beside the baseline; None when no test has used the emulator."""
        reports = [*self._seen, *self._shared.values()]
        if not reports:
            return None
        whole = merged(reports)
        return whole, whole if self._baseline is None else beyond(whole, self._baseline)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files, and fail a run that was good so far when the report has what it must not have."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[WORKER_KEY] = json.dumps([self._seen, self._shared, self._troubles])
            return
        if self._config.option.collectonly:
            return
        reports = self._reports()
        failures = []
        for path, form in self._files.items():
            try:
                if reports is None:
                    path.unlink(missing_ok=True)  # an earlier run's would be taken for this one's
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(rendered(reports[form != "json"], form, self._fail_on or "violation"), "utf-8")
                self._outcome.append(f"report: {path}")
            except OSError as reason:
                failures.append(f"cannot write {path}: {reason.strerror or reason}")
        if reports is not None and self._fail_on is not None and fails(reports[1], self._fail_on):
            failures.append(f"FAILED: {verdict(reports[1])} (--flow-service-fail-on {self._fail_on})")
        self._outcome += failures
        if failures and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how the run came out."""
        if self._config.option.collectonly:
            return
        reports = self._reports()
        terminalreporter.section("Flow Service contract")
        if reports is None:
            terminalreporter.line("no test has used the emulator: there is no report")
        else:
            colour = terminalreporter.hasmarkup
            terminalreporter.write(rendered(reports[1], "text", colour=colour))
        for line in (*self._troubles, *self._outcome):
            terminalreporter.line(line, red=not line.startswith("report: "))
