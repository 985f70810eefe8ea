"""The fixtures are the published specs, and a broken fixture is refused with file, place and reason.

Parity tests quote their source. "Tutorial" is Adobe's "(Beta) Export datasets using the Flow Service API" (source
commit 05a7b73d), "audience tutorial" its companion on the export of audiences, "reference" the project's collection
of facts about the service.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_there_are_six_destinations_and_the_data_lake(catalog: Catalog) -> None:
    # Tutorial, "Supported destinations" lists six; step 1: "the data lake source connection spec ID,
    # 23598e46-f560-407b-88d5-ea6207e49db0"; aepp 0.6.0 looks it up by its name, "activation-datalake".
    assert set(catalog.connection_specs) == {*DESTINATIONS, DATA_LAKE}
    assert len(catalog.flow_specs) == 6
    assert catalog.data_lake_spec_id == DATA_LAKE
    lake = catalog.connection_specs[DATA_LAKE]
    assert lake.name == "activation-datalake"
    assert lake.destination is None and lake.target is None and lake.auth == {}


def test_a_base_connection_without_a_spec_is_the_data_landing_zones(catalog: Catalog) -> None:
    # Tutorial, step 3, the Data Landing Zone's request: {"name": "Data Landing Zone(DLZ) Base Connection"}
    assert catalog.assumed_connection_spec is catalog.connection_specs[DLZ]


@pytest.mark.parametrize(
    ("spec_id", "required"),
    [
        (S3, ["bucketName", "path", "datasetFileType", "compression", "fileType"]),
        (BLOB, ["container", "path", "datasetFileType", "compression", "fileType"]),
        (ADLS, ["path", "datasetFileType", "compression", "fileType"]),
        (DLZ, ["path", "datasetFileType", "compression", "fileType"]),
        (GCS, ["bucketName", "path", "datasetFileType", "compression", "fileType"]),
        (SFTP, ["remotePath", "datasetFileType", "compression", "fileType"]),
    ],
)
def test_target_specs_require_what_is_published(catalog: Catalog, spec_id: str, required: list[str]) -> None:
    # Tutorial, step 4, each tab's "required".
    spec = catalog.connection_specs[spec_id]
    assert target_schema(spec)["required"] == required
    assert set(target_schema(spec)["properties"]) == {*required, "csvOptions"}
    assert (spec.body["targetSpec"]["name"], spec.body["targetSpec"]["type"]) == ("User based target", "UserNamespace")


@pytest.mark.parametrize(
    ("spec_id", "container", "path"),
    [
        (S3, "bucketName", "path"),
        (BLOB, "container", "path"),
        (ADLS, None, "path"),
        (DLZ, None, "path"),
        (GCS, "bucketName", "path"),
        (SFTP, None, "remotePath"),
    ],
)
def test_container_and_path_are_named_as_in_the_target_specs(
    catalog: Catalog, spec_id: str, container: str | None, path: str
) -> None:
    # Tutorial, step 4: which parameters there are besides file type and compression.
    destination = catalog.connection_specs[spec_id].destination
    assert destination is not None
    assert (destination.container_param, destination.path_param) == (container, path)


OBJECT_PATH = r"^[0-9a-zA-Z/\!\-_\.\*\''\(\)]*((\%SEGMENT_(NAME|ID)\%)?/?)+$"


@pytest.mark.parametrize(
    ("spec_id", "patterns"),
    [
        (
            S3,
            {
                "bucketName": r"(?=^.{3,63}$)(?!^(\d+\.)+\d+$)"
                r"(^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$)",
                "path": OBJECT_PATH,
            },
        ),
        (
            BLOB,
            {
                "path": r"^[0-9a-zA-Z/\!\-_\.\*\'\(\)]+$",
                "container": r"^[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]$",
            },
        ),
        (ADLS, {}),
        (DLZ, {}),
        (
            GCS,
            {
                "bucketName": r"(?!^goog.*$)(?!^.*g(o|0)(o|0)gle.*$)"
                r"(((?=^.{3,63}$)(^([a-z0-9]|[a-z0-9][a-z0-9\-_]*)[a-z0-9]$))"
                r"|((?=^.{3,222}$)(?!^(\d+\.)+\d+$)"
                r"(^(([a-z0-9]{1,63}|[a-z0-9][a-z0-9\-_]{1,61}[a-z0-9])\.)*"
                r"([a-z0-9]{1,63}|[a-z0-9][a-z0-9\-_]{1,61}[a-z0-9])$)))",
                "path": OBJECT_PATH,
            },
        ),
        (SFTP, {}),
    ],
)
def test_patterns_are_the_published_ones(catalog: Catalog, spec_id: str, patterns: dict[str, str]) -> None:
    # Tutorial, step 4, each tab's "pattern", after JSON decoding.
    properties = target_schema(catalog.connection_specs[spec_id])["properties"]
    assert {name: part["pattern"] for name, part in properties.items() if "pattern" in part} == patterns


@pytest.mark.parametrize("spec_id", DESTINATIONS)
def test_file_types_depend_on_the_workflow(catalog: Catalog, spec_id: str) -> None:
    # Tutorial, step 4: "datasetFileType" with its conditional; audience tutorial: "fileType" and "csvOptions".
    properties = target_schema(catalog.connection_specs[spec_id])["properties"]
    workflow = {"field": "flowSpec.attributes._workflow", "value": "DATASETS"}
    assert properties["datasetFileType"]["conditional"] == {**workflow, "operator": "CONTAINS"}
    assert properties["datasetFileType"]["enum"] == ["JSON", "PARQUET"]
    assert properties["fileType"]["conditional"] == {**workflow, "operator": "NOT_CONTAINS"}
    assert properties["fileType"]["enum"] == ["CSV", "JSON", "PARQUET"]
    assert properties["csvOptions"]["conditional"] == {"field": "fileType", "operator": "EQUALS", "value": "CSV"}
    assert set(properties["compression"]["enum"]) == {"NONE", "GZIP"}


@pytest.mark.parametrize(
    ("spec_id", "auth"),
    [
        (S3, {"Access Key": {"s3SecretKey", "s3AccessKey"}}),
        (BLOB, {"ConnectionString": {"connectionString"}}),
        (
            ADLS,
            {"Azure Service Principal Auth": {"servicePrincipalKey", "url", "tenant", "servicePrincipalId"}},
        ),
        (DLZ, {}),
        (GCS, {"Google Cloud Storage authentication credentials": {"accessKeyId", "secretAccessKey"}}),
        (
            SFTP,
            {
                "SFTP with Password": {"password", "domain", "username"},
                "SFTP with SSH Key": {"sshKey", "domain", "username"},
            },
        ),
    ],
)
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
    assert marked == {
        "s3SecretKey",
        "connectionString",
        "servicePrincipalKey",
        "secretAccessKey",
        "password",
        "sshKey",
    }


def test_access_key_patterns_are_the_published_ones(catalog: Catalog) -> None:
    # Tutorial, step 3, Amazon S3: "^[A-Z2-7]{20}$" and "^[A-Za-z0-9\/\\+]{40}$" (the latter before decoding).
    properties = catalog.connection_specs[S3].body["authSpec"][0]["spec"]["properties"]
    assert properties["s3AccessKey"]["pattern"] == "^[A-Z2-7]{20}$"
    assert properties["s3SecretKey"]["pattern"] == r"^[A-Za-z0-9/\+]{40}$"


@pytest.mark.parametrize(
    ("spec_id", "location"),
    [
        (S3, {"bucketName": "your-bucket-name", "path": "folder/subfolder"}),
        (BLOB, {"container": "your-container-name", "path": "folder/subfolder"}),
        (ADLS, {"path": "folder/subfolder"}),
        (DLZ, {"path": "folder/subfolder"}),
        (GCS, {"bucketName": "your-bucket-name", "path": "folder/subfolder"}),
        (SFTP, {"remotePath": "folder/subfolder"}),
    ],
)
def test_the_tutorials_target_params_are_valid(catalog: Catalog, spec_id: str, location: dict[str, str]) -> None:
    # Tutorial, step 4, the requests: "mode": "Server-to-server", "compression": "NONE", "datasetFileType": "JSON"
    target = catalog.connection_specs[spec_id].target
    assert target is not None
    rest = {"mode": "Server-to-server", "compression": "NONE", "datasetFileType": "JSON"}
    assert target.violations({**rest, **location}, context=DATASETS_WORKFLOW) == []
    missing = {violation.path for violation in target.violations(rest, context=DATASETS_WORKFLOW)}
    assert missing == set(location)


@pytest.mark.parametrize(
    ("params", "is_valid"),
    [
        ({"datasets": [{"dataSetId": "5ef3e3259ad2a1191ab7dd7d", "name": "AAM Devices Data"}]}, True),
        ({"datasets": [{"dataSetId": "5ef3e3259ad2a1191ab7dd7d"}]}, True),
        ({"datasets": [{"name": "AAM Devices Data"}]}, False),
        ({"datasets": [{"dataSetId": 5}]}, False),
        ({"datasets": [{"dataSetId": ""}]}, False),
        ({"datasets": []}, False),
        ({"datasets": "5ef3e3259ad2a1191ab7dd7d"}, False),
        ({}, False),
    ],
)
def test_the_data_lake_wants_datasets(catalog: Catalog, params: dict[str, Any], is_valid: bool) -> None:
    # Tutorial, step 2, the request; reference, Entities: `params.datasets [{dataSetId, name?}]`
    source = catalog.connection_specs[DATA_LAKE].source
    assert source is not None
    assert (source.violations(params) == []) is is_valid


def test_flow_specs_carry_the_datasets_workflow(catalog: Catalog) -> None:
    # Reference, Entities, Flow: `inheritedAttributes {properties {isDestinationFlow: true}`; the workflow is
    # what the target specs' conditionals look at.
    for flow_spec in catalog.flow_specs.values():
        assert flow_spec.body["attributes"] == {"_workflow": "DATASETS", "isDestinationFlow": True}
        assert flow_spec.body["transformationSpecs"] == []
        assert flow_spec.version == "1.0"


HOURS = {"timeUnit": "hour", "startTime": 1675901210}
DAYS = {"timeUnit": "day", "startTime": 1675901210}


@pytest.mark.parametrize(
    ("schedule", "is_valid"),
    [
        *[({**HOURS, "interval": hours}, hours in {3, 6, 8, 9, 12, 24}) for hours in range(26)],
        ({**DAYS, "interval": 1}, True),
        ({**DAYS, "interval": 2}, False),
        ({**DAYS, "interval": 1, "exportMode": "FIRST_FULL_THEN_INCREMENTAL", "endTime": 1675987610}, True),
        ({**DAYS, "interval": 1, "exportMode": "DAILY_FULL_EXPORT"}, False),
        ({**DAYS, "interval": 0, "exportMode": "DAILY_FULL_EXPORT"}, True),
        ({**DAYS, "interval": 0}, False),
        ({**HOURS, "interval": 0, "exportMode": "DAILY_FULL_EXPORT"}, False),
        ({**HOURS, "interval": 3, "foldernameTemplate": "%DATASET_ID%/%EXPORT_TIME%"}, True),
        ({**HOURS, "interval": 3, "timeUnit": "week"}, False),
        ({"timeUnit": "hour", "interval": 3}, False),
    ],
)
def test_schedule_specs_describe_the_schedule(catalog: Catalog, schedule: dict[str, Any], is_valid: bool) -> None:
    # Reference, Schedule: "`hour` with 3, 6, 8, 9, 12 or 24; `day` with 1; `day` with 0 and
    # `exportMode: DAILY_FULL_EXPORT` means once"
    for flow_spec in catalog.flow_specs.values():
        schema = flow_spec.body["scheduleSpec"]["spec"]
        assert jsonschema_rs.is_valid(schema, schedule) is is_valid


def test_the_tutorials_datasets_come_first(catalog: Catalog) -> None:
    # Tutorial, step 1, the response: these five, each with "description": "Activation profile export dataset",
    # "aspect": "production", "state": "DRAFT" and a fileDescription of persisted parquet.
    assert len(catalog.datasets) >= 30
    bodies = [dataset.body for dataset in catalog.datasets.values()][:5]
    assert [(body["id"], body["name"]) for body in bodies] == [
        ("5ef3e324052581191aa6a466", "AAM Authenticated Profiles Meta Data"),
        ("5ef3e3259ad2a1191ab7dd7d", "AAM Devices Data"),
        ("5ef3e325582424191b1beb42", "AAM Devices Profile Meta Data"),
        ("5ef3e328582424191b1beb44", "AAM Realtime"),
        ("5ef3e328fe742a191b2b3ea5", "AAM Realtime Profile Updates"),
    ]
    for body in bodies:
        assert body["description"] == "Activation profile export dataset"
        assert body["fileDescription"] == {"persisted": True, "containerFormat": "parquet", "format": "parquet"}
        assert (body["aspect"], body["state"]) == ("production", "DRAFT")


def test_bodies_are_what_the_files_hold(catalog: Catalog) -> None:
    for file in (fixtures_dir() / "connection-specs").iterdir():
        spec = json.loads(file.read_bytes())["spec"]
        assert catalog.connection_specs[spec["id"]].body == spec


def test_examples_are_valid(catalog: Catalog) -> None:
    for spec in catalog.connection_specs.values():
        for name, validator in spec.auth.items():
            assert validator.violations(spec.examples["auth"][name]) == []
        if spec.target is not None:
            assert spec.examples["target"]["mode"] == "Server-to-server"
            assert spec.target.violations(spec.examples["target"], context=DATASETS_WORKFLOW) == []


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


def test_a_spec_of_a_known_id_takes_its_place(tmp_path: Path) -> None:
    wrapper = built_in("connection-specs/sftp.json")
    wrapper["spec"]["name"] = "Our SFTP"
    catalog = load_catalog(write(tmp_path, {"connection-specs/ours.json": wrapper}))
    assert set(catalog.connection_specs) == {*DESTINATIONS, DATA_LAKE}
    assert catalog.connection_specs[SFTP].name == "Our SFTP"


def test_datasets_come_with_their_schema(tmp_path: Path) -> None:
    plain = load_catalog()
    catalog = load_catalog(write(tmp_path, {"datasets/ours.json": [DATASET], "schemas/visit.json": VISIT}))
    assert set(catalog.datasets) == {*plain.datasets, DATASET["id"]}
    dataset = catalog.datasets["aaaabbbbccccddddeeeeffff"]
    assert (dataset.name, dataset.schema, dataset.rows, dataset.rows_per_hour) == ("Visits", VISIT, 12, 1.5)
    assert list(dataset.body) == ["id", "name", "description", "fileDescription", "aspect", "state"]
    assert dataset.body["description"] == "Visits of a shop"


def test_a_dataset_of_a_known_id_takes_its_place(tmp_path: Path) -> None:
    base = {"datasets/a.json": [DATASET], "schemas/visit.json": VISIT}
    write(tmp_path / "base", base | {path: built_in(path) for path in all_built_in_specs()})
    over = write(tmp_path / "over", {"datasets/b.json": [{**DATASET, "name": "Other visits"}]})
    catalog = load_catalog(over, base=tmp_path / "base")
    assert [dataset.name for dataset in catalog.datasets.values()] == ["Other visits"]


def all_built_in_specs() -> list[str]:
    specs = [file for folder in ("connection-specs", "flow-specs") for file in (fixtures_dir() / folder).iterdir()]
    return ["errors.json", "rules.json", *(file.relative_to(fixtures_dir()).as_posix() for file in specs)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("records.json", [{"_id": "1"}, {"_id": "2"}]),
        ("one.json", {"name": "Visits", "records": []}),
        ("number.json", 5),
        ("empty.json", []),
        ("records.ndjson", '{"_id": "1"}\n{"_id": "2"}\n'),
        ("records.csv", "_id\n1\n"),
        ("records.parquet", b"PAR1"),
        ("cut-off.json", '[{"_id": "1"},'),
    ],
)
def test_a_users_own_records_are_left_alone(tmp_path: Path, name: str, content: Any) -> None:
    catalog = load_catalog(write(tmp_path, {f"datasets/{name}": content}))
    assert catalog.datasets.keys() == load_catalog().datasets.keys()


# --- broken fixtures --------------------------------------------------------------------------------------


def put(path: str, value: Any) -> Change:
    """Sets the value at a JSON pointer."""

    def change(document: Any) -> None:
        *steps, last = path.strip("/").split("/")
        for step in steps:
            document = document[int(step) if isinstance(document, list) else step]
        document[int(last) if isinstance(document, list) else last] = value

    return change


def drop(path: str) -> Change:
    """Takes the member at a JSON pointer away."""

    def change(document: Any) -> None:
        *steps, last = path.strip("/").split("/")
        for step in steps:
            document = document[int(step) if isinstance(document, list) else step]
        del document[last]

    return change


S3_FILE, BLOB_FILE = "connection-specs/amazon-s3.json", "connection-specs/azure-blob.json"
DLZ_FILE, SFTP_FILE = "connection-specs/data-landing-zone.json", "connection-specs/sftp.json"
LAKE_FILE, FLOW_FILE = "connection-specs/data-lake.json", "flow-specs/amazon-s3.json"
SCHEMA = "/spec/targetSpec/spec"


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
        (S3_FILE, put("/destination", "aux"), "/destination", "Windows"),
        (BLOB_FILE, put("/destination", "amazon-s3"), "/destination", "already that of amazon-s3.json"),
        (S3_FILE, put("/container", "bucket"), "/container", "no property 'bucket'"),
        (S3_FILE, put("/path", "remotePath"), "/path", "no property 'remotePath'"),
        (S3_FILE, put("/assumedWhenUnnamed", False), "/assumedWhenUnnamed", "true was expected"),
        (DLZ_FILE, put("/assumedWhenUnnamed", "true was expected"), "/assumedWhenUnnamed", "true was expected"),
        (SFTP_FILE, put("/assumedWhenUnnamed", True), "/assumedWhenUnnamed", "data-landing-zone.json is"),
        (S3_FILE, put(f"{SCHEMA}/type", "objekt"), f"{SCHEMA}/type", "objekt"),
        (S3_FILE, put(f"{SCHEMA}/properties/path/pattern", "a("), f"{SCHEMA}/properties/path/pattern", "a("),
        (S3_FILE, put(f"{SCHEMA}/$schema", "http://example.com/mine"), f"{SCHEMA}/$schema", "draft 7"),
        (
            S3_FILE,
            put(f"{SCHEMA}/properties/fileType/conditional/operator", "HAS"),
            f"{SCHEMA}/properties/fileType/conditional",
            "HAS",
        ),
        (S3_FILE, put(f"{SCHEMA}/properties/path/$ref", "#/nowhere"), f"{SCHEMA}/properties/path/$ref", "#/nowhere"),
        (S3_FILE, put("/spec/authSpec/0/spec/required", "x"), "/spec/authSpec/0/spec/required", "array"),
        (S3_FILE, put("/spec/encryptionSpecs/0/spec/type", 5), "/spec/encryptionSpecs/0/spec/type", "5"),
        (S3_FILE, drop("/spec/targetSpec"), "/spec", "targetSpec is missing"),
        (LAKE_FILE, drop("/spec/sourceSpec"), "/spec", "sourceSpec is missing"),
        (LAKE_FILE, put("/spec/id", SEVENTH), "", "only the data lake (data-lake.json) has none"),
        (LAKE_FILE, put("/examples/target", {}), "/examples/target", "no targetSpec"),
        (S3_FILE, drop("/examples/target"), "/examples/target", "an example is missing"),
        (S3_FILE, put("/examples/target/bucketName", "NO!"), "/examples/target/bucketName", "NO!"),
        (S3_FILE, drop("/examples/target/path"), "/examples/target/path", "path"),
        (S3_FILE, put("/examples/auth/Token", {}), "/examples/auth/Token", "no authSpec"),
        (
            S3_FILE,
            put("/examples/auth/Access Key/s3AccessKey", "short"),
            "/examples/auth/Access Key/s3AccessKey",
            "short",
        ),
        (LAKE_FILE, put("/examples/source/datasets", []), "/examples/source/datasets", ""),
        (LAKE_FILE, put("/examples/source/datasets/0", {}), "/examples/source/datasets/0/dataSetId", ""),
        (FLOW_FILE, drop("/attributes/_workflow"), "/attributes", "_workflow"),
        (FLOW_FILE, put("/targetConnectionSpecIds/0", SEVENTH), "/targetConnectionSpecIds/0", SEVENTH),
        (FLOW_FILE, put("/sourceConnectionSpecIds/0", S3), "/sourceConnectionSpecIds/0", "'Amazon S3' is no source"),
        (
            FLOW_FILE,
            put("/targetConnectionSpecIds/0", DATA_LAKE),
            "/targetConnectionSpecIds/0",
            "'activation-datalake' is no target",
        ),
        (FLOW_FILE, put("/sourceConnectionSpecIds", []), "/sourceConnectionSpecIds", ""),
        (FLOW_FILE, put("/scheduleSpec/spec/type", 5), "/scheduleSpec/spec/type", "5"),
    ],
)
def test_a_broken_spec_is_refused_with_its_place(
    tmp_path: Path, file: str, change: Change, place: str, reason: str
) -> None:
    document = built_in(file)
    change(document)
    write(tmp_path, {file: document})
    with pytest.raises(FixtureError) as caught:
        load_catalog(tmp_path)
    assert (caught.value.file, caught.value.place) == (tmp_path / file, place)
    assert reason in caught.value.reason
    assert str(caught.value).startswith(str(tmp_path / file))


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
    write(tmp_path, {file: text})
    with pytest.raises(FixtureError) as caught:
        load_catalog(tmp_path)
    assert (caught.value.file, caught.value.place) == (tmp_path / file, "")
    assert reason in caught.value.reason


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
    write(tmp_path, {"datasets/ours.json": datasets, "schemas/visit.json": VISIT})
    with pytest.raises(FixtureError) as caught:
        load_catalog(tmp_path)
    assert (caught.value.file, caught.value.place) == (tmp_path / "datasets/ours.json", place)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ([], ""),
        ({"properties": {"a": {"type": "text"}}}, "/properties/a/type"),
        ({"$schema": 5}, "/$schema"),
        ({"type": "string"}, ""),
        (row_schema({"type": "integer", "minimum": 5, "maximum": 4}), "/properties/a"),
        (row_schema({"type": "array", "items": {"enum": []}}), "/properties/a/items"),
        (row_schema(row_schema({"$ref": "#"})), "/properties/a/properties/a"),
    ],
)
def test_a_broken_schema_is_refused_with_its_place(tmp_path: Path, schema: Any, place: str) -> None:
    write(tmp_path, {"schemas/visit.json": schema})
    with pytest.raises(FixtureError) as caught:
        load_catalog(tmp_path)
    assert (caught.value.file, caught.value.place) == (tmp_path / "schemas/visit.json", place)


def test_one_id_in_two_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    files = seventh_destination()
    files["connection-specs/seventh-again.json"] = files["connection-specs/seventh.json"]
    write(tmp_path, files)
    with pytest.raises(FixtureError, match=r"already that of seventh-again\.json") as caught:
        load_catalog(tmp_path)
    assert (caught.value.file.name, caught.value.place) == ("seventh.json", "/spec/id")


def test_two_auth_specs_of_one_name_are_refused(tmp_path: Path) -> None:
    wrapper = built_in(S3_FILE)
    wrapper["spec"]["authSpec"].append(copy.deepcopy(wrapper["spec"]["authSpec"][0]))
    with pytest.raises(FixtureError, match="two of the name") as caught:
        load_catalog(write(tmp_path, {S3_FILE: wrapper}))
    assert caught.value.place == "/spec/authSpec/1/name"


def test_a_destination_that_no_flow_spec_leads_to_is_refused(tmp_path: Path) -> None:
    files = seventh_destination()
    del files["flow-specs/seventh.json"]
    with pytest.raises(FixtureError, match="no flow spec has this destination"):
        load_catalog(write(tmp_path, files))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="there is no such folder"):
        load_catalog(tmp_path / "nowhere")


def test_a_catalog_without_an_assumed_spec_is_refused(tmp_path: Path) -> None:
    wrapper = built_in(DLZ_FILE)
    del wrapper["assumedWhenUnnamed"]
    with pytest.raises(FixtureError, match="no spec has `assumedWhenUnnamed`"):
        load_catalog(write(tmp_path, {DLZ_FILE: wrapper}))


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="has to be a folder"):
        load_catalog(write(tmp_path, {"datasets": "[]"}))


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schemas" / "visit.json").mkdir(parents=True)
    with pytest.raises(FixtureError, match="cannot be read") as caught:
        load_catalog(tmp_path)
    assert caught.value.file == tmp_path / "schemas" / "visit.json"


def test_a_base_without_the_data_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="data lake's spec is missing"):
        load_catalog(base=write(tmp_path, {"errors.json": []}))


@pytest.mark.parametrize(
    ("errors", "place"),
    [({}, ""), ([5], "/0"), ([{}], "/0/name"), ([{"name": "x"}], "/0/family")],
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
    with pytest.raises(FixtureError) as caught:
        load_catalog(write(tmp_path, files))
    faults = [(fault.file.relative_to(tmp_path).as_posix(), fault.place) for fault in caught.value.faults]
    assert sorted(faults) == [
        (S3_FILE, ""),
        (S3_FILE, "/spec"),
        ("datasets/others.json", "/0/schema"),
        ("datasets/theirs.json", "/1/rows"),
        ("flow-specs/cut-off.json", ""),
        ("schemas/visit.json", "/type"),
    ]
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]


def test_long_values_do_not_flood_the_reason(tmp_path: Path) -> None:
    wrapper = built_in(S3_FILE)
    wrapper["path"] = ["x" * 100_000]
    with pytest.raises(FixtureError) as caught:
        load_catalog(write(tmp_path, {S3_FILE: wrapper}))
    assert len(caught.value.reason) < 400


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def pointers(document: Any, here: str = "") -> list[str]:
    """The JSON pointers of everything inside a document."""
    if not isinstance(document, dict | list):
        return []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    return [deep for key, value in items for deep in (f"{here}/{key}", *pointers(value, f"{here}/{key}"))]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_either_loaded_or_refused_by_file(tmp_path: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([S3_FILE, LAKE_FILE, FLOW_FILE]))
    document = built_in(path)
    place = data.draw(st.sampled_from(pointers(document)))
    put(place, data.draw(JSON_VALUES))(document)
    write(tmp_path, {path: document})
    try:
        catalog = load_catalog(tmp_path)
    except FixtureError as error:
        assert error.reason and error.file.suffix == ".json"
    else:
        assert catalog.data_lake_spec_id
    finally:
        (tmp_path / path).unlink()
