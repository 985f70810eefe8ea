"""The fixtures are the published specs, and a broken fixture is refused with file, place and reason.

Parity tests quote their source. "Tutorial" is Adobe's "(Beta) Export datasets using the Flow Service API" (source
commit 05a7b73d), "audience tutorial" its companion on the export of audiences, "reference" the project's collection
of facts about the service.
"""

from __future__ import annotations

import json
import shutil
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from flow_service_emulator.built_in import fixtures_dir
from flow_service_emulator.catalog import Catalog, load_catalog
from flow_service_emulator.fixture_files import FixtureError, read_entry

S3 = "4fce964d-3f37-408f-9778-e597338a21ee"
BLOB = "6d6b59bf-fb58-4107-9064-4d246c0e5bb2"
ADLS = "be2c3209-53bc-47e7-ab25-145db8b873e1"
DLZ = "10440537-2a7b-4583-ac39-ed38d4b848e8"
GCS = "c5d93acb-ea8b-4b14-8f53-02138444ae99"
SFTP = "36965a81-b1c6-401b-99f8-22508f1e6a26"
DATA_LAKE = "23598e46-f560-407b-88d5-ea6207e49db0"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


# --- the published specs ----------------------------------------------------------------------------------

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
S3_PATTERNS, GCS_PATTERNS = ({"bucketName": bucket, "path": OBJECT_PATH} for bucket in (S3_BUCKET, GCS_BUCKET))
# Folder, name, id, id of the flow spec, required params and their patterns, required credentials by the auth spec's name.
PUBLISHED: list[tuple[Any, ...]] = [
    ("amazon-s3", "Amazon S3", S3, "269ba276-16fc-47db-92b0-c1049a3c131f",
     ["bucketName", "path"], S3_PATTERNS, {"Access Key": {"s3SecretKey", "s3AccessKey"}}),
    ("azure-blob", "Azure Blob Storage", BLOB, "95bd8965-fc8a-4119-b9c3-944c2c2df6d2",
     ["container", "path"], BLOB_PATTERNS, {"ConnectionString": {"connectionString"}}),
    ("adls-gen2", "Azure Data Lake Gen2", ADLS, "17be2013-2549-41ce-96e7-a70363bec293",
     ["path"], {}, {"Azure Service Principal Auth": {"servicePrincipalKey", "url", "tenant", "servicePrincipalId"}}),
    ("data-landing-zone", "Data Landing Zone", DLZ, "cd2fc47e-e838-4f38-a581-8fff2f99b63a", ["path"], {}, {}),
    ("google-cloud-storage", "Google Cloud Storage", GCS, "585c15c4-6cbf-4126-8f87-e26bff78b657", ["bucketName", "path"],
     GCS_PATTERNS, {"Google Cloud Storage authentication credentials": {"accessKeyId", "secretAccessKey"}}),
    ("sftp", "SFTP", SFTP, "354d6aad-4754-46e4-a576-1b384561c440", ["remotePath"], {},
     {"SFTP with Password": {"password", "domain", "username"}, "SFTP with SSH Key": {"sshKey", "domain", "username"}}),
]  # fmt: skip


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published[0])
def test_specs_are_the_published_ones(catalog: Catalog, published: tuple[Any, ...]) -> None:
    folder, name, spec_id, flow_spec_id, own, patterns, auth = published
    # Tutorial, "Gather connection specs and flow specs", the table; names from the responses below it:
    # "providerId": "14e34fac-d307-11e9-bb65-2a2ae2dbcce4", "version": "1.0"
    spec, flow_spec = catalog.connection_specs[spec_id], catalog.flow_specs[flow_spec_id]
    assert spec.destination is not None
    assert (spec.destination.folder, spec.name, spec.version) == (folder, name, "1.0")
    assert spec.body["providerId"] == "14e34fac-d307-11e9-bb65-2a2ae2dbcce4"
    # Reference, Entities, Flow: `inheritedAttributes {properties {isDestinationFlow: true}`; the workflow is
    # what the target specs' conditionals look at.
    assert (flow_spec.target_spec_ids, flow_spec.source_spec_ids) == ((spec_id,), (DATA_LAKE,))
    assert flow_spec.body["attributes"] == {"_workflow": "DATASETS", "isDestinationFlow": True}
    assert (flow_spec.body["transformationSpecs"], flow_spec.version) == ([], "1.0")
    # Tutorial, step 4, each tab's "required" and "pattern" (after JSON decoding).
    target = spec.body["targetSpec"]
    schema = target["spec"]
    assert (target["name"], target["type"]) == ("User based target", "UserNamespace")
    assert schema["required"] == [*own, "datasetFileType", "compression", "fileType"]
    assert set(schema["properties"]) == {*schema["required"], "csvOptions"}
    assert {name: part["pattern"] for name, part in schema["properties"].items() if "pattern" in part} == patterns
    # Tutorial, step 3: "The Data Landing Zone destination does not require an auth spec."
    # Audience tutorial: one encryption spec, "File PGP/GPG Encryption", for all but the Data Landing Zone.
    assert {part["name"]: set(part["spec"]["required"]) for part in spec.body["authSpec"]} == auth
    assert set(spec.auth) == set(auth)
    encryption = [part["name"] for part in spec.body["encryptionSpecs"]]
    assert encryption == ([] if spec_id == DLZ else ["File PGP/GPG Encryption"])


