"""Specs and datasets from `fixtures/`, read and checked once at start.

Whatever differs from one destination to another is in those files, so a further destination is a matter of
fixtures alone: a wrapped connection spec in `connection-specs/` and a flow spec in `flow-specs/`, in the
built-in folder or in one laid over it. A file that cannot be used ends the load with its name, the place in it
and the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

from flow_service_emulator.built_in import fixtures_dir as fixtures_dir
from flow_service_emulator.data.datasets.content import describes_datasets
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.rows.row_schema import parse_row_schema
from flow_service_emulator.data.rows.schema_parts import SchemaError as RowSchemaError
from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.fixture_files import Entry, Faults, json_files, pointer, read_entry
from flow_service_emulator.fixture_files import FixtureError as FixtureError
from flow_service_emulator.validation.validation import SchemaError, SchemaValidator


class Destination(NamedTuple):
    """Where a destination's exports go below the export folder.

    `folder` is the destination's own folder; `container_param` and `path_param` are the keys in a target
    connection's `params` that name the bucket or container (None where there is none) and the folder in it.
    """

    folder: str
    container_param: str | None
    path_param: str


class ConnectionSpec(NamedTuple):
    """One connection spec: `body` as GET /connectionSpecs serves it, and its schemas made ready.

    `auth` holds the validators of `auth.params` by `specName`; it is empty where no credentials are needed. A
    destination has `destination` and `target`, which checks a target connection's `params`; the data lake has
    `source` instead, which checks a source connection's. `examples` has valid ones of them all:
    `{"auth": {specName: params}, "target": params}` or `{"source": params}`.
    """

    id: str
    name: str
    version: str
    body: dict[str, Any]
    destination: Destination | None
    is_assumed: bool
    auth: Mapping[str, SchemaValidator]
    target: SchemaValidator | None
    source: SchemaValidator | None
    examples: Mapping[str, Any]


class FlowSpec(NamedTuple):
    """One flow spec: `body` as GET /flowSpecs serves it, and the ids of the connection specs it joins."""

    id: str
    name: str
    version: str
    body: dict[str, Any]
    source_spec_ids: tuple[str, ...]
    target_spec_ids: tuple[str, ...]


class Form(NamedTuple):
    """What a text should look like, and what is told of one that does not."""

    schema: SchemaValidator
    text: str


class Catalog(NamedTuple):
    """Everything from the fixtures by id, in the order of file names. Nobody changes it after the load."""

    connection_specs: dict[str, ConnectionSpec]
    flow_specs: dict[str, FlowSpec]
    datasets: dict[str, Dataset]
    """Those with made-up rows: `datasets/` has what they are, `schemas/` what rows they have."""
    errors: ErrorTable
    rules: Mapping[str, Any]
    """`fixtures/rules.json`: the rules of the contract that are no errors, and where the sources of all rules can be read."""
    scenarios: Mapping[str, Mapping[str, Any]]
    """`fixtures/scenarios.json`: by name what happens, what a good client does, and the rules of injected faults, as the control
    call takes them."""
    unsupported: Mapping[str, Any]
    """`fixtures/unsupported.json`: what the real platform has and the emulator answers 501: `operations` of the Flow Service, and by
    base path the other `apis`, by the names that Adobe's API references give them."""
    forms: Mapping[str, Sequence[Form]]
    """`fixtures/forms.json`: by its place, what a parameter looks like that the specs' schemas do not hold to a form."""
    assumed_connection_spec: ConnectionSpec
    """The destination of a base connection that names none (tutorial, step 3: the request for the Data Landing Zone is only a name)."""

    @property
    def data_lake_spec_id(self) -> str:
        """The id of the one connection spec that is a source: the data lake's."""
        return next(spec.id for spec in self.connection_specs.values() if spec.source is not None)


