"""The requests of the tutorial "Export datasets using the Flow Service API", as printed, with placeholders filled in.

Source: Experience Platform documentation, tutorial "(Beta) Export datasets using the Flow Service API" (edition of 2023-02).
For another implementation, the placeholders can be filled in otherwise: FLOW_TEST_VALUES names a JSON file with `datasets` (two
ids) and, by destination, `auth` (credentials by their kind's name) and `params` (of the target connection).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

VALUES: dict[str, Any] = (
    json.loads(Path(os.environ["FLOW_TEST_VALUES"]).read_text("utf-8")) if os.environ.get("FLOW_TEST_VALUES") else {}
)
BASE = "/data/foundation/flowservice"
DATA_LAKE = "23598e46-f560-407b-88d5-ea6207e49db0"
FIRST_DATASET, SECOND_DATASET = VALUES.get("datasets") or ("5ef3e3259ad2a1191ab7dd7d", "5ef3e324052581191aa6a466")
DATASET = {"dataSetId": FIRST_DATASET, "name": "AAM Devices Data"}
START_TIME = 1675901210
"""The tutorial's startTime, 2023-02-09T00:06:50Z."""

SOURCE_CONNECTION: dict[str, Any] = {
    "name": "Connecting to Data Lake",
    "description": "Data Lake source connection to export datasets",
    "connectionSpec": {"id": DATA_LAKE, "version": "1.0"},
    "params": {"datasets": [DATASET]},
}


@dataclass(frozen=True)
class Destination:
    """One of the six destinations: ids, and what the tutorial sends to set it up."""

    folder: str
    name: str
    spec: str
    flow_spec: str
    auths: tuple[dict[str, Any], ...]
    target: dict[str, Any]
    container: str = ""

    def filled_in(self, values: dict[str, Any]) -> Destination:
        """The same with the credentials and the place to write to that `values` has for it."""
        own = values.get(self.folder, {})
        auths = [{**auth, "params": own.get("auth", {}).get(auth["specName"], auth["params"])} for auth in self.auths]
        return replace(self, auths=tuple(auths), target={**self.target, **own.get("params", {})})

    def base_connection(self, variant: int = 0) -> dict[str, Any]:
        """The body of step 3."""
        if not self.auths:
            return {"name": "Data Landing Zone(DLZ) Base Connection"}
        return {
            "name": f"{self.name} Base Connection",
            "auth": self.auths[variant],
            "connectionSpec": {"id": self.spec, "version": "1.0"},
        }

    def target_connection(self, base_connection_id: str, **params: Any) -> dict[str, Any]:
        """The body of step 4; `params` replace the tutorial's."""
        return {
            "name": f"{self.name} Beta Target Connection",
            "baseConnectionId": base_connection_id,
            "params": {
                "mode": "Server-to-server",
                **self.target,
                "compression": "NONE",
                "datasetFileType": "JSON",
                **params,
            },
            "connectionSpec": {"id": self.spec, "version": "1.0"},
        }

    def flow(self, source_connection_id: str, target_connection_id: str, **schedule: Any) -> dict[str, Any]:
        """The body of step 5; `schedule` replaces the tutorial's scheduleParams."""
        return {
            "name": f"Activate datasets to an {self.name} cloud storage destination",
            "description": f"This operation creates a dataflow to export datasets to an {self.name} cloud storage destination",
            "flowSpec": {"id": self.flow_spec, "version": "1.0"},
            "sourceConnectionIds": [source_connection_id],
            "targetConnectionIds": [target_connection_id],
            "transformations": [],
            "scheduleParams": schedule or {"interval": 3, "timeUnit": "hour", "startTime": START_TIME},
        }


# fmt: off
S3 = Destination(
    "amazon-s3", "Amazon S3", "4fce964d-3f37-408f-9778-e597338a21ee", "269ba276-16fc-47db-92b0-c1049a3c131f",
    ({"specName": "Access Key", "params": {
        "s3SecretKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "s3AccessKey": "AKIAIOSFODNN7EXAMPLE"}},),
    {"bucketName": "your-bucket-name", "path": "folder/subfolder"}, "your-bucket-name",
).filled_in(VALUES)
AZURE_BLOB = Destination(
    "azure-blob", "Azure Blob Storage", "6d6b59bf-fb58-4107-9064-4d246c0e5bb2", "95bd8965-fc8a-4119-b9c3-944c2c2df6d2",
    ({"specName": "ConnectionString", "params": {
        "connectionString": "DefaultEndpointsProtocol=https;AccountName=example;AccountKey=ZXhhbXBsZQ=="}},),
    {"container": "your-container-name", "path": "folder/subfolder"}, "your-container-name",
).filled_in(VALUES)
ADLS = Destination(
    "adls-gen2", "Azure Data Lake Gen 2(ADLS Gen2)", "be2c3209-53bc-47e7-ab25-145db8b873e1", "17be2013-2549-41ce-96e7-a70363bec293",
    ({"specName": "Azure Service Principal Auth", "params": {
        "servicePrincipalKey": "example-service-principal-key", "url": "https://example.dfs.core.windows.net",
        "tenant": "example.onmicrosoft.com", "servicePrincipalId": "11111111-2222-3333-4444-555555555555"}},),
    {"path": "folder/subfolder"},
).filled_in(VALUES)
LANDING_ZONE = Destination(
    "data-landing-zone", "Data Landing Zone", "10440537-2a7b-4583-ac39-ed38d4b848e8", "cd2fc47e-e838-4f38-a581-8fff2f99b63a",
    (), {"path": "folder/subfolder"},
).filled_in(VALUES)
GOOGLE = Destination(
    "google-cloud-storage", "Google Cloud Storage", "c5d93acb-ea8b-4b14-8f53-02138444ae99", "585c15c4-6cbf-4126-8f87-e26bff78b657",
    ({"specName": "Google Cloud Storage authentication credentials", "params": {
        "accessKeyId": "GOOGEXAMPLEID", "secretAccessKey": "example-google-secret"}},),
    {"bucketName": "your-bucket-name", "path": "folder/subfolder"}, "your-bucket-name",
).filled_in(VALUES)
SFTP = Destination(
    "sftp", "SFTP", "36965a81-b1c6-401b-99f8-22508f1e6a26", "354d6aad-4754-46e4-a576-1b384561c440",
    ({"specName": "SFTP with Password", "params": {
        "domain": "sftp.example.com", "username": "alice", "password": "example-password"}},
     {"specName": "SFTP with SSH Key", "params": {
        "domain": "sftp.example.com", "username": "alice", "sshKey": "ZXhhbXBsZS1zc2gta2V5"}}),
    {"remotePath": "folder/subfolder"},
).filled_in(VALUES)
# fmt: on
DESTINATIONS = (S3, AZURE_BLOB, ADLS, LANDING_ZONE, GOOGLE, SFTP)
