"""Credentials are looked at once and never kept: not in the log, not in the data folder.

Source: reference, "Entities": fields whose schema says `format: password`; the answers are in `api/test_entities.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from contract_tests.support import Api, serving
from contract_tests.tutorial import ADLS, AZURE_BLOB, DESTINATIONS, GOOGLE, S3, SFTP, Destination

PASSWORDS: dict[str, list[str]] = {
    S3.folder: ["s3SecretKey"],
    AZURE_BLOB.folder: ["connectionString"],
    ADLS.folder: ["servicePrincipalKey"],
    GOOGLE.folder: ["secretAccessKey"],
    SFTP.folder: ["password", "sshKey"],
}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_that_the_server_writes_has_a_password(tmp_path: Path, log_format: str) -> None:
    """Created, patched, refused, and sent in headers and in the token form."""
    secrets = {"token-of-the-client", "secret-of-the-client"}
    with serving(tmp_path, "--data-dir", str(tmp_path / "data"), "--log-format", log_format) as process:
        api = Api(process.url, token="token-of-the-client")
        for destination in DESTINATIONS:
            secrets |= set(used(api, destination))
        form = {"grant_type": "client_credentials", "client_id": "key", "client_secret": "secret-of-the-client"}
        assert api.http.post("/ims/token/v3", data=form).status_code == 200
        api.close()
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) >= 2
    for secret in secrets:
        assert [path for path, content in written.items() if secret.encode() in content] == []


def used(api: Api, destination: Destination) -> list[str]:
    """The passwords of a destination, after they were sent in every way that there is."""
    sent = []
    for variant, auth in enumerate(destination.auths):
        path = f"/connections/{api.created('connections', destination.base_connection(variant))}"
        etag = api.item(path)["etag"]
        assert api.patch(path, etag, [{"op": "replace", "path": "/auth", "value": auth}]).status_code == 200
        broken = {**destination.base_connection(variant), "name": 5}
        assert api.post("/connections", broken).status_code == 400
        assert api.patch(path, '"stale"', [{"op": "replace", "path": "/auth", "value": auth}]).status_code == 412
        sent += [auth["params"][name] for name in PASSWORDS[destination.folder] if name in auth["params"]]
    return sent