def load_catalog(extra: Path | None = None, *, base: Path | None = None) -> Catalog:
    """Read and check the fixtures of `base` (by default `fixtures_dir()`), with those of `extra` on top.

    `extra` has the same sub-folders, all of them optional. What has an id that is there takes its place;
    the rest is added. Its `datasets/` may also hold a user's own records, which are none of the catalog's
    business: files that are not `.json`, and JSON that is not an array with objects that have a `schema`.
    Raises FixtureError; its `faults` are all that can be told at once.
    """
    base = base or fixtures_dir()
    layers = [base] if extra is None else [base, extra]
    for layer in layers:
        if not layer.is_dir():
            reason = "this is a file; a folder is needed" if layer.exists() else "there is no such folder"
            raise FixtureError(layer, "", reason)
    faults = Faults()
    specs, flow_specs = _specs(layers, faults)
    datasets = _datasets(layers, faults)
    with faults:
        tables = {
            name: read_entry(base / f"{name}.json") for name in ("errors", "rules", "scenarios", "unsupported", "forms")
        }
        for shape, entry in tables.items():
            entry.check_shape(shape)
        errors, rules, scenarios, unsupported, forms = (entry.value for entry in tables.values())
    faults.settle()
    sources = [spec for spec in specs.values() if spec.source]
    assumed = [spec for spec in specs.values() if spec.is_assumed]
    if not len(sources) == len(assumed) == 1:
        found = " and ".join(", ".join(spec.name for spec in each) or "none" for each in (sources, assumed))
        reason = f"one spec is needed that has a sourceSpec, as the data lake's, and one `assumedWhenUnnamed`; there are {found}"
        raise FixtureError(base / "connection-specs", "", reason)
    by_place = {
        place: [Form(SchemaValidator({"pattern": row["pattern"]}), row["text"]) for row in rows]
        for place, rows in forms.items()
    }
    return Catalog(specs, flow_specs, datasets, ErrorTable(errors), rules, scenarios, unsupported, by_place, assumed[0])


def _by_id(layers: Sequence[Path], folder: str, shape: str, faults: Faults, *id_path: str) -> dict[str, Entry]:
    """One value per file, by the id at `id_path`; a later layer's takes the place of an earlier one's.

    A file that cannot be used is left out and noted in `faults`.
    """
    found: dict[str, Entry] = {}
    for layer in layers:
        in_layer: dict[str, Entry] = {}
        for file in json_files(layer, folder):
            with faults:
                entry = read_entry(file)
                entry.check_shape(shape)
                _add(in_layer, entry, *id_path)
        found |= in_layer
    return found


def _add(entries: dict[str, Entry], entry: Entry, *id_path: str) -> None:
    """File an entry under the id at `id_path`. Raise FixtureError where that is taken."""
    key = reduce(getitem, id_path, entry.value)
    if key in entries:
        raise entry.fault(pointer(*id_path), f"the id {key!r} is already that of {entries[key].file.name}")
    entries[key] = entry


def _specs(layers: Sequence[Path], faults: Faults) -> tuple[dict[str, ConnectionSpec], dict[str, FlowSpec]]:
    """The connection specs and the flow specs; what is wrong is noted in `faults`.

    What hangs together is looked at only where each part of it is in order: one fault is not told as several.
    """
    specs: dict[str, ConnectionSpec] = {}
    own = Faults()
    wrappers = _by_id(layers, "connection-specs", "connectionSpec", own, "spec", "id")
    for spec_id, entry in wrappers.items():
        with own:
            specs[spec_id] = _connection_spec(entry)
    flow_entries = _by_id(layers, "flow-specs", "flowSpec", own, "id")
    if not own.found:
        for entry in flow_entries.values():
            with own:
                _check_joined(entry, specs)
        owners: dict[str, Entry] = {}
        for spec_id, entry in wrappers.items():
            with own:
                _check_together(entry, specs[spec_id], flow_entries, owners)
    faults.found += own.found
    return specs, {} if own.found else {flow_id: _flow_spec(entry.value) for flow_id, entry in flow_entries.items()}


def _connection_spec(entry: Entry) -> ConnectionSpec:
    wrapper: dict[str, Any] = entry.value
    body, examples = wrapper["spec"], wrapper["examples"]
    destination = None
    if "destination" in wrapper:
        destination = Destination(wrapper["destination"], wrapper.get("container"), wrapper["path"])
    role = "target" if destination else "source"
    schema = body[f"{role}Spec"]["spec"]
    validator = _validator(entry, f"/spec/{role}Spec/spec", schema, examples[role])
    for key in ("container", "path"):
        name = wrapper.get(key)
        if name is not None and name not in schema.get("properties", {}):
            raise entry.fault(f"/{key}", f"the target schema has no property {name!r}")
    auth = {}
    for index, part in enumerate(body["authSpec"]):
        name, place = part["name"], f"/spec/authSpec/{index}"
        if name in auth:
            raise entry.fault(f"{place}/name", f"there are two of the name {name!r}")
        auth[name] = _validator(entry, f"{place}/spec", part["spec"], examples.get("auth", {}).get(name, {}))
    return ConnectionSpec(
        id=body["id"],
        name=body["name"],
        version=body["version"],
        body=body,
        destination=destination,
        is_assumed="assumedWhenUnnamed" in wrapper,
        auth=auth,
        target=validator if destination else None,
        source=None if destination else validator,
        examples=examples,
    )


