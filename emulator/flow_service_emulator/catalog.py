"""Specs and datasets from `fixtures/`, read and checked once at start.

Whatever differs from one destination to another is in those files, so a further destination is a matter of
fixtures alone: a wrapped connection spec in `connection-specs/` and a flow spec in `flow-specs/`, in the
built-in folder or in one laid over it. A file that cannot be used ends the load with its name, the place in it
and the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flow_service_emulator.built_in import fixtures_dir as fixtures_dir
from flow_service_emulator.data.datasets.dataset_fixtures import DatasetFixture, read_datasets
from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.fixture_files import (
    Entry,
    Faults,
    pointer,
    read_by_id,
    read_entry,
)
from flow_service_emulator.fixture_files import (
    FixtureError as FixtureError,
)
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
    """Everything from the fixtures by id, in the order of file names. Nobody changes it after the load.

    `assumed_connection_spec` is the destination that a base connection belongs to when it names none (tutorial,
    step 3: the request for the Data Landing Zone is only a name).
    """

    connection_specs: dict[str, ConnectionSpec]
    flow_specs: dict[str, FlowSpec]
    datasets: dict[str, DatasetFixture]
    errors: ErrorTable
    rules: Mapping[str, Any]
    """`fixtures/rules.json`: the rules of the contract that are no errors, and where the sources of all rules can be read."""
    assumed_connection_spec: ConnectionSpec

    @property
    def data_lake_spec_id(self) -> str:
        """The id of the one connection spec that is a source: the data lake's."""
        return next(spec.id for spec in self.connection_specs.values() if spec.source is not None)


