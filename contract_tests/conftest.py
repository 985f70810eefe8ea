"""Fixtures and options of the tests.

`pytest contract_tests/api --base-url URL` holds another implementation, or the real service, against the same black-box
tests: with credentials from FLOW_TEST_TOKEN, FLOW_TEST_API_KEY, FLOW_TEST_ORG and FLOW_TEST_SANDBOX, without what needs control
of time, under recognisable names, and cleaning up. At the end it says which facts were confirmed, when and where.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract_tests.support import Api, ServerProcess, serving


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--base-url", help="address of another implementation for contract_tests/api to run against")
    parser.addoption("--slow", action="store_true", help="run the long tests as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="a long test; --slow runs it"))
        if item.get_closest_marker("emulator_only") and config.getoption("--base-url"):
            item.add_marker(pytest.mark.skip(reason="needs a frozen clock or an empty store"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which facts another implementation has confirmed: each passed test's source stands in its docstring."""
    url = config.getoption("--base-url")
    if not url:
        return
    terminalreporter.section("facts confirmed")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    for report in terminalreporter.stats.get("passed", []):
        terminalreporter.line(f"{when}  {url}  {report.nodeid}")
    for report in terminalreporter.stats.get("failed", []):
        terminalreporter.line(f"{when}  {url}  NOT CONFIRMED  {report.nodeid}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[ServerProcess]:
    """One server process for all tests of this worker, with a frozen clock."""
    if pytestconfig.getoption("--base-url"):
        pytest.skip("looks at the emulator's own process; not with --base-url")
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture
def api(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Api]:
    """A client of the session's server, which has forgotten everything before the test; or of the one at `--base-url`."""
    url = pytestconfig.getoption("--base-url")
    if url:
        client = Api(
            url,
            org=os.environ.get("FLOW_TEST_ORG", "TEST@AdobeOrg"),
            sandbox=os.environ.get("FLOW_TEST_SANDBOX", "prod"),
            token=os.environ.get("FLOW_TEST_TOKEN", "test-token"),
            api_key=os.environ.get("FLOW_TEST_API_KEY", "test-key"),
            foreign=True,
        )
        yield client
        client.clean_up()
    else:
        client = Api(request.getfixturevalue("server").url)
        client.control("POST", "/reset", params={"exports": "true"})
        yield client
    client.close()


@pytest.fixture
def export_dir(server: ServerProcess) -> Path:
    """Where the session's server writes its files."""
    return server.export_dir
