"""What clients are held to, and what there is to be met: read from the fixtures and the OpenAPI description, with no list here.

A *violation* is what the real service refuses; its rule is a row of `fixtures/errors.json`. A *warning* is what works here and
is undocumented, deprecated or fragile; its rule is a row of `fixtures/rules.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog

DIMENSIONS: Final = ("operations", "parameters", "fields", "destinations", "fileForms", "statuses", "errors")
MAX_FIELD_DEPTH: Final = 2
"""How deep fields of bodies are told apart."""
SCHEMA_PREFIX: Final = "#/components/schemas/"
EMULATORS_OWN: Final = "emulator"
"""The source of errors that the real service does not have."""
Rule = dict[str, Any]
"""id, severity, title, source and fix; sourceUrl where it is known; code and status of its error, where there is one."""


def contract_rules(catalog: Catalog) -> dict[str, Rule]:
    """Every rule by its id: the errors that say how they are fixed, in the order of their table, then the others."""
    rows: list[Rule] = [
        {
            "id": kind.name, "severity": kind.severity, "title": kind.rule, "code": kind.code, "status": kind.status,
            "source": kind.source, "fix": kind.fix,
        }
        for kind in catalog.errors.kinds.values()
        if kind.fix
    ]  # fmt: skip
    rules = {}
    for row in (*rows, *catalog.rules["rules"]):
        address = source_url(row["source"], catalog.rules["sources"])
        rules[row["id"]] = {name: value for name, value in {**row, "sourceUrl": address}.items() if value}
    return rules


def source_url(source: str, addresses: Mapping[str, str]) -> str:
    """The address of what a rule names as its source; empty where nothing public says it. Of two that fit, the first counts."""
    return next((address for name, address in addresses.items() if name in source), "")


def what_is_there(document: Mapping[str, Any], catalog: Catalog) -> dict[str, dict[str, str]]:
    """Everything that a client could meet: dimension -> name -> title. `document` is the service's OpenAPI description.

    Left out are the calls that the emulator does not have, and the errors that only the emulator answers.
    """
    there: dict[str, dict[str, str]] = {dimension: {} for dimension in DIMENSIONS}
    statuses: set[int] = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name, title = operation["operationId"], f"{method.upper()} {path.removeprefix(BASE)}"
            if min(operation["responses"]) >= "3":
                continue
            there["operations"][name] = title
            for parameter in operation["parameters"]:
                if parameter["in"] == "query":
                    there["parameters"][f"{name} {parameter['name']}"] = f"{title}: {parameter['name']}"
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for field in _schema_fields(content["schema"], document["components"]["schemas"]):
                    there["fields"][f"{name} {field}"] = f"{title}: {field}"
            statuses |= {int(status) for status in operation["responses"] if int(status) < 400}
    for kind in catalog.errors.kinds.values():
        if kind.source != EMULATORS_OWN:
            statuses.add(kind.status)
            there["errors"][kind.name] = f"{kind.code or kind.status} {kind.rule}"
    there["statuses"] = {str(status): f"{status} {HTTPStatus(status).phrase}" for status in sorted(statuses)}
    for spec in catalog.connection_specs.values():
        if spec.target is not None:
            there["destinations"][spec.id] = spec.name
            properties = spec.target.schema.get("properties", {})
            for file_type in properties.get("datasetFileType", {}).get("enum", ()):
                for compression in properties.get("compression", {}).get("enum", ("NONE",)):
                    name = f"{file_type} {compression}".upper()
                    there["fileForms"][name] = name
    return there


def _schema_fields(schema: Any, schemas: Mapping[str, Any], prefix: str = "", depth: int = 1) -> dict[str, None]:
    """The fields of a schema, each once in the order in which the schema has them."""
    found: dict[str, None] = {}
    waiting = [schema]
    for part in waiting:
        if not isinstance(part, dict):
            continue
        if "$ref" in part:
            waiting.append(schemas.get(part["$ref"].removeprefix(SCHEMA_PREFIX)))
        for keyword in ("allOf", "anyOf", "oneOf"):
            waiting += part.get(keyword, ())
        for name, below in part.get("properties", {}).items():
            found[f"{prefix}{name}"] = None
            if depth < MAX_FIELD_DEPTH:
                found |= _schema_fields(below, schemas, f"{prefix}{name}.", depth + 1)
    return found
