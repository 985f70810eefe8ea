"""Credentials are looked at once and never kept: not in the log, not in the data folder. And no request writes the log.

Where else a client may put one by mistake is in `test_planted_secrets.py`.

Source: reference, "Entities": fields whose schema says `format: password`; the answers are in `api/test_entities.py`.
"""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from contract_tests.support import Api, serving
from contract_tests.tutorial import ADLS, AZURE_BLOB, DESTINATIONS, GOOGLE, S3, SFTP, Destination
from flow_service_emulator.reports.words import printable
from flow_service_emulator.server import formatter

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


CONTROLS = "\r\n\t\x07\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff"
FORGED = "2026-01-01 00:00:00,000 INFO GET /forged 200"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_request_writes_a_line_of_the_log_or_controls_the_terminal(tmp_path: Path, log_format: str) -> None:
    with serving(tmp_path, "--log-format", log_format) as process:
        api = Api(process.url)
        api.http.get(f"/x{quote(CONTROLS)}{quote(FORGED)}")
        api.get(f"/flows/x{quote(CONTROLS)}")
        api.close()
    log = process.log.read_bytes().decode()
    assert [char for char in log if not char.isprintable() and char != "\n"] == []
    lines = log.splitlines()
    assert not any(line.startswith("2026-01-01 00:00:00,000") for line in lines)
    (line,) = (line for line in lines if "forged" in line)
    if log_format == "json":  # whose readers get what was sent
        assert json.loads(line)["message"].startswith(f"GET /x{CONTROLS}{FORGED} 404")
    else:
        assert r"/x\r\n\t\x07\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff2026" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_is_logged_beside_requests_has_no_secret_and_no_control_character(log_format: str) -> None:
    """A traceback keeps its lines, and only those."""
    secret, written = "eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVk.c2lnbmF0dXJl", io.StringIO()
    handler, log = logging.StreamHandler(written), logging.Logger("emulator.somewhere")
    handler.setFormatter(formatter(log_format))
    log.addHandler(handler)
    try:
        raise ValueError(f"{secret}\x1b[31m")
    except ValueError:
        log.exception("%s\u202e failed", secret)
    assert secret not in written.getvalue()
    assert [char for char in written.getvalue() if not char.isprintable() and char != "\n"] == []
    assert "Traceback (most recent call last)" in written.getvalue()
    assert (
        r"ValueError: ****\x1b[31m" if log_format == "text" else r"ValueError: ****\u001b[31m"
    ) in written.getvalue()


def test_reports_take_no_text_that_turns_or_breaks_lines() -> None:
    for char in re.sub(r"[\r\n\t\[2J]", "", CONTROLS) + "\x00\u202a\u2069\ufffe\U000e0041":
        assert printable(f"a{char}b") == "a\ufffdb", hex(ord(char))
    assert printable("naïve – 日本語 🙂 עברית\n\ta") == "naïve – 日本語 🙂 עברית\n\ta"
