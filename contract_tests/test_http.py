"""What HTTP allows and few clients do, and what is no HTTP: answered well or refused, and the server goes on; many clients at once.

Source: RFC 9110 and 9112, section by section below.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from contract_tests.in_process import HEADERS, LocalEmulator
from contract_tests.support import Api, ServerProcess, assert_error
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION
from flow_service_emulator.control import state
from flow_service_emulator.settings import Settings

JSON = {"Content-Type": "application/json"}
BODY = json.dumps(SOURCE_CONNECTION)
WHO = "\r\n".join(["Host: localhost", *(f"{name}: {value}" for name, value in HEADERS.items())])
POST = f"POST {BASE}/sourceConnections HTTP/1.1\r\n{WHO}\r\nContent-Type: application/json\r\n"
LENGTH = f"Content-Length: {len(BODY)}\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = f"a;x=y\r\n{BODY[:10]}\r\n{len(BODY) - 10:x}\r\n{BODY[10:]}\r\n0\r\n\r\n"
HEALTH = "GET /__emulator/health HTTP/1.1\r\nHost: localhost\r\n"
OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
LAST = f"{HEALTH}Connection: close\r\n\r\n"


def exchanged(api: Api, *pieces: str | bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer, until the server closes the connection. The pieces are sent a moment apart."""
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as opened:
        for number, piece in enumerate(pieces):
            time.sleep(0.02 if number else 0)
            opened.sendall(piece if isinstance(piece, bytes) else piece.encode("latin-1"))
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := opened.recv(65_536):
                received += piece
    answers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        size = int(sizes[0].split(b":")[1]) if sizes else 0
        answers.append((int(head.split()[1]), rest[:size]))
        received = rest[size:]
    return answers


def statuses(api: Api, *pieces: str | bytes) -> list[int]:
    return [status for status, _ in exchanged(api, *pieces)]


