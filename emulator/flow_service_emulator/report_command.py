"""The command `report`: fetches a running server's contract report, shows it, and says by its exit status how it came out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from flow_service_emulator.reports.formats import ENDINGS, fails, form_of, rendered
from flow_service_emulator.reports.merge import NoReport, beyond, merged
from flow_service_emulator.reports.words import REPORT_FORMAT, Detail, Severity, left_out, verdict
from flow_service_emulator.settings import wants_colour
from flow_service_emulator.testing.client import ControlClient, FlowServiceError

TIMEOUT_SECONDS: Final = 30.0
FAILED, NOT_FETCHED = 1, 2
"""Exit statuses: the report has what it must not have; there is no report."""


class Wanted(NamedTuple):
    """What the command is asked for: the report of the server at `url`, or that of saved `files` together.

    `baseline` is an older report, what it has is left out; `form` None goes by the ending of `output`, and is text without
    one; `output` None is standard output.
    """

    url: str
    files: Sequence[Path]
    baseline: Path | None
    form: str | None
    fail_on: Severity
    output: Path | None
    coverage: Detail = "short"
    """How much a text says of the coverage."""


def run_report(wanted: Wanted, fail: Callable[[str, int], int]) -> int:
    """Shows a report, on standard output or in a file.

    Answers 0, FAILED when the report has what `fail_on` names or worse, and NOT_FETCHED, after `fail` was told why, when it
    could not be had or not be written.
    """
    url, output = wanted.url, wanted.output
    form = wanted.form or ("text" if output is None else form_of(output))
    if form is None:
        return fail(
            f"--output: a name that ends in {', '.join(ENDINGS)} is needed, or --format, got {str(output)!r}",
            NOT_FETCHED,
        )
    if (twice := _named_twice(wanted.files)) is not None:
        return fail(f"{twice} is named twice, and would count twice", NOT_FETCHED)
    try:
        report = merged([_read(file) for file in wanted.files]) if wanted.files else _fetched(url)
        baseline = _read(wanted.baseline) if wanted.baseline is not None else None
    except FlowServiceError as reason:
        return fail(f"{reason}; is `flow-service-emulator serve` running, and is --url its address?", NOT_FETCHED)
    except NoReport as reason:
        return fail(str(reason), NOT_FETCHED)
    if not isinstance(report, dict) or report.get("format") != REPORT_FORMAT:
        return fail(f"{url} answers another version's report; use the command of the server's own version", NOT_FETCHED)
    if baseline is not None:
        report = beyond(report, baseline)
    text = rendered(
        report, form, wanted.fail_on, colour=output is None and wants_colour(sys.stdout), coverage=wanted.coverage
    )
    if output is None:
        _show(text)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as reason:
            return fail(f"cannot write {output}: {reason.strerror or reason}", NOT_FETCHED)
        print(f"{output}: {'; '.join(filter(None, (verdict(report), left_out(report))))}", file=sys.stderr)
    return FAILED if fails(report, wanted.fail_on) else 0


def _named_twice(files: Sequence[Path]) -> Path | None:
    """A file that is the same as one before it."""
    resolved = [file.resolve() for file in files]
    return next((file for index, file in enumerate(files) if resolved[index] in resolved[:index]), None)


def _show(text: str) -> None:
    """Writes to standard output; whoever reads it may have had enough before its end, as `head` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _read(file: Path) -> Any:
    """A report that was saved as JSON. Raises NoReport for a file with anything else, or none."""
    try:
        report = json.loads(file.read_bytes())
        merged([report])
    except OSError as reason:
        raise NoReport(f"cannot read {file}: {reason.strerror or reason}") from None
    except (ValueError, RecursionError):
        raise NoReport(f"{file} is no contract report in JSON of this version") from None
    return report


def _fetched(url: str) -> Any:
    """The report as JSON. Raises FlowServiceError."""
    client = ControlClient(url, timeout=TIMEOUT_SECONDS)
    try:
        return client.call("GET", "/contract")
    except ValueError:
        raise FlowServiceError(f"what answers at {url} is no Flow Service emulator") from None
    finally:
        client.close()
