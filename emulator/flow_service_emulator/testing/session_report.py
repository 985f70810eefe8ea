"""The contract report of a whole test run: of all tests, servers and workers, though each test has a clean server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from flow_service_emulator.reports.forms import fails, rendered
from flow_service_emulator.reports.report import SEVERITIES, Severity, beyond, merged, read_report, verdict
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
            self._baseline = None if baseline is None else read_report(baseline)
        except ValueError as reason:
            raise pytest.UsageError(f"flow_service_report: {reason}") from None
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
        seen, shared, troubles = getattr(node, "workeroutput", {}).get(WORKER_KEY, ([], {}, []))
        self._seen += seen
        for url, report in shared.items():
            known = self._shared.setdefault(url, report)
            self._shared[url] = max(known, report, key=lambda each: each["summary"]["requests"])
        self._troubles += troubles

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files, and fail a run that was good so far when the report has what it must not have."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[WORKER_KEY] = self._seen, self._shared, self._troubles
            return
        if self._config.option.collectonly:
            return
        whole, new = self._reports()
        failures = []
        for path, form in self._files.items():
            try:
                if whole is None or new is None:
                    path.unlink(missing_ok=True)  # an earlier run's would be taken for this one's
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                report = whole if form == "json" else new
                path.write_text(rendered(report, form, self._fail_on or "violation"), "utf-8")
                self._outcome.append(f"report: {path}")
            except OSError as reason:
                failures.append(f"cannot write {path}: {reason.strerror or reason}")
        if new is not None and self._fail_on is not None and fails(new, self._fail_on):
            failures.append(f"FAILED: {verdict(new)} (--flow-service-fail-on {self._fail_on})")
        self._outcome += failures
        if failures and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how the run came out."""
        if self._config.option.collectonly:
            return
        _, new = self._reports()
        terminalreporter.section("Flow Service contract")
        if new is None:
            terminalreporter.line("no test has used the emulator: there is no report")
        else:
            terminalreporter.write(rendered(new, "text", colour=terminalreporter.hasmarkup))
        for line in (*self._troubles, *self._outcome):
            terminalreporter.line(line, red=not line.startswith("report: "))

    def _reports(self) -> tuple[dict[str, Any], dict[str, Any]] | tuple[None, None]:
        """The report of the run, and what is new in it beside the baseline; None when no test has used the emulator."""
        if not self._seen and not self._shared:
            return None, None
        whole = merged([*self._seen, *self._shared.values()])
        return whole, whole if self._baseline is None else beyond(whole, self._baseline)
