"""The control calls that show what was seen: `/__emulator/requests` and `/__emulator/contract`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.contract.contract import VERDICTS
from flow_service_emulator.control.inputs import CONTROL, NOTHING, TEXT, instant, taken, takes
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.reports.forms import FORMATS, rendered
from flow_service_emulator.reports.report import DETAILS, SEVERITIES, Detail, Severity

PAGE_POLICY: Final = (
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"),
    ("x-content-type-options", "nosniff"),
)
"""The report is one page that needs nothing from anywhere, and is held to that."""
EQUAL: Final = ("method", "operation", "verdict", "org", "sandbox")
"""Fields of an entry that have to be equal to what is asked for."""
FILTERS: Final = takes(
    {
        **dict.fromkeys(("path", "since", "text", "operation", "org", "sandbox"), TEXT),
        "status": {"type": "string", "pattern": "^[1-5]([0-9]{2}|[xX]{2})$", "examples": ["4xx"]},
        "method": {"type": "string", "pattern": "^[A-Za-z]+$", "examples": ["GET"]},
        "verdict": {"enum": list(VERDICTS)},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    }
)
"""What of the journal can be asked for."""
REPORT: Final = takes(
    {
        name: {"enum": list(options)}
        for name, options in (("format", FORMATS), ("fail-on", SEVERITIES), ("coverage", DETAILS))
    }
)


async def list_requests(emulator: Emulator, exchange: Exchange) -> Reply:
    """The journal, newest last. `number` is the newest request's, to be given as `since` the next time."""
    recorder, given = emulator.recorder, taken(exchange, FILTERS)
    after, at = _since(given.get("since", "0"))
    items = recorder.find(_accepts(given, at), after=after, limit=given.get("limit", 0), text=given.get("text", ""))
    return Reply({"items": items, "number": recorder.number, "dropped": recorder.dropped})


async def delete_requests(emulator: Emulator, exchange: Exchange) -> Reply:
    """Empty the journal; the contract report stays."""
    taken(exchange, NOTHING)
    emulator.recorder.clear()
    return Reply({"status": "ok", "number": emulator.recorder.number})


async def get_contract(emulator: Emulator, exchange: Exchange) -> Reply:
    """The contract report."""
    given = taken(exchange, REPORT)
    form = given.get("format", "json")
    fail_on: Severity = given.get("fail-on", "violation")
    coverage: Detail = given.get("coverage", "short")
    report = emulator.contract.report()
    for finding in (each for name in SEVERITIES for rule in report[f"{name}s"] for each in rule["findings"]):
        where = finding["first"]
        if sent := emulator.recorder.sent(where["entry"], where["requestId"]):
            finding["sent"] = sent
    if form == "html":
        report["dashboard"] = f"{CONTROL}/"
    text = rendered(report, form, fail_on, coverage=coverage)
    headers = PAGE_POLICY if form == "html" else ()
    return Reply(text.encode(), headers=headers, content_type=FORMATS[form])


async def delete_contract(emulator: Emulator, exchange: Exchange) -> Reply:
    """Empty the contract report; the journal and all entities stay."""
    taken(exchange, NOTHING)
    emulator.contract.clear()
    return Reply({"status": "ok"})


def _accepts(given: Mapping[str, Any], at: float) -> Callable[[Mapping[str, Any]], bool]:
    """Whether an entry of the journal, of the instant `at` or later, is looked for: by path with a glob or its beginning.

    The service's base path may be left out.
    """
    equal = {name: given[name] for name in EQUAL if name in given}
    if "method" in equal:
        equal["method"] = equal["method"].upper()
    status, path = given.get("status", "*").lower().replace("x", "?"), given.get("path", "*")
    glob = path if "*" in path or "?" in path else f"{path}*"

    def accept(entry: Mapping[str, Any]) -> bool:
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
    return (int(value), 0.0) if re.fullmatch(r"[0-9]{1,8}", value) else (0, instant("since", value))
