"""What the records of a snapshot must be like, so that whatever reads them later finds what the emulator itself writes.

A snapshot can be hand-edited, cut, or come from a stranger. Entities are held to the schemas of the requests that create them
and to what the server fills; the emulator's own values ("meta") to a schema for each kind of key. What a schema cannot say,
the functions say that read the same at a start: a flow's schedule, a run's folders, a user's dataset.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.datasets.content import read_made_up, text_key
from flow_service_emulator.datasets.user_datasets import UserDataset, read_kept
from flow_service_emulator.entities import STATES
from flow_service_emulator.exports.runs import UUID, read_marker
from flow_service_emulator.exports.schedule import check_kept
from flow_service_emulator.files.paths import safe_parts
from flow_service_emulator.fixture_files import Entry, FixtureError
from flow_service_emulator.service.bodies import BODIES
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.store.store import META, split_name
from flow_service_emulator.validation.validation import SchemaValidator

Schema = dict[str, Any]
LARGEST: Final = 2**52
"""Of what is counted, at most: there is room above it for what comes on top."""
_TEXT: Final[Schema] = {"type": "string"}
_KEY: Final[Schema] = {"type": "string", "minLength": 1}
_OBJECT: Final[Schema] = {"type": "object"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": LARGEST}
_MILLISECONDS: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": int(LATEST_TIME) * 1000}
_SECONDS: Final[Schema] = {"type": "number", "minimum": 0, "maximum": LATEST_TIME}


def _record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**(optional or {}), **required}}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_SERVERS_OWN: Final = {
    "id": _KEY,
    "createdAt": _MILLISECONDS,
    "updatedAt": _MILLISECONDS,
    "version": _TEXT,
    "etag": {"type": "string", "pattern": '^"[!#-~]+"$'},
}
"""What the server fills on every entity. An etag goes into a header."""
_STATE: Final[Schema] = {"enum": list(STATES)}
_METRICS: Final = _record(
    {
        "statusSummary": _record(
            {"status": {"enum": ["waiting", "inProgress", "success", "failed"]}}, {"errors": _array(_OBJECT)}
        )
    },
    {
        "durationSummary": _record({}, {"startedAtUTC": _MILLISECONDS, "completedAtUTC": _MILLISECONDS}),
        "recordSummary": _record({}, {"outputRecordCount": _COUNT}),
        "sizeSummary": _record({}, {"outputBytes": _COUNT}),
        "fileSummary": _record({}, {"outputFileCount": _COUNT}),
    },
)
_FILES: Final = _record(
    {
        "flowId": _TEXT,
        "files": _array({"type": "array", "items": [_KEY, _COUNT, _COUNT, _TEXT], "minItems": 4, "maxItems": 4}),
    }
)
_FILE_MARK: Final = _record({"base": _COUNT, "mark": _record({"rows": _COUNT, "size": _COUNT, "digest": _TEXT})})
_DATASET: Final = "[0-9A-Za-z_-]{1,64}"
_META: Final[Mapping[str, Schema]] = {
    "anchor|time": _SECONDS,
    "scheduled/.+": {"type": "integer", "minimum": 0, "maximum": int(LATEST_TIME)},
    "runs-of/.+": _COUNT,
    "bookmarks/.+": {"type": "object", "additionalProperties": _COUNT},
    "running/.+": _OBJECT,
    f"files/{UUID.pattern}": _FILES,
    f"dataset/{_DATASET}": _OBJECT,
    f"dataset-records/{_DATASET}/[0-9]{{6,}}": _TEXT,
    f"dataset-positions/{_DATASET}": _COUNT,
    f"dataset-file/{_DATASET}": _FILE_MARK,
}
"""What the emulator's own keys look like -> what is under them."""


def _entity_schemas(catalog: Catalog) -> dict[str, Schema]:
    connection_spec = {"connectionSpec": _record({"id": {"enum": list(catalog.connection_specs)}})}
    flow_spec = {"flowSpec": _record({"id": {"enum": list(catalog.flow_specs)}})}
    base = {"baseConnection": _record({"id": _TEXT})}
    own = {
        "connections": {"state": _STATE, **connection_spec},
        "sourceConnections": {
            "state": _STATE,
            **connection_spec,
            "params": _record({"datasets": _array(_record({"dataSetId": _TEXT}))}),
        },
        "targetConnections": {"state": _STATE, **connection_spec, "inheritedAttributes": _record({}, base)},
        "flows": {
            "state": _STATE,
            **flow_spec,
            "inheritedAttributes": _record(
                {
                    "sourceConnections": _array(_record({"id": _TEXT})),
                    "targetConnections": _array(
                        _record({"id": _TEXT}, {**base, "connectionSpec": _record({"id": _TEXT})})
                    ),
                }
            ),
        },
        "runs": {**flow_spec, "flowId": _KEY, "metrics": _METRICS, "activities": _array(_record({"id": _TEXT}))},
    }
    return {
        collection: {"allOf": [BODIES.get(collection, {}), _record({**_SERVERS_OWN, **fields})]}
        for collection, fields in own.items()
    }


