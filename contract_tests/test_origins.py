"""Control calls are refused to pages of other sites, and under host names that a stranger could own."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from contract_tests.support import Api, assert_error, serving
from flow_service_emulator.api.gateway import OriginGuard
from flow_service_emulator.errors import ServiceError

OURS = "localhost localhost:8080 LOCALHOST. 127.0.0.1:8080 192.168.1.7 [::1]:8080 [::1] emulator:8080 app.localhost"
OURS += " host.docker.internal:80 flow-emulator.tests.svc.cluster.local:8080 laptop.local"
STRANGERS = (
    "evil.example evil.example:8080 127.0.0.1.evil.example localhost.evil.example evil.example. ::1.evil.example"
)
ORIGINS = ["http://evil.example", "null", "http://localhost:3000", "http://localhost", "localhost:8080", "file://", ""]
EMBEDDED = [
    # Source: W3C "Fetch Metadata Request Headers". Browsers send no `Origin` for pictures, scripts and frames.
    ("GET", "same-origin", "cors", "empty", True),
    ("GET", "none", "navigate", "document", True),
    ("GET", "cross-site", "no-cors", "image", False),
    ("GET", "same-site", "no-cors", "script", False),
    ("GET", "cross-site", "navigate", "iframe", False),
    ("GET", "cross-site", "navigate", "document", True),
    ("POST", "cross-site", "navigate", "document", False),
]
ALLOWED = [
    ("ci.example.org", "ci.example.org:80", True),
    ("CI.example.org", "ci.EXAMPLE.org", True),
    ("ci.example.org", "x.ci.example.org", False),
    (".example.org", "x.ci.example.org", True),
    (".example.org", "badexample.org", False),
    ("*", "evil.example", True),
]
CASES: list[tuple[str, str, dict[str, str], bool]] = [
    *(("", "GET", {"host": host, "origin": f"http://{host}"}, True) for host in OURS.split()),
    *(("", "GET", {"host": host}, False) for host in STRANGERS.split()),
    *(("", "GET", {"host": "localhost:8080", "origin": origin}, False) for origin in ORIGINS),
    ("", "GET", {"origin": "file://", "host": ""}, False),
    *(
        ("", method, {"host": "localhost:8080", "sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}, served)
        for method, site, mode, dest, served in EMBEDDED
    ),
    *((allowed, "GET", {"host": host}, served) for allowed, host, served in ALLOWED),
]  # fmt: skip


@pytest.mark.parametrize(("allowed", "method", "headers", "served"), CASES, ids=str)
def test_who_is_served(allowed: str, method: str, headers: dict[str, str], served: bool) -> None:
    """Names that no stranger can own, and those allowed; no page of another origin, nor what it embeds."""
    guard = OriginGuard((allowed,) if allowed else ())
    with contextlib.nullcontext() if served else pytest.raises(ServiceError, match="host-not-allowed"):
        guard.check(method, headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/reset"), ("PUT", "/clock"), ("DELETE", "/requests"), ("GET", "/state"), ("GET", "/none")],
)
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_control_calls_refuse_a_foreign_page(api: Api, method: str, path: str, headers: dict[str, str]) -> None:
    headers = {**headers, "Content-Type": "text/plain"}
    response = api.http.request(method, f"/__emulator{path}", content=b"{}", headers=headers)
    assert_error(response, "host-not-allowed")
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_the_service_is_served_under_any_name_and_gives_browsers_no_leave(api: Api) -> None:
    assert api.get("/connectionSpecs", headers={"Host": "platform.adobe.io"}).status_code == 200
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = api.http.options("/data/foundation/flowservice/connections", headers=asking)
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_the_setting_reaches_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, "--allowed-hosts", "ci.example.org") as process:
        for host, status in (("ci.example.org:8080", 200), ("other.example.org", 403)):
            assert httpx.get(f"{process.url}/__emulator/health", headers={"Host": host}).status_code == status
