"""The control calls that show what was seen: `/__emulator/requests` and `/__emulator/contract`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.contract.contract import VERDICTS, Contract
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.control.inputs import CONTROL, invalid, parameters, unfit, whole
from flow_service_emulator.instants import epoch_seconds
from flow_service_emulator.reports.forms import FORMATS, rendered
from flow_service_emulator.reports.report import DETAILS, SEVERITIES, Detail, Severity

PAGE_POLICY: Final = (
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"),
    ("x-content-type-options", "nosniff"),
)
"""The report is one page that needs nothing from anywhere, and is held to that."""
EQUAL: Final = ("method", "operation", "verdict", "org", "sandbox")
"""Fields of an entry that have to be equal to what is asked for."""
FILTERS: Final = ("path", "status", "since", "limit", "text", *EQUAL)
"""What of the journal can be asked for."""
MAX_LIMIT: Final = 1_000_000


class ReportCalls:
    """The handlers."""

    def __init__(self, *, recorder: Recorder, contract: Contract) -> None:
        self._recorder = recorder
        self._contract = contract

    async def list_requests(self, exchange: Exchange) -> Reply:
        """The journal, newest last. `number` is the newest request's, to be given as `since` the next time."""
        recorder, given = self._recorder, parameters(exchange, *FILTERS)
        for name, value in given.items():
            if not value:
                raise invalid(f"{name} must not be empty")
        after, at = _since(given.get("since", "0"))
        items = recorder.find(
            _accepts(given, at), after=after, limit=whole(given, "limit", MAX_LIMIT, 0), text=given.get("text", "")
        )
        return Reply({"items": items, "number": recorder.number, "dropped": recorder.dropped})

    async def delete_requests(self, exchange: Exchange) -> Reply:
        """Empties the journal; the contract report stays."""
        parameters(exchange)
        self._recorder.clear()
        return Reply({"status": "ok", "number": self._recorder.number})

    async def get_contract(self, exchange: Exchange) -> Reply:
        """The contract report."""
        given = parameters(exchange, format=FORMATS, **{"fail-on": SEVERITIES, "coverage": DETAILS})
        form = given.get("format", "json")
        fail_on: Severity = "warning" if given.get("fail-on") == "warning" else "violation"
        coverage: Detail = "full" if given.get("coverage") == "full" else "short"
        report = self._contract.report()
        for finding in (each for name in SEVERITIES for rule in report[f"{name}s"] for each in rule["findings"]):
            where = finding["first"]
            if sent := self._recorder.sent(where["entry"], where["requestId"]):
                finding["sent"] = sent
        if form == "html":
            report["dashboard"] = f"{CONTROL}/"
        text = rendered(report, form, fail_on, coverage=coverage)
        headers = PAGE_POLICY if form == "html" else ()
        return Reply(text.encode(), headers=headers, content_type=FORMATS[form])

    async def delete_contract(self, exchange: Exchange) -> Reply:
        """Empties the contract report; the journal and all entities stay."""
        parameters(exchange)
        self._contract.clear()
        return Reply({"status": "ok"})


def _accepts(given: Mapping[str, str], at: float) -> Callable[[Mapping[str, Any]], bool]:
    """Whether an entry of the journal, of the instant `at` or later, is looked for. Raises `control-invalid`."""
    equal = {name: given[name] for name in EQUAL if name in given}
    if "method" in equal:
        if not equal["method"].isascii() or not equal["method"].isalpha():
            raise unfit("method", "a method's name, such as GET", equal["method"])
        equal["method"] = equal["method"].upper()
    if "verdict" in equal and equal["verdict"] not in VERDICTS:
        raise unfit("verdict", f"one of {', '.join(VERDICTS)}", equal["verdict"])
    status, path = given.get("status", "*"), given.get("path", "*")
    if status != "*" and not re.fullmatch(r"[1-5](\d\d|xx)", status, re.IGNORECASE | re.ASCII):
        raise unfit("status", "a status such as 404, or a class such as 4xx", status)
    status = status.lower().replace("x", "?")
    glob = path if "*" in path or "?" in path else f"{path}*"

    def accept(entry: Mapping[str, Any]) -> bool:
        """By path with a glob or its beginning; the service's base path may be left out."""
        paths = (entry["path"], entry["path"].removeprefix(BASE))
        return (
            entry["at"] >= at
            and all(entry[name] == value for name, value in equal.items())
            and fnmatchcase(str(entry["status"]), status)
            and any(fnmatchcase(each, glob) for each in paths)
        )

    return accept


def _since(value: str) -> tuple[int, float]:
    """An entry's number (entries after it), or an instant of the emulator's time (entries from then on)."""
    if re.fullmatch(r"[0-9]{1,8}", value):
        return int(value), 0.0
    try:
        seconds = epoch_seconds(value)
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < 1e12:
        raise unfit("since", "an entry's number, epoch seconds, or a time such as 2026-01-01T00:00:00Z", value)
    return 0, seconds
