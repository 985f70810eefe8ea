"""The control calls that show what was seen: `/__emulator/requests` and `/__emulator/contract`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.contract.contract import VERDICTS, Contract
from flow_service_emulator.contract.filters import Filters
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.control.inputs import parameters
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.reports.formats import FORMATS, rendered
from flow_service_emulator.reports.words import DETAILS, SEVERITIES, Detail, Severity

PAGE_POLICY: Final = (
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"),
    ("x-content-type-options", "nosniff"),
)
"""The report is one page that needs nothing from anywhere, and is held to that."""


class ReportCalls:
    """The handlers."""

    def __init__(self, *, recorder: Recorder, contract: Contract) -> None:
        self._recorder = recorder
        self._contract = contract

    async def list_requests(self, exchange: Exchange) -> Reply:
        """The journal, newest last. `number` is the newest request's, to be given as `since` the next time."""
        recorder, filters = self._recorder, Filters.read(exchange.query, VERDICTS)
        return Reply({"items": recorder.find(filters), "number": recorder.number, "dropped": recorder.dropped})

    async def delete_requests(self, exchange: Exchange) -> Reply:
        """Empties the journal; the contract report stays."""
        _chosen(exchange, {})
        self._recorder.clear()
        return Reply({"status": "ok", "number": self._recorder.number})

    async def get_contract(self, exchange: Exchange) -> Reply:
        """The contract report."""
        given = _chosen(exchange, {"format": FORMATS, "fail-on": SEVERITIES, "coverage": DETAILS})
        form = given.get("format", "json")
        fail_on: Severity = "warning" if given.get("fail-on") == "warning" else "violation"
        coverage: Detail = "full" if given.get("coverage") == "full" else "short"
        report = self._contract.report()
        self._mark_requests_gone(report)
        text = rendered(report, form, fail_on, coverage=coverage)
        headers = PAGE_POLICY if form == "html" else ()
        return Reply(text.encode(), headers=headers, content_type=FORMATS[form])

    async def delete_contract(self, exchange: Exchange) -> Reply:
        """Empties the contract report; the journal and all entities stay."""
        _chosen(exchange, {})
        self._contract.clear()
        return Reply({"status": "ok"})

    def _mark_requests_gone(self, report: Mapping[str, Any]) -> None:
        """Says of the requests that the findings name which cannot be looked up in the journal any more."""
        for finding in (each for name in SEVERITIES for rule in report[f"{name}s"] for each in rule["findings"]):
            for place in ("first", "last"):
                where = finding[place]
                if not self._recorder.has(where["entry"], where["requestId"]):
                    finding[place] = {**where, "inJournal": False}


def _chosen(exchange: Exchange, allowed: Mapping[str, Any]) -> dict[str, str]:
    """The query's parameters, each of which has to have one of its allowed values."""
    given = parameters(exchange, allowed)
    for name, value in given.items():
        if value not in allowed[name]:
            reason = f"{name} must be one of {', '.join(allowed[name])}; got {value[:60]!r}"
            raise ServiceError("control-invalid", reason=reason)
    return given
