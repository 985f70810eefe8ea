"""The command `check`: reads recordings, shows what came of it, and says by its exit status how it came out."""

from __future__ import annotations

import asyncio
import logging
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.check.check import Check
from flow_service_emulator.check.traffic import read_traffic
from flow_service_emulator.report_command import check_output, show_report
from flow_service_emulator.reports.report import NoReport, counted, printable

STANDARD_INPUT: Final = "-"


def run_check(wanted: Namespace) -> int:
    """Holds recordings against the emulator; answers the exit status. Raises NoReport where one cannot be read."""
    check_output(wanted)
    logging.getLogger("emulator").addHandler(logging.NullHandler())  # a refusal is told in the report
    check = Check()
    asyncio.run(_read_all(check, wanted.files))
    report = check.report()
    if wanted.facts is not None:
        lines = (f'{{"date":"{date}",{fact[1:]}\n' for fact, date in check.facts.items())
        try:
            wanted.facts.write_text("".join(lines), "utf-8")
        except OSError as reason:
            raise NoReport(f"cannot write {wanted.facts}: {reason.strerror or reason}") from None
    return show_report(report, wanted, "".join(f"{printable(line)}\n" for line in _lines(report["comparison"])))


async def _read_all(check: Check, names: list[str]) -> None:
    for name in names:
        try:
            with nullcontext(sys.stdin.buffer) if name == STANDARD_INPUT else Path(name).open("rb") as file:
                for call in read_traffic(file, "standard input" if name == STANDARD_INPUT else name):
                    await check.add(call)
        except OSError as reason:
            raise NoReport(f"cannot read {name}: {reason.strerror or reason}") from None


def _lines(comparison: Mapping[str, Any]) -> Iterator[str]:
    """The comparison as text."""
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in comparison["requests"].items())
    yield from ("", f"COMPARISON with the emulator: {told or 'no request'}")
    for reason, number in comparison["notComparable"].items():
        yield f"  not comparable: {reason} ({counted(number, 'request')})"
    for each in comparison["information"]:
        yield f"  new: {each['message']} ({counted(each['count'], 'time')})"
