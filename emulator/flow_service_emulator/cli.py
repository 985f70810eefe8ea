"""The commands: `serve`, `demo`, `report`, `check`, `check-fixtures`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from flow_service_emulator import __version__
from flow_service_emulator.reports.forms import ENDINGS, FORMATS, form_named
from flow_service_emulator.reports.report import DETAILS, SEVERITIES
from flow_service_emulator.settings import DEFAULT_URL, Settings, flag_name, read_settings, variable_name

PROGRAM = "flow-service-emulator"


class Parser(argparse.ArgumentParser):
    """A parser that takes flags by their whole names only, and tells what it does not know itself, with the nearest name.

    As it is, argparse takes `--export` for `--export-dir`, and lets the program's parser complain of a command's flags.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._nearest(unknown)}")
        return found, unknown

    def _nearest(self, unknown: Sequence[str]) -> str:
        from difflib import get_close_matches  # on first use: hardly any start needs it

        known = [name for action in self._actions for name in action.option_strings]
        for flag in (argument.partition("=")[0] for argument in unknown if argument.startswith("--")):
            if near := [name for name in known if name.startswith(flag)] or get_close_matches(flag, known, 1):
                return f"; did you mean {near[0]}?"
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0 for success, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM, description="A local emulator of Adobe Experience Platform's Flow Service (dataset export)."
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve", help="start the server", description="Starts the server; every flag has its variable."
    )
    for declared in fields(Settings):
        described, placeholder = declared.metadata["help"].replace("`", ""), declared.metadata["placeholder"]
        default = "" if declared.default in (None, (), False) else f"; default {declared.default}"
        how: dict[str, Any] = {"metavar": placeholder} if placeholder else {"action": "store_true", "default": None}
        serve.add_argument(
            flag_name(declared.name), help=f"{described}{default} [{variable_name(declared.name)}]", **how
        )
    serve.set_defaults(run=_serve)
    demo = commands.add_parser("demo", help="walk the six steps on every destination and show what is exported")
    demo.add_argument(
        "--export-dir", metavar="DIR", type=Path, default=Path("exports"), help="where the files go; default exports"
    )
    demo.set_defaults(run=_demo)
    _add_report(commands)
    _add_check(commands)
    check = commands.add_parser("check-fixtures", help="check specs and datasets, the built-in ones and those in DIR")
    check.add_argument("dir", metavar="DIR", nargs="?", type=Path, help="folder as given to --fixtures")
    check.set_defaults(run=_check_fixtures)
    return parser


def _add_report(commands: argparse._SubParsersAction[Parser]) -> None:
    report = commands.add_parser(
        "report",
        help="show what a server has seen of its client: violations, warnings, coverage",
        description="Shows the contract report of a running server, or of saved ones together. "
        "Exit status: 0 in order, 1 when there is what --fail-on names, 2 when there is no report.",
    )
    report.add_argument("--url", metavar="URL", help=f"address of the server; default {DEFAULT_URL}")
    report.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="reports saved as JSON, instead of a server's; taken together",
    )
    _add_output(report)
    report.set_defaults(run=_report)


def _add_check(commands: argparse._SubParsersAction[Parser]) -> None:
    check = commands.add_parser(
        "check",
        help="hold recorded traffic of the real service against the emulator, both ways",
        description="Judges recorded requests by the emulator's rules, and the service's answers by its description. "
        "Exit status: 0 in order, 1 when there is what --fail-on names, 2 when a recording cannot be read.",
    )
    check.add_argument(
        "files",
        metavar="TRAFFIC",
        nargs="+",
        help="HAR, or recorded requests of the emulator as NDJSON; - is standard input",
    )
    check.add_argument(
        "--facts", metavar="FILE", type=Path, help="write what was learned there, a line each: shapes, nobody's data"
    )
    _add_output(check)
    check.set_defaults(run=_check)


def _add_output(parser: argparse.ArgumentParser) -> None:
    """The flags that say how a report is shown."""
    parser.add_argument(
        "--format",
        dest="form",
        type=form_named,
        choices=list(FORMATS),
        help="form of the report, xml being junit; default is what the ending of --output says, text without --output",
    )
    parser.add_argument(
        "--fail-on", choices=SEVERITIES, default="violation", help="from what on to fail; default violation"
    )
    parser.add_argument(
        "--coverage",
        choices=DETAILS,
        default="short",
        help="of the coverage, a text has a line for each group, or with full every name; default short",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help=f"write the report there instead of to standard output; {', '.join(ENDINGS)} say in which form, else --format",
    )
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        type=Path,
        help="older report saved as JSON: what it has, by rule, operation, place and kind, is left out and does not count",
    )


def _serve(options: argparse.Namespace) -> int:
    """Serve until it is told to end."""
    try:
        settings = read_settings({declared.name: getattr(options, declared.name) for declared in fields(Settings)})
    except ValueError as reason:
        return _fail(str(reason), status=2)
    from flow_service_emulator.server import serve

    return serve(settings, _fail)


def _demo(options: argparse.Namespace) -> int:
    from flow_service_emulator.demo import run_demo

    return run_demo(options.export_dir)


def _report(options: argparse.Namespace) -> int:
    from flow_service_emulator.report_command import run_report
    from flow_service_emulator.reports.report import NoReport

    if options.url is not None and options.files:
        return _fail("--url does not go with saved reports: their report is made without a server", status=2)
    options.url = options.url or DEFAULT_URL
    try:
        return run_report(options)
    except NoReport as reason:
        return _fail(str(reason), status=2)


def _check(options: argparse.Namespace) -> int:
    from flow_service_emulator.check.command import run_check
    from flow_service_emulator.reports.report import NoReport

    try:
        return run_check(options)
    except NoReport as reason:
        return _fail(str(reason), status=2)


def _check_fixtures(options: argparse.Namespace) -> int:
    import logging

    from flow_service_emulator.fixture_files import FixtureError
    from flow_service_emulator.folder_check import check_folder

    logging.getLogger("emulator").addHandler(logging.NullHandler())  # what a server would warn of is told as a fault
    try:
        catalog, files, faults = check_folder(options.dir)
    except (FixtureError, OSError) as reason:
        return _fail(str(reason))
    destinations = sum(1 for spec in catalog.connection_specs.values() if spec.destination)
    own = f"{len(files)} dataset files with {sum(file.mark.rows for file in files):,} rows, " if files else ""
    if not faults:
        print(
            f"{len(catalog.connection_specs)} connection specs ({destinations} destinations), "
            f"{len(catalog.flow_specs)} flow specs, {len(catalog.datasets)} datasets, {own}"
            f"{len(catalog.errors.kinds)} errors: all in order"
        )
        return 0
    for fault in faults:
        print(fault, file=sys.stderr)
    return _fail(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'} in {options.dir}")


def _fail(reason: str, status: int = 1) -> int:
    print(f"{PROGRAM}: {reason}", file=sys.stderr)
    return status
