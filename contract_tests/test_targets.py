"""Exports where consumers read them: the guide's own files, commands and clients, with real storage services on the loopback."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from contract_tests.pages import snippet
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, serving
from contract_tests.targets import free_port, program, running
from contract_tests.tutorial import ADLS, AZURE_BLOB, GOOGLE, LANDING_ZONE, S3, SFTP, Destination
from flow_service_emulator.settings import read_settings

ZONE = "/data/foundation/connectors/landingzone"
DATASET = "Bestellungen für März, a=b"
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
HERE = HOURLY | {"foldernameTemplate": "%DATASET_NAME%/%EXPORT_TIME%"}
PATH = {"path": "new/orders"}
TO_S3 = (S3, {"bucketName": "my-bucket", **PATH})
TO_SFTP = (SFTP, {"remotePath": "new/orders"})
PORTS = r"(?<!\d)(?:9000|2022|10000|4443|9100)(?!\d)"
"""Those of the guide."""


class Place:
    """A folder with the guide's `rclone.conf`, in which its commands run, with ports that are free."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._ports: dict[str, int] = {}
        (folder / "rclone.conf").write_text(self.here(snippet("target: rclone.conf")))

    def here(self, text: str) -> str:
        return re.sub(PORTS, lambda port: str(self._ports.setdefault(port[0], free_port())), text)

    def start(self, begin: str, text: str) -> None:
        """Start the service whose line in a snippet begins like this."""
        (line,) = (line for line in text.splitlines() if line.startswith(begin))
        port = next(iter(re.findall(PORTS, line)))
        name, *words = shlex.split(self.here(line.removesuffix("&")))
        for folder in ("buckets", "uploads"):
            (self.folder / folder).mkdir(exist_ok=True)
        self._stack.enter_context(running([program(name), *words], self._ports[port], self.folder))

    def run(self, *command: str) -> list[str]:
        """The lines that a program prints."""
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout.splitlines()

    def python(self, text: str) -> list[str]:
        return self.run(sys.executable, "-c", self.here(text))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}{os.pathsep}{os.environ['PATH']}")
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


def copying() -> list[str]:
    """The flags of the guide's server."""
    words = shlex.split(snippet("target: serve").replace("\\\n", ""))
    return words[words.index("--after-export") :]


@contextmanager
def exporting(
    place: Place, *flags: str, to: list[tuple[Destination, dict[str, str]]]
) -> Iterator[tuple[ServerProcess, Api]]:
    """A server that has exported to these destinations, with these parameters of the targets."""
    with serving(place.folder, *flags) as server:
        api = Api(server.url)
        records = [{"order": 1, "größe": "XL"}, {"order": 2}]
        api.control("PUT", "/datasets/orders", {"name": DATASET, "records": records})
        for destination, params in to:
            api.flow(destination, HERE, datasets=["orders"], **params)
        runs = api.advance(3600)
        assert [run.get("error") for run in runs] == [None] * len(to)
        assert len(runs) == len(api.control("GET", "/exports")["calls"]) or not flags
        yield server, api
        api.close()


