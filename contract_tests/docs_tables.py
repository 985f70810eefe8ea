"""The parts of the documentation that are made of tables of the code: `python -m contract_tests.docs_tables` writes them anew.

On a page such a part stands between `<!-- table: NAME -->` and `<!-- /table: NAME -->`; the pages of the destinations are made
whole. A test holds that what is committed is what this module says.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import inspect
import json
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, is_typeddict

import httpx

from contract_tests.docs_destinations import Json, destination_list, destination_page, destinations
from contract_tests.pages import ADDRESS, DOCS, ROOT, code, codes, pages, table
from contract_tests.parity import CONFIRMED, DOCUMENTED, GUESSED, OWN, counted
from contract_tests.tutorial import BASE
from flow_service_emulator import testing
from flow_service_emulator.app import create_app
from flow_service_emulator.cli import _parser
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.rules import source_url
from flow_service_emulator.exports.folders import MACROS
from flow_service_emulator.faults.rules import KINDS, Kind
from flow_service_emulator.settings import Settings, flag_name, variable_name
from flow_service_emulator.testing.pytest_plugin import OPTIONS

FIXTURES = ROOT / "fixtures"


def read(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text("utf-8"))


def linked(source: str) -> str:
    """A source with a link to where it can be read."""
    address = source_url(source, read("rules.json")["sources"])
    return f"[{source}]({address})" if address else source


def answers(*requests: tuple[str, str, Json | None]) -> list[str]:
    """What a new server answers for (method, path, body), one after the other."""
    headers = {
        "Authorization": "Bearer any",
        "x-api-key": "any",
        "x-gw-ims-org-id": "ANY@AdobeOrg",
        "x-sandbox-name": "prod",
    }

    async def ask(folder: Path) -> list[str]:
        app = create_app(Settings(export_dir=folder), Clock("frozen", now=0))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS, headers=headers) as http:
            return [(await http.request(method, path, json=body)).text for method, path, body in requests]

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(ask(Path(folder)))


@cache
def description() -> Json:
    """The description of the service."""
    (answer,) = answers(("GET", "/openapi.json", None))
    described: Json = json.loads(answer)
    return described


def operations() -> list[tuple[str, str, Json]]:
    """(method, path, what the description says) of every operation."""
    paths = description()["paths"].items()
    return [(method.upper(), path, row) for path, methods in paths for method, row in methods.items()]


FIXTURE: dict[str, type] = {
    "flow_service": testing.FlowService,
    "flow_service.clock": testing.ClockControl,
    "flow_service.exports": testing.Exports,
    "flow_service.exports[0]": testing.ExportedFile,
    "flow_service.requests": testing.Requests,
    "flow_service.contract": testing.Contract,
    "flow_service.faults": testing.Faults,
    "flow_service.datasets": testing.Datasets,
}
FOR_THE_PLUGIN = ("close", "disconnect", "fetch_token")
"""Methods that a test has no use for."""


# --- the service


def operations_table() -> str:
    rows = [
        (
            f"{method} `{path.removeprefix(BASE)}`",
            row["summary"].removeprefix("Not emulated: "),
            "501" if "not emulated" in row["tags"] else f"emulated. {row.get('description', '')}".strip(". "),
        )
        for method, path, row in operations()
        if path.startswith(("/data/", "/ims/"))
    ]
    rows.sort(key=lambda row: row[-1] == "501")
    return table(("call", "what it is", "here"), rows)


def other_apis() -> str:
    return table(("path", "API"), [(code(base), name) for base, name in read("unsupported.json")["apis"].items()])


def schedule_table() -> str:
    (schema,) = {json.dumps(flow_spec["scheduleSpec"]["spec"]) for _, flow_spec in destinations()}
    spec = json.loads(schema)
    rows = [
        (
            code(name),
            "yes" if name in spec["required"] else "",
            codes(declared["enum"]) if "enum" in declared else declared["type"],
            code(declared.get("default", "")),
            declared["description"],
        )
        for name, declared in spec["properties"].items()
    ]
    return table(("field", "required", "values", "default", "what it is"), rows)


def schedule_kinds() -> str:
    (schema,) = {json.dumps(flow_spec["scheduleSpec"]["spec"]) for _, flow_spec in destinations()}
    rows = []
    for kind in json.loads(schema)["anyOf"]:
        given = {name: each.get("enum", [each.get("const")]) for name, each in kind["properties"].items()}
        rows.append((kind["title"], *(codes(given[name]) for name in ("timeUnit", "interval", "exportMode"))))
    return table(("kind", "`timeUnit`", "`interval`", "`exportMode`"), rows)


MACRO_TEXTS = {
    "DESTINATION": "the destination's name",
    "DESTINATION_NAME": "the same, as the API reference spells it",
    "DESTINATION_INSTANCE_ID": "the flow's id",
    "DESTINATION_INSTANCE_NAME": "the target connection's name",
    "DATASET_ID": "the dataset's id",
    "DATASET_NAME": "the dataset's name",
    "SANDBOX_NAME": "the sandbox",
    "ORGANIZATION_NAME": "the organization",
    "EXPORT_TIME": "`exportTime=YYYYMMDDHHMM`, the scheduled time in UTC",
}


def macros_table() -> str:
    rows = [(code(f"%{name}%"), MACRO_TEXTS[name]) for name in MACROS]
    stamp = (
        "`%DATETIME(YYYYMMdd_HHmmss)%`",
        "the scheduled time in UTC, in a form of yours: `YYYY`, `MM`, `dd`, `HH`, `mm`, `ss`",
    )
    return table(("macro", "becomes"), [*rows, stamp])


def datasets_table() -> str:
    heads = ("id", "name", "schema", "rows at first", "rows an hour")
    rows = [
        (code(each["id"]), each["name"], code(each["schema"]), f"{each['rows']:,}", each.get("rowsPerHour", 0))
        for each in read("datasets/aep.json")
    ]
    return table(heads, rows)


def errors_table() -> str:
    def number(row: Json) -> str:
        """The code, and the status where the code does not have it."""
        return str(row["code"]) if str(row["status"]) in row["code"] else f"{row['status']} {row['code']}".rstrip()

    rows = [
        (code(row["name"]), number(row), row["message"], row["appliesTo"], linked(row["source"]))
        for row in read("errors.json")
    ]
    return table(("name", "code", "message", "when", "source"), rows)


def violations_table() -> str:
    rows = [
        (code(row["name"]), row.get("rule") or row["title"] or row["message"], row["fix"], linked(row["source"]))
        for row in read("errors.json")
        if row["fix"] and row.get("severity") != "warning"
    ]
    return table(("rule", "what is wrong", "fix", "source"), rows)


def warnings_table() -> str:
    by_error = [{**row, "id": row["name"], "title": row.get("rule") or row["title"]} for row in read("errors.json")]
    rows = [
        (code(row["id"]), row["title"], row["fix"], linked(row["source"]))
        for row in (*by_error, *read("rules.json")["rules"])
        if row.get("severity") == "warning"
    ]
    return table(("rule", "what is fragile", "fix", "source"), rows)


# --- the emulator's own


def report_sample() -> str:
    """The contract report of a client that makes two mistakes."""
    s3 = next(fixture["spec"] for fixture, _ in destinations() if fixture["destination"] == "amazon-s3")
    auth = {"specName": "AccessKey", "params": {}}
    body = {"name": "S3", "connectionSpec": {"id": s3["id"], "version": s3["version"]}, "auth": auth}
    *_, report = answers(
        ("POST", f"{BASE}/connections", body),
        ("GET", f"{BASE}/flows?orderBy=name", None),
        ("GET", "/__emulator/contract?format=text", None),
    )
    return f"```text\n{report.partition('COVERAGE')[0].strip()}\n```"


def control_table() -> str:
    behind_the_page = ("/__emulator/page", "/__emulator/overview", "/__emulator/previews")
    rows = [
        (f"{method} `{path}`", row["summary"])
        for method, path, row in operations()
        if path.startswith(("/__emulator", "/openapi")) and not path.startswith(behind_the_page)
    ]
    return table(("call", "does"), rows)


def settings_table() -> str:
    rows = []
    for declared in fields(Settings):
        default = (
            "off" if declared.default is False else "" if declared.default in (None, ()) else code(declared.default)
        )
        flag = f"{flag_name(declared.name)} {declared.metadata['placeholder']}".strip()
        rows.append((code(flag), code(variable_name(declared.name)), default, declared.metadata["help"]))
    return table(("flag", "variable", "default", "what it does"), rows)


def commands_text() -> str:
    """Every command but `serve`, whose flags are the settings: what it does, and its arguments."""
    (commands,) = [each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction)]
    helps = {action.dest: action.help for action in commands._choices_actions}
    parts = []
    for name, parser in commands.choices.items():
        does = str(helps[name])
        parts += [f"## `{name}`", f"{does[0].upper()}{does[1:]}." + (f" {parser.epilog}" if parser.epilog else "")]
        if name == "serve":
            parts.append("Its flags are the [settings](settings.md).")
            continue
        rows = []
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
                value = f" {action.metavar}" if action.option_strings and action.metavar else ""
                values = f"; one of {codes(action.choices)}" if action.choices else ""
                rows.append((code(shown + value), f"{action.help}{values}"))
        if rows:
            parts.append(table(("argument", "what it is"), rows))
    return "\n\n".join(parts)


def fixture_tables() -> str:
    """What `flow_service` offers, class by class, in the words of the docstrings."""
    parts = []
    for place, owner in FIXTURE.items():
        rows = []
        for name, member in vars(owner).items():
            if name.startswith("_") or name in FOR_THE_PLUGIN or not member.__doc__:
                continue
            if isinstance(member, property):
                rows.append((code(name), flat(member.__doc__)))
            elif inspect.isfunction(member):
                rows.append((code(f"{name}({', '.join(arguments(member))})"), flat(member.__doc__)))
        about = flat(owner.__doc__)
        if is_dataclass(owner):
            about += f" Fields: {codes(each.name for each in fields(owner) if not each.name.startswith('_'))}."
        parts += [f"## `{place}`", about, table(("member", "what it is"), rows)]
    return "\n\n".join(parts)


def flat(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def arguments(function: Callable[..., Any]) -> Iterable[str]:
    """The parameters of a method as one gives them: `name=` where the name is needed."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self":
            before = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
            yield f"{before}{name}{'=' if parameter.kind is inspect.Parameter.KEYWORD_ONLY else ''}"


