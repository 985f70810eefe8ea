"""The contract report of a whole test run: of all tests, servers and workers, though each test has a clean server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from flow_service_emulator.reports.formats import fails, rendered
from flow_service_emulator.reports.merge import beyond, merged
from flow_service_emulator.reports.words import SEVERITIES, TITLES, Severity, counted, left_out, verdict, where
from flow_service_emulator.testing.contract_view import report_format
from flow_service_emulator.testing.control_client import FlowServiceError

if TYPE_CHECKING:
    from flow_service_emulator.testing.flow_service import FlowService

TITLE: Final = "Flow Service contract"
WORKER_KEY: Final = "flow_service_reports"
"""Under which a worker of pytest-xdist hands what it has seen to the run that started it."""
MAX_SHOWN: Final = 3
"""Findings shown of a rule at the end of the run; the files have them all."""


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
        self._seen: dict[str, Any] | None = None
        """What the servers that are reset for each test have said."""
        self._shared: dict[str, dict[str, Any]] = {}
        """What a shared server has said last, by its address; it is never reset, so that this is the whole."""
        self._troubles: list[str] = []
        """Tests whose requests are not in the report, and why."""
        self._written: list[Path] = []
        self._failures: list[str] = []
        """Why a run fails in which all tests have passed."""

    def take(self, service: FlowService, test: str) -> None:
        """Adds what the server has seen since its last reset; to be called before each reset and at each test's end."""
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
        self._add(report)

    def _add(self, report: dict[str, Any]) -> None:
        self._seen = report if self._seen is None else merged([self._seen, report])

    def _whole(self) -> dict[str, Any] | None:
        """The report of the run; None when no test has used the emulator."""
        reports = [*([] if self._seen is None else [self._seen]), *self._shared.values()]
        return merged(reports) if reports else None

    def _new(self, report: dict[str, Any] | None) -> dict[str, Any] | None:
        """The report without what the baseline has, if there is one."""
        return report if report is None or self._baseline is None else beyond(report, self._baseline)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Adds what a worker of pytest-xdist has seen; nothing of one that crashed."""
        told = getattr(node, "workeroutput", {}).get(WORKER_KEY)
        if told is None:
            return
        seen, shared, troubles = json.loads(told)
        if seen is not None:
            self._add(seen)
        for url, report in shared.items():
            known = self._shared.get(url)
            if known is None or known["summary"]["requests"] < report["summary"]["requests"]:
                self._shared[url] = report
        self._troubles += troubles

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes the files, and fails a run that was good so far when the report has what it must not have."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[WORKER_KEY] = json.dumps([self._seen, self._shared, self._troubles])
            return
        if self._config.option.collectonly:
            return
        whole = self._whole()
        report = self._new(whole)
        for path, form in self._files.items():
            try:
                if whole is None or report is None:
                    path.unlink(missing_ok=True)  # an earlier run's would be taken for this one's
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(
                        rendered(whole if form == "json" else report, form, self._fail_on or "violation"), "utf-8"
                    )
                    self._written.append(path)
            except OSError as reason:
                self._failures.append(f"cannot write {path}: {reason.strerror or reason}")
        if report is not None and self._fail_on is not None and fails(report, self._fail_on):
            self._failures.append(f"FAILED: {verdict(report)} (--flow-service-fail-on {self._fail_on})")
        if self._failures and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says in a few lines how the run came out."""
        report = self._new(self._whole())
        if self._config.option.collectonly:
            return
        terminalreporter.section(TITLE)
        for trouble in self._troubles:
            terminalreporter.line(trouble, red=True)
        if report is None:
            terminalreporter.line("no test has used the emulator: there is no report")
        else:
            self._show(terminalreporter, report)
        for path in self._written:
            terminalreporter.line(f"report: {path}")
        for failure in self._failures:
            terminalreporter.line(failure, red=True)

    def _show(self, terminalreporter: pytest.TerminalReporter, report: dict[str, Any]) -> None:
        for severity in SEVERITIES:
            for rule in report[f"{severity}s"]:
                failing = self._fail_on is not None and (severity == "violation" or self._fail_on == "warning")
                terminalreporter.line(f"{severity}: {rule['title']} ({rule['id']}, {counted(rule['count'], 'request')})", red=failing, yellow=not failing)  # fmt: skip
                for finding in rule["findings"][:MAX_SHOWN]:
                    terminalreporter.line(f"  {finding['message']}")
                    terminalreporter.line(f"    {where(finding)}")
                terminalreporter.line(f"  to fix it: {rule['fix']}")
        met = [
            f"{part['met']} of {part['total']} {TITLES.get(name, name)}"
            for name, part in report["summary"]["coverage"].items()
        ]
        terminalreporter.line(f"{counted(report['summary']['requests'], 'request')}, {verdict(report)}; met: {', '.join(met)}")  # fmt: skip
        if left_out(report):
            terminalreporter.line(left_out(report))
