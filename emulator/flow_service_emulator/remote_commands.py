"""The commands that ask a server that runs somewhere: `wait`, `status`, `advance`, `reset`, and `report`, which also takes saved ones.

A server that is not there raises FlowServiceError.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from flow_service_emulator.reports.forms import ENDINGS, fails, form_of, rendered
from flow_service_emulator.reports.report import NoReport, beyond, counted, left_out, merged, read_report, verdict
from flow_service_emulator.settings import DEFAULT_URL, wants_colour
from flow_service_emulator.testing.client import ControlClient, FlowServiceError, given, wait_until_ready

REPORT_SECONDS: Final = 30.0
"""How long a report is waited for."""


def wait(wanted: Namespace) -> None:
    """Return when the server answers."""
    wait_until_ready(wanted.url, wanted.timeout)
    print(f"ready: {wanted.url}")


def advance(wanted: Namespace) -> None:
    """Move time on, and show the exports on the way."""
    body = given(**{name: getattr(wanted, name) for name in ("seconds", "minutes", "hours", "days", "to")})
    answer = ControlClient(wanted.url).call("POST", "/clock/advance", body)
    for run in answer["runs"]:
        print(f"{_shown(run['scheduledAt'])}  {run['status']:9} flow {run['flowId']}  run {run['id']}")
        if "error" in run:
            print(f"  {run['error']}")
    ends = Counter(run["status"] for run in answer["runs"])
    told = ", ".join(f"{number} {status}" for status, number in ends.items())
    print(f"it is {_shown(answer['now'])}; {counted(len(answer['runs']), 'export')}{told and f': {told}'}")


def reset(wanted: Namespace) -> None:
    """Make the server forget everything; with `exports` the exported files go, too."""
    ControlClient(wanted.url).call("POST", "/reset", exports="true" if wanted.exports else None)
    print(f"{wanted.url} has forgotten everything" + (", and its exported files are gone" if wanted.exports else ""))


def status(wanted: Namespace) -> None:
    """Show the server at a glance."""
    seen: dict[str, Any] = ControlClient(wanted.url).call("GET", "/overview")
    clock, counts = seen["clock"], seen["counts"]
    due = "none" if seen["next"] is None else _shown(seen["next"])
    bad = {name: number for name, number in seen["verdicts"].items() if number and name != "ok"}
    lines = {
        "server": f"{wanted.url}, version {seen['version']}, dashboard at {wanted.url}/__emulator/",
        "clock": f"{clock['mode']}, {_shown(clock['now'])}",
        "flows": f"{counts['flows']}, next export: {due}",
        "runs": str(counts["runs"]),
        "requests": ", ".join([str(counts["requests"]), *(f"{number} {name}" for name, number in bad.items())]),
        "faults": ", ".join(rule["id"] for rule in seen["faults"]) or "none",
    }
    for name, text in lines.items():
        print(f"{name:9} {text}")


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def report(wanted: Namespace) -> int:
    """Show a report, on standard output or in a file; answer the exit status. Raise NoReport where there is none.

    Of the server at `url`, or of saved `files` together, without what `baseline`, an older report, has. `form` None goes by the
    ending of `output`, and is text without one; `output` None is standard output.
    """
    if wanted.url is not None and wanted.files:
        raise NoReport("--url does not go with saved reports: their report is made without a server")
    resolved = [file.resolve() for file in wanted.files]
    for index, file in enumerate(wanted.files):
        if resolved[index] in resolved[:index]:
            raise NoReport(f"{file} is named twice, and would count twice")
    check_output(wanted)
    found = (
        merged([read_report(file) for file in wanted.files]) if wanted.files else _fetched(wanted.url or DEFAULT_URL)
    )
    return show_report(found, wanted)


def check_output(wanted: Namespace) -> str:
    """The form that is wanted. Raises NoReport where neither `form` nor the ending of `output` says one."""
    form = wanted.form or ("text" if wanted.output is None else form_of(wanted.output))
    if form is None:
        endings = ", ".join(ENDINGS)
        raise NoReport(f"--output: a name that ends in {endings} is needed, or --format, got {str(wanted.output)!r}")
    return form


def show_report(shown: dict[str, Any], wanted: Namespace, more: str = "") -> int:
    """Shows a report as `wanted`, a text with `more` lines at its end; answers the exit status. Raises NoReport."""
    form, output = check_output(wanted), wanted.output
    if wanted.baseline is not None:
        shown = {**shown, **beyond(shown, read_report(wanted.baseline))}
    colour = output is None and wants_colour(sys.stdout)
    text = rendered(shown, form, wanted.fail_on, colour=colour, coverage=wanted.coverage)
    if form == "text":
        text += more
    if output is None:
        with suppress(BrokenPipeError):  # whoever reads it has had enough, and yet asks for the exit status
            print(text, end="", flush=True)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as reason:
            raise NoReport(f"cannot write {output}: {reason.strerror or reason}") from None
        print(f"{output}: {'; '.join(filter(None, (verdict(shown), left_out(shown))))}", file=sys.stderr)
    return 1 if fails(shown, wanted.fail_on) else 0


def _fetched(url: str) -> dict[str, Any]:
    """A running server's report. Raises NoReport."""
    try:
        return merged([ControlClient(url, timeout=REPORT_SECONDS).call("GET", "/contract")])
    except FlowServiceError as reason:
        told = f"{reason}; is `flow-service-emulator serve` running, and is --url its address?"
        raise NoReport(told) from None
    except NoReport:
        told = f"{url} answers another version's report; use the command of the server's own version"
        raise NoReport(told) from None
