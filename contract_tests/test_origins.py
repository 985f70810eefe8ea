"""Control calls are refused to pages of other sites, and under host names that a stranger could own."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract_tests.support import Api, assert_error, serving
from flow_service_emulator.api.origins import OriginGuard
from flow_service_emulator.errors import ServiceError

OURS = [
    "localhost",
    "localhost:8080",
    "LOCALHOST.",
    "127.0.0.1:8080",
    "192.168.1.7",
    "[::1]:8080",
    "[::1]",
    "emulator:8080",
    "app.localhost",
    "host.docker.internal:80",
    "flow-emulator.tests.svc.cluster.local:8080",
    "laptop.local",
]
STRANGERS = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example.",
    "internal.evil.example",
    "::1.evil.example",
]


@pytest.mark.parametrize("host", OURS)
def test_a_name_that_no_stranger_can_own_is_served(host: str) -> None:
    OriginGuard(()).check("GET", {"host": host, "origin": f"http://{host}"})


@pytest.mark.parametrize("host", STRANGERS)
def test_a_name_that_a_stranger_can_own_is_refused(host: str) -> None:
    with pytest.raises(ServiceError) as refused:
        OriginGuard(()).check("GET", {"host": host})
    assert refused.value.name == "host-not-allowed"


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:3000", "http://localhost", "localhost:8080", "file://", ""],
)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(ServiceError):
        OriginGuard(()).check("GET", {"host": "localhost:8080", "origin": origin})


def test_a_page_without_a_host_is_refused() -> None:
    """`file://` has no host either."""
    with pytest.raises(ServiceError):
        OriginGuard(()).check("GET", {"origin": "file://", "host": ""})


@pytest.mark.parametrize(
    ("method", "site", "mode", "dest", "served"),
    [
        ("GET", "same-origin", "cors", "empty", True),
        ("GET", "none", "navigate", "document", True),
        ("GET", "cross-site", "no-cors", "image", False),
        ("GET", "same-site", "no-cors", "script", False),
        ("GET", "cross-site", "navigate", "iframe", False),
        ("GET", "cross-site", "navigate", "document", True),
        ("POST", "cross-site", "navigate", "document", False),
    ],
)
def test_what_a_foreign_page_embeds_is_refused_and_its_links_are_followed(
    method: str, site: str, mode: str, dest: str, served: bool
) -> None:
    """Browsers send no `Origin` for pictures, scripts and frames. Source: W3C "Fetch Metadata Request Headers"."""
    headers = {"host": "localhost:8080", "sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    if served:
        OriginGuard(()).check(method, headers)
    else:
        with pytest.raises(ServiceError):
            OriginGuard(()).check(method, headers)


@pytest.mark.parametrize(
    ("allowed", "host", "served"),
    [
        ("ci.example.org", "ci.example.org:80", True),
        ("CI.example.org", "ci.EXAMPLE.org", True),
        ("ci.example.org", "x.ci.example.org", False),
        (".example.org", "x.ci.example.org", True),
        (".example.org", "badexample.org", False),
        ("*", "evil.example", True),
    ],
)
def test_more_names_can_be_allowed(allowed: str, host: str, served: bool) -> None:
    guard = OriginGuard((allowed,))
    if served:
        guard.check("GET", {"host": host})
    else:
        with pytest.raises(ServiceError):
            guard.check("GET", {"host": host})


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/reset"), ("PUT", "/clock"), ("DELETE", "/requests"), ("GET", "/state"), ("GET", "/none")],
)
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_control_calls_refuse_a_foreign_page(api: Api, method: str, path: str, headers: dict[str, str]) -> None:
    response = api.http.request(
        method, f"/__emulator{path}", content=b"{}", headers={**headers, "Content-Type": "text/plain"}
    )
    assert_error(response, "host-not-allowed")
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_browser_that_asks_first_gets_no_leave(api: Api) -> None:
    response = api.http.options(
        "/data/foundation/flowservice/connections",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert response.status_code >= 400
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_the_service_itself_is_served_under_any_name(api: Api) -> None:
    response = api.get("/connectionSpecs", headers={"Host": "platform.adobe.io"})
    assert response.status_code == 200


def test_the_setting_reaches_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, "--allowed-hosts", "ci.example.org") as process:
        api = Api(process.url)
        assert api.http.get("/__emulator/health", headers={"Host": "ci.example.org:8080"}).status_code == 200
        assert api.http.get("/__emulator/health", headers={"Host": "other.example.org"}).status_code == 403
        api.close()