def _validator(entry: Entry, place: str, schema: dict[str, Any], example: Mapping[str, Any]) -> SchemaValidator:
    entry.check_draft(place, schema)
    try:
        return SchemaValidator(schema, example)
    except SchemaError as fault:
        raise entry.fault(place + fault.place, fault.reason) from fault


def _flow_spec(body: dict[str, Any]) -> FlowSpec:
    sources, targets = body["sourceConnectionSpecIds"], body["targetConnectionSpecIds"]
    return FlowSpec(body["id"], body["name"], body["version"], body, tuple(sources), tuple(targets))


def _check_joined(entry: Entry, specs: Mapping[str, ConnectionSpec]) -> None:
    """A flow spec joins connection specs that there are."""
    for key, role in (("sourceConnectionSpecIds", "source"), ("targetConnectionSpecIds", "target")):
        for index, spec_id in enumerate(entry.value[key]):
            if spec_id not in specs:
                raise entry.fault(f"/{key}/{index}", f"there is no connection spec {spec_id!r}")
            if getattr(specs[spec_id], role) is None:
                raise entry.fault(f"/{key}/{index}", f"{specs[spec_id].name!r} is no {role}: no {role}Spec")


def _check_together(
    entry: Entry, spec: ConnectionSpec, flow_entries: Mapping[str, Entry], owners: dict[str, Entry]
) -> None:
    """A connection spec has a folder of its own, flow specs that lead to it, and valid examples, a target's in each workflow."""
    for name, validator in spec.auth.items():
        _check_example(entry, ("auth", name), spec.examples.get("auth", {}).get(name), validator)
    if spec.source is not None:
        _check_example(entry, ("source",), spec.examples["source"], spec.source)
    if spec.destination is None or spec.target is None:
        return
    owner = owners.setdefault(spec.destination.folder, entry)
    if owner is not entry:
        raise entry.fault(
            "/destination", f"the folder {spec.destination.folder!r} is already that of {owner.file.name}"
        )
    flows = [flow.value for flow in flow_entries.values() if spec.id in flow.value["targetConnectionSpecIds"]]
    if not flows:
        raise entry.fault("/spec/id", "no flow spec has this destination in targetConnectionSpecIds")
    for flow in flows:
        _check_example(entry, ("target",), spec.examples["target"], spec.target, {"flowSpec": flow})


def _check_example(
    entry: Entry,
    path: Sequence[str],
    example: Mapping[str, Any] | None,
    validator: SchemaValidator,
    context: Mapping[str, Any] | None = None,
) -> None:
    place = pointer("examples", *path)
    if example is None:
        raise entry.fault(place, "an example is missing here")
    faults = Faults()
    for violation in validator.violations(example, context=context):
        with faults:
            raise entry.fault(place + pointer(*re.findall(r"[^.\[\]]+", violation.path)), violation.message)
    faults.settle()


# --- datasets ---------------------------------------------------------------------------------------------------------


def _datasets(layers: Sequence[Path], faults: Faults) -> dict[str, Dataset]:
    """The described datasets by id, a later layer's in the place of an earlier one's; what is wrong is noted in `faults`."""
    schemas: dict[str, dict[str, Any] | None] = {}
    datasets: dict[str, Dataset] = {}
    for file in (file for layer in layers for file in json_files(layer, "schemas")):
        schemas[file.stem] = None
        with faults:
            schemas[file.stem] = _row_schema(read_entry(file))
    for layer in layers:
        in_layer: dict[str, Entry] = {}
        for entry in _dataset_entries(layer, faults, may_hold_records=layer is not layers[0]):
            with faults:
                _add(in_layer, entry, "id")
        for dataset_id, entry in in_layer.items():
            body = dict(entry.value)
            name, rows, rows_per_hour = (body.pop(key) for key in ("schema", "rows", "rowsPerHour"))
            with faults:
                if name not in schemas:
                    raise entry.fault("/schema", f"there is no schemas/{name}.json")
                if (schema := schemas[name]) is not None:  # else a fault was found in it
                    datasets[dataset_id] = Dataset(
                        id=dataset_id,
                        name=body["name"],
                        origin="fixtures",
                        rows=int(rows),
                        rows_per_hour=float(rows_per_hour),
                        schema=schema,
                        body=body,
                    )
    return datasets


def _row_schema(entry: Entry) -> dict[str, Any]:
    schema = entry.value
    if not isinstance(schema, dict):
        raise entry.fault("", "a JSON Schema has to be an object")
    entry.check_schema("", schema)
    try:
        parse_row_schema(schema)
    except RowSchemaError as fault:
        raise entry.fault("", str(fault)) from fault
    return schema


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
