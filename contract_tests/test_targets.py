"""Exports where consumers read them: real storage services (`contract_tests.targets`), and the clients that people use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract_tests.support import Api, serving
from contract_tests.targets import azurite, free_port, running

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key of Azurite's account devstoreaccount1 (Azurite's documentation)."""
LANDING_ZONE = "/data/foundation/connectors/landingzone"


def test_the_landing_zones_credentials_open_a_real_container(tmp_path: Path) -> None:
    blob = pytest.importorskip("azure.storage.blob")
    port = free_port()
    account = f"http://127.0.0.1:{port}/devstoreaccount1"
    with running(azurite(port), port, tmp_path):
        mine = blob.BlobServiceClient(account, credential=AZURITE_KEY).create_container("my-zone")
        mine.upload_blob("folder/a b=ü.json", b'{"a": 1}\n')
        sas = blob.generate_container_sas(
            "devstoreaccount1",
            "my-zone",
            account_key=AZURITE_KEY,
            permission="rl",
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        with serving(tmp_path, "--landing-zone", f"{account}/my-zone?{sas}") as server:
            api = Api(server.url)
            asked = api.http.get(f"{LANDING_ZONE}/credentials?type=dlz_destination").json()
            api.close()
        theirs = blob.ContainerClient.from_container_url(asked["SASUri"])
        assert [each.name for each in theirs.list_blobs()] == ["folder/a b=ü.json"]
        other = blob.ContainerClient(account, asked["containerName"], credential=asked["SASToken"])
        assert other.download_blob("folder/a b=ü.json").readall() == b'{"a": 1}\n'
        assert sas not in server.log.read_text("utf-8")


@pytest.mark.parametrize(
    ("url", "account", "container"),
    [
        ("https://myaccount.blob.core.windows.net/dlz-1?se=2027-02-03T00%3A00%3A00Z&sig=abc%3D", "myaccount", "dlz-1"),
        ("http://127.0.0.1:10000/devstoreaccount1/dlz-1/?se=2027-02-03&sig=abc%3D", "devstoreaccount1", "dlz-1"),
    ],
)
def test_a_landing_zone_that_was_given(url: str, account: str, container: str, tmp_path: Path) -> None:
    """It is every organization's; the one for users' own data stays as it is."""
    with serving(tmp_path, "--landing-zone", url) as server:
        api = Api(server.url)
        assert api.http.get(f"{LANDING_ZONE}/credentials?type=dlz_destination").json() == {
            "containerName": container,
            "SASToken": url.partition("?")[2],
            "storageAccountName": account,
            "SASUri": url,
            "expiryDate": "2027-02-03",
        }
        assert api.http.get(f"{LANDING_ZONE}?type=dlz_destination").json()["containerName"] == container
        assert api.http.get(f"{LANDING_ZONE}?type=user_drop_zone").json()["containerName"] == "dlz-user-container"
        assert "abc%3D" not in api.http.get("/__emulator/requests").text
        api.close()
