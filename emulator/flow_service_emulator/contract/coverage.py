"""Which part of the service a client has met: operations, parameters, fields, destinations, file forms, statuses, errors.

What there is to be met is read from the OpenAPI description and the fixtures, so that no list here can fall behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from flow_service_emulator.api.operations import UNSUPPORTED
from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.rules import Rule
from flow_service_emulator.contract.sighting import Sighting

DIMENSIONS: Final = ("operations", "parameters", "fields", "destinations", "fileForms", "statuses", "errors")
MAX_NAMES: Final = 2_000
"""Names remembered in each dimension; there are far fewer to be met, but a client can make some up."""
MAX_SHAPES: Final = 200
MAX_FIELDS: Final = 500
MAX_FIELD_DEPTH: Final = 2
"""How deep fields of bodies are told apart."""
ERROR_PREFIX: Final = "#/components/schemas/error."
EMULATORS_OWN: Final = "emulator"
"""The source of errors that the real service does not have."""
SCHEMA_PREFIX: Final = "#/components/schemas/"


Shape = tuple[str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]
"""Which fields a body has: operation, names, and the names in each object."""


class Coverage:
    """Counts what was met. An operation, status or error counts however it came about, the rest when it was accepted."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._met: dict[str, Counter[str]] = {dimension: Counter() for dimension in DIMENSIONS}
        self._shapes: Counter[Shape] = Counter()

    def note(self, seen: Sighting) -> None:
        """Counts one request."""
        exchange, name = seen.exchange, seen.exchange.operation
        if name is not None:
            self._count("operations", name)
        if seen.status:
            self._count("statuses", str(seen.status))
        if exchange.error is not None:
            self._count("errors", exchange.error)
        if name is None or seen.status >= 400:
            return
        if exchange.query_string:
            for parameter in {part.partition("=")[0] for part in exchange.query_string.split("&")[:100]}:
                self._count("parameters", f"{name} {parameter[:100]}")
        if isinstance(seen.body, dict):
            self._count_fields(name, seen.body)
            if name == "create:targetConnections":
                self._count_target(seen.body)

    def snapshot(self) -> dict[str, dict[str, int]]:
        return {dimension: dict(names) for dimension, names in self._met_by_now().items()}

    def restore(self, snapshot: Mapping[str, Mapping[str, int]]) -> None:
        self._met = {dimension: Counter(snapshot[dimension]) for dimension in DIMENSIONS}
        self._shapes.clear()

    def report(self, there: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """For each dimension what was met, with how often, and what was not. `there` is what there is: name -> title."""
        report = {}
        for dimension, counts in self._met_by_now().items():
            names = there[dimension]
            met = [
                {"name": name, "title": title, "count": counts[name]} for name, title in names.items() if counts[name]
            ]
            never = [{"name": name, "title": title} for name, title in names.items() if not counts[name]]
            report[dimension] = {"total": len(names), "met": met, "never": never}
        return report

    def _count(self, dimension: str, name: str, times: int = 1) -> None:
        counts = self._met[dimension]
        if name in counts or len(counts) < MAX_NAMES:
            counts[name] += times

    def _count_fields(self, name: str, body: Mapping[str, Any]) -> None:
        """Counts the form of a body, of which a client sends few; what fields it has is worked out later."""
        shape = (
            name,
            tuple(body),
            tuple([(key, tuple(value)) for key, value in body.items() if isinstance(value, dict)]),
        )
        if shape in self._shapes or len(self._shapes) < MAX_SHAPES:
            self._shapes[shape] += 1

    def _met_by_now(self) -> dict[str, Counter[str]]:
        """The counts, with those of the bodies' forms worked out."""
        for (name, fields, objects), count in self._shapes.items():
            for field in [*fields, *[f"{key}.{below}" for key, members in objects for below in members]][:MAX_FIELDS]:
                self._count("fields", f"{name} {field[:200]}", count)
        self._shapes.clear()
        return self._met

    def _count_target(self, body: Mapping[str, Any]) -> None:
        """The destination of a new target connection, and the form of the files that go there."""
        spec, params = body.get("connectionSpec"), body.get("params")
        if isinstance(spec, dict):
            self._count("destinations", str(spec.get("id"))[:100])
        if isinstance(params, dict) and "datasetFileType" in params:
            self._count("fileForms", _form(params["datasetFileType"], params.get("compression", "NONE")))


def what_is_there(
    document: Mapping[str, Any], catalog: Catalog, rules: Mapping[str, Rule]
) -> dict[str, dict[str, str]]:
    """Everything that a client could meet: dimension -> name -> title. `document` is the service's OpenAPI description.

    Left out are the calls that the emulator does not have, and the errors that only the emulator answers.
    """
    there: dict[str, dict[str, str]] = {dimension: {} for dimension in DIMENSIONS}
    skipped = {name for name, *_ in UNSUPPORTED}
    statuses: set[int] = set()
    errors: set[str] = set()
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
            for response in operation["responses"].values():
                errors |= set(_error_names(response))
    for kind in catalog.errors.kinds.values():
        if kind.name in errors and kind.source != EMULATORS_OWN:
            statuses.add(kind.status)
            title = rules[kind.name].title if kind.name in rules else kind.title or kind.message
            there["errors"][kind.name] = f"{kind.code or kind.status} {title}"
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


def _form(file_type: object, compression: object) -> str:
    return f"{str(file_type)[:20].upper()} {str(compression)[:20].upper()}"


def _schema_fields(schema: Any, schemas: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[str]:
    """The same of a schema, each once in the order in which the schema has them."""
    found: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, dict):
            continue
        if "$ref" in part:
            waiting.append(schemas.get(part["$ref"].removeprefix(SCHEMA_PREFIX)))
        for keyword in ("allOf", "anyOf", "oneOf"):
            waiting += part.get(keyword, ())
        for name, below in part.get("properties", {}).items():
            found[f"{prefix}{name}"] = None
            if depth < MAX_FIELD_DEPTH:
                found |= dict.fromkeys(_schema_fields(below, schemas, f"{prefix}{name}.", depth + 1))
    yield from found


def _error_names(response: Mapping[str, Any]) -> Iterator[str]:
    """The errors that a response of the description may be."""
    for content in response.get("content", {}).values():
        schema = content.get("schema", {})
        for part in (schema, *schema.get("anyOf", ())):
            reference = part.get("$ref", "")
            if reference.startswith(ERROR_PREFIX):
                yield reference.removeprefix(ERROR_PREFIX)