class TestMessages:
    @pytest.mark.parametrize("offer", ["", OFFER])
    @pytest.mark.parametrize("body", [LENGTH + BODY, CHUNKED + CHUNKS])
    @pytest.mark.parametrize("cut", [0, len(POST) - 5, len(POST) + len(OFFER) + 35])
    def test_bodies_come_whole_or_in_pieces_and_offers_of_http_2_are_ignored(
        self, api: Api, offer: str, body: str, cut: int
    ) -> None:
        """RFC 9110, section 7.8. Java's HttpClient makes this offer with every request, and Ktor sends its body apart."""
        sent = POST + offer + body
        pieces = [sent[:cut], sent[cut:]] if cut else [sent]
        assert statuses(api, *pieces, HEALTH + offer + "\r\n" + sent + LAST) == [201, 200, 201, 200]
        assert len(api.items("/sourceConnections")) == 2

    def test_a_body_of_an_offer_that_is_no_http_is_refused(self, api: Api) -> None:
        assert statuses(api, POST + OFFER + CHUNKED, "zz\r\n")[-1:] == [400]
        assert api.items("/sourceConnections") == []

    def test_a_body_may_be_asked_for(self, api: Api) -> None:
        """RFC 9110, section 10.1.1."""
        assert statuses(api, POST + "Expect: 100-continue\r\n" + LENGTH, BODY + LAST) == [100, 201, 200]

    def test_head_and_http_1_0(self, api: Api) -> None:
        assert statuses(api, LAST.replace("GET", "HEAD")) == [200]
        assert statuses(api, "GET /__emulator/health HTTP/1.0\r\n\r\n") == [200]

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), b"must begin with http://"),
            (f"GET {BASE}/flows?property=name==Stra\xdfe HTTP/1.1\r\n{WHO}\r\n\r\n", b"must be percent-encoded"),
            (f"GET {BASE}/flows/Stra\xdfe HTTP/1.1\r\n{WHO}\r\n\r\n", b"must be percent-encoded"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"Invalid HTTP request"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", b"Invalid HTTP request"),
            (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\nSSH-2.0-x\r\n", b"Invalid HTTP request"),
            (POST + "Content-Length: 1e3\r\n\r\n{}", b"Invalid HTTP request"),
            (POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", b"Invalid HTTP request"),
            (POST + "Content-Length: 2\r\n" + CHUNKED, b"Invalid HTTP request"),
            (POST + CHUNKED + "zz\r\n{}\r\n", b"Invalid HTTP request"),
        ],
    )
    def test_what_is_no_http_is_told_what_it_is(self, api: Api, sent: str | bytes, told: bytes) -> None:
        status, body = exchanged(api, sent)[-1]
        assert status == 400
        assert told in body

    def test_clients_that_vanish_leave_nothing_behind(self, api: Api, server: ServerProcess) -> None:
        if sys.platform != "linux":
            pytest.skip("open files are counted in /proc")
        files = Path(f"/proc/{server.process.pid}/fd")
        address, before = urlsplit(api.url), len(list(files.iterdir()))
        for size in range(0, 3 * len(POST), 10):
            with socket.create_connection((address.hostname, address.port), timeout=10) as opened:
                opened.sendall((POST + LENGTH + BODY)[:size].encode())
        until = time.monotonic() + 2
        while len(list(files.iterdir())) > before + 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert "Traceback" not in server.log.read_text()


class TestSizes:
    @pytest.mark.parametrize(
        ("method", "path", "error"),
        [
            ("PUT", "/__emulator/state", "control-invalid"),
            ("PUT", "/__emulator/datasets/mine", "control-invalid"),
            ("POST", "/__emulator/state", "body-too-large"),
            ("PUT", "/__emulator/clock", "body-too-large"),
            ("POST", "/__emulator/reset", "body-too-large"),
            ("POST", f"{BASE}/flows", "body-too-large"),
        ],
    )
    def test_only_a_snapshot_and_a_dataset_may_be_large(self, api: Api, method: str, path: str, error: str) -> None:
        content = b"[" + b" " * 1_000_000 + b"]"
        assert_error(api.http.request(method, path, content=content, headers=JSON), error)
        assert_error(api.http.request(method, path, content=iter([content[:500], content[500:]]), headers=JSON), error)

    def test_what_is_left_of_a_body_that_was_refused_is_no_request(self, api: Api) -> None:
        content = " " * 3_000_000
        assert statuses(api, f"{POST}Content-Length: {len(content)}\r\n\r\n{content}{LAST}") == [413, 200]
        stranger = POST.replace(f"{BASE}/sourceConnections", "/__emulator/reset").replace("localhost", "evil.example")
        assert statuses(api, f"{stranger}{LENGTH}", f"{BODY}{LAST}") == [403, 200]


@pytest.mark.parametrize("scheme", ["http", "HTTP", "https"])
def test_a_call_of_the_service_in_absolute_form(api: Api, scheme: str) -> None:
    """RFC 9112, section 3.2.2: as it is sent to proxies."""
    connection = api.created("connections", S3.base_connection())
    target = f"{scheme}://platform.adobe.io{BASE}/connections/{connection}?a=b"
    ((status, body),) = exchanged(api, f"GET {target} HTTP/1.1\r\n{WHO}\r\nConnection: close\r\n\r\n")
    assert (status, orjson.loads(body)["items"][0]["id"]) == (200, connection)
    assert api.control("GET", "/requests?limit=1")["items"][0]["path"] == f"{BASE}/connections/{connection}"


def test_a_packed_body_is_refused_with_what_is_taken(api: Api) -> None:
    """RFC 9110, sections 8.4 and 12.5.3."""
    for method, path in (("POST", f"{BASE}/sourceConnections"), ("PUT", "/__emulator/clock")):
        headers = {**JSON, "Content-Encoding": "gzip"}
        response = api.http.request(method, path, content=gzip.compress(BODY.encode()), headers=headers)
        assert_error(response, "content-encoding-unsupported")
        assert response.headers["Accept-Encoding"] == "identity"
    assert api.items("/sourceConnections") == []


def test_json_is_utf8_whatever_charset_is_named(api: Api) -> None:
    """RFC 8259, section 8.1."""
    headers = {"Content-Type": "application/json; charset=latin-1"}
    problem = assert_error(api.http.post(f"{BASE}/connections", content=b'"\xdf"', headers=headers), "body-malformed")
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
        api.http.get(f"{BASE}/flows", headers=headers)
        (entry,) = api.control("GET", "/requests?limit=1")["items"]
        assert "header-repeated" in str(entry)
        assert "token-of-this-test" not in str(entry)


# --- many clients, and large answers ----------------------------------------------------------------------------------

CLIENTS, TIMES = 8, 12


def test_a_crowd_loses_nothing(api: Api) -> None:
    """All add one to the same number, with its etag, until they have; meanwhile two move the clock on over a flow's exports."""
    counted = {**SOURCE_CONNECTION, "name": "0", "description": "0"}
    shared = f"/sourceConnections/{api.created('sourceConnections', counted)}"
    start = api.control("GET", "/clock")["now"]
    api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": start + 10_800})
    conflicts = []

    def add(client: Api) -> None:
        done = 0
        while done < TIMES:
            item = client.item(shared)
            assert item["name"] == item["description"] and item["etag"] == item["version"], "torn"
            value = str(int(item["name"]) + 1)
            change = [{"op": "replace", "path": f"/{field}", "value": value} for field in ("name", "description")]
            answer = client.patch(shared, item["etag"], change)
            assert answer.status_code in (200, 412), answer.text
            done += answer.status_code == 200
            if answer.status_code == 412:
                conflicts.append(value)

    def advance(client: Api) -> list[str]:
        return [run["id"] for _ in range(4) for run in client.advance(10_800)]

    clients = [Api(api.url) for _ in range(CLIENTS + 2)]
    with ThreadPoolExecutor(len(clients)) as pool:
        runs = [pool.submit(advance, client) for client in clients[:2]]
        for done in [pool.submit(add, client) for client in clients[2:]]:
            done.result()
        told = [run for each in runs for run in each.result()]
    for client in clients:
        client.close()
    assert api.item(shared)["name"] == str(CLIENTS * TIMES)
    assert conflicts, "nobody got in another's way"
    assert api.control("GET", "/clock")["now"] == start + 8 * 10_800
    assert len(told) == len(set(told)) == 8


def test_a_snapshot_that_could_not_be_put_back_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how large it would be, and what of it is."""

    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            await emulator.created("sourceConnections", {**SOURCE_CONNECTION, "description": "d" * 300_000})
            snapshot = (await emulator.http.get("/__emulator/state")).content
            assert (await emulator.http.put("/__emulator/state", content=snapshot)).status_code == 200
            snapshot = (await emulator.http.get("/__emulator/state")).content
            size = len(snapshot)
            monkeypatch.setattr(state, "MAX_CONTROL_BYTES", size)
            assert (await emulator.http.get("/__emulator/state")).content == snapshot
            monkeypatch.setattr(state, "MAX_CONTROL_BYTES", size - 1)
            refused = await emulator.http.get("/__emulator/state")
            assert_error(refused, "snapshot-too-large", size=size, limit=size - 1, part="store")

    asyncio.run(scenario())


def test_a_page_that_was_not_fetched_is_told_of_a_long_list_too(api: Api) -> None:
    """What announces it stands behind all that the journal keeps."""
    for _ in range(101):
        api.created("sourceConnections", {**SOURCE_CONNECTION, "description": "d" * 3_000})
    for fetched in (False, True):
        token = api.get("/sourceConnections").json()["_links"]["next"]["href"].partition("?")[2]
        if fetched:
            api.get(f"/sourceConnections?{token}")
        report = api.control("GET", "/contract")
        told = [each["id"] for each in report["warnings"] if "page" in each["id"]]
        assert bool(told) is not fetched, report["warnings"]
        api.control("DELETE", "/requests")
