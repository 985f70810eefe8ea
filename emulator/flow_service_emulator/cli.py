"""The commands: a table of what each is called, takes and does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from flow_service_emulator import __version__
from flow_service_emulator.reports.forms import ENDINGS, FORMATS, form_named
from flow_service_emulator.reports.report import DETAILS, SEVERITIES, NoReport
from flow_service_emulator.settings import DEFAULT_URL, Settings, did_you_mean, flag_name, read_settings, variable_name

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
            flags = [name for action in self._actions for name in action.option_strings]
            wrong = [argument.partition("=")[0] for argument in unknown if argument.startswith("--")]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{did_you_mean(wrong[0], flags) if wrong else ''}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as wrong:
            raise argparse.ArgumentError(
                action, f"{wrong.message}{did_you_mean(str(value), action.choices or ())}"
            ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0 for success, 1 for a failure, 2 for wrong usage."""
    status = 0
    try:
        options = _parser().parse_args(arguments)
        status = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads the output has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


# fmt: off
def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="A local emulator of Adobe Experience Platform's Flow Service (dataset export).")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    serve = commands.add_parser("serve", help="start the server", description="Starts the server; every flag has its variable.")
    for declared in fields(Settings):
        described, placeholder = declared.metadata["help"].replace("`", ""), declared.metadata["placeholder"]
        default = "" if declared.default in (None, (), False) else f"; default {declared.default}"
        how: dict[str, Any] = {"metavar": placeholder} if placeholder else {"action": "store_true", "default": None}
        serve.add_argument(flag_name(declared.name), help=f"{described}{default} [{variable_name(declared.name)}]", **how)
    serve.set_defaults(run=_serve)
    for name, target, text, description, *flags in _commands():
        command = commands.add_parser(name, help=text, description=description or None)
        for flag, text, how in flags:
            command.add_argument(flag, help=text, **how)
        command.set_defaults(run=_elsewhere, target=target)
    check = commands.add_parser("check-fixtures", help="check the specs and datasets in DIR, together with the built-in ones")
    check.add_argument("dir", help="folder as given to --fixtures", metavar="DIR", nargs="?", type=Path)
    check.set_defaults(run=_check_fixtures)
    return parser


def _commands() -> list[tuple[Any, ...]]:
    """Commands by name, with module and function, help, description, and flags with their help and how argparse takes them."""
    file = {"metavar": "FILE", "type": Path}
    server = ("--url", f"address of the server; default {DEFAULT_URL}", {"metavar": "URL", "default": DEFAULT_URL})
    output = [
        ("--format", "form of the report, xml being junit; default is what the ending of --output says, text without --output",
         {"dest": "form", "type": form_named, "choices": list(FORMATS)}),
        ("--fail-on", "from what on to fail; default violation", {"choices": SEVERITIES, "default": "violation"}),
        ("--coverage", "of the coverage, a text has a line for each group, or with full every name; default short",
         {"choices": DETAILS, "default": "short"}),
        ("--output", f"write the report there instead of to standard output; {', '.join(ENDINGS)} say in which form, else --format", file),
        ("--baseline", "older report saved as JSON: what it has, by rule, operation, place and kind, is left out and does not count", file),
    ]
    return [
        ("demo", "demo:run_demo", "walk the six steps on every destination and show what is exported", "",
         ("--export-dir", "where the files go; default exports", {"metavar": "DIR", "type": Path, "default": Path("exports")}),
         ("--keep", "leave the server running until Ctrl+C, with all of it on its dashboard", {"action": "store_true"})),
        ("report", "remote_commands:report", "show what a server has seen of its client: violations, warnings, coverage",
         "Shows the contract report of a running server, or of saved ones together. "
         "Exit status: 0 in order, 1 when there is what --fail-on names, 2 when there is no report.",
         ("--url", f"address of the server; default {DEFAULT_URL}", {"metavar": "URL"}),
         ("files", "reports saved as JSON, instead of a server's; taken together", {**file, "nargs": "*"}),
         *output),
        ("check", "check.check:run_check", "hold recorded traffic of the real service against the emulator, both ways",
         "Judges recorded requests by the emulator's rules, and the service's answers by its description. "
         "Exit status: 0 in order, 1 when there is what --fail-on names, 2 when a recording cannot be read.",
         ("files", "HAR, or recorded requests of the emulator as NDJSON; - is standard input", {"metavar": "TRAFFIC", "nargs": "+"}),
         ("--facts", "write what was learned there, a line each: shapes, nobody's data", file),
         *output),
        ("wait", "remote_commands:wait", "return when a server is ready", "", server,
         ("--timeout", "how long at most; default 30", {"metavar": "SECONDS", "type": float, "default": 30.0})),
        ("status", "remote_commands:status", "show a server's clock, flows, runs and requests", "", server),
        ("advance", "remote_commands:advance", "move a server's time on, and show the exports on the way", "", server,
         *((f"--{name}", f"so many {name}", {"metavar": "N", "type": float}) for name in ("days", "hours", "minutes", "seconds")),
         ("--to", "to this time, such as 2026-01-01T03:00:00Z", {"metavar": "TIME"})),
        ("reset", "remote_commands:reset", "make a server forget everything", "", server,
         ("--exports", "remove the exported files, too", {"action": "store_true"})),
    ]
# fmt: on


def _serve(options: argparse.Namespace) -> int:
    """Serve until it is told to end."""
    try:
        settings = read_settings({declared.name: getattr(options, declared.name) for declared in fields(Settings)})
    except ValueError as reason:
        return _fail(str(reason), status=2)
    from flow_service_emulator.server import serve

    return serve(settings, _fail)


def _elsewhere(options: argparse.Namespace) -> int:
    """Run a command by its function in another module, which is imported when it is needed."""
    from flow_service_emulator.testing.client import FlowServiceError

    module, _, function = options.target.partition(":")
    try:
        return int(getattr(import_module(f"flow_service_emulator.{module}"), function)(options) or 0)
    except NoReport as reason:
        return _fail(str(reason), status=2)
    except FlowServiceError as reason:
        return _fail(str(reason))


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
    own = (
        f"{len(files)} dataset files with {sum(file.found.table.num_rows for file in files if file.found):,} rows, "
        if files
        else ""
    )
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
