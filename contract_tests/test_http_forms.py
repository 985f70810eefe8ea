"""What HTTP allows and few clients do: targets in absolute form, packed bodies, other encodings, headers sent twice.

Source: RFC 9110 and 9112, section by section below.
"""

from __future__ import annotations

import gzip
import socket
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from contract_tests.in_process import HEADERS
from contract_tests.support import Api, assert_error
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION

JSON = {"Content-Type": "application/json"}


def sent(api: Api, head: str) -> tuple[int, bytes]:
    """Status and body of the answer to a request that is sent as it stands."""
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as opened:
        opened.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := opened.recv(65_536):
            answer += piece
    start, _, body = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), body


class TestTarget:
    """RFC 9112, section 3.2.2: a server must accept the absolute form, as it is sent to proxies."""

    def test_a_control_call(self, api: Api) -> None:
        status, body = sent(api, "GET http://localhost/__emulator/health HTTP/1.1\r\nHost: localhost")
        assert (status, orjson.loads(body)["status"]) == (200, "ok")

    @pytest.mark.parametrize("scheme", ["http", "HTTP", "https"])
    def test_a_call_of_the_service(self, api: Api, scheme: str) -> None:
        connection = api.created("connections", S3.base_connection())
        headers = "\r\n".join(f"{name}: {value}" for name, value in HEADERS.items())
        head = f"GET {scheme}://platform.adobe.io{BASE}/connections/{connection}?a=b HTTP/1.1\r\nHost: localhost\r\n{headers}"
        status, body = sent(api, head)
        assert status == 200
        assert orjson.loads(body)["items"][0]["id"] == connection
        assert api.control("GET", "/requests?limit=1")["items"][0]["path"] == f"{BASE}/connections/{connection}"

    def test_its_host_counts_before_the_header(self, api: Api) -> None:
        """Section 3.2.2, too. So what a stranger's name leads to is refused in either form."""
        for target, host in (("http://evil.example", "localhost"), ("", "evil.example")):
            status, body = sent(api, f"POST {target}/__emulator/reset HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0")
            assert status == 403, body

    @pytest.mark.parametrize("target", ["ftp://localhost/__emulator/health", "localhost:80", "*", "http://"])
    def test_other_forms_lead_nowhere(self, api: Api, target: str) -> None:
        status, _ = sent(api, f"GET {target} HTTP/1.1\r\nHost: localhost")
        assert status == 404


class TestEncodings:
    def test_a_packed_body_is_refused_with_what_is_taken(self, api: Api) -> None:
        """RFC 9110, sections 8.4 and 12.5.3."""
        packed = gzip.compress(orjson.dumps(SOURCE_CONNECTION))
        response = api.http.post(
            f"{BASE}/sourceConnections", content=packed, headers={**JSON, "Content-Encoding": "gzip"}
        )
        assert_error(response, "content-encoding-unsupported")
        assert response.headers["Accept-Encoding"] == "identity"
        response = api.http.put(
            "/__emulator/clock", content=gzip.compress(b"{}"), headers={**JSON, "Content-Encoding": "gzip"}
        )
        assert_error(response, "content-encoding-unsupported")
        assert api.items("/sourceConnections") == []

    def test_identity_is_no_coding(self, api: Api) -> None:
        headers = {**JSON, "Content-Encoding": "Identity"}
        content = orjson.dumps(SOURCE_CONNECTION)
        assert api.http.post(f"{BASE}/sourceConnections", content=content, headers=headers).status_code == 201

    @pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
    def test_json_is_utf8(self, api: Api, encoding: str) -> None:
        """RFC 8259, section 8.1. Whatever charset is named, nothing is guessed."""
        content = '{"name": "Straße"}'.encode(encoding)
        headers = {"Content-Type": f"application/json; charset={encoding}"}
        problem = assert_error(api.http.post(f"{BASE}/connections", content=content, headers=headers), "body-malformed")
        assert problem["detail"].endswith("it is not UTF-8, which JSON is sent in")


class TestRepeatedHeaders:
    """RFC 9110, section 5.3: their values are one list, in order."""

    def patch(self, api: Api, entity: dict[str, Any], *etags: str) -> Any:
        change = orjson.dumps([{"op": "replace", "path": "/name", "value": "other"}])
        headers = [*JSON.items(), *(("If-Match", etag) for etag in etags)]
        return api.http.patch(f"{BASE}/sourceConnections/{entity['id']}", content=change, headers=headers)

    def test_if_match_is_all_of_them(self, api: Api) -> None:
        entity = api.item(f"/sourceConnections/{api.created('sourceConnections', SOURCE_CONNECTION)}")
        assert_error(self.patch(api, entity, '"other"', entity["etag"]), "version-mismatch")
        assert self.patch(api, entity, entity["etag"]).status_code == 200

    def test_a_repeated_token_is_warned_of_and_masked(self, api: Api) -> None:
        tokens = ["Bearer first-token-of-this-test-1", "Bearer second-token-of-this-test-2"]
        headers = [("Authorization", token) for token in tokens]
        api.http.get(f"{BASE}/flows/first-token-of-this-test-1", headers=headers)
        (entry,) = api.control("GET", "/requests?limit=1")["items"]
        assert "header-repeated" in str(entry)
        assert "token-of-this-test" not in str(entry)