def answers_table() -> str:
    rows = [
        (code(name), flat(each.__doc__), codes(each.__annotations__))
        for name, each in vars(testing.answers).items()
        if is_typeddict(each)
    ]
    return table(("type", "what it is", "fields"), rows)


def ini_table() -> str:
    rows = [
        (
            code(f"flow_service_{option.name}"),
            code(option.default) if option.default is not False else "off",
            option.help,
        )
        for option in OPTIONS
        if option.ini
    ]
    return table(("in `pytest.ini`", "default", "what it does"), rows)


def layers_table() -> str:
    """Package by package in the order that import-linter holds, each with the first sentence of its docstring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    rows = []
    for layer in project["tool"]["importlinter"]["contracts"][0]["layers"]:
        for name in layer.split(" | "):
            package = ROOT / "emulator" / "flow_service_emulator" / name
            file = package / "__init__.py" if package.with_suffix("").is_dir() else package.with_suffix(".py")
            text = flat(ast.get_docstring(ast.parse(file.read_text("utf-8")))).partition(". ")[0].rstrip(".")
            rows.append((code(f"{name}/" if file.name == "__init__.py" else f"{name}.py"), text))
    return table(("package or module", "what it is"), rows)


def own_fields(kind: Kind) -> str:
    """The fields, each with whether it is needed or what it is by default."""
    notes = {name: f" ({schema['default']})" for name, schema in kind.own.items() if "default" in schema}
    notes |= dict.fromkeys(kind.needed, " (needed)")
    return ", ".join(f"`{name}`{notes.get(name, '')}" for name in kind.own)


def fault_kinds() -> str:
    rows = [(code(name), kind.does, own_fields(kind)) for name, kind in KINDS.items()]
    return table(("kind", "what it does", "its own fields"), rows)


def fault_scenarios() -> str:
    rows = [(code(name), each["happens"], each["goodClient"]) for name, each in read("scenarios.json").items()]
    return table(("scenario", "what happens", "a good client"), rows)


def parity_table() -> str:
    kinds = (CONFIRMED, DOCUMENTED, GUESSED, OWN)
    rows = [(code(name), *(counts[kind] or "" for kind in kinds)) for name, counts in counted().items()]
    sums = [sum(counts[kind] for counts in counted().values()) for kind in kinds]
    return table(("tests in `contract_tests/api`", *kinds), [*rows, ("**all**", *sums)])


TABLES: dict[str, Callable[[], str]] = {
    "destinations": destination_list,
    "operations": operations_table,
    "other APIs": other_apis,
    "schedule": schedule_table,
    "schedule kinds": schedule_kinds,
    "macros": macros_table,
    "datasets": datasets_table,
    "errors": errors_table,
    "violations": violations_table,
    "warnings": warnings_table,
    "report sample": report_sample,
    "control calls": control_table,
    "layers": layers_table,
    "settings": settings_table,
    "commands": commands_text,
    "fixture": fixture_tables,
    "pytest.ini": ini_table,
    "answers": answers_table,
    "parity": parity_table,
    "fault kinds": fault_kinds,
    "fault scenarios": fault_scenarios,
}


def expected() -> dict[Path, str]:
    """Every page with a made part -> what it should be. Raises KeyError for a marker that no table has."""
    made = {
        DOCS / "reference" / "destinations" / f"{fixture['destination']}.md": (fixture, flow)
        for fixture, flow in destinations()
    }
    texts = {file: destination_page(*of) for file, of in made.items()}
    for page in pages():
        if page not in made and "<!-- table: " in (text := page.read_text("utf-8")):
            texts[page] = re.sub(
                r"<!-- table: (.+?) -->\n.*?<!-- /table: \1 -->",
                lambda found: f"<!-- table: {found[1]} -->\n{TABLES[found[1]]()}\n<!-- /table: {found[1]} -->",
                text,
                flags=re.DOTALL,
            )
    return texts


if __name__ == "__main__":
    for page, text in expected().items():
        page.write_text(text, "utf-8")