def load_catalog(extra: Path | None = None, *, base: Path | None = None) -> Catalog:
    """Read and checks the fixtures of `base` (by default `fixtures_dir()`), with those of `extra` on top.

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
    specs, flow_specs, assumed = _specs(layers, base, faults)
    datasets = read_datasets(layers, faults)
    with faults:
        errors = _errors(base / "errors.json")
    with faults:
        entry = read_entry(base / "rules.json")
        entry.check_shape("rules")
        rules = entry.value
    faults.settle()
    assert assumed is not None, "where none was found, that is a fault"
    return Catalog(specs, flow_specs, datasets, errors, rules, assumed)


def _specs(
    layers: Sequence[Path], base: Path, faults: Faults
) -> tuple[dict[str, ConnectionSpec], dict[str, FlowSpec], ConnectionSpec | None]:
    """The connection specs, the flow specs, and the assumed connection spec; what is wrong is noted in `faults`.

    What hangs together is looked at only where each part of it is in order: one fault is not told as several.
    """
    specs: dict[str, ConnectionSpec] = {}
    flow_specs: dict[str, FlowSpec] = {}
    own = Faults()
    with own:
        wrappers = read_by_id(layers, "connection-specs", "connectionSpec", own, "spec", "id")
        for spec_id, entry in wrappers.items():
            with own:
                specs[spec_id] = _connection_spec(entry)
    known = None if own.found else specs
    with own:
        for flow_id, entry in read_by_id(layers, "flow-specs", "flowSpec", own, "id").items():
            with own:
                flow_specs[flow_id] = _flow_spec(entry, known)
    assumed = None
    if not own.found:
        with own:
            sources = [spec for spec in specs.values() if spec.source is not None]
            _only("has a sourceSpec and no `destination`, as the data lake's", sources, wrappers, base)
        with own:
            _check_folders(specs, wrappers)
        with own:
            marked = [spec for spec in specs.values() if "assumedWhenUnnamed" in wrappers[spec.id].value]
            assumed = _only("has `assumedWhenUnnamed`, as that of connections that name none", marked, wrappers, base)
        for spec_id, entry in wrappers.items():
            with own:
                _check_examples(entry, specs[spec_id], flow_specs)
    faults.found += own.found
    return specs, flow_specs, assumed


def _connection_spec(entry: Entry) -> ConnectionSpec:
    wrapper: dict[str, Any] = entry.value
    body: dict[str, Any] = wrapper["spec"]
    examples: dict[str, Any] = wrapper["examples"]
    destination = None
    if "destination" in wrapper:
        destination = Destination(wrapper["destination"], wrapper.get("container"), wrapper["path"])
    role, other = ("target", "source") if destination else ("source", "target")
    if f"{role}Spec" not in body:
        reason = f"{role}Spec is missing (with `destination` a targetSpec is needed, without it a sourceSpec)"
        raise entry.fault("/spec", reason)
    if f"{other}Spec" in body:
        raise entry.fault(f"/spec/{other}Spec", f"this does not go together with {role}Spec")
    if other in examples:
        raise entry.fault(f"/examples/{other}", f"there is no {other}Spec that this could be an example of")
    schema = body[f"{role}Spec"]["spec"]
    validator = _validator(entry, f"/spec/{role}Spec/spec", schema, examples.get(role))
    if destination:
        _check_destination(entry, schema)
    for index, part in enumerate(body.get("encryptionSpecs", [])):
        entry.check_schema(f"/spec/encryptionSpecs/{index}/spec", part["spec"])
    return ConnectionSpec(
        id=body["id"],
        name=body["name"],
        version=body["version"],
        body=body,
        destination=destination,
        auth=_auth(entry, body["authSpec"], examples.get("auth", {})),
        target=validator if destination else None,
        source=None if destination else validator,
        examples=examples,
    )


def _validator(entry: Entry, place: str, schema: dict[str, Any], example: Mapping[str, Any] | None) -> SchemaValidator:
    entry.check_draft(place, schema)
    try:
        return SchemaValidator(schema, example or {})
    except SchemaError as fault:
        raise entry.fault(place + fault.place, fault.reason) from fault


def _auth(
    entry: Entry, auth_specs: Sequence[dict[str, Any]], examples: Mapping[str, Any]
) -> dict[str, SchemaValidator]:
    validators: dict[str, SchemaValidator] = {}
    for index, part in enumerate(auth_specs):
        name, place = part["name"], f"/spec/authSpec/{index}"
        if name in validators:
            raise entry.fault(f"{place}/name", f"there are two of the name {name!r}")
        validators[name] = _validator(entry, f"{place}/spec", part["spec"], examples.get(name))
    for name in examples:
        if name not in validators:
            raise entry.fault(f"/examples/auth{pointer(name)}", f"there is no authSpec of the name {name!r}")
    return validators


def _check_destination(entry: Entry, schema: Mapping[str, Any]) -> None:
    """`container` and `path` name properties of the target schema."""
    for key in ("container", "path"):
        name = entry.value.get(key)
        if name is not None and name not in schema.get("properties", {}):
            raise entry.fault(f"/{key}", f"the target schema has no property {name!r}")


def _only(which: str, found: list[ConnectionSpec], entries: Mapping[str, Entry], base: Path) -> ConnectionSpec:
    """The one spec that is something. Raises FixtureError where there is none, or another."""
    if not found:
        raise FixtureError(base / "connection-specs", "", f"no spec {which}")
    if len(found) > 1:
        raise entries[found[1].id].fault("", f"only one spec {which}, and {entries[found[0].id].file.name} does")
    return found[0]


def _check_folders(specs: Mapping[str, ConnectionSpec], entries: Mapping[str, Entry]) -> None:
    owners: dict[str, str] = {}
    for spec in specs.values():
        if spec.destination is None:
            continue
        folder = spec.destination.folder
        owner = owners.setdefault(folder, spec.id)
        if owner != spec.id:
            reason = f"the folder {folder!r} is already that of {entries[owner].file.name}"
            raise entries[spec.id].fault("/destination", reason)


def _flow_spec(entry: Entry, specs: Mapping[str, ConnectionSpec] | None) -> FlowSpec:
    """A flow spec. Whether there are the connection specs that it joins is only looked at where `specs` are known."""
    body: dict[str, Any] = entry.value
    if specs is not None:
        _check_joined(entry, specs)
    if "scheduleSpec" in body:
        entry.check_schema("/scheduleSpec/spec", body["scheduleSpec"]["spec"])
    return FlowSpec(
        id=body["id"],
        name=body["name"],
        version=body["version"],
        body=body,
        source_spec_ids=tuple(body["sourceConnectionSpecIds"]),
        target_spec_ids=tuple(body["targetConnectionSpecIds"]),
    )


def _check_joined(entry: Entry, specs: Mapping[str, ConnectionSpec]) -> None:
    for key, role in (("sourceConnectionSpecIds", "source"), ("targetConnectionSpecIds", "target")):
        for index, spec_id in enumerate(entry.value[key]):
            if spec_id not in specs:
                raise entry.fault(f"/{key}/{index}", f"there is no connection spec {spec_id!r}")
            if getattr(specs[spec_id], role) is None:
                raise entry.fault(f"/{key}/{index}", f"{specs[spec_id].name!r} is no {role}: no {role}Spec")


def _check_examples(entry: Entry, spec: ConnectionSpec, flow_specs: Mapping[str, FlowSpec]) -> None:
    """Every schema has a valid example, a target's in the workflow of each flow spec that leads to it."""
    for name, validator in spec.auth.items():
        _check_example(entry, ("auth", name), spec.examples.get("auth", {}).get(name), validator)
    if spec.source is not None:
        _check_example(entry, ("source",), spec.examples.get("source"), spec.source)
    if spec.target is not None:
        bodies = [flow.body for flow in flow_specs.values() if spec.id in flow.target_spec_ids]
        if not bodies:
            raise entry.fault("/spec/id", "no flow spec has this destination in targetConnectionSpecIds")
        for body in bodies:
            context = {"flowSpec": body}
            _check_example(entry, ("target",), spec.examples.get("target"), spec.target, context)


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


def _errors(file: Path) -> ErrorTable:
    entry = read_entry(file)
    entry.check_shape("errors")
    return ErrorTable(entry.value)