def test_credentials_are_the_published_ones(catalog: Catalog) -> None:
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
    # Tutorial, step 3, Amazon S3: "^[A-Z2-7]{20}$" and "^[A-Za-z0-9\/\\+]{40}$" (the latter before decoding).
    properties = catalog.connection_specs[S3].body["authSpec"][0]["spec"]["properties"]
    assert properties["s3AccessKey"]["pattern"] == "^[A-Z2-7]{20}$"
    assert properties["s3SecretKey"]["pattern"] == r"^[A-Za-z0-9/\+]{40}$"


# --- fixtures laid over the built-in ones -----------------------------------------------------------------

SEVENTH = "00000000-0000-4000-8000-000000000007"


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


DATASET: dict[str, Any] = {
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


def test_what_is_built_in_is_as_a_users_has_to_be(catalog: Catalog, tmp_path: Path) -> None:
    """A start does not look at it so closely."""
    found = load_catalog(shutil.copytree(fixtures_dir(), tmp_path / "copy"))
    assert (found.connection_specs.keys(), found.datasets) == (catalog.connection_specs.keys(), catalog.datasets)


def test_datasets_come_with_their_schema_and_may_take_the_place_of_others(catalog: Catalog, tmp_path: Path) -> None:
    first = next(iter(catalog.datasets))
    files = {"datasets/ours.json": [DATASET, {**DATASET, "id": first}], "schemas/visit.json": VISIT}
    found = load_catalog(write(tmp_path, files)).datasets
    assert list(found) == [*catalog.datasets, DATASET["id"]]
    for dataset in (found[first], found[DATASET["id"]]):
        assert (dataset.name, dataset.schema, dataset.rows, dataset.rows_per_hour) == ("Visits", VISIT, 12, 1.5)
    assert dataset.body == {
        name: value for name, value in DATASET.items() if name not in ("schema", "rows", "rowsPerHour")
    }


def refused(folder: Path, files: dict[str, Any]) -> FixtureError:
    """What is wrong with the fixtures of a folder."""
    with pytest.raises(FixtureError) as caught:
        load_catalog(write(folder, files))
    return caught.value


# --- broken fixtures --------------------------------------------------------------------------------------


DROP = object()


def changed(file: str, at: str, value: Any) -> Any:
    """A built-in fixture with another value, or none, at a JSON pointer."""
    document = built_in(file)
    *steps, last = (int(step) if step.isdecimal() else step for step in at.strip("/").split("/"))
    inside = reduce(getitem, steps, document)
    if value is DROP:
        del inside[last]
    else:
        inside[last] = value
    return document


S3_FILE = "connection-specs/amazon-s3.json"
DLZ_FILE, SFTP_FILE = "connection-specs/data-landing-zone.json", "connection-specs/sftp.json"
LAKE_FILE, FLOW_FILE = "connection-specs/data-lake.json", "flow-specs/amazon-s3.json"
SCHEMA = "/spec/targetSpec/spec"
TYPE, KEY = f"{SCHEMA}/properties/fileType", "/examples/auth/Access Key"


@pytest.mark.parametrize(
    ("file", "at", "value", "place", "reason"),
    [
        (S3_FILE, "/spec", DROP, "", '"spec" is a required property'),
        (S3_FILE, "/contaner", "bucketName", "", "contaner"),
        (S3_FILE, "/path", DROP, "", "path"),
        (S3_FILE, "/spec/id", "../../etc", "/spec/id", "does not match"),
        (S3_FILE, "/spec/authSpec", {}, "/spec/authSpec", "array"),
        (S3_FILE, "/spec/authSpec/0/spec", DROP, "/spec/authSpec/0", '"spec" is a required property'),
        (S3_FILE, "/destination", "../amazon", "/destination", "does not match"),
        (S3_FILE, "/destination", "a/b", "/destination", "does not match"),
        (S3_FILE, "/destination", "", "/destination", "does not match"),
        (S3_FILE, "/container", "bucket", "/container", "no property 'bucket'"),
        (S3_FILE, "/path", "remotePath", "/path", "no property 'remotePath'"),
        (S3_FILE, "/assumedWhenUnnamed", False, "/assumedWhenUnnamed", "true was expected"),
        (DLZ_FILE, "/assumedWhenUnnamed", "true was expected", "/assumedWhenUnnamed", "true was expected"),
        (S3_FILE, f"{SCHEMA}/type", "objekt", f"{SCHEMA}/type", "objekt"),
        (S3_FILE, f"{SCHEMA}/properties/path/pattern", "a(", f"{SCHEMA}/properties/path/pattern", "a("),
        (S3_FILE, f"{SCHEMA}/$schema", "http://example.com/mine", f"{SCHEMA}/$schema", "draft 7"),
        (S3_FILE, f"{TYPE}/conditional/operator", "HAS", f"{TYPE}/conditional", "HAS"),
        (S3_FILE, f"{SCHEMA}/properties/path/$ref", "#/nowhere", SCHEMA, "/nowhere"),
        (S3_FILE, "/spec/authSpec/0/spec/required", "x", "/spec/authSpec/0/spec/required", "array"),
        (S3_FILE, "/spec/targetSpec", DROP, "/spec", '"targetSpec" is a required property'),
        (LAKE_FILE, "/spec/sourceSpec", DROP, "/spec", '"sourceSpec" is a required property'),
        (S3_FILE, "/examples/target", DROP, "/examples", '"target" is a required property'),
        (S3_FILE, "/examples/target/bucketName", "NO!", "/examples/target/bucketName", "NO!"),
        (S3_FILE, "/examples/target/path", DROP, "/examples/target/path", "path"),
        (S3_FILE, "/examples/auth/Access Key", DROP, "/examples/auth/Access Key", "an example is missing"),
        (S3_FILE, f"{KEY}/s3AccessKey", "short", f"{KEY}/s3AccessKey", "short"),
        (LAKE_FILE, "/examples/source/datasets", [], "/examples/source/datasets", ""),
        (LAKE_FILE, "/examples/source/datasets/0", {}, "/examples/source/datasets/0/dataSetId", ""),
        (FLOW_FILE, "/attributes/_workflow", DROP, "/attributes", "_workflow"),
        (FLOW_FILE, "/targetConnectionSpecIds/0", SEVENTH, "/targetConnectionSpecIds/0", SEVENTH),
        (
            FLOW_FILE,
            "/sourceConnectionSpecIds/0",
            S3,
            "/sourceConnectionSpecIds/0",
            "no connection spec '4fce964d-3f37-408f-9778-e597338a21ee' with a sourceSpec",
        ),
        (FLOW_FILE, "/targetConnectionSpecIds/0", DATA_LAKE, "/targetConnectionSpecIds/0", "with a targetSpec"),
        (FLOW_FILE, "/sourceConnectionSpecIds", [], "/sourceConnectionSpecIds", ""),
    ],
)
def test_a_broken_spec_is_refused_with_its_place(
    tmp_path: Path, file: str, at: str, value: Any, place: str, reason: str
) -> None:
    fault = refused(tmp_path, {file: changed(file, at, value)})
    assert (fault.file, fault.place) == (tmp_path / file, place)
    assert reason in fault.reason and str(fault).startswith(str(tmp_path / file))


@pytest.mark.parametrize("name", ["errors", "rules", "scenarios", "unsupported", "forms"])
def test_the_tables_have_their_shapes(name: str) -> None:
    read_entry(fixtures_dir() / f"{name}.json").check_shape(name)


def test_there_is_one_source_and_one_assumed_destination(tmp_path: Path) -> None:
    sftp, lake = built_in(SFTP_FILE), built_in(LAKE_FILE)
    sftp["assumedWhenUnnamed"] = True
    lake["spec"]["id"] = SEVENTH
    with pytest.raises(FixtureError, match="activation-datalake, activation-datalake and Data Landing Zone, SFTP"):
        load_catalog(write(tmp_path, {SFTP_FILE: sftp, LAKE_FILE: lake}))


OURS, VISIT_FILE, ANY_FILE = "datasets/ours.json", "schemas/visit.json", "schemas/x.json"


def described(**changes: Any) -> list[Any]:
    return [DATASET | changes]


@pytest.mark.parametrize(
    ("file", "content", "place", "reason"),
    [
        (S3_FILE, '{"destination": "amazon-s3",\n  "path" "path"}', "", "line 2, column 10"),
        (S3_FILE, "", "", "line 1, column 1"),
        (S3_FILE, b'{"a": "\xff"}', "", "this is not JSON"),
        (FLOW_FILE, '{"id": NaN}', "", "line 1, column 8"),
        (ANY_FILE, '[\n{"id" "x"}]', "", "line 2, column 7"),
        (ANY_FILE, "[" * 5000, "", "this is not JSON"),
        (OURS, described(schema="visitt"), "/0/schema", "there is no schemas/visitt.json"),
        (OURS, described(rows=-1), "/0/rows", "-1"),
        (OURS, described(rows="12"), "/0/rows", "12"),
        (OURS, described(rows=True), "/0/rows", "true"),
        (OURS, [DATASET, *described(id="a/b")], "/1/id", "does not match"),
        (OURS, [DATASET, DATASET], "/1/id", "already that of ours.json"),
        (OURS, [DATASET, {"name": "no schema"}], "/1", "required"),
        (OURS, described(row=5), "/0", "row"),
        (OURS, [DATASET, 5], "/1", "5"),
        (VISIT_FILE, [], "", "a JSON Schema (draft 7) is an object"),
        (VISIT_FILE, {"properties": {"a": {"type": "text"}}}, "/properties/a/type", '"text" is no type'),
        (VISIT_FILE, {"$schema": 5}, "/$schema", "draft 7"),
        (VISIT_FILE, {"type": "string"}, "", "rows are objects"),
        (
            VISIT_FILE,
            row_schema({"type": "integer", "minimum": 5, "maximum": 4}),
            "",
            "property a: no number lies between",
        ),
        (VISIT_FILE, row_schema({"type": "array", "items": {"enum": []}}), "", "a.[]: no type is given"),
        (VISIT_FILE, row_schema(row_schema({"$ref": "#"})), "", "a.a: '$ref' '#' leads back to itself"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    tmp_path: Path, file: str, content: Any, place: str, reason: str
) -> None:
    fault = refused(tmp_path, {VISIT_FILE: VISIT, file: content})
    assert (fault.file, fault.place) == (tmp_path / file, place) and reason in fault.reason


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