class RecordChecks:
    """The checks, made ready once."""

    def __init__(self, catalog: Catalog) -> None:
        self.entities = {name: SchemaValidator(schema) for name, schema in _entity_schemas(catalog).items()}
        self.meta = [(re.compile(pattern, re.DOTALL), SchemaValidator(schema)) for pattern, schema in _META.items()]


class Inspection:
    """One look through a snapshot's records; `look` is shown each of them, `end` is called after the last.

    Both raise ValueError, naming table and record. `go_on` is called with each record, and what it raises ends the look.
    """

    def __init__(self, checks: RecordChecks, go_on: Callable[[], None]) -> None:
        self._checks = checks
        self._go_on = go_on
        self._datasets: list[tuple[str, UserDataset]] = []
        self._texts: set[str] = set()

    def look(self, table: str, seq: int, document: Mapping[str, Any]) -> None:
        self._go_on()
        place = f"table {table[:100]!r}, record {seq}"
        try:
            if table == META:
                self._value(document["id"], document["value"], place)
            else:
                self._entity(table, document)
        except ValueError as fault:
            raise ValueError(f"{place}: {fault}") from fault

    def end(self) -> None:
        for place, dataset in self._datasets:
            for index in range(dataset.texts):
                if text_key(dataset.id, index) not in self._texts:
                    raise ValueError(f"{place}: the records of the dataset {dataset.id} are not all there")

    def _entity(self, table: str, entity: Mapping[str, Any]) -> None:
        scope, collection = split_name(table)
        if scope is None or collection not in self._checks.entities:
            raise ValueError(
                f"no table has this name; those of entities are {'/…/…, '.join(self._checks.entities)}/…/…"
            )
        _hold(self._checks.entities[collection], entity)
        _check_whole([entity["createdAt"], entity["updatedAt"]])
        if collection == "flows":
            check_kept(entity)

    def _value(self, key: str, value: Any, place: str) -> None:
        validator = next((validator for pattern, validator in self._checks.meta if pattern.fullmatch(key)), None)
        if validator is None:
            raise ValueError(f"{key[:100]!r} is no key that this emulator has")
        kind, _, name = key.partition("/")
        try:
            _hold(validator, value)
            if kind not in ("anchor", "time", "dataset"):
                _check_whole(value)
            if kind == "running":
                read_marker(key, value)
            elif kind == "files":
                _check_paths(value)
            elif kind == "dataset":
                self._datasets.append((place, _dataset(name, value)))
            elif kind == "dataset-records":
                self._texts.add(key)
        except ValueError as fault:
            raise ValueError(f"{key[:100]!r}: {fault}") from fault


def _hold(validator: SchemaValidator, value: Any) -> None:
    for violation in validator.violations(value):
        raise ValueError(violation.message)


def _check_whole(value: Any) -> None:
    """Raises ValueError for 3.0 and the like, which JSON Schema takes for a whole number and Python does not."""
    if isinstance(value, float):
        raise ValueError(f"{value!r} is written with a point; a whole number is needed")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_whole(item)


def _check_paths(value: Mapping[str, Any]) -> None:
    """Raises ValueError for a path that no exported file has."""
    for path, *_ in value["files"]:
        folder, _, name = path.rpartition("/")
        if safe_parts(name) != (name,) or "/".join(safe_parts(folder)) != folder:
            raise ValueError(f"{path[:100]!r} is no path of an exported file")


def _dataset(dataset_id: str, value: Mapping[str, Any]) -> UserDataset:
    """A user's dataset. Raises ValueError, for a schema that rows cannot be made after too."""
    dataset = read_kept(dataset_id, value)
    if dataset.base > LARGEST:
        raise ValueError(f"base must be at most {LARGEST}")
    if dataset.schema is not None:
        try:
            Entry(Path("schema"), "", dataset.schema).check_schema("", dataset.schema)
        except FixtureError as fault:
            raise ValueError(f"schema{fault.place and ' at ' + fault.place}: {fault.reason}") from None
        read_made_up(dataset.name, dataset.schema, dataset.rows, dataset.rows_per_hour)
    return dataset
