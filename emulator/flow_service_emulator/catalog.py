"""Specs and datasets from `fixtures/`, read and checked once at start.

Whatever differs from one destination to another is in those files, so a further destination is a matter of
fixtures alone: a wrapped connection spec in `connection-specs/` and a flow spec in `flow-specs/`, in the
built-in folder or in one laid over it. A file that cannot be used ends the load with its name, the place in it
and the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Final, NamedTuple

from flow_service_emulator.built_in import built_in, fixtures_dir
from flow_service_emulator.data.datasets.content import describes_datasets
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.rows.row_schema import parse_row_schema
from flow_service_emulator.data.rows.schema_parts import SchemaError as RowSchemaError
from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.fixture_files import Entry, Faults, FixtureError, json_files, pointer, read_entry
from flow_service_emulator.validation.schemas import SchemaError, compiled
from flow_service_emulator.validation.validation import SchemaValidator

DATASETS_WORKFLOW: Final = {"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}
"""What a target schema's conditions look at."""


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
    forms: Mapping[str, Sequence[SchemaValidator]]
    """`fixtures/forms.json`: by its place, what a parameter looks like that the specs' schemas do not hold to a form. The `text` beside
    each `pattern` is told of a value that does not."""
    data_lake_spec_id: str
    """Of the one connection spec that is a source."""
    assumed_connection_spec: ConnectionSpec
    """The destination of a base connection that names none (tutorial, step 3: the request for the Data Landing Zone is only a name)."""


def load_catalog(extra: Path | None = None) -> Catalog:
    """Read the built-in fixtures, and those of `extra` on top, and check what a user can have written.

    `extra` has the same sub-folders, all of them optional. What has an id that is there takes its place;
    the rest is added. Its `datasets/` may also hold a user's own records, which are none of the catalog's
    business: files that are not `.json`, and JSON that is not an array with objects that have a `schema`.
    Raises FixtureError; its `faults` are all that can be told at once.
    """
    layers = [fixtures_dir()] if extra is None else [fixtures_dir(), extra]
    if not layers[-1].is_dir():
        reason = "this is a file; a folder is needed" if layers[-1].exists() else "there is no such folder"
        raise FixtureError(layers[-1], "", reason)
    faults = Faults()
    specs, flow_specs = _specs(layers, faults)
    datasets = _datasets(layers, faults)
    faults.settle()
    sources = [spec for spec in specs.values() if spec.source]
    assumed = [spec for spec in specs.values() if spec.is_assumed]
    if not len(sources) == len(assumed) == 1:
        found = " and ".join(", ".join(spec.name for spec in each) or "none" for each in (sources, assumed))
        reason = f"one spec is needed that has a sourceSpec, as the data lake's, and one `assumedWhenUnnamed`; there are {found}"
        raise FixtureError(layers[-1] / "connection-specs", "", reason)
    names = ("errors", "rules", "scenarios", "unsupported", "forms")
    errors, rules, scenarios, unsupported, forms = (built_in(f"{name}.json") for name in names)
    by_place = {place: list(map(SchemaValidator, looks)) for place, looks in forms.items()}
    lake, unnamed = sources[0].id, assumed[0]
    return Catalog(
        specs, flow_specs, datasets, ErrorTable(errors), rules, scenarios, unsupported, by_place, lake, unnamed
    )


def _entries(layers: Sequence[Path], folder: str, faults: Faults) -> Iterator[Entry]:
    """The files of a folder, by their names in each layer. One that cannot be used is left out and noted in `faults`."""
    for layer in layers:
        for file in json_files(layer, folder):
            with faults:
                entry = read_entry(file)
                if not _is_ours(file):
                    entry.check_shape(folder)
                yield entry


def _is_ours(file: Path) -> bool:
    """Whether a file is built in: tests check those, as checking them would make every start 15 ms longer."""
    return file.parent.parent == fixtures_dir()


def _by_id(entries: Iterable[Entry], faults: Faults, *id_path: str) -> dict[str, Entry]:
    """Entries by the id at `id_path`; a later layer's takes the place of an earlier one's."""
    found: dict[str, Entry] = {}
    for entry in entries:
        key = reduce(getitem, id_path, entry.value)
        known = found.setdefault(key, entry)
        with faults:
            if known is not entry and known.file.parent == entry.file.parent:
                raise entry.fault(pointer(*id_path), f"the id {key!r} is already that of {known.file.name}")
            found[key] = entry
    return found


def _specs(layers: Sequence[Path], faults: Faults) -> tuple[dict[str, ConnectionSpec], dict[str, FlowSpec]]:
    """The connection specs and the flow specs; what is wrong is noted in `faults`.

    What hangs together is looked at only where each part of it is in order: one fault is not told as several.
    """
    specs: dict[str, ConnectionSpec] = {}
    flow_specs: dict[str, FlowSpec] = {}
    own = Faults()
    for spec_id, entry in _by_id(_entries(layers, "connection-specs", own), own, "spec", "id").items():
        with own:
            specs[spec_id] = _connection_spec(entry)
    flow_entries = _by_id(_entries(layers, "flow-specs", own), own, "id")
    for flow_id, entry in flow_entries.items() if not own.found else ():
        with own:
            flow_specs[flow_id] = _flow_spec(entry, specs)
    faults.found += own.found
    return specs, flow_specs


