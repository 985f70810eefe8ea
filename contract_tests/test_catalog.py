"""The fixtures are the published specs, and a broken fixture is refused with file, place and reason.

Parity tests quote their source. "Tutorial" is Adobe's "(Beta) Export datasets using the Flow Service API" (source
commit 05a7b73d), "audience tutorial" its companion on the export of audiences, "reference" the project's collection
of facts about the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from flow_service_emulator.catalog import Catalog, ConnectionSpec, FixtureError, fixtures_dir, load_catalog

Change = Callable[[Any], None]

S3 = "4fce964d-3f37-408f-9778-e597338a21ee"
BLOB = "6d6b59bf-fb58-4107-9064-4d246c0e5bb2"
ADLS = "be2c3209-53bc-47e7-ab25-145db8b873e1"
DLZ = "10440537-2a7b-4583-ac39-ed38d4b848e8"
GCS = "c5d93acb-ea8b-4b14-8f53-02138444ae99"
SFTP = "36965a81-b1c6-401b-99f8-22508f1e6a26"
DESTINATIONS = [S3, BLOB, ADLS, DLZ, GCS, SFTP]
DATA_LAKE = "23598e46-f560-407b-88d5-ea6207e49db0"
DATASETS_WORKFLOW = {"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def target_schema(spec: ConnectionSpec) -> dict[str, Any]:
    schema: dict[str, Any] = spec.body["targetSpec"]["spec"]
    return schema


# --- the published specs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "name", "spec_id", "flow_spec_id"),
    [
        ("amazon-s3", "Amazon S3", S3, "269ba276-16fc-47db-92b0-c1049a3c131f"),
        ("azure-blob", "Azure Blob Storage", BLOB, "95bd8965-fc8a-4119-b9c3-944c2c2df6d2"),
        ("adls-gen2", "Azure Data Lake Gen2", ADLS, "17be2013-2549-41ce-96e7-a70363bec293"),
        ("data-landing-zone", "Data Landing Zone", DLZ, "cd2fc47e-e838-4f38-a581-8fff2f99b63a"),
        ("google-cloud-storage", "Google Cloud Storage", GCS, "585c15c4-6cbf-4126-8f87-e26bff78b657"),
        ("sftp", "SFTP", SFTP, "354d6aad-4754-46e4-a576-1b384561c440"),
    ],
)
def test_ids_are_those_of_the_tutorials_table(
    catalog: Catalog, folder: str, name: str, spec_id: str, flow_spec_id: str
) -> None:
    # Tutorial, "Gather connection specs and flow specs", the table; names from the responses below it:
    # "providerId": "14e34fac-d307-11e9-bb65-2a2ae2dbcce4", "version": "1.0"
    spec, flow_spec = catalog.connection_specs[spec_id], catalog.flow_specs[flow_spec_id]
    assert spec.destination is not None
    assert (spec.destination.folder, spec.name, spec.version) == (folder, name, "1.0")
    assert spec.body["providerId"] == "14e34fac-d307-11e9-bb65-2a2ae2dbcce4"
    assert flow_spec.target_spec_ids == (spec_id,)
    assert flow_spec.source_spec_ids == (DATA_LAKE,)


OBJECT_PATH = r"^[0-9a-zA-Z/\!\-_\.\*\''\(\)]*((\%SEGMENT_(NAME|ID)\%)?/?)+$"
S3_BUCKET = (
    r"(?=^.{3,63}$)(?!^(\d+\.)+\d+$)"
    r"(^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$)"
)
GCS_BUCKET = (
    r"(?!^goog.*$)(?!^.*g(o|0)(o|0)gle.*$)"
    r"(((?=^.{3,63}$)(^([a-z0-9]|[a-z0-9][a-z0-9\-_]*)[a-z0-9]$))"
    r"|((?=^.{3,222}$)(?!^(\d+\.)+\d+$)"
    r"(^(([a-z0-9]{1,63}|[a-z0-9][a-z0-9\-_]{1,61}[a-z0-9])\.)*"
    r"([a-z0-9]{1,63}|[a-z0-9][a-z0-9\-_]{1,61}[a-z0-9])$)))"
)
BLOB_PATTERNS = {"path": r"^[0-9a-zA-Z/\!\-_\.\*\'\(\)]+$", "container": r"^[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]$"}


@pytest.mark.parametrize(
    ("spec_id", "own", "patterns"),
    [
        (S3, ["bucketName", "path"], {"bucketName": S3_BUCKET, "path": OBJECT_PATH}),
        (BLOB, ["container", "path"], BLOB_PATTERNS),
        (ADLS, ["path"], {}),
        (DLZ, ["path"], {}),
        (GCS, ["bucketName", "path"], {"bucketName": GCS_BUCKET, "path": OBJECT_PATH}),
        (SFTP, ["remotePath"], {}),
    ],
)
def test_target_specs_are_the_published_ones(
    catalog: Catalog, spec_id: str, own: list[str], patterns: dict[str, str]
) -> None:
    # Tutorial, step 4, each tab's "required" and "pattern" (after JSON decoding).
    spec, schema = catalog.connection_specs[spec_id], target_schema(catalog.connection_specs[spec_id])
    assert schema["required"] == [*own, "datasetFileType", "compression", "fileType"]
    assert set(schema["properties"]) == {*schema["required"], "csvOptions"}
    assert {name: part["pattern"] for name, part in schema["properties"].items() if "pattern" in part} == patterns
    assert (spec.body["targetSpec"]["name"], spec.body["targetSpec"]["type"]) == ("User based target", "UserNamespace")


@pytest.mark.parametrize(
    ("spec_id", "auth"),
    [
        (S3, {"Access Key": {"s3SecretKey", "s3AccessKey"}}),
        (BLOB, {"ConnectionString": {"connectionString"}}),
        (ADLS, {"Azure Service Principal Auth": {"servicePrincipalKey", "url", "tenant", "servicePrincipalId"}}),
        (DLZ, {}),
        (GCS, {"Google Cloud Storage authentication credentials": {"accessKeyId", "secretAccessKey"}}),
        (SFTP, {"SFTP with Password": {"password", "domain", "username"}, "SFTP with SSH Key": {"sshKey", "domain", "username"}}),
    ],
)  # fmt: skip
def test_auth_specs_are_the_published_ones(catalog: Catalog, spec_id: str, auth: dict[str, set[str]]) -> None:
    # Tutorial, step 3: "The Data Landing Zone destination does not require an auth spec."
    # Audience tutorial: one encryption spec, "File PGP/GPG Encryption", for all but the Data Landing Zone.
    spec = catalog.connection_specs[spec_id]
    assert {part["name"]: set(part["spec"]["required"]) for part in spec.body["authSpec"]} == auth
    assert set(spec.auth) == set(auth)
    encryption = [part["name"] for part in spec.body["encryptionSpecs"]]
    assert encryption == ([] if spec_id == DLZ else ["File PGP/GPG Encryption"])


def test_secrets_are_marked_as_passwords(catalog: Catalog) -> None:
    # Tutorial, step 3: "format": "password"
    marked = {
        name
        for spec in catalog.connection_specs.values()
        for part in spec.body["authSpec"]
        for name, schema in part["spec"]["properties"].items()
        if schema.get("format") == "password"
    }
    keys = {"s3SecretKey", "connectionString", "servicePrincipalKey", "secretAccessKey", "sshKey"}
    assert marked == {*keys, "password"}


def test_access_key_patterns_are_the_published_ones(catalog: Catalog) -> None:
    # Tutorial, step 3, Amazon S3: "^[A-Z2-7]{20}$" and "^[A-Za-z0-9\/\\+]{40}$" (the latter before decoding).
    properties = catalog.connection_specs[S3].body["authSpec"][0]["spec"]["properties"]
    assert properties["s3AccessKey"]["pattern"] == "^[A-Z2-7]{20}$"
    assert properties["s3SecretKey"]["pattern"] == r"^[A-Za-z0-9/\+]{40}$"


def test_flow_specs_carry_the_datasets_workflow(catalog: Catalog) -> None:
    # Reference, Entities, Flow: `inheritedAttributes {properties {isDestinationFlow: true}`; the workflow is
    # what the target specs' conditionals look at.
    for flow_spec in catalog.flow_specs.values():
        assert flow_spec.body["attributes"] == {"_workflow": "DATASETS", "isDestinationFlow": True}
        assert flow_spec.body["transformationSpecs"] == []
        assert flow_spec.version == "1.0"


# --- fixtures laid over the built-in ones -----------------------------------------------------------------

SEVENTH = "00000000-0000-4000-8000-000000000007"
SEVENTH_FLOW = "00000000-0000-4000-8000-000000000077"


def built_in(path: str) -> Any:
    return json.loads((fixtures_dir() / path).read_bytes())


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Files of a fixtures folder: texts and bytes as they are, anything else as JSON."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def seventh_destination() -> dict[str, Any]:
    wrapper = built_in("connection-specs/azure-blob.json")
    wrapper["destination"] = "seventh"
    wrapper["spec"] |= {"id": SEVENTH, "name": "Seventh"}
    flow_spec = built_in("flow-specs/azure-blob.json")
    flow_spec |= {"id": SEVENTH_FLOW, "name": "Seventh", "targetConnectionSpecIds": [SEVENTH]}
    return {"connection-specs/seventh.json": wrapper, "flow-specs/seventh.json": flow_spec}


DATASET = {
    "id": "aaaabbbbccccddddeeeeffff",
    "name": "Visits",
    "description": "Visits of a shop",
    "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
    "aspect": "production",
    "state": "DRAFT",
    "schema": "visit",
    "rows": 12,
    "rowsPerHour": 1.5,
}
VISIT = {"type": "object", "properties": {"_id": {"type": "string"}}}


def row_schema(column: dict[str, Any]) -> dict[str, Any]:
    """Rows of one column, `a`."""
    return {"type": "object", "properties": {"a": column}}


def test_a_seventh_destination_is_fixtures_alone(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, seventh_destination()))
    assert set(catalog.connection_specs) == {*DESTINATIONS, DATA_LAKE, SEVENTH}
    spec = catalog.connection_specs[SEVENTH]
    assert spec.destination is not None and spec.target is not None
    assert (spec.destination.folder, spec.destination.container_param) == ("seventh", "container")
    assert spec.target.violations(spec.examples["target"], context=DATASETS_WORKFLOW) == []
    assert catalog.flow_specs[SEVENTH_FLOW].target_spec_ids == (SEVENTH,)


def test_datasets_come_with_their_schema(tmp_path: Path) -> None:
    plain = load_catalog()
    catalog = load_catalog(write(tmp_path, {"datasets/ours.json": [DATASET], "schemas/visit.json": VISIT}))
    assert set(catalog.datasets) == {*plain.datasets, DATASET["id"]}
    dataset = catalog.datasets["aaaabbbbccccddddeeeeffff"]
    assert (dataset.name, dataset.schema, dataset.rows, dataset.rows_per_hour) == ("Visits", VISIT, 12, 1.5)
    body = {name: DATASET[name] for name in ("id", "name", "description", "fileDescription", "aspect", "state")}
    assert dataset.body == body


def test_a_dataset_of_a_known_id_takes_its_place(tmp_path: Path) -> None:
    base = {"datasets/a.json": [DATASET], "schemas/visit.json": VISIT}
    write(tmp_path / "base", base | {path: built_in(path) for path in all_built_in_specs()})
    over = write(tmp_path / "over", {"datasets/b.json": [{**DATASET, "name": "Other visits"}]})
    catalog = load_catalog(over, base=tmp_path / "base")
    assert [dataset.name for dataset in catalog.datasets.values()] == ["Other visits"]


def all_built_in_specs() -> list[str]:
    specs = [file for folder in ("connection-specs", "flow-specs") for file in (fixtures_dir() / folder).iterdir()]
    return [
        "errors.json",
        "rules.json",
        "scenarios.json",
        "unsupported.json",
        "forms.json",
        *(file.relative_to(fixtures_dir()).as_posix() for file in specs),
    ]


def refused(folder: Path, files: dict[str, Any]) -> FixtureError:
    """What is wrong with the fixtures of a folder."""
    with pytest.raises(FixtureError) as caught:
        load_catalog(write(folder, files))
    return caught.value


# --- broken fixtures --------------------------------------------------------------------------------------


def put(path: str, value: Any) -> Change:
    """Sets the value at a JSON pointer."""

    def change(document: Any) -> None:
        *steps, last = (int(step) if step.isdecimal() else step for step in path.strip("/").split("/"))
        inside = reduce(getitem, steps, document)
        if value is drop:
            del inside[last]
        else:
            inside[last] = value

    return change


def drop(path: str) -> Change:
    """Takes the member at a JSON pointer away."""
    return put(path, drop)


S3_FILE, BLOB_FILE = "connection-specs/amazon-s3.json", "connection-specs/azure-blob.json"
DLZ_FILE, SFTP_FILE = "connection-specs/data-landing-zone.json", "connection-specs/sftp.json"
LAKE_FILE, FLOW_FILE = "connection-specs/data-lake.json", "flow-specs/amazon-s3.json"
SCHEMA = "/spec/targetSpec/spec"
TYPE, KEY = f"{SCHEMA}/properties/fileType", "/examples/auth/Access Key"


@pytest.mark.parametrize(
    ("file", "change", "place", "reason"),
    [
        (S3_FILE, drop("/spec"), "", '"spec" is a required property'),
        (S3_FILE, put("/contaner", "bucketName"), "", "contaner"),
        (S3_FILE, drop("/path"), "", "path"),
        (S3_FILE, put("/spec/id", "../../etc"), "/spec/id", "does not match"),
        (S3_FILE, put("/spec/authSpec", {}), "/spec/authSpec", "array"),
        (S3_FILE, drop("/spec/authSpec/0/spec"), "/spec/authSpec/0", '"spec" is a required property'),
        (S3_FILE, put("/destination", "../amazon"), "/destination", "does not match"),
        (S3_FILE, put("/destination", "a/b"), "/destination", "does not match"),
        (S3_FILE, put("/destination", ""), "/destination", "does not match"),
        (BLOB_FILE, put("/destination", "amazon-s3"), "/destination", "already that of amazon-s3.json"),
        (S3_FILE, put("/container", "bucket"), "/container", "no property 'bucket'"),
        (S3_FILE, put("/path", "remotePath"), "/path", "no property 'remotePath'"),
        (S3_FILE, put("/assumedWhenUnnamed", False), "/assumedWhenUnnamed", "true was expected"),
        (DLZ_FILE, put("/assumedWhenUnnamed", "true was expected"), "/assumedWhenUnnamed", "true was expected"),
        (S3_FILE, put(f"{SCHEMA}/type", "objekt"), f"{SCHEMA}/type", "objekt"),
        (S3_FILE, put(f"{SCHEMA}/properties/path/pattern", "a("), f"{SCHEMA}/properties/path/pattern", "a("),
        (S3_FILE, put(f"{SCHEMA}/$schema", "http://example.com/mine"), f"{SCHEMA}/$schema", "draft 7"),
        (S3_FILE, put(f"{TYPE}/conditional/operator", "HAS"), f"{TYPE}/conditional", "HAS"),
        (S3_FILE, put(f"{SCHEMA}/properties/path/$ref", "#/nowhere"), SCHEMA, "/nowhere"),
        (S3_FILE, put("/spec/authSpec/0/spec/required", "x"), "/spec/authSpec/0/spec/required", "array"),
        (S3_FILE, drop("/spec/targetSpec"), "/spec", '"targetSpec" is a required property'),
        (LAKE_FILE, drop("/spec/sourceSpec"), "/spec", '"sourceSpec" is a required property'),
        (S3_FILE, drop("/examples/target"), "/examples", '"target" is a required property'),
        (S3_FILE, put("/examples/target/bucketName", "NO!"), "/examples/target/bucketName", "NO!"),
        (S3_FILE, drop("/examples/target/path"), "/examples/target/path", "path"),
        (S3_FILE, drop("/examples/auth/Access Key"), "/examples/auth/Access Key", "an example is missing"),
        (S3_FILE, put(f"{KEY}/s3AccessKey", "short"), f"{KEY}/s3AccessKey", "short"),
        (LAKE_FILE, put("/examples/source/datasets", []), "/examples/source/datasets", ""),
        (LAKE_FILE, put("/examples/source/datasets/0", {}), "/examples/source/datasets/0/dataSetId", ""),
        (FLOW_FILE, drop("/attributes/_workflow"), "/attributes", "_workflow"),
        (FLOW_FILE, put("/targetConnectionSpecIds/0", SEVENTH), "/targetConnectionSpecIds/0", SEVENTH),
        (FLOW_FILE, put("/sourceConnectionSpecIds/0", S3), "/sourceConnectionSpecIds/0", "'Amazon S3' is no source"),
        (FLOW_FILE, put("/targetConnectionSpecIds/0", DATA_LAKE), "/targetConnectionSpecIds/0", "is no target"),
        (FLOW_FILE, put("/sourceConnectionSpecIds", []), "/sourceConnectionSpecIds", ""),
    ],
)
def test_a_broken_spec_is_refused_with_its_place(
    tmp_path: Path, file: str, change: Change, place: str, reason: str
) -> None:
    document = built_in(file)
    change(document)
    fault = refused(tmp_path, {file: document})
    assert (fault.file, fault.place) == (tmp_path / file, place)
    assert reason in fault.reason and str(fault).startswith(str(tmp_path / file))


def test_there_is_one_source_and_one_assumed_destination(tmp_path: Path) -> None:
    sftp, lake = built_in(SFTP_FILE), built_in(LAKE_FILE)
    sftp["assumedWhenUnnamed"] = True
    lake["spec"]["id"] = SEVENTH
    with pytest.raises(FixtureError, match="activation-datalake, activation-datalake and Data Landing Zone, SFTP"):
        load_catalog(write(tmp_path, {SFTP_FILE: sftp, LAKE_FILE: lake}))


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        (S3_FILE, '{"destination": "amazon-s3",\n  "path" "path"}', "line 2, column 10"),
        (S3_FILE, "", "line 1, column 1"),
        (S3_FILE, b'{"a": "\xff"}', "this is not JSON"),
        (FLOW_FILE, '{"id": NaN}', "line 1, column 8"),
        ("schemas/x.json", '[\n{"id" "x"}]', "line 2, column 7"),
        ("schemas/x.json", "[" * 5000, "this is not JSON"),
    ],
)
def test_broken_json_is_refused_with_line_and_column(tmp_path: Path, file: str, text: str | bytes, reason: str) -> None:
    fault = refused(tmp_path, {file: text})
    assert (fault.file, fault.place) == (tmp_path / file, "") and reason in fault.reason


@pytest.mark.parametrize(
    ("datasets", "place", "reason"),
    [
        ([{**DATASET, "schema": "visitt"}], "/0/schema", "there is no schemas/visitt.json"),
        ([{**DATASET, "rows": -1}], "/0/rows", "-1"),
        ([{**DATASET, "rows": "12"}], "/0/rows", "12"),
        ([{**DATASET, "rows": True}], "/0/rows", "true"),
        ([DATASET, {**DATASET, "id": "a/b"}], "/1/id", "does not match"),
        ([DATASET, DATASET], "/1/id", "already that of ours.json"),
        ([DATASET, {"name": "no schema"}], "/1", "required"),
        ([{**DATASET, "row": 5}], "/0", "row"),
        ([DATASET, 5], "/1", "5"),
    ],
)
def test_a_broken_dataset_is_refused_with_its_place(tmp_path: Path, datasets: Any, place: str, reason: str) -> None:
    fault = refused(tmp_path, {"datasets/ours.json": datasets, "schemas/visit.json": VISIT})
    assert (fault.file, fault.place) == (tmp_path / "datasets/ours.json", place) and reason in fault.reason


@pytest.mark.parametrize(
    ("schema", "place", "reason"),
    [
        ([], "", "a JSON Schema has to be an object"),
        ({"properties": {"a": {"type": "text"}}}, "/properties/a/type", '"text" is no type'),
        ({"$schema": 5}, "/$schema", "draft 7"),
        ({"type": "string"}, "", "rows are objects"),
        (row_schema({"type": "integer", "minimum": 5, "maximum": 4}), "", "a: no number lies between"),
        (row_schema({"type": "array", "items": {"enum": []}}), "", "a.[]: no type is given"),
        (row_schema(row_schema({"$ref": "#"})), "", "a.a: '$ref' '#' leads back to itself"),
    ],
)
def test_a_broken_schema_is_refused_with_its_place(tmp_path: Path, schema: Any, place: str, reason: str) -> None:
    fault = refused(tmp_path, {"schemas/visit.json": schema})
    assert (fault.file, fault.place) == (tmp_path / "schemas/visit.json", place) and reason in fault.reason


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="there is no such folder"):
        load_catalog(tmp_path / "nowhere")


ROW = built_in("errors.json")[0]


@pytest.mark.parametrize(
    ("errors", "place"),
    [({}, ""), ([5], "/0"), ([{**ROW, "family": "x"}], "/0/family"), ([{**ROW, "more": 1}], "/0")],
)
def test_a_broken_error_table_is_refused_with_its_place(tmp_path: Path, errors: Any, place: str) -> None:
    files = {path: built_in(path) for path in all_built_in_specs()} | {"errors.json": errors}
    with pytest.raises(FixtureError) as caught:
        load_catalog(base=write(tmp_path, files))
    assert (caught.value.file, caught.value.place) == (tmp_path / "errors.json", place)


def test_every_fault_is_told_but_none_twice(tmp_path: Path) -> None:
    """A flow spec of a broken connection spec, and a dataset of a broken schema, are not at fault themselves."""
    broken = built_in(S3_FILE)
    del broken["path"], broken["spec"]["name"]
    files = {
        S3_FILE: broken,
        FLOW_FILE: built_in(FLOW_FILE),
        "flow-specs/cut-off.json": "{",
        "schemas/visit.json": {"type": "objekt"},
        "datasets/ours.json": [DATASET],
        "datasets/theirs.json": [
            {**DATASET, "id": "theirs", "schema": "nothing"},
            {**DATASET, "id": "more", "rows": -1},
        ],
        "datasets/others.json": [{**DATASET, "id": "others", "schema": "nothing"}],
    }
    told = refused(tmp_path, files)
    faults = [(fault.file.relative_to(tmp_path).as_posix(), fault.place) for fault in told.faults]
    assert sorted(faults) == [
        (S3_FILE, ""),
        (S3_FILE, "/spec"),
        ("datasets/others.json", "/0/schema"),
        ("datasets/theirs.json", "/1/rows"),
        ("flow-specs/cut-off.json", ""),
        ("schemas/visit.json", "/type"),
    ]
    assert str(told).splitlines() == [str(fault) for fault in told.faults]