def printed_by(folder: Path, prefix: str = "") -> set[str]:
    """What a client prints that reads the files of a folder: name and beginning of each."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes()[:80] for path in folder.rglob("*.json")}
    assert len(files) == 2 and all(f"new/orders/{DATASET}/exportTime=" in name for name in files)
    return {f"{prefix}{name} {text!r}" for name, text in files.items()}


def test_s3_and_sftp(place: Place) -> None:
    pytest.importorskip("boto3")
    pytest.importorskip("paramiko")
    for kind in ("s3", "sftp"):
        place.start(f"rclone serve {kind}", snippet("target: services"))
    with exporting(place, *copying(), to=[TO_S3, TO_SFTP]) as (server, _):
        check_s3_and_sftp(place, server)
    # rclone has nothing to note there, which in a container it could not
    assert (place.folder / "rclone.conf").read_text() == place.here(snippet("target: rclone.conf"))


def check_s3_and_sftp(place: Place, server: ServerProcess) -> None:
    read = set(place.python(snippet("target: read S3") + snippet("target: read SFTP")))
    s3 = printed_by(server.export_dir / "amazon-s3" / "my-bucket")
    assert read == s3 | printed_by(server.export_dir / "sftp", "./")


def test_azure(place: Place) -> None:
    """Blobs, ADLS, and the landing zone with the credentials that the emulator tells."""
    pytest.importorskip("azure.storage.filedatalake")
    place.start("azurite-blob", snippet("target: services"))
    (url,) = place.python(snippet("target: landing zone"))
    to = [(AZURE_BLOB, {"container": "my-container", **PATH}), (ADLS, PATH), (LANDING_ZONE, PATH)]
    with exporting(place, *copying(), "--landing-zone", url, to=to) as (server, _):
        zone = snippet("target: read the landing zone").replace("http://127.0.0.1:8080", server.url)
        read = set(place.python(snippet("target: read Azure") + zone))
        folders = ("azure-blob/my-container", "adls-gen2", "data-landing-zone")
        assert read == set().union(*(printed_by(server.export_dir / folder) for folder in folders))
    assert url.partition("?")[2] not in server.log.read_text("utf-8")


def test_google_cloud_storage(place: Place) -> None:
    pytest.importorskip("google.cloud.storage")
    place.start("fake-gcs-server", snippet("target: services"))
    with exporting(place, *copying(), to=[(GOOGLE, TO_S3[1])]) as (server, _):
        read = place.python(snippet("target: read GCS"))
        assert set(read) == printed_by(server.export_dir / "google-cloud-storage" / "my-bucket")


def test_the_export_folder_itself(place: Place) -> None:
    """It is served before there is anything in it."""
    pytest.importorskip("boto3")
    pytest.importorskip("paramiko")
    for kind in ("s3", "sftp"):
        place.start(f"rclone serve {kind}", snippet("target: read only"))
    with exporting(place, to=[TO_S3, TO_SFTP]) as (server, _):
        check_s3_and_sftp(place, server)


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
        assert api.http.get(f"{ZONE}/credentials?type=dlz_destination").json() == {
            "containerName": container,
            "SASToken": url.partition("?")[2],
            "storageAccountName": account,
            "SASUri": url,
            "expiryDate": "2027-02-03",
        }
        assert api.http.get(f"{ZONE}?type=dlz_destination").json()["containerName"] == container
        assert api.http.get(f"{ZONE}?type=user_drop_zone").json()["containerName"] == "dlz-user-container"
        assert "abc%3D" not in api.http.get("/__emulator/requests").text
        api.close()


def test_a_test_that_reads_from_a_bucket(place: Place) -> None:
    pytest.importorskip("boto3")
    place.start("rclone serve s3", snippet("target: services"))
    (place.folder / "test_bucket.py").write_text(place.here(snippet("target: pytest")))
    flags = ("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    assert place.run(sys.executable, "-m", "pytest", *flags, "test_bucket.py")[-1].startswith("1 passed")


@pytest.mark.parametrize("language", ["Python", "Node"])
def test_a_webhook(language: str, place: Place) -> None:
    node = shutil.which("node")
    if language == "Node" and node is None:
        pytest.skip("node is not installed")
    python, js = snippet("target: webhook in Python"), snippet("target: webhook in Node")
    command = [sys.executable, "-c", place.here(python)] if node is None or language == "Python" else [
        node, "--input-type=module", "-e", place.here(js)
    ]  # fmt: skip
    port = int(place.here("9100"))
    call = ("--after-export", f"http://127.0.0.1:{port}/")
    with running(command, port, place.folder), exporting(place, *call, to=[(LANDING_ZONE, PATH)]):
        told = (place.folder / "target.log").read_text()
    assert re.search(rf"success \[\s*'data-landing-zone/new/orders/{DATASET}/exportTime=\d+/part-[^']+'\s*\]", told)


def test_the_compose_file() -> None:
    """It has what the parts above have: the same call and the same targets, which are found by their services' names."""
    services = yaml.safe_load(snippet("target: compose"))
    (config,) = services.pop("configs").values()
    hosts = {"127.0.0.1:9000": "s3:9000", "127.0.0.1:10000": "azurite:10000", "127.0.0.1:4443": "gcs:4443"}
    expected = snippet("target: rclone.conf").replace("host = 127.0.0.1", "host = sftp")
    for here, there in hosts.items():
        expected = expected.replace(here, there)
    assert config["content"] == expected
    services = services["services"]
    call = services["flow-service"]["environment"]["FLOW_EMULATOR_AFTER_EXPORT"]
    assert call.replace("--config /", "--config ") == copying()[1]
    assert set(services["flow-service"]["depends_on"]) == set(services) - {"flow-service", "consumer"}


@pytest.mark.parametrize(
    "wrong", ["http://h?sig=secret", "http://h/c", "http://h/c?se=1&sigs=2", "ftp://h/c?sig=secret"]
)
def test_what_is_no_address_of_a_container(wrong: str) -> None:
    with pytest.raises(ValueError, match="--landing-zone: the address of a container with a SAS is needed") as raised:
        read_settings({"landing_zone": wrong}, {})
    assert "secret" not in str(raised.value)
