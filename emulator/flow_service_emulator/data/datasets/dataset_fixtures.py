"""Datasets with made-up rows as fixtures describe them: `datasets/` has what they are, `schemas/` what rows they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flow_service_emulator.data.rows.row_schema import parse_row_schema
from flow_service_emulator.data.rows.schema_parts import SchemaError
from flow_service_emulator.fixture_files import Entry, Faults, add_entry, json_files, pointer, read_entry


class DatasetFixture(NamedTuple):
    """One eligible dataset: `body` as an item of /configs, and `schema`, the JSON Schema of its rows.

    `rows` is the number of rows that are there from the beginning, `rows_per_hour` how many each hour adds.
    """

    id: str
    name: str
    body: dict[str, Any]
    schema: dict[str, Any]
    rows: int
    rows_per_hour: float


def read_datasets(layers: Sequence[Path], faults: Faults) -> dict[str, DatasetFixture]:
    """The described datasets by id, a later layer's in the place of an earlier one's; what is wrong is noted in `faults`."""
    schemas: dict[str, dict[str, Any] | None] = {}
    datasets: dict[str, DatasetFixture] = {}
    with faults:
        for file in (file for layer in layers for file in json_files(layer, "schemas")):
            schemas[file.stem] = None
            with faults:
                schemas[file.stem] = _row_schema(read_entry(file))
    for layer in layers:
        in_layer: dict[str, Entry] = {}
        with faults:
            for entry in _dataset_entries(layer, faults, may_hold_records=layer is not layers[0]):
                with faults:
                    add_entry(in_layer, entry.value["id"], entry, "/id")
        for entry in in_layer.values():
            with faults:
                if dataset := _dataset(entry, schemas):
                    datasets[dataset.id] = dataset
    return datasets


def _row_schema(entry: Entry) -> dict[str, Any]:
    if not isinstance(entry.value, dict):
        raise entry.fault("", "a JSON Schema has to be an object")
    entry.check_schema("", entry.value)
    try:
        parse_row_schema(entry.value)
    except SchemaError as fault:
        raise entry.fault("", str(fault)) from fault
    return entry.value


def _dataset_entries(layer: Path, faults: Faults, *, may_hold_records: bool) -> Iterator[Entry]:
    """The descriptions of datasets in a layer.

    Of a JSON file that cannot be read nobody can say whether it has descriptions or records in it. Where it may be
    records, it is left to who reads those and warns of it: the common case, and files that are written while a server
    runs cannot stop it either.
    """
    for file in json_files(layer, "datasets"):
        with Faults() if may_hold_records else faults:
            whole = read_entry(file)
            if may_hold_records and not describes_datasets(whole.value):
                continue
            with faults:
                whole.check_shape("datasets")
                for index, value in enumerate(whole.value):
                    yield Entry(file, pointer(index), value)


def describes_datasets(value: Any) -> bool:
    """Whether a JSON document describes made-up datasets; else it has a user's own records in it."""
    return isinstance(value, list) and any(isinstance(item, dict) and "schema" in item for item in value)


def _dataset(entry: Entry, schemas: Mapping[str, dict[str, Any] | None]) -> DatasetFixture | None:
    """A dataset; None where its schema, in which a fault was found, is None."""
    body = dict(entry.value)
    name, rows, rows_per_hour = (body.pop(key) for key in ("schema", "rows", "rowsPerHour"))
    if name not in schemas:
        raise entry.fault("/schema", f"there is no schemas/{name}.json")
    schema = schemas[name]
    if schema is None:
        return None
    return DatasetFixture(body["id"], body["name"], body, schema, int(rows), float(rows_per_hour))
