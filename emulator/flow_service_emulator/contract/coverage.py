"""Which part of the service a client has met: operations, parameters, fields, destinations, file forms, statuses, errors.

What there is to be met is read from the OpenAPI description and the fixtures, so that no list here can fall behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from flow_service_emulator.api.operations import UNSUPPORTED
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.seen import Seen

DIMENSIONS: Final = ("operations", "parameters", "fields", "destinations", "fileForms", "statuses", "errors")
MAX_NAMES: Final = 2_000
"""Names remembered in each dimension; there are far fewer to be met, but a client can make some up."""
MAX_NAME: Final = 100
MAX_FIELD_DEPTH: Final = 2
"""How deep fields of bodies are told apart."""
SCHEMA_PREFIX: Final = "#/components/schemas/"
EMULATORS_OWN: Final = "emulator"
"""The source of errors that the real service does not have."""

Counts = dict[str, dict[str, int]]
"""Dimension -> name -> how often it was met."""


class Coverage:
    """Counts what was met. An operation, status or error counts however it came about, the rest when it was accepted."""

    def __init__(self, met: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.met: Counts = {dimension: dict(met[dimension]) if met else {} for dimension in DIMENSIONS}

    def note(self, seen: Seen) -> None:
        """Counts one request."""
        exchange, name, met = seen.exchange, seen.exchange.operation, self.met
        if seen.status:
            _count(met["statuses"], str(seen.status))
        if exchange.error is not None:
            _count(met["errors"], exchange.error)
        if name is None:
            return
        _count(met["operations"], name)
        if not seen.was_taken:
            return
        if exchange.query_string:
            for parameter in {part.partition("=")[0] for part in exchange.query_string.split("&")[:MAX_NAME]}:
                _count(met["parameters"], f"{name} {parameter}")
        if exchange.body and isinstance(body := seen.body, dict):
            for field in _fields(body):
                _count(met["fields"], f"{name} {field}")
            if name == "create:targetConnections":
                params = body.get("params", {})
                _count(met["destinations"], body["connectionSpec"]["id"])
                if "datasetFileType" in params:
                    _count(met["fileForms"], _form(params["datasetFileType"], params.get("compression", "NONE")))

    def report(self, there: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """For each dimension what was met, with how often, and what was not. `there` is what there is: name -> title."""
        report = {}
        for dimension, counts in self.met.items():
            names = there[dimension].items()
            met = [{"name": name, "title": title, "count": counts[name]} for name, title in names if name in counts]
            never = [{"name": name, "title": title} for name, title in names if name not in counts]
            report[dimension] = {"total": len(names), "met": met, "never": never}
        return report


def _count(counts: dict[str, int], name: str) -> None:
    if name in counts:
        counts[name] += 1
    elif len(counts) < MAX_NAMES:
        counts[name[:MAX_NAME]] = 1


def _fields(body: Mapping[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        yield name
        if isinstance(value, dict):
            for below in value:
                yield f"{name}.{below}"


def what_is_there(document: Mapping[str, Any], catalog: Catalog) -> dict[str, dict[str, str]]:
    """Everything that a client could meet: dimension -> name -> title. `document` is the service's OpenAPI description.

    Left out are the calls that the emulator does not have, and the errors that only the emulator answers.
    """
    there: dict[str, dict[str, str]] = {dimension: {} for dimension in DIMENSIONS}
    skipped = {name for name, *_ in UNSUPPORTED}
    statuses: set[int] = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name, title = operation["operationId"], f"{method.upper()} {path.removeprefix(BASE)}"
            if name in skipped:
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
                    form = _form(file_type, compression)
                    there["fileForms"][form] = form
    return there


def _form(file_type: str, compression: str) -> str:
    return f"{file_type} {compression}".upper()


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
