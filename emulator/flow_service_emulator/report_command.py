"""The command `report`: fetches a running server's contract report, shows it, and says by its exit status how it came out."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import Any, Final

from flow_service_emulator.reports.forms import ENDINGS, fails, form_of, rendered
from flow_service_emulator.reports.report import NoReport, beyond, left_out, merged, read_report, verdict
from flow_service_emulator.settings import wants_colour
from flow_service_emulator.testing.client import ControlClient, FlowServiceError

TIMEOUT_SECONDS: Final = 30.0
FAILED: Final = 1
"""Exit status: the report has what it must not have."""


def run_report(wanted: Namespace) -> int:
    """Shows a report, on standard output or in a file; answers the exit status. Raises NoReport where there is none.

    Of the server at `url`, or of saved `files` together, without what `baseline`, an older report, has. `form` None goes by the
    ending of `output`, and is text without one; `output` None is standard output.
    """
    resolved = [file.resolve() for file in wanted.files]
    for index, file in enumerate(wanted.files):
        if resolved[index] in resolved[:index]:
            raise NoReport(f"{file} is named twice, and would count twice")
    check_output(wanted)
    return show_report(
        merged([read_report(file) for file in wanted.files]) if wanted.files else _fetched(wanted.url), wanted
    )


def check_output(wanted: Namespace) -> str:
    """The form that is wanted. Raises NoReport where neither `form` nor the ending of `output` says one."""
    form = wanted.form or ("text" if wanted.output is None else form_of(wanted.output))
    if form is None:
        endings = ", ".join(ENDINGS)
        raise NoReport(f"--output: a name that ends in {endings} is needed, or --format, got {str(wanted.output)!r}")
    return form


def show_report(report: dict[str, Any], wanted: Namespace, more: str = "") -> int:
    """Shows a report as `wanted`, a text with `more` lines at its end; answers the exit status. Raises NoReport."""
    form, output = check_output(wanted), wanted.output
    if wanted.baseline is not None:
        report = {**report, **beyond(report, read_report(wanted.baseline))}
    colour = output is None and wants_colour(sys.stdout)
    text = rendered(report, form, wanted.fail_on, colour=colour, coverage=wanted.coverage)
    if form == "text":
        text += more
    if output is None:
        _show(text)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as reason:
            raise NoReport(f"cannot write {output}: {reason.strerror or reason}") from None
        print(f"{output}: {'; '.join(filter(None, (verdict(report), left_out(report))))}", file=sys.stderr)
    return FAILED if fails(report, wanted.fail_on) else 0


def _show(text: str) -> None:
    """Writes to standard output; whoever reads it may have had enough before its end, as `head` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fetched(url: str) -> dict[str, Any]:
    """A running server's report. Raises NoReport."""
    try:
        return merged([ControlClient(url, timeout=TIMEOUT_SECONDS).call("GET", "/contract")])
    except FlowServiceError as reason:
        told = f"{reason}; is `flow-service-emulator serve` running, and is --url its address?"
        raise NoReport(told) from None
    except NoReport:
        told = f"{url} answers another version's report; use the command of the server's own version"
        raise NoReport(told) from None