def _connection_spec(entry: Entry) -> ConnectionSpec:
    wrapper: dict[str, Any] = entry.value
    body, examples = wrapper["spec"], wrapper["examples"]
    destination = None
    if "destination" in wrapper:
        destination = Destination(wrapper["destination"], wrapper.get("container"), wrapper["path"])
    role = "target" if destination else "source"
    schema = body[f"{role}Spec"]["spec"]
    validator = _validator(entry, f"/spec/{role}Spec/spec", schema, role)
    for key in ("container", "path"):
        name = wrapper.get(key)
        if name is not None and name not in schema.get("properties", {}):
            raise entry.fault(f"/{key}", f"the target schema has no property {name!r}")
    auth = {
        part["name"]: _validator(entry, f"/spec/authSpec/{index}/spec", part["spec"], "auth", part["name"])
        for index, part in enumerate(body["authSpec"])
    }
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


def _validator(entry: Entry, place: str, schema: dict[str, Any], *example: str) -> SchemaValidator:
    """The validator of a schema in a spec, which the example at `example` has to fit."""
    entry.check_draft(place, schema)
    place_of_example, params = pointer("examples", *example), entry.value["examples"]
    for step in example:
        if step not in params:
            raise entry.fault(place_of_example, "an example is missing here")
        params = params[step]
    try:
        if _is_ours(entry.file):
            return SchemaValidator(schema, params)
        compiled(schema)
        validator = SchemaValidator(schema, params)
    except SchemaError as fault:
        raise entry.fault(place + fault.place, fault.reason) from fault
    for violation in validator.violations(params, context=DATASETS_WORKFLOW):
        steps = re.findall(r"[^.\[\]]+", violation.path)
        raise entry.fault(place_of_example + pointer(*steps), violation.message)
    return validator


def _flow_spec(entry: Entry, specs: Mapping[str, ConnectionSpec]) -> FlowSpec:
    """A flow spec, which has to join connection specs that there are."""
    body = entry.value
    for key, role in (("sourceConnectionSpecIds", "source"), ("targetConnectionSpecIds", "target")):
        for index, spec_id in enumerate(body[key]):
            if spec_id not in specs or getattr(specs[spec_id], role) is None:
                raise entry.fault(f"/{key}/{index}", f"there is no connection spec {spec_id!r} with a {role}Spec")
    sources, targets = tuple(body["sourceConnectionSpecIds"]), tuple(body["targetConnectionSpecIds"])
    return FlowSpec(body["id"], body["name"], body["version"], body, sources, targets)


# --- datasets ---------------------------------------------------------------------------------------------------------


def _datasets(layers: Sequence[Path], faults: Faults) -> dict[str, Dataset]:
    """The described datasets by id, a later layer's in the place of an earlier one's; what is wrong is noted in `faults`."""
    schemas: dict[str, dict[str, Any] | None] = {}
    for file in (file for layer in layers for file in json_files(layer, "schemas")):
        schemas[file.stem] = None
        with faults:
            entry = read_entry(file)
            schemas[file.stem] = entry.value if _is_ours(file) else _row_schema(entry)
    datasets: dict[str, Dataset] = {}
    for dataset_id, entry in _by_id(_described(layers, faults), faults, "id").items():
        body = dict(entry.value)
        name, rows, growth = body.pop("schema"), int(body.pop("rows")), float(body.pop("rowsPerHour"))
        with faults:
            if name not in schemas:
                raise entry.fault("/schema", f"there is no schemas/{name}.json")
            facts: dict[str, Any] = {"rows": rows, "rows_per_hour": growth, "schema": schemas[name], "body": body}
            datasets[dataset_id] = Dataset(id=dataset_id, name=body["name"], origin="fixtures", **facts)
    return datasets


def _row_schema(entry: Entry) -> dict[str, Any]:
    schema: dict[str, Any] = entry.value
    entry.check_schema("", schema)
    try:
        parse_row_schema(schema)
    except RowSchemaError as fault:
        raise entry.fault("", str(fault)) from fault
    return schema


def _described(layers: Sequence[Path], faults: Faults) -> Iterator[Entry]:
    """The descriptions of datasets.

    Of a JSON file that cannot be read nobody can say whether it has descriptions or a user's records in it. It is left to who reads
    those and warns of it: the common case, and files that are written while a server runs cannot stop it either.
    """
    for file in (file for layer in layers for file in json_files(layer, "datasets")):
        with suppress(FixtureError):
            whole = read_entry(file)
            if describes_datasets(whole.value):
                with faults:
                    if not _is_ours(file):
                        whole.check_shape("datasets")
                    for index, value in enumerate(whole.value):
                        yield Entry(file, pointer(index), value)
